"""One token after its caches, which lie in parts: a program for each, then their sum."""

import torch


def token_forward(sweep, seen, streams, caches, constants, size, first_head):
    """What `sum_forward` gives, of one token, which its caches hold already."""
    heads = int(size["heads"])
    found = {x.shape[2] for x in streams.values()} - {1, heads}
    slots = next(iter(caches.values())).shape[2]
    s, valid = positions(seen, slots)
    places = (seen - 1).view(-1, 1, 1, 1), torch.where(valid, s, 0)[:, None, None]
    named = {name: x.transpose(1, 2) for name, x in streams.items()}
    shape = (found.pop() if len(found) == 1 else heads, heads)
    laid = Laid(
        sweep, zip((named, caches), places, strict=True), constants, size, shape, first_head
    )
    if sweep.decay is not None:
        logs = decay_of(laid)["logs"]
        laid.rows["since"] = since(logs, torch.where(valid, s, -1), valid).unsqueeze(3)
    values = split_heads(laid)
    tiling = tiling_of(laid, "token")
    groups = values["value"].shape[1]
    each = heads // groups
    tiling = (max(16, 1 << (each - 1).bit_length()), *tiling[1:])
    tiles = -(-slots // tiling[1])
    splits = min(tiles, max(PROGRAMS // (groups * laid.batch), 1))
    length = -(-tiles // splits) * tiling[1]
    splits = -(-slots // length)
    walk = {"blocks": splits, "length": length, "there_count": slots, "CLOSED": False}
    walk |= {"positions_at": torch.where(valid, s, -1).to(torch.int32), "seen_at": seen}
    walk |= dict.fromkeys(("here_count", "here_low", "there_low", "start"), 0)
    made = {
        name: values["value"].new_empty((laid.batch, groups, splits, each, *axes), dtype=laid.dtype)
        for name, axes in (("out", values["value"].shape[4:]), ("tops", ()), ("weights", ()))
    }
    launched(laid, "token", {**values, **made}, walk, (groups, each), tiling)
    return of_splits(laid, *made.values())


PROGRAMS = 256
"""Programs that one token is split into, or a little fewer: what a GPU runs at once."""


def split_heads(laid):
    """Values with the heads of a group in the place of tokens; without groups where one has keys of
    its own."""
    values = {**laid.fixed, **laid.keys}
    shape = (laid.groups, laid.each)
    _, doors, _, _ = laid.sweep.token_kernel
    mine = [name for name in doors if name not in laid.keys and name not in MADE]
    if any(laid.keys[name].shape[2] > 1 for name in doors if name in laid.keys):
        for name in doors:
            if name in laid.keys:
                x = laid.keys[name]
                values[name] = x.expand(-1, *shape, *x.shape[3:]).flatten(1, 2).unsqueeze(2)
        shape = (laid.heads, 1)
    for name in mine:
        x = laid.rows[name].squeeze(3) if name in laid.rows else laid.fixed[name]
        x = x.expand(-1, laid.groups, laid.each, *x.shape[3:]).flatten(1, 2)
        values[name] = x.unflatten(1, shape).unsqueeze(2)
    return values


MADE = ("out", "tops", "weights")


def of_splits(laid, totals, tops, weights):
    """The sum over all parts of the caches, divided; m; and the weights over e^m."""
    sweep = laid.sweep
    top = tops[:, :, 0]
    if sweep.stable:
        least = torch.finfo(tops.dtype).min
        top = torch.where(weights == 0, least, tops).amax(2)
        top = torch.where(top == least, 0, top)
        scale = torch.where(weights == 0, 0, (tops - top.unsqueeze(2)).exp())
        totals, weights = totals * scale.unsqueeze(-1), weights * scale
    shape = (laid.groups, laid.each)
    total, weight, top = (
        x.flatten(1, 2).unflatten(1, shape).unsqueeze(3)
        for x in (totals.sum(2), weights.sum(2), top)
    )
    wide = {n: x.to(laid.dtype) if x.is_floating_point() else x for n, x in laid.rows.items()}
    divisor = divisor_of(sweep, laid.fixed, wide, top, weight)
    o = total if divisor is None else total / divisor.unsqueeze(-1)
    return output_of(sweep, o), out_of_groups(top), out_of_groups(weight)
