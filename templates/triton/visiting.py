"""Which tiles a kernel of a sweep visits: what closed forms need, or tables made beforehand."""

import torch


def walk_of(laid, unit, keys, tiling):
    """Where the blocks of a kernel begin, and the tiles that each visits."""
    sweep = laid.sweep
    stretches = stretches_of(laid, unit, tiling[0 if keys else 1])
    whole = len(stretches) == 1
    queries = {"low": unit.seen, "count": unit.tokens}
    theirs = {"low": unit.stretches[0][0], "count": len(laid.keys["s"])}
    here, there = (theirs, queries) if keys else (queries, theirs)
    found = {
        f"{side}_{n}": v for side, of in (("here", here), ("there", there)) for n, v in of.items()
    }
    found |= dict.fromkeys(TABLES_OF_WALKS)
    found |= {"length": laid.fixed["T"], "start": laid.fixed["keys"] - unit.tokens}
    found |= {"blocks": -(-here["count"] // tiling[0]), "CLOSED": sweep.closed and whole}
    found["there_blocks"] = sum(-(-count // tiling[1]) for _, _, count in stretches)
    if found["CLOSED"] and sweep.documents:
        found["documents_at"] = documents_of(laid, keys, tiling[0], found)
    if found["CLOSED"]:
        return found
    side = (tiling[1], tiling[0]) if keys else tiling[:2]
    return found | planned(laid, (unit, stretches), keys, side)


TABLES_OF_WALKS = ("here_spans_at", "there_spans_at", "starts_at", "tiles_at", "documents_at")


def documents_of(laid, keys, side, walk):
    """For each block (first, behind the last) of the tokens over there that are in a document with
    one of it, and of those that are in the same run with all of it; no number leaves the device."""
    ends = []
    for name in laid.sweep.documents:
        value = laid.keys[f"{name}_s"].flatten()
        ends.append(torch.stack((*occurrences(value), *runs_of(value))))
    ends = torch.stack(ends)
    first, last = ends[:, 0].amax(0), ends[:, 1].amin(0)
    sure, behind = ends[:, 2].amax(0), ends[:, 3].amin(0)
    start = walk["start"]
    if not keys:
        first, last, sure, behind = (x[start:] for x in (first, last, sure, behind))
    shift = start if keys else 0
    made = (
        of_blocks(first - shift, side, torch.amin),
        of_blocks(last - shift, side, torch.amax),
        of_blocks(sure - shift, side, torch.amax),
        of_blocks(behind - shift, side, torch.amin),
    )
    return torch.stack(made, 1).clamp(min=0).to(torch.int32)


def occurrences(values):
    """For each token the first one with the same value, and the one behind the last."""
    ordered, places = values.sort(stable=True)
    first, last = runs_of(ordered)
    back = places.argsort()
    return places[first][back], (places[last - 1] + 1)[back]


def runs_of(values):
    """For each token the first one of its run of equal values, and the one behind the last."""
    index = torch.arange(len(values), device=values.device)
    edge = torch.ones_like(index, dtype=torch.bool)
    edge[1:] = values[1:] != values[:-1]
    first = torch.where(edge, index, 0).cummax(0).values
    ends = torch.where(edge, index, len(values)).flip(0).cummin(0).values.flip(0)
    return first, torch.cat((ends[1:], torch.full_like(ends[:1], len(values))))


def of_blocks(x, side, join):
    """The least or the greatest number of each block of tokens."""
    more = -len(x) % side
    return join(torch.cat((x, x[-1:].expand(more))).view(-1, side), 1)


def stretches_of(laid, unit, side):
    """The runs of keys with positions that follow each other: (first position, first key, count).

    With decays tiles of keys end where blocks of queries begin, so the first one may be short.
    """
    short = (laid.fixed["keys"] - unit.tokens) % side
    if laid.sweep.decay is None or not short:
        return unit.stretches
    ((low, key, count),) = unit.stretches
    return [(low, key, short), (low + short, key + short, count - short)]


def planned(laid, unit, keys, side):
    """The tables of tiles; kept where they hang on nothing but lengths."""
    sweep, (unit, stretches) = laid.sweep, unit
    if sweep.mask_streams or sweep.tables:
        return tables_of(laid, unit, stretches, keys, side)
    mark = (keys, side, unit.tokens, unit.seen, laid.rows["t"].device)
    if mark not in sweep.plans:
        while len(sweep.plans) >= 64:
            sweep.plans.pop(next(iter(sweep.plans)))
        sweep.plans[mark] = tables_of(laid, unit, stretches, keys, side)
    return sweep.plans[mark]


def tables_of(laid, unit, stretches, keys, side):
    """The tiles that each block of queries (or of keys) visits, in order."""
    base, found, spans = 0, [], []
    for key, count, (starts, blocks, full) in tiles_of(
        laid.sweep, unit, (laid.fixed, laid.rows, laid.keys), side, stretches
    ):
        row = torch.repeat_interleave(torch.arange(len(starts) - 1), starts.diff())
        whole = full & ((row + 1) * side[0] <= unit.tokens) & ((blocks + 1) * side[1] <= count)
        found.append(torch.stack((row, blocks + base, whole.long())))
        first = key + torch.arange(0, count, side[1])
        low = next(low for low, at, _ in stretches if at == key) - key
        last = torch.full_like(first, key + count)
        spans.append(torch.stack((first, last, torch.full_like(first, low)), 1))
        base += len(first)
    row, column, whole = torch.cat(found, 1)
    own, other = (column, row) if keys else (row, column)
    blocks = base if keys else -(-unit.tokens // side[0])
    order = torch.argsort(own * (other.max() + 1 if len(other) else 1) + other)
    counts = torch.bincount(own, minlength=blocks)
    tiles = torch.cat((2 * other[order] + 1 - whole[order], counts.new_zeros(1)))
    starts = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    tables = {"starts_at": starts, "tiles_at": tiles}
    if len(stretches) > 1:
        tables["here_spans_at" if keys else "there_spans_at"] = torch.cat(spans)
    device = laid.rows["t"].device
    made = {name: x.to(torch.int32).contiguous().to(device) for name, x in tables.items()}
    return made | {"blocks": blocks}
