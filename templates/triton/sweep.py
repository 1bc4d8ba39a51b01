"""The tile sweep in Triton: what its kernels are given, tables of tiles, launches.

Values of tokens are [B, G, r, T, axes…] of any strides, in the dtype in which they came: views of
streams and caches, which no kernel needs in another place.
"""

import torch


class Laid:
    """One sum over some sequences: values of queries and of keys by name, and what no token
    changes."""

    def __init__(self, sweep, sides, constants, size, heads, first_head):
        (streams, t), (kept, s) = sides
        first = next(iter(streams.values()))
        self.sweep, (self.groups, self.heads) = sweep, heads
        self.dtype = self.dot = accumulation(list(streams.values()))
        if self.dtype != torch.float64:
            self.dot = product_dtype(list(streams.values()))
        self.fixed = fixed_of(constants, size, self.dtype, heads[0], first_head, first)
        self.fixed |= {"rows": t.shape[-1], "keys": s.shape[-1]}
        self.rows = {"t": t, "at_t": t.to(self.dtype)}
        self.keys = {"s": s, "at_s": s.to(self.dtype)}
        self.rows |= {f"{name}_t": in_groups(streams[name], *heads) for name in sweep.of_rows}
        self.keys |= {f"{name}_s": in_groups(kept[name], *heads) for name in sweep.of_keys}
        self.rows |= made_by(sweep.queries, sweep, self.fixed, self.rows, self.dtype)
        self.keys |= made_by(sweep.keys, sweep, self.fixed, self.keys, self.dtype)
        self.keys["value"] = with_axis(self.keys["value"], sweep)

    @property
    def each(self):
        """How many heads share keys."""
        return self.heads // self.groups

    @property
    def batch(self):
        """How many sequences there are."""
        return next(x.shape[0] for x in self.keys.values() if x.dim() > 3)


def laid_out(sweep, unit):
    """The sum over a unit."""
    sides = (
        ({name: x.transpose(1, 2) for name, x in values.items()}, places)
        for values, places in zip((unit.streams, unit.keys), unit.positions, strict=True)
    )
    laid = Laid(sweep, sides, unit.constants, unit.size, heads_of(unit), unit.first_head)
    laid.fixed["T"] = unit.seen + unit.tokens
    if sweep.decay is not None:
        laid.keys |= decay_of(laid)
        laid.rows["runs"] = laid.keys["logs"][..., laid.fixed["keys"] - unit.tokens :]
    return laid


def decay_of(laid):
    """What is kept from a token to the next, and its logarithm, of every key."""
    wide = {n: x.to(laid.dtype) if x.is_floating_point() else x for n, x in laid.keys.items()}
    of = {f"{name[:-2]}_t": x for name, x in wide.items() if name.endswith("_s")}
    decay = laid.sweep.decay({**laid.fixed, **of})["decay"]
    return {"decay": decay, "logs": decay if laid.sweep.logarithmic else decay.log()}


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
    arguments = {"GROUPS": groups, "EACH": each}
    for name, tokens in doors.items():
        arguments |= strided(name, values[name], tokens)
    arguments |= numbers_of(laid.sweep, axes, laid.fixed, values, tables)
    blocked = [name for name, tokens in doors.items() if not tokens and name.startswith("d_")]
    arguments |= {f"{name}_row": values[name].stride(3) for name in blocked}
    arguments |= {"ACC": DTYPES[laid.dtype], "DOT": DTYPES[laid.dot], "PREC": PRECISION}
    arguments |= {"HERE": tiling[0], "THERE": tiling[1], **walk}
    given = {name: arguments[name] for name in kernel.arg_names}
    options = {**OPTIONS, **REGISTERS}
    options |= {"num_warps": tiling[2] * 32 // LANES, "num_stages": tiling[3]}
    programs = walk["blocks"] * groups * laid.batch * (1 if kind in ("keys", "token") else each)
    start(kernel, programs, options, given, laid.dot)


def tiling_of(laid, kind):
    """Tokens of a program, those of a step of its walk, warps, and steps that are loaded ahead."""
    if type(laid.sweep.forward_kernel[0]).__name__ == "InterpretedFunction":
        return (16, 16, 4, 1)
    widest = max(laid.keys["value"].shape[-1], *(x.shape[-1] for x in heads_seen(laid)))
    width = min(max(1 << (widest - 1).bit_length(), 64), 256)
    return laid.sweep.tilings[kind, width, laid.dot.itemsize]


def heads_seen(laid):
    """The values whose axes are held whole."""
    every = {**laid.rows, **laid.keys}
    return [x for x in every.values() if x.dim() > 4]


def sum_forward(sweep, unit, outputs):
    """Fills the output of a sum [B, T, H, V], m of each query [B, T, H], and its weights over
    e^m."""
    laid = laid_out(sweep, unit)
    out, tops, weights = (in_groups(x.transpose(1, 2), laid.groups, laid.heads) for x in outputs)
    values = {**laid.fixed, **laid.rows, **laid.keys, "tops": tops, "weights": weights}
    values["out"] = out if sweep.value_axis else out.unsqueeze(-1)
    tiling = tiling_of(laid, "forward")
    walk = walk_of(laid, unit, False, tiling)
    launched(laid, "forward", values, walk, (laid.groups, laid.each), tiling)


def sum_backward(sweep, unit, o, tops, weights, d_o):
    """Cotangents by name: of the streams of queries, those of keys (with their past), and of
    constants."""
    laid = laid_out(sweep, unit)
    o, d_o = (x if sweep.value_axis else x.unsqueeze(-1) for x in (o, d_o))
    laid_as = (laid.groups, laid.heads)
    o, tops, weights, d_o = (
        in_groups(x.transpose(1, 2), *laid_as) for x in (o, tops, weights, d_o)
    )
    scale, shift, back = of_divisor(laid, o, tops, weights, d_o)
    values = {**laid.fixed, **laid.rows, **laid.keys}
    values |= {"cotangent": d_o, "tops": tops, "scale": scale, "shift": shift}
    found = swept_back(laid, unit, values)
    if sweep.decay is not None:
        found["decay"] = d_logs_of(laid, unit, found)
        if not sweep.logarithmic:
            found["decay"] = slopes(laid, unit, values, found["decay"])
    for name in found.keys() & laid.fixed.keys():
        found[name] = found[name].sum(3)
    found = {
        n: x.squeeze(2).unflatten(1, (laid.groups, laid.each)) if x.shape[1] > laid.groups else x
        for n, x in found.items()
    }
    return handed_back(sweep, unit, laid, found, back)


def swept_back(laid, unit, values):
    """What the kernels over queries and over keys make, by name."""
    found = {}
    for kind in ("rows", "keys"):
        tiling = tiling_of(laid, kind)
        if kind == "keys" and laid.sweep.decay is not None:  # both speak of the same tiles
            tiling = (*reversed(tiling_of(laid, "rows")[:2]), *tiling[2:])
        walk = walk_of(laid, unit, kind == "keys", tiling)
        given, grid = values, (laid.groups, laid.each)
        if kind == "keys":
            given, grid = of_groups(laid, values)
        made = cotangents_of(laid, kind, walk, grid)
        launched(laid, kind, {**given, **made}, walk, grid, tiling)
        found |= {name.removeprefix("d_"): x for name, x in made.items()}
    return found


def slopes(laid, unit, values, d_logs):
    """The cotangent of decays from that of their logarithms. A decay of 0 has a slope of its own:
    that of its logarithm if it were 1, while its neighbours among the zeros stay."""
    decay = laid.keys["decay"]
    zero, found = decay == 0, d_logs / decay
    if not bool(zero.any()):
        return found
    for parity in (0, 1):
        freed = zero & (zero.cumsum(-1) % 2 == parity)
        logs = laid.keys["logs"].masked_fill(freed, 0)
        given = values | {"logs": logs, "runs": logs[..., laid.fixed["keys"] - unit.tokens :]}
        found = torch.where(freed, d_logs_of(laid, unit, swept_back(laid, unit, given)), found)
    return found


def d_logs_of(laid, unit, found):
    """The cotangent of the logarithms of decays, from what kernels made of pairs: within
    blocks of queries, within blocks of keys, and for all blocks in between."""
    rows, keys, sums = (found.pop(name) for name in ("runs", "logs", "sums"))
    total = keys.flatten(1, 2).unflatten(1, (laid.groups, -1)).expand(*rows.shape[:3], -1).clone()
    start, count = laid.fixed["keys"] - unit.tokens, laid.fixed["keys"]
    total[..., start:] += rows
    here, there, _, _ = tiling_of(laid, "rows")
    short = start % there
    edges = torch.arange(short if short else there, count + there, there, device=total.device)
    edges = edges.clamp(max=count)[: sums.shape[-1]]
    blocks = torch.arange(sums.shape[-2], device=total.device) * here + start
    passed = torch.cat((torch.zeros_like(sums[..., :1]), sums.cumsum(-1)[..., :-1]), -1)
    passed = torch.where(edges <= blocks.unsqueeze(-1), passed, 0).sum(-2)
    total += passed.repeat_interleave(edges.diff(prepend=edges.new_zeros(1)), -1)
    return total


def of_divisor(laid, o, tops, weights, d_o):
    """One over the divisor of each query, what reaches its weights by way of it (times it), and
    the cotangents of what it reads."""
    sweep, dtype = laid.sweep, laid.dtype
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
    grid = (laid.groups, laid.each)
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
        if name == "d_sums":  # of each tile before the diagonal; of those not visited it is 0
            shape = (laid.batch, *grid, walk["blocks"], walk["there_blocks"])
            made[name] = sides["logs"].new_zeros(shape)
            continue
        like = sides[name.removeprefix("d_")]
        each = 1 if kind == "keys" else grid[1]
        if tokens:
            shape = (laid.batch, like.shape[3], grid[0], each, *like.shape[4:])
            order = (0, 2, 3, 1, *range(4, len(shape)))
            made[name] = torch.empty(shape, dtype=laid.dtype, device=like.device).permute(order)
        else:
            shape = (laid.batch, *grid, walk["blocks"], *like.shape[3:])
            made[name] = torch.empty(shape, dtype=laid.dtype, device=like.device)
    return made
