"""Recurrences in plain torch, a piece of rows after the other: what never varies of them.

Streams are [B, T, H, axes…], constants [B, H, axes…] and states [sequences, H, axes…]; inside a
piece values of rows are [B, H, rows, axes…], in the memory order of streams.
"""

import itertools
import math

import torch

ELEMENTS = 1 << 20
"""Numbers of a state over the rows of a piece: what is made of them stays in caches."""
ABREAST = 1 << 16
"""Numbers that one step of a scan works on, where rows are few: blocks of rows go side by side."""
SHORTEST = 16
"""Rows of a block below which no blocks are made."""


def pieces_of(streams, states, cu_seqlens, most=math.inf):
    """For each piece the sequences (of the states), the rows of the batch, and its tokens, of
    which it has `most` at most."""
    batch, tokens = streams[0].shape[:2]
    bounds = [(0, tokens)] if cu_seqlens is None else itertools.pairwise(cu_seqlens.tolist())
    width = max(max(math.prod(x.shape[1:]) for x in states) * batch, 1)
    count = min(max(ELEMENTS // width, SHORTEST), most)
    for sequence, (start, stop) in enumerate(bounds):
        own = slice(None) if cu_seqlens is None else slice(sequence, sequence + 1)
        for first in range(start, stop, count):
            yield own, slice(first, min(first + count, stop))


def keep_freed_memory():
    """Has the allocator keep what is freed for the next piece. It does once it has given back a
    block of nearly 32 MB, and else asks for the memory of every piece anew, page by page."""
    torch.empty(31 << 18)


def accumulated(x, dtype):
    """A value in the dtype of accumulation, or the complex one of it."""
    return x.to(dtype.to_complex() if x.is_complex() else dtype)


def rows_tiles(streams, tokens, dtype):
    """The rows of some tokens: [B, H, rows, axes…]."""
    return [accumulated(x[:, tokens], dtype).transpose(1, 2) for x in streams]


def tile_of(out, tokens, tiles, states):
    """The memory of some tokens of an output [B, H, rows, axes…], if a scan can write there."""
    kinds = [x.dtype for x in states]
    heads = max(x.shape[1] for x in (*tiles, *states))
    fits = out.dtype in kinds and out.shape[2] == heads
    return out[:, tokens].transpose(1, 2) if fits else None


def into_tokens(tile, out, tokens):
    """Writes [B, H, rows, axes…] to its tokens of [B, T, H, axes…], broadcast sides summed."""
    for dim, of in ((0, 0), (1, 2)):
        if tile.shape[dim] > out.shape[of]:
            tile = tile.sum(dim, keepdim=True)
    out[:, tokens] = tile.transpose(1, 2).to(out.dtype)


def rows_forward(program, streams, constants, states, size, outputs, cu_seqlens, most=math.inf):
    """Fills `outputs` piece by piece, and returns the states after the last."""
    keep_freed_memory()
    dtype = accumulation(streams)
    carried = [accumulated(x, dtype).clone() for x in states]
    with torch.inference_mode():
        fixed = [accumulated(x, dtype) for x in constants]
        for own, tokens in pieces_of(streams, states, cu_seqlens, most):
            tiles = rows_tiles(streams, tokens, dtype)
            held = [x[own] for x in carried]
            into = [tile_of(out, tokens, tiles, held) for out in outputs]
            made, after = program(tokens.stop - tokens.start, tiles, fixed, held, size, into)
            for tile, out, there in zip(made, outputs, into, strict=True):
                if tile is not there:
                    into_tokens(tile, out, tokens)
            for state, x in zip(carried, after, strict=True):
                state[own] = x
    return carried


def rows_backward(
    programs,
    of_states,
    streams,
    constants,
    states,
    size,
    cotangents,
    finals,
    cu_seqlens,
    kept=None,
):
    """Cotangents of streams, of constants (one row a batch row) and of the first states, of which
    only those numbered in `of_states` have any.

    States at the start of each piece are found in order; then, from the last piece to the first,
    those before each of its rows, and the adjoint. Those before all rows may have been `kept`.
    """
    keep_freed_memory()
    dtype = accumulation(streams)
    find_states, adjoint, of_streams, of_constants = programs
    d_streams = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in streams]
    for index, d in enumerate(d_streams):
        if index not in of_streams or cu_seqlens is not None:  # no piece writes every row
            d.zero_()
    d_constants = [torch.zeros_like(accumulated(x, dtype)) for x in constants]
    d_states = [accumulated(x, dtype).clone() for x in finals]
    for index in {*range(len(states))} - {*of_states}:
        d_states[index].zero_()
    moved = [d_states[index] for index in of_states]
    with torch.inference_mode():
        fixed = [accumulated(x, dtype) for x in constants]
        if kept is None:
            starts = first_states(find_states, streams, fixed, states, size, dtype, cu_seqlens)
        else:
            starts = [(*piece, None) for piece in pieces_of(streams, states, cu_seqlens)]
        for own, tokens, held in reversed(starts):
            rows = tokens.stop - tokens.start
            tiles = rows_tiles(streams, tokens, dtype)
            if kept is None:
                before, _ = find_states(rows, tiles, fixed, held, size)
            else:
                before = rows_tiles(kept, tokens, dtype)
            tiles += rows_tiles(cotangents, tokens, dtype)
            arriving = [x[own] for x in moved]
            made, leaving = adjoint(rows, tiles, fixed, arriving, size, before)
            for d, x in zip(moved, leaving, strict=True):
                d[own] = x
            for index, tile in zip(of_streams, made[: len(of_streams)], strict=True):
                into_tokens(tile, d_streams[index], tokens)
            for index, part in zip(of_constants, made[len(of_streams) :], strict=True):
                add_summed(d_constants[index], part)
    made = zip((*d_constants, *d_states), (*constants, *states), strict=True)
    return [*d_streams, *(d.to(x.dtype, copy=True) for d, x in made)]


def first_states(find_states, streams, fixed, states, size, dtype, cu_seqlens):
    """Each piece with the states before its first row."""
    found, carried = [], {}
    for own, tokens in pieces_of(streams, states, cu_seqlens):
        if own.start not in carried:
            carried = {own.start: [accumulated(x[own], dtype) for x in states]}
        elif found:
            tiles = rows_tiles(streams, found[-1][1], dtype)
            rows = found[-1][1].stop - found[-1][1].start
            carried[own.start] = find_states(rows, tiles, fixed, carried[own.start], size)[1]
        found.append((own, tokens, carried[own.start]))
    return found


def add_summed(total, part):
    """Adds the cotangent of a value without tokens, summed over the sides that it lacks."""
    for dim in (0, 1):
        if part.shape[dim] > total.shape[dim]:
            part = part.sum(dim, keepdim=True)
    total += part


def by_rows(rows, *values, reverse=False):
    """The values of each row in turn, as tuples of [B, H, 1, axes…]."""
    if not values:
        return range(rows)
    steps = zip(*(x.split(1, 2) if x.shape[2] > 1 else (x,) * rows for x in values), strict=True)
    return reversed(list(steps)) if reverse else steps


def rows_of(every, *, reverse=False):
    """From all states in the order in which they were reached: before each row, after it, last."""
    if reverse:
        joined = torch.cat(every[::-1], 2)
        return joined[:, :, 1:], joined[:, :, :-1], joined[:, :, 0].clone()
    joined = torch.cat(every, 2)
    return joined[:, :, :-1], joined[:, :, 1:], joined[:, :, -1].clone()


def peaked(rows, state, shift, floor, *, out=None):
    """state = max(shift + state, floor) over rows, as `scanned`."""
    return scanned(rows, state, shift, floor, steps=(higher, torch.add), out=out)


def higher(floor, shift, state, *, out=None):
    """max(shift + state, floor)."""
    return torch.maximum(torch.add(shift, state, out=out), floor, out=out)


def scanned(
    rows, state, factor, addend, *, reverse=False, steps=(torch.addcmul, torch.mul), out=None
):
    """state = factor * state + addend over rows: the states before and after each row, the last.

    Where a row is narrow, blocks of rows go side by side: first the last state of each from 0 and
    the product of its factors, then the state before each block, then all states. With `out` these
    go there, and the states before each row are not asked for.
    """
    before = after = out
    if out is None or out.shape != (*state.shape[:2], rows, *state.shape[2:]):
        kept = state.new_empty(state.shape[0], rows + 1, *state.shape[1:]).transpose(1, 2)
        kept[:, :, rows if reverse else 0] = state
        before, after = kept[:, :, :-1], kept[:, :, 1:]
        before, after = (after, before) if reverse else (before, after)
    factor, addend = (as_rows(x, rows, state) for x in (factor, addend))
    strands = min(ABREAST // max(state.numel(), 1), rows // SHORTEST)
    count = strands * (rows // strands) if strands > 1 else 0
    if count:
        inside = slice(rows - count, rows) if reverse else slice(count)
        parts = [x[:, :, inside].unflatten(2, (strands, -1)) for x in (factor, addend, after)]
        in_blocks(*parts, state, steps, reverse=reverse)
        state = after[:, :, rows - count] if reverse else after[:, :, count - 1]
    rest = slice(rows - count) if reverse else slice(count, rows)
    others = (x[:, :, rest] for x in (factor, addend, after))
    one_by_one(*others, state, steps[0], reverse=reverse)
    # A view of it would keep all rows alive.
    return before, after, after[:, :, 0 if reverse else rows - 1].clone() if rows else state


def as_rows(x, rows, state):
    """A number, or a value of some rows and axes, as [B, H, rows, axes…] in the state's dtype."""
    if not isinstance(x, torch.Tensor):
        x = torch.full((), x, dtype=state.dtype, device=state.device)
    return x.to(state.dtype).expand(*state.shape[:2], rows, *state.shape[2:])


def one_by_one(factor, addend, after, state, step, *, reverse):
    """The states after each row, in the memory of `after`."""
    rows = zip(factor.unbind(2), addend.unbind(2), after.unbind(2), strict=True)
    for f, a, h in reversed(list(rows)) if reverse else rows:
        state = step(a, f, state, out=h)


def in_blocks(factor, addend, after, state, steps, *, reverse):
    """The same over blocks of rows [B, H, blocks, rows, axes…] side by side."""
    step, joined = steps
    same = factor.stride(3) == 0
    rows = list(zip(factor.unbind(3), addend.unbind(3), after.unbind(3), strict=True))
    rows = rows[::-1] if reverse else rows
    product = repeated(rows[0][0][:, :, :1], len(rows), joined) if same else rows[0][0].clone()
    total = rows[0][1].clone()
    for f, a, _ in rows[1:]:
        total = step(a, f, total)
        product = product if same else joined(product, f)
    product = product.expand(total.shape)
    starts = torch.empty_like(total)
    order = slice(None, None, -1) if reverse else slice(None)
    first, *others = starts.unbind(2)[order]
    first.copy_(state)
    blocks = zip(total.unbind(2)[order], product.unbind(2)[order], strict=True)
    for (x, f), start in zip(blocks, others, strict=False):  # the last leads nowhere
        first = step(x, f, first, out=start)
    for f, a, h in rows:
        starts = step(a, f, starts, out=h)


def repeated(x, count, joined):
    """As many of one factor, joined."""
    made = None
    while count:
        if count % 2:
            made = x if made is None else joined(made, x)
        x, count = joined(x, x), count // 2
    return made
