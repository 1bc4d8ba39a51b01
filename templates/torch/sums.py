"""One masked sum over one unit in plain torch: how its values are laid out, and what comes back."""

import torch

SIDE = 128
"""Tokens a side of a tile."""
LANES = 8
"""Heads of all sequences that are worked on together: their scores stay in caches."""


class Part:
    """A function over values by name: what it reads, and what it gives."""

    def __init__(self, run, reads, gives):
        self.run, self.reads, self.gives = run, reads, gives

    def __call__(self, values):
        made = self.run(*(values[name] for name in self.reads))
        return dict(zip(self.gives, made, strict=True))


class Sweep:
    """One masked sum: its parts, what they give back to the streams, and the tiles of its mask."""

    def __init__(self, **parts):
        self.__dict__.update(parts)
        self.plans = {}


def lanes(x, dtype, groups, heads):
    """[B, T, h, axes…] as [B, G, r, T, axes…]; whole numbers and conditions as they are."""
    x = x.to(dtype) if x.is_floating_point() else x
    return in_groups(x.transpose(1, 2), groups, heads)


def in_groups(x, groups, heads):
    """[B, h, …] as [B, G, r, …]."""
    if x.shape[1] in (1, groups):
        return x.unsqueeze(2) if x.shape[1] != heads or groups == heads else x.unsqueeze(1)
    if x.shape[1] != heads:
        x = x.repeat_interleave(heads // x.shape[1], 1)
    return x.unflatten(1, (groups, heads // groups))


def out_of_groups(x):
    """[B, G, r, T, axes…] as [B, T, h, axes…]."""
    return x.flatten(1, 2).transpose(1, 2)


def heads_of(unit):
    """How many groups of heads share keys, and how many heads there are."""
    heads = int(unit.size["heads"])
    found = {x.shape[2] for x in unit.keys.values()} - {1, heads}
    return (found.pop() if len(found) == 1 else heads), heads


def fixed_of(constants, size, dtype, groups, heads, like):
    """What no token changes: sizes, the numbers of the heads, constants [B, G, r, axes…], and
    tables, one for all or [1, G, r, times…] where heads differ."""
    values = {**size, "head_index": torch.arange(heads, device=like.device, dtype=dtype)}
    values["head_index"] = values["head_index"].view(1, groups, -1)
    for name, x in constants.items():
        if name in TABLES:
            values[name] = x[0, 0] if x.shape[1] == 1 else in_groups(x[:1], groups, heads)
        else:
            values[name] = in_groups(x.to(dtype), groups, heads)
    return values


def pass_of(sweep, unit):
    """The sum as a pass over the unit."""
    groups, heads = heads_of(unit)
    first = next(iter(unit.streams.values()))
    fixed = fixed_of(unit.constants, unit.size, unit.dtype, groups, heads, first)
    t, s = unit.positions
    rows = {"t": t, "at_t": t.to(unit.dtype).view(1, 1, 1, -1)}
    keys = {"s": s, "at_s": s.to(unit.dtype).view(1, 1, 1, -1)}
    for name in sweep.of_rows:
        rows[f"{name}_t"] = lanes(unit.streams[name], unit.dtype, groups, heads)
    for name in sweep.of_keys:
        keys[f"{name}_s"] = lanes(unit.keys[name], unit.dtype, groups, heads)
    fixed |= {"rows": len(t), "keys": len(s), "T": unit.seen + unit.tokens}
    fixed["like"] = first.new_empty((), dtype=unit.dtype)
    rows |= sweep.queries({**fixed, **rows})
    keys |= sweep.keys({**fixed, **keys})
    if sweep.decay is not None:
        keys["decay"] = sweep.decay(of_decay(fixed, keys))["decay"].to(unit.dtype)
    keys["value"] = with_axis(keys["value"], sweep)
    start = len(s) - len(t)
    lead = (unit.rows, groups, heads // groups)
    return Pass(sweep, fixed, rows, keys, start, planned(sweep, unit, fixed, rows, keys), lead)


def of_decay(fixed, keys):
    """What a decay is made of: it is one of every key, written as that of a query."""
    named = {f"{name[:-2]}_t": x for name, x in keys.items() if name.endswith("_s")}
    return {**fixed, **named, "rows": fixed["keys"]}


def with_axis(value, sweep):
    """The value with one axis, of length 1 where it has none."""
    return value if sweep.value_axis else value.unsqueeze(-1)


def planned(sweep, unit, fixed, rows, keys):
    """For each block of queries the runs of keys that it sees, in places of keys."""
    mark = None if sweep.mask_streams or sweep.tables else (unit.tokens, unit.seen)
    if mark is not None and mark in sweep.plans:
        return sweep.plans[mark]
    found = visited(sweep, unit, fixed, rows, keys)
    if mark is not None:
        while len(sweep.plans) >= 64:
            sweep.plans.pop(next(iter(sweep.plans)))
        sweep.plans[mark] = found
    return found


def visited(sweep, unit, fixed, rows, keys):
    """The blocks of queries, each with (first key, last key + 1, all allowed) of what it sees."""
    found = [[] for _ in range(0, unit.tokens, SIDE)]
    for low, key, count in unit.stretches:
        read = reads_of(sweep, unit, fixed, (rows, keys), low, key, count)

        def pairs(t, s, low=low, key=key):
            t, s = t.squeeze(-1), s.squeeze(-2)
            mine = at_places(rows, t - unit.seen) | {"t": t}
            theirs = at_places(keys, s - low + key) | {"s": s}
            return allowed_pairs(sweep, fixed, mine, theirs)

        differ = any(fixed[name].dim() > 2 for name in sweep.tables)
        tiles = visits(
            sweep.tiles,
            None if differ else pairs,
            (unit.seen, unit.tokens),
            (low, count),
            (SIDE, SIDE),
            length=unit.seen + unit.tokens,
            read=read,
        )
        for block, each in zip(found, runs(*tiles), strict=True):
            block += [(key + a * SIDE, key + min(b * SIDE, count), full) for a, b, full in each]
    starts = range(0, unit.tokens, SIDE)
    return [(a, min(a + SIDE, unit.tokens), b) for a, b in zip(starts, found, strict=True)]


def at_places(values, places):
    """The values of the one sequence of a unit at some places; a mask reads no axes."""
    return {n: x.flatten()[places] for n, x in values.items() if x.dim() == 4 and x.shape[1] == 1}


def reads_of(sweep, unit, fixed, sides, low, key, count):
    """What bounds of tiles read: streams of queries and of keys, and tables."""
    rows, keys = sides
    found = {}
    for name in sweep.mask_streams:
        if f"{name}_t" in rows:
            found[f"{name}[t]"] = Stretch(rows[f"{name}_t"].flatten(), unit.seen)
        if f"{name}_s" in keys:
            found[f"{name}[s]"] = Stretch(keys[f"{name}_s"].flatten()[key : key + count], low)
    for name, (of_rows, of_keys) in sweep.tables.items():
        both = bool(of_rows and of_keys)
        kind, table = Grid if both else Stretch, fixed[name]
        place = name if both else f"{name}[{'t' if of_rows else 's'}]"
        if table.dim() <= 2:
            found[place] = kind(table)
        else:
            found[place] = Several([kind(x) for x in table.flatten(0, 2)])
    return found


def sum_forward(sweep, unit, outputs):
    """Fills the output of a sum [B, T, H, V], m of each query [B, T, H], and its weights over
    e^m."""
    run = pass_of(sweep, unit)
    groups, heads = heads_of(unit)
    outputs = [x.transpose(1, 2).unflatten(1, (groups, heads // groups)) for x in outputs]
    if not sweep.value_axis:
        outputs[0] = outputs[0].unsqueeze(-1)
    for lane in lanes_of(outputs[0].shape):
        swept(run.narrowed(lane), [x[lane] for x in outputs])


def output_of(sweep, o):
    """A sum as the op gives it."""
    return out_of_groups(o if sweep.value_axis else o.squeeze(-1))


def lanes_of(shape):
    """Sequences and groups of heads in parts of about LANES heads."""
    rows, groups, each = shape[:3]
    some = max(LANES // (groups * each), 1)
    few = groups if some > 1 else max(LANES // each, 1)
    for row in range(0, rows, some):
        for group in range(0, groups, few):
            yield slice(row, row + some), slice(group, group + few)


def sum_backward(sweep, unit, o, tops, weights, d_o):
    """Cotangents by name: of the streams of queries, those of keys (with their past), and of
    constants."""
    run = pass_of(sweep, unit)
    groups, heads = heads_of(unit)
    o, d_o = (x if sweep.value_axis else x.unsqueeze(-1) for x in (o, d_o))
    laid = (lanes(x, unit.dtype, groups, heads) for x in (o, tops, weights, d_o))
    o, tops, weights, g = laid
    values = {**run.fixed, **run.rows, "sum_t": weights, "unit_t": (-tops).exp()}
    d_weights, back = None, {}
    divisor = divisor_of(sweep, run.fixed, run.rows, tops, weights)
    if divisor is not None:
        d = -(g * o).sum(-1) / divisor
        back = sweep.d_divisor({**values, "d_divisor": d})
        d_weights, g = back.pop("sum", torch.zeros_like(d)), g / divisor.unsqueeze(-1)
    found = run.cotangents()
    for lane in lanes_of(g.shape):
        mine = run.narrowed(lane)
        theirs = (None if x is None else x[lane] for x in (d_weights, tops))
        for name, part in swept_back(mine, g[lane], *theirs).items():
            add(narrowed(found[name], lane), part)
    return handed_back(sweep, unit, run, found, back)


def handed_back(sweep, unit, run, found, back):
    """From cotangents of what scores read to those of streams and constants."""
    if not sweep.value_axis:
        found["value"] = found["value"].squeeze(-1)
    d = {f"d_{name}": x for name, x in found.items()}
    streams, keys, constants = {}, {}, {}
    parts = [(sweep.d_queries, run.rows, streams), (sweep.d_keys, run.keys, keys)]
    made = [(part({**run.fixed, **side, **d}), side, total) for part, side, total in parts]
    made += [(back, run.rows, streams), ({n: found[n] for n in run.fixed if n in found}, {}, {})]
    if sweep.decay is not None:
        side = of_decay(run.fixed, run.keys)
        made.append((sweep.d_decay({**side, **d}), side, keys))
    for gradients, side, total in made:
        for name, x in gradients.items():
            if name in run.fixed:
                x = as_given(reduced(x, run.fixed[name]).flatten(1, 2), unit.constants[name], 1)
                constants[name] = constants.get(name, 0) + x
                continue
            like = side[f"{name}_t"] if f"{name}_t" in side else side[f"{name}_s"]
            given = unit.streams[name] if total is streams else unit.keys[name]
            x = as_given(out_of_groups(reduced(x, like)), given, 2)
            total[name] = total.get(name, 0) + x
    return streams, keys, constants


def reduced(x, like):
    """The cotangent of a value that has some dimension but once."""
    for dim in range(3):
        if x.shape[dim] > like.shape[dim]:
            x = x.sum(dim, keepdim=True)
    return x.expand(like.shape)


def as_given(x, given, dim):
    """The cotangent of a value that was repeated for the heads of its groups."""
    if x.shape[dim] == given.shape[dim]:
        return x
    return x.unflatten(dim, (given.shape[dim], -1)).sum(dim + 1)


def token_forward(sweep, streams, caches, seen, constants, size):
    """What `sum_forward` gives, of one token, which its caches hold already."""
    first = next(iter(streams.values()))
    dtype, heads = accumulation(list(streams.values())), int(size["heads"])
    found = {x.shape[2] for x in streams.values()} - {1, heads}
    groups = found.pop() if len(found) == 1 else heads
    fixed = fixed_of(constants, size, dtype, groups, heads, first)
    slots = caches[next(iter(caches))].shape[2]
    s, valid = positions(seen, slots)
    rows = {"t": (seen - 1).view(-1, 1, 1, 1)}
    keys = {"s": torch.where(valid, s, 0)[:, None, None]}
    rows["at_t"], keys["at_s"] = rows["t"].to(dtype), keys["s"].to(dtype)
    for name in sweep.of_rows:
        rows[f"{name}_t"] = lanes(streams[name], dtype, groups, heads)
    for name in sweep.of_keys:
        x = caches[name]
        keys[f"{name}_s"] = in_groups(x.to(dtype) if x.is_floating_point() else x, groups, heads)
    fixed |= {"rows": 1, "keys": slots, "like": first.new_empty((), dtype=dtype)}
    rows |= sweep.queries({**fixed, **rows})
    keys |= sweep.keys({**fixed, **keys})
    w = sweep.scores({**fixed, **rows, **keys})["score"]
    if sweep.decay is not None:
        decay = sweep.decay(of_decay(fixed, keys))["decay"].to(dtype)
        logs = decay if sweep.logarithmic else decay.log()
        factor = since(logs, torch.where(valid, s, -1), valid).unsqueeze(-2)
        w = w + factor if sweep.exponential else w * factor.exp()
    open_ = allowed_pairs(sweep, fixed, rows, keys) & valid[:, None, None, None]
    o, top, weight = attended(sweep, fixed, rows, keys, w, open_)
    return output_of(sweep, o), *(out_of_groups(x.expand(o.shape[:-1])) for x in (top, weight))


def attended(sweep, fixed, rows, keys, w, open_):
    """The sum over all keys at once, divided, and m and the sum of weights; `w` are scores, or
    weights."""
    w = torch.where(open_, w, -torch.inf if sweep.exponential else 0.0)
    top = torch.zeros_like(w[..., 0])
    if sweep.stable:
        top = w.amax(-1).clamp(min=least(sweep, w.dtype))
    if sweep.exponential:
        w = (w - top.unsqueeze(-1)).exp()
    total, weight = meet(w, with_axis(keys["value"], sweep)), w.sum(-1)
    divisor = divisor_of(sweep, fixed, rows, top, weight)
    return total if divisor is None else total / divisor.unsqueeze(-1), top, weight


def since(logs, s, valid):
    """For each slot the sum of the logarithms of the decays of all later tokens."""
    inside = torch.where(valid[:, None, None], logs, 0)
    order = s.argsort(-1)[:, None, None].expand(inside.shape)
    inside = inside.gather(-1, order)
    after = inside.flip(-1).cumsum(-1).flip(-1)
    after = torch.cat((after[..., 1:], torch.zeros_like(after[..., :1])), -1)
    return torch.empty_like(after).scatter_(-1, order, after)
