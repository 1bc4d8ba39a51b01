"""The tile sweep in Triton: what its kernels are given, tables of tiles, launches.

Values of tokens are [B, G, r, T, axes…] of any strides, in the dtype in which they came: views of
streams and caches, which no kernel needs in another place.
"""

import torch


class Laid:
    """One sum over a unit: values of queries and of keys by name, and what no token changes."""

    def __init__(self, sweep, unit):
        self.sweep, self.unit = sweep, unit
        self.groups, self.heads = heads_of(unit)
        first = next(iter(unit.streams.values()))
        sizes = (unit.dtype, self.groups, self.heads, first)
        self.fixed = fixed_of(unit.constants, unit.size, *sizes)
        self.fixed["T"] = unit.seen + unit.tokens
        t, s = unit.positions
        self.rows = {"t": t, "at_t": t.to(unit.dtype)}
        self.keys = {"s": s, "at_s": s.to(unit.dtype)}
        for name in sweep.of_rows:
            self.rows[f"{name}_t"] = self.lanes(unit.streams[name])
        for name in sweep.of_keys:
            self.keys[f"{name}_s"] = self.lanes(unit.keys[name])
        self.fixed |= {"rows": len(t), "keys": len(s)}
        self.dot = unit.dtype
        if unit.dtype != torch.float64:
            self.dot = product_dtype(list(unit.streams.values()))
        self.rows |= made_by(sweep.queries, sweep, self.fixed, self.rows, unit.dtype)
        self.keys |= made_by(sweep.keys, sweep, self.fixed, self.keys, unit.dtype)
        self.keys["value"] = with_axis(self.keys["value"], sweep)

    def lanes(self, x):
        """[B, T, h, axes…] as [B, G, r, T, axes…]."""
        return in_groups(x.transpose(1, 2), self.groups, self.heads)

    def memory(self, tokens, each, axes, dtype):
        """Memory [B, G, r, tokens, axes…], in which the heads of a token lie together."""
        shape = (self.unit.rows, tokens, self.groups, each, *axes)
        device = self.rows["t"].device
        made = torch.empty(shape, dtype=dtype, device=device)
        return made.permute(0, 2, 3, 1, *range(4, len(shape)))

    @property
    def shape(self):
        """Of what each query has: [B, G, r, T]."""
        return (self.unit.rows, self.groups, self.heads // self.groups, self.unit.tokens)


def made_by(part, sweep, fixed, side, dtype):
    """What a part gives: in full precision, but for what it only hands on."""
    handed = {name: side[sweep.same[name]] for name in part.gives if name in sweep.same}
    if len(handed) == len(part.gives):
        return handed
    wide = {n: x.to(dtype) if x.is_floating_point() else x for n, x in side.items()}
    return part({**fixed, **wide}) | handed


def strided(name, x, tokens):
    """A value as arguments of a kernel: a pointer and strides, 0 along what it has but once."""
    x = x.to(torch.int8) if x.dtype == torch.bool else x
    lead = 4 if tokens else 3
    if x[(0,) * lead].numel() and not x[(0,) * lead].is_contiguous():
        x = x.contiguous()
    strides = [0 if n == 1 else s for n, s in zip(x.shape, x.stride(), strict=True)][:3]
    found = {f"{name}_at": x} | {f"{name}_{w}": s for w, s in zip("ngh", strides, strict=True)}
    return found | ({f"{name}_row": x.stride(3)} if tokens else {})


def numbers_of(sweep, names, size, values, tables):
    """Lengths of axes with the places of a tile, plain numbers, and tables."""
    found = dict(sweep.numbers(size))
    for name in names:
        length = values["value"].shape[-1] if name == "VALUE" else int(size[name])
        places = 1 << (max(length, 16) - 1).bit_length()
        found |= {name: length, f"{name}_BLOCK": places, f"{name}_OTHER": places}
    for name in tables:
        table = values[name].to(torch.int8).contiguous()
        found |= {f"{name}_at": table}
        if table.dim() == 2:
            found[f"{name}_row"] = table.shape[1]
    return found


def launched(laid, kind, values, walk, grid, tiling):
    """Runs a kernel over the blocks of a walk, for `grid` groups, with so many heads each."""
    kernel, doors, axes, tables = getattr(laid.sweep, f"{kind}_kernel")
    groups, each = grid
    arguments = {"GROUPS": groups, "EACH": each, "length": laid.fixed["T"], **walk}
    for name, tokens in doors.items():
        arguments |= strided(name, values[name], tokens)
    arguments |= numbers_of(laid.sweep, axes, laid.fixed, values, tables)
    blocked = [name for name, tokens in doors.items() if not tokens and name.startswith("d_")]
    arguments |= {f"{name}_row": values[name].stride(3) for name in blocked}
    arguments |= {"ACC": DTYPES[laid.unit.dtype], "DOT": DTYPES[laid.dot], "PREC": PRECISION}
    arguments |= {"HERE": tiling[0], "THERE": tiling[1]}
    given = {name: arguments[name] for name in kernel.arg_names}
    options = {"num_warps": tiling[2] * 32 // LANES, "num_stages": tiling[3], **REGISTERS}
    programs = walk["blocks"] * groups * laid.unit.rows * (1 if kind == "keys" else each)
    start(kernel, programs, options, given, laid.dot)


def tiling_of(laid, kind):
    """Tokens of a program, those of a step of its walk, warps, and steps that are loaded ahead."""
    if laid.rows["t"].device.type == "cpu":
        return (16, 16, 4, 1)
    widest = max(laid.keys["value"].shape[-1], *(x.shape[-1] for x in heads_seen(laid)))
    width = min(max(1 << (widest - 1).bit_length(), 64), 256)
    return TILES[kind, width, laid.dot.itemsize]


def heads_seen(laid):
    """The values whose axes are held whole."""
    every = {**laid.rows, **laid.keys}
    return [x for x in every.values() if x.dim() > 4]


def walk_of(laid, keys, tiling):
    """Where the blocks of a kernel begin, and the tiles that each visits."""
    unit, sweep = laid.unit, laid.sweep
    whole = len(unit.stretches) == 1
    queries = {"low": unit.seen, "count": unit.tokens}
    theirs = {"low": unit.stretches[0][0], "count": len(laid.keys["s"])}
    here, there = (theirs, queries) if keys else (queries, theirs)
    found = {
        f"{side}_{n}": v for side, of in (("here", here), ("there", there)) for n, v in of.items()
    }
    found |= {"here_spans_at": None, "there_spans_at": None, "starts_at": None, "tiles_at": None}
    found |= {"blocks": -(-here["count"] // tiling[0]), "CLOSED": sweep.closed and whole}
    if found["CLOSED"]:
        return found
    side = (tiling[1], tiling[0]) if keys else tiling[:2]
    return found | planned(laid, keys, side)


def planned(laid, keys, side):
    """The tables of tiles; kept where they hang on nothing but lengths."""
    sweep, unit = laid.sweep, laid.unit
    device = laid.rows["t"].device
    mark = None
    if not (sweep.mask_streams or sweep.tables):
        mark = (keys, side, unit.tokens, unit.seen, device)
    if mark not in sweep.plans:
        while len(sweep.plans) >= 64:
            sweep.plans.pop(next(iter(sweep.plans)))
        sweep.plans[mark] = tables_of(laid, keys, side)
    return sweep.plans[mark]


def tables_of(laid, keys, side):
    """The tiles that each block of queries (or of keys) visits, those that are not full first."""
    unit, base, found, spans = laid.unit, 0, [], []
    for key, count, (starts, blocks, full) in tiles_of(
        laid.sweep, unit, (laid.fixed, laid.rows, laid.keys), side
    ):
        row = torch.repeat_interleave(torch.arange(len(starts) - 1), starts.diff())
        whole = full & ((row + 1) * side[0] <= unit.tokens) & ((blocks + 1) * side[1] <= count)
        found.append(torch.stack((row, blocks + base, whole.long())))
        first = key + torch.arange(0, count, side[1])
        low = next(low for low, at, _ in unit.stretches if at == key) - key
        last = torch.full_like(first, key + count)
        spans.append(torch.stack((first, last, torch.full_like(first, low)), 1))
        base += len(first)
    row, column, whole = torch.cat(found, 1)
    own, other = (column, row) if keys else (row, column)
    blocks = base if keys else -(-unit.tokens // side[0])
    order = torch.argsort((2 * own + whole) * (other.max() + 1 if len(other) else 1) + other)
    counts = torch.bincount(2 * own + whole, minlength=2 * blocks)
    starts = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    tables = {"starts_at": starts, "tiles_at": other[order] if len(other) else counts[:1]}
    if len(unit.stretches) > 1:
        tables["here_spans_at" if keys else "there_spans_at"] = torch.cat(spans)
    device = laid.rows["t"].device
    made = {name: x.to(torch.int32).contiguous().to(device) for name, x in tables.items()}
    return made | {"blocks": blocks}


def sum_forward(sweep, unit, outputs):
    """Fills the output of a sum [B, T, H, V], m of each query [B, T, H], and its weights over
    e^m."""
    laid = Laid(sweep, unit)
    out, tops, weights = (
        x.transpose(1, 2).unflatten(1, (laid.groups, laid.heads // laid.groups)) for x in outputs
    )
    values = {**laid.fixed, **laid.rows, **laid.keys, "tops": tops, "weights": weights}
    values["out"] = out if sweep.value_axis else out.unsqueeze(-1)
    tiling = tiling_of(laid, "forward")
    walk = walk_of(laid, False, tiling)
    launched(laid, "forward", values, walk, (laid.groups, laid.heads // laid.groups), tiling)


def sum_backward(sweep, unit, o, tops, weights, d_o):
    """Cotangents by name: of the streams of queries, those of keys (with their past), and of
    constants."""
    laid = Laid(sweep, unit)
    o, d_o = (laid.lanes(x if sweep.value_axis else x.unsqueeze(-1)) for x in (o, d_o))
    tops, weights = laid.lanes(tops), laid.lanes(weights)
    scale, shift, back = of_divisor(laid, o, tops, weights, d_o)
    values = {**laid.fixed, **laid.rows, **laid.keys}
    values |= {"cotangent": d_o, "tops": tops, "scale": scale, "shift": shift}
    found = {}
    for kind in ("rows", "keys"):
        tiling = tiling_of(laid, kind)
        walk = walk_of(laid, kind == "keys", tiling)
        given, grid = values, (laid.groups, laid.heads // laid.groups)
        if kind == "keys":
            given, grid = of_groups(laid, values)
        made = cotangents_of(laid, kind, walk, grid)
        launched(laid, kind, {**given, **made}, walk, grid, tiling)
        found |= {name.removeprefix("d_"): x for name, x in made.items()}
    for name in found.keys() & laid.fixed.keys():
        found[name] = found[name].sum(3)
    shape = (laid.groups, laid.heads // laid.groups)
    found = {
        n: x.flatten(1, 2).unflatten(1, shape) if x.shape[1] == laid.heads != laid.groups else x
        for n, x in found.items()
    }
    return handed_back(sweep, unit, laid, found, back)


def of_divisor(laid, o, tops, weights, d_o):
    """One over the divisor of each query, what reaches its weights by way of it (times it), and
    the cotangents of what it reads."""
    sweep, dtype = laid.sweep, laid.unit.dtype
    wide = {n: x.to(dtype) if x.is_floating_point() else x for n, x in laid.rows.items()}
    divisor = divisor_of(sweep, laid.fixed, wide, tops, weights)
    if divisor is None:
        return torch.ones_like(tops), torch.zeros_like(tops), {}
    divisor = divisor.expand(tops.shape)
    d = -(d_o.to(dtype) * o.to(dtype)).sum(-1) / divisor
    values = {**laid.fixed, **wide, "sum_t": weights, "unit_t": (-tops).exp(), "d_divisor": d}
    back = sweep.d_divisor(values)
    d_weights = back.pop("sum", torch.zeros_like(d))
    return 1 / divisor, (d_weights * divisor).expand(tops.shape), back


def of_groups(laid, values):
    """The values and the grid of the kernel over keys: a program sums over the heads of a group,
    unless one of them has keys of its own."""
    grid = (laid.groups, laid.heads // laid.groups)
    _, doors, _, _ = laid.sweep.keys_kernel
    shared = all(values[n].shape[2] == 1 for n in doors if n in laid.keys)
    if shared or grid[1] == 1:
        return values, grid
    split = {
        n: values[n].expand(-1, *grid, *values[n].shape[3:]).flatten(1, 2).unsqueeze(2)
        for n in doors
        if n in values
    }
    return {**values, **split}, (laid.heads, 1)


def cotangents_of(laid, kind, walk, grid):
    """Memory for what a kernel makes."""
    _, doors, _, _ = getattr(laid.sweep, f"{kind}_kernel")
    sides = {**laid.fixed, **laid.rows, **laid.keys}
    made = {}
    for name, tokens in doors.items():
        if not name.startswith("d_") or name in sides:
            continue
        like = sides[name.removeprefix("d_")]
        each = 1 if kind == "keys" else grid[1]
        if tokens:
            shape = (laid.unit.rows, like.shape[3], grid[0], each, *like.shape[4:])
            order = (0, 2, 3, 1, *range(4, len(shape)))
            made[name] = torch.empty(shape, dtype=laid.unit.dtype, device=like.device).permute(
                order
            )
        else:
            shape = (laid.unit.rows, *grid, walk["blocks"], *like.shape[3:])
            made[name] = torch.empty(shape, dtype=laid.unit.dtype, device=like.device)
    return made
