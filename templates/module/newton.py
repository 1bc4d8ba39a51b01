"""What a call says of Newton's method, and when it has found the states of all rows."""

import math
import warnings

import torch

NEWTON_STEPS = 24
"""Steps after which rows are taken one by one instead."""


class Newton:
    """How the states were found: `steps` of the method (of the piece that took the most), the
    `residual` (by how much the last step still moved a state, of the largest near it) and how many
    rows were `left` to be taken one by one. Reading them waits for the device."""

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
        return int(self.numbers[..., 2].sum())

    def __repr__(self):
        return f"Newton(steps={self.steps}, residual={self.residual:.1e}, left={self.left})"


def solved_state(names, states, after):
    """The state after a call; `newton` says how those of all rows were found, where they were."""
    state = State(zip(names, states, strict=False))
    state.newton = Newton(after[-1]) if len(after) > len(names) else None
    return state


class Settling:
    """The rows whose states have settled, step by step: what they are does not change any more.

    A step squares the distance to the solution, to within rounding. A row has settled where two
    steps running move no state before it, or before an earlier row, by more than rounding, or by
    little and no less than the step before, and where what it leads to is finite. Nothing of it
    depends on later rows, or on another row of the batch (packed sequences may be one of these).
    """

    def __init__(self, dtype):
        self.least = 4 * torch.finfo(dtype).eps
        self.little = torch.finfo(dtype).eps ** 0.75
        self.steps, self.moved, self.small = 0, math.inf, False
        self.rows, self.done = None, False

    def after(self, guess, found, lasts, first):
        """The next guess, from the states before a step and behind it, and those that its last row
        leads to; the first guess was `first`."""
        moved = torch.stack([moves(*pair) for pair in zip(guess, found, strict=True)]).amax(0)
        slow = (moved <= self.little) & (moved > self.moved / 4)
        small = (moved <= self.least) | slow
        settled = small & self.small & leads_on(moved, lasts)
        settled = settled.to(torch.int8).cummin(1).values > 0
        self.steps, self.moved, self.small, self.rows = self.steps + 1, moved, small, settled
        told = torch.stack((settled.all(), settled.any(), moved.isfinite().all())).tolist()
        self.done, some, finite = told if settled.numel() else (True, True, True)
        if self.done:
            return guess
        if not finite:  # what has overflowed starts anew
            pairs = zip(found, first, strict=True)
            found = [torch.where(x.isfinite(), x, start) for x, start in pairs]
        if not some:
            return found
        pairs = zip(guess, found, strict=True)
        return [torch.where(along_rows(settled, x), x, y) for x, y in pairs]

    @property
    def residual(self):
        """How far the last step still moved a state, of the largest there."""
        farthest = float(self.moved.amax()) if self.steps and self.moved.numel() else 0.0
        return farthest if math.isfinite(farthest) else math.inf

    @property
    def lost(self):
        """Whether it takes too many steps."""
        return self.steps >= NEWTON_STEPS


def moves(before, after):
    """How far the farthest state up to each row moved: [B, rows]. It is measured by the largest
    state of the row and of the 15 rows before it, so that no state is by one that is long past."""
    others = tuple(i for i in range(after.dim()) if i not in (0, 2))
    largest = after.abs().amax(others)
    for shift in (1, 2, 4, 8):
        earlier = torch.nn.functional.pad(largest, (shift, 0))[:, : largest.shape[1]]
        largest = torch.maximum(largest, earlier)
    least = torch.finfo(after.dtype).tiny
    far = (after - before).abs().amax(others) / largest.clamp(min=least)
    return far.cummax(1).values


def leads_on(moved, lasts):
    """Whether what each row leads to is finite: the states before the next one, or the last."""
    end = [x.isfinite().reshape(x.shape[0], -1).all(1) for x in lasts]
    last = torch.stack(end).all(0)
    last = last if last.shape[0] == moved.shape[0] else last.all().expand(moved.shape[0])
    return torch.cat((moved[:, 1:].isfinite(), last[:, None]), 1)[:, : moved.shape[1]]


def along_rows(rows, like):
    """A value [B, rows] beside one [B, H, rows, axes…]."""
    return rows.view(rows.shape[0], 1, rows.shape[1], *[1] * (like.dim() - 3))


def taken_in_turn(settling, solved, lasts, in_turn, turned):
    """Where rows have not settled, what the recurrence gives instead; and says so. Values are
    [B, H, rows, axes…], last states [B, H, axes…]."""
    rows = settling.rows
    warnings.warn(
        f"Newton's method did not settle over {rows.shape[1]} rows: step {settling.steps} moved "
        f"states by {settling.residual:.1e} of the largest near; {int((~rows).sum())} rows are "
        "taken one by one",
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
