"""Nonlinear recurrences over all rows at once, by Newton's method: each step is one kernel."""

import torch


def newton_forward(programs, chunk, streams, constants, states, size, outputs, cu_seqlens):
    """As `run_forward`, and behind it the states before all rows, and how they were found."""
    step, guessed, find_states, in_turn = programs
    run = RowRun(streams, states, chunk, cu_seqlens)
    run.check(constants, states)
    held = ([run.flat(x) for x in streams], [placed(x) for x in constants])
    firsts = [placed(accumulated(x, run.acc)) for x in states]
    flat, said = [run.flat(x) for x in outputs], newton_numbers(streams)
    first = [as_batch(starts_of(firsts[i], run, cu_seqlens), streams) for i in guessed]
    places = [i + sum(x.is_complex() for x in states[:i]) for i in guessed]  # behind halves
    settling, guess = Settling(run.acc), first
    while not settling.done and not settling.lost:
        given = [flat_rows(x) for x in guess]
        found, lasts = step(run, *held, firsts, size, flat, given)
        solved = [as_batch(x, streams) for x in found]
        ends = [lasts[i] for i in guessed]
        guess = settling.after(guess, [solved[i] for i in places], ends, first)
    said[:, 0], said[:, 1] = settling.steps, settling.residual
    if not settling.done:
        said[:, 2] = (~settling.rows).sum(1)
        turn, other = RowRun(streams, states, 1, cu_seqlens), [torch.empty_like(x) for x in flat]
        before, _ = find_states(turn, *held, firsts, size)
        turned = in_turn(turn, *held, firsts, size, other)
        solved = [as_batch(x, streams) for x in (*flat, *found)]
        others = [as_batch(x, streams) for x in (*other, *before)]
        (out, *solved), lasts = taken_in_turn(settling, solved, lasts, others, turned)
        flat[0].copy_(flat_rows(out))
    lasts = [of_kind(x, like) for x, like in zip(lasts, states, strict=True)]
    return [*lasts, *of_states_before(solved, states), said]


def starts_of(state, run, cu_seqlens):
    """The first state of each sequence, at every one of its rows: [tokens, heads, axes…]."""
    if cu_seqlens is None:
        return state.repeat_interleave(run.length, 0)
    index = torch.arange(run.tokens_all, device=run.device)
    sequence = torch.searchsorted(cu_seqlens[1:].to(index.dtype), index, right=True)
    return state[sequence.clamp(max=run.sequences - 1)]


def as_batch(rows, streams):
    """Values of all rows [tokens, heads, axes…] as [B, heads, T, axes…]."""
    return rows.view(*streams[0].shape[:2], *rows.shape[1:]).transpose(1, 2)


def flat_rows(values):
    """The same back again."""
    return placed(values.transpose(1, 2).flatten(0, 1))


def of_states_before(solved, states):
    """The states before all rows [B, T, H, axes…], of which complex ones come in halves."""
    halves = iter(x.transpose(1, 2).contiguous() for x in solved)
    return [
        torch.complex(next(halves), next(halves)) if x.is_complex() else next(halves)
        for x in states
    ]


def halves_before(kept):
    """The same as kernels have them: [tokens, heads, axes…], halves apart."""
    rows = [x.flatten(0, 1) for x in kept]
    halves = ((x.real, x.imag) if x.is_complex() else (x,) for x in rows)
    return [placed(x) for pair in halves for x in pair]
