"""What a call says of Newton's method, and when it has found the states of all rows."""

import math
import warnings

import torch

NEWTON_STEPS = 24
"""Steps after which rows are taken one by one instead."""


class Newton:
    """How the states were found: `steps` of the method (of the piece that took the most), the
    `residual` (by how much the last step still moved a state, of the largest) and how many rows
    were `left` to be taken one by one. Reading them waits for the device."""

    def __init__(self, numbers):
        self.numbers = numbers.detach()

    @property
    def steps(self):
        return int(self.numbers[..., 0].max())

    @property
    def residual(self):
        return float(self.numbers[..., 1].max())

    @property
    def left(self):
        return int(self.numbers[..., 2].max())

    def __repr__(self):
        return f"Newton(steps={self.steps}, residual={self.residual:.1e}, left={self.left})"


def solved_state(names, states, after):
    """The state after a call; `newton` says how those of all rows were found, where they were."""
    state = State(zip(names, states, strict=False))
    state.newton = Newton(after[-1]) if len(after) > len(names) else None
    return state


class Settling:
    """The rows whose states have settled, step by step: what they are does not change any more.

    A step squares the distance to the solution, to within rounding. The states before a row have
    settled where a step moves all up to them by no more than that, or by little and no less than
    the step before; nothing of it depends on later rows, or on another row of the batch.
    """

    def __init__(self, dtype):
        self.least = 4 * torch.finfo(dtype).eps
        self.little = torch.finfo(dtype).eps ** 0.5
        self.steps, self.moved, self.rows, self.done = 0, math.inf, None, False

    def after(self, guess, found, first):
        """The next guess, from the states before a step and behind it, which began at `first`."""
        moved = torch.stack([moves(*pair) for pair in zip(guess, found, strict=True)]).amax(0)
        slow = (moved <= self.little) & (moved > self.moved / 4)
        settled = ((moved <= self.least) | slow).to(torch.int8).cummin(1).values > 0
        self.steps, self.moved, self.rows = self.steps + 1, moved, settled
        self.done = bool(settled.all())
        if self.done:
            return guess
        if not bool(moved[:, -1].isfinite().all()):  # what has overflowed starts anew
            pairs = zip(found, first, strict=True)
            found = [torch.where(x.isfinite(), x, start) for x, start in pairs]
        if not bool(settled[:, :1].any()):
            return found
        pairs = zip(guess, found, strict=True)
        return [torch.where(along_rows(settled, x), x, y) for x, y in pairs]

    @property
    def residual(self):
        """How far the last step still moved a state, of the largest."""
        return float(self.moved.amax()) if self.steps and self.moved.numel() else 0.0

    @property
    def lost(self):
        """Whether it takes too many steps."""
        return self.steps >= NEWTON_STEPS


def moves(before, after):
    """How far the farthest state up to each row moved, of the largest one: [B, rows]."""
    others = tuple(i for i in range(after.dim()) if i not in (0, 2))
    far = (after - before).abs().amax(others).cummax(1).values
    largest = after.abs().amax(others).cummax(1).values
    return far / largest.clamp(min=torch.finfo(after.dtype).tiny)


def along_rows(rows, like):
    """A value [B, rows] beside one [B, H, rows, axes…]."""
    return rows.view(rows.shape[0], 1, rows.shape[1], *[1] * (like.dim() - 3))


def taken_in_turn(settling, solved, lasts, in_turn, turned):
    """Where rows have not settled, what the recurrence gives instead; and says so. Values are
    [B, H, rows, axes…], last states [B, H, axes…]."""
    rows = settling.rows
    warnings.warn(
        f"Newton's method did not settle over {rows.shape[1]} rows: step {settling.steps} moved "
        f"states by {settling.residual:.1e} of the largest; {int((~rows).sum())} rows are taken "
        "one by one",
        RuntimeWarning,
        stacklevel=2,
    )
    pairs = zip(solved, in_turn, strict=True)
    values = [torch.where(along_rows(rows, x), x, y) for x, y in pairs]
    ends = [
        torch.where(rows[:, -1].view(-1, *[1] * (x.dim() - 1)), x, y)
        for x, y in zip(lasts, turned, strict=True)
    ]
    return values, ends


def newton_shapes(streams, constants, states, given, cu_seqlens, recurrent):
    """Tensors like those that `forward` gives: with the states before all rows, where it solves
    for them, and how that went."""
    made = forward_shapes(streams, constants, states, given, cu_seqlens, recurrent)
    return made if recurrent else [*made, *rows_like(streams, states), newton_numbers(streams)]


def rows_like(streams, states):
    """Memory for the states before every row: [B, T, H, axes…], 0 where no sequence is."""
    shape, dtype = streams[0].shape[:2], accumulation(streams)
    kinds = [dtype.to_complex() if x.is_complex() else dtype for x in states]
    pairs = zip(states, kinds, strict=True)
    return [x.new_zeros((*shape, *x.shape[1:]), dtype=kind) for x, kind in pairs]


def newton_numbers(streams):
    """Memory for what a call says of it, for each row of the batch."""
    return streams[0].new_zeros((streams[0].shape[0], 3), dtype=torch.float64)


def arriving(cotangents, count):
    """States before all rows, where the forward solved for them; cotangents of the output, and of
    the last states."""
    if len(cotangents) == 1 + count:
        return None, cotangents[:1], cotangents[1:]
    kept, rest = cotangents[:count], cotangents[count:]
    return kept, rest[:1], rest[1 : 1 + count]
