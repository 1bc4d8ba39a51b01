"""One masked sum over one unit in plain torch: how its values are laid out, and what comes back."""

import math

import torch

SIDE = 128
"""Tokens a side of a tile."""
LANES = 8
"""Heads of all sequences that are worked on together: their scores stay in caches."""


def lanes(x, dtype, groups, heads):
    """[B, T, h, axes…] as [B, G, r, T, axes…]; whole numbers and conditions as they are."""
    x = x.to(dtype) if x.is_floating_point() else x
    return in_groups(x.transpose(1, 2), groups, heads)


def pass_of(sweep, unit):
    """The sum as a pass over the unit."""
    groups, heads = heads_of(unit)
    first = next(iter(unit.streams.values()))
    fixed = fixed_of(unit.constants, unit.size, unit.dtype, groups, unit.first_head, first)
    t, s = unit.positions
    rows = {"t": t, "at_t": t.to(unit.dtype).view(1, 1, 1, -1)}
    keys = {"s": s, "at_s": s.to(unit.dtype).view(1, 1, 1, -1)}
    for name in sweep.of_rows:
        rows[f"{name}_t"] = lanes(unit.streams[name], unit.dtype, groups, heads)
    for name in sweep.of_keys:
        keys[f"{name}_s"] = lanes(unit.keys[name], unit.dtype, groups, heads)
    fixed |= {"rows": len(t), "keys": len(s), "T": unit.seen + unit.tokens}
    fixed["like"] = first.new_empty((), dtype=unit.dtype)
    keys |= sweep.keys({**fixed, **keys})
    if sweep.decay is not None:
        keys["decay"] = sweep.decay(of_decay(fixed, keys))["decay"].to(unit.dtype)
    keys["value"] = with_axis(keys["value"], sweep)
    start = len(s) - len(t)
    lead, plan = (unit.rows, groups, heads // groups), planned(sweep, unit, fixed, rows, keys)
    return Pass(sweep, fixed, rows, keys, start, plan, lead, (t.tolist(), s.tolist()))


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
    side = side_of(sweep)
    found = [[] for _ in range(0, unit.tokens, side)]
    values, sides = (fixed, rows, keys), (side, side)
    for key, count, tiles in tiles_of(sweep, unit, values, sides, unit.stretches):
        for block, each in zip(found, runs(*tiles), strict=True):
            block += [(key + a * side, key + min(b * side, count), full) for a, b, full in each]
    starts = range(0, unit.tokens, side)
    return [(a, min(a + side, unit.tokens), b) for a, b in zip(starts, found, strict=True)]


def side_of(sweep):
    """Tokens a side of a tile: as many as a table's blocks have, if they are not few, so that
    tiles are full."""
    blocks = (block for pair in sweep.tables.values() for block in pair if block)
    side = math.gcd(SIDE, *blocks)
    return side if side >= SIDE // 4 else SIDE


def sum_forward(sweep, unit, outputs):
    """Fills the output of a sum [B, T, H, V], m of each query [B, T, H], and its weights over
    e^m."""
    run = pass_of(sweep, unit)
    groups, heads = heads_of(unit)
    outputs = [x.transpose(1, 2).unflatten(1, (groups, heads // groups)) for x in outputs]
    if not sweep.value_axis:
        outputs[0] = outputs[0].unsqueeze(-1)
    found = strips(run)
    run.visits = [block for block, count in found if count == 1]
    for lane in lanes_of(run.lead, LANES):
        swept(run.narrowed(lane), [x[lane] for x in outputs])
    for block, count in found:
        for lane in lanes_of(run.lead, 1) if count > 1 else ():
            side = block[1] - block[0]
            made = [windows(x[lane], block[0], side, side, count) for x in outputs]
            swept(strip_of(run, block, count, lane), made)


def lanes_of(lead, together):
    """Sequences and groups of heads in parts of about so many heads."""
    rows, groups, each = lead
    some = max(together // (groups * each), 1)
    few = groups if some > 1 else max(together // each, 1)
    for row in range(0, rows, some):
        for group in range(0, groups, few):
            yield slice(row, row + some), slice(group, group + few)


def sum_backward(sweep, unit, o, tops, weights, d_o):
    """Cotangents by name: of the streams of queries, those of keys (with their past), and of
    constants."""
    run = pass_of(sweep, unit)
    run.rows |= sweep.queries({**run.fixed, **run.rows})
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
    for lane in lanes_of(run.lead, LANES):
        mine = run.narrowed(lane)
        theirs = (None if x is None else x[lane] for x in (d_weights, tops))
        for name, part in swept_back(mine, g[lane], *theirs).items():
            add(narrowed(found[name], lane), part)
    return handed_back(sweep, unit, run, found, back)


def token_forward(sweep, seen, streams, caches, constants, size, first_head):
    """What `sum_forward` gives, of one token, which its caches hold already."""
    first = next(iter(streams.values()))
    dtype, heads = accumulation(list(streams.values())), int(size["heads"])
    found = {x.shape[2] for x in streams.values()} - {1, heads}
    groups = found.pop() if len(found) == 1 else heads
    fixed = fixed_of(constants, size, dtype, groups, first_head, first)
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
    w = w.expand(len(seen), groups, heads // groups, -1, -1)
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
