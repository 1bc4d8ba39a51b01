"""Scans of states that feed one another: a step is a small matrix of each place, and addends."""

import torch


def scanned_together(rows, states, factors, addends, *, reverse=False):
    """Each state = the sum of its row of factors * states, and an addend, over rows: for every
    state those before and after each row, and the last.

    As in `scanned` blocks of rows go side by side: first the product of the matrices of each block
    and where it leads from 0, then the states before each block, then all states.
    """
    count, like = len(states), states[0]
    kept = [x.new_empty(x.shape[0], rows + 1, *x.shape[1:]).transpose(1, 2) for x in states]
    for every, state in zip(kept, states, strict=True):
        every[:, :, rows if reverse else 0] = state
    sides = [(x[:, :, :-1], x[:, :, 1:]) for x in kept]
    sides = [(after, before) for before, after in sides] if reverse else sides
    afters = [after for _, after in sides]
    steps = [None if absent(x) else as_rows(x, rows, like) for x in (*factors, *addends)]
    strands = min(ABREAST // max(like.numel(), 1), rows // SHORTEST)
    blocked = strands * (rows // strands) if strands > 1 else 0
    if blocked:
        inside = slice(rows - blocked, rows) if reverse else slice(blocked)
        parts = [blocks_of(x, inside, strands) for x in (*steps, *afters)]
        blocks_together(parts[: len(steps)], parts[len(steps) :], states, reverse=reverse)
        states = [x[:, :, rows - blocked if reverse else blocked - 1] for x in afters]
    rest = slice(rows - blocked) if reverse else slice(blocked, rows)
    numbers = range(rows)[rest]
    for i in reversed(numbers) if reverse else numbers:
        states = without_gaps(mixed_states(one_step(steps, 2, i), states, count), like)
        for after, state in zip(afters, states, strict=True):
            after[:, :, i] = state
    lasts = [x[:, :, 0 if reverse else rows - 1].clone() if rows else x for x in afters]
    return [(*side, last) for side, last in zip(sides, lasts, strict=True)]


def absent(x):
    """Whether a factor or an addend is 0 in every row."""
    return not isinstance(x, torch.Tensor) and x == 0


def blocks_of(x, inside, strands):
    """Rows [B, H, rows, axes…] as [B, H, blocks, rows, axes…]."""
    return None if x is None else x[:, :, inside].unflatten(2, (strands, -1))


def one_step(steps, dim, index):
    """The step of one row, or of one block."""
    return [None if x is None else x.select(dim, index) for x in steps]


def without_gaps(states, like):
    """States with zeros where nothing reached one."""
    return [torch.zeros_like(like) if x is None else x for x in states]


def mixed_states(step, states, count):
    """The states after a step, which has its factors row by row, then its addends; None is 0."""
    made = []
    for i, total in enumerate(step[count * count :]):
        for factor, state in zip(step[i * count : (i + 1) * count], states, strict=True):
            if factor is not None and state is not None:
                total = factor * state if total is None else torch.addcmul(total, factor, state)
        made.append(total)
    return made


def joined_steps(first, then, count):
    """One step, then another, as one."""
    none = [None] * count
    columns = [first[i : count * count : count] for i in range(count)]
    products = [mixed_states([*then[: count * count], *none], column, count) for column in columns]
    addends = mixed_states(then, first[count * count :], count)
    return [*(products[j][i] for i in range(count) for j in range(count)), *addends]


def blocks_together(steps, afters, states, *, reverse):
    """The states after each row, into `afters`, over blocks of rows side by side."""
    count = len(states)
    rows = [one_step(steps, 3, i) for i in range(afters[0].shape[3])]
    order = range(len(rows))[::-1] if reverse else range(len(rows))
    whole = rows[order[0]]
    for i in order[1:]:
        whole = joined_steps(whole, rows[i], count)
    shape = (*afters[0].shape[:3], *afters[0].shape[4:])
    starts = [x.new_zeros(shape) for x in states]
    strands = range(shape[2])
    for strand in reversed(strands) if reverse else strands:
        for start, state in zip(starts, states, strict=True):
            start[:, :, strand] = state
        states = without_gaps(mixed_states(one_step(whole, 2, strand), states, count), states[0])
    for i in order:
        starts = without_gaps(mixed_states(rows[i], starts, count), starts[0])
        for after, start in zip(afters, starts, strict=True):
            after.select(3, i).copy_(start)
