"""Nonlinear recurrences over all rows of a piece at once, by Newton's method."""

NEWTON_ROWS = 2048
"""Rows that are solved for at once: where slopes are above 1, what a step gets wrong grows with
every row, and a first guess is worse the farther it is from a known state."""


def newton_forward(programs, streams, constants, states, size, outputs, cu_seqlens):
    """As `rows_forward`, and behind it the states before all rows, and how they were found."""
    kept, said = rows_like(streams, states), newton_numbers(streams)
    program = by_newton(programs, accumulation(streams), said)
    outputs = [*outputs, *kept]
    run = (program, streams, constants, states, size, outputs, cu_seqlens)
    lasts = rows_forward(*run, NEWTON_ROWS)
    return [*lasts, *kept, said]


def by_newton(programs, dtype, said):
    """The program that solves for the states before the rows of a piece, or takes them in turn."""
    step, guessed, find_states, in_turn = programs

    def program(rows, streams, constants, states, size, into):
        every = ((-1, -1, rows, *states[i].shape[2:]) for i in guessed)
        first = [states[i].unsqueeze(2).expand(to) for i, to in zip(guessed, every, strict=True)]
        settling, guess = Settling(dtype), first
        while not settling.done and not settling.lost:
            made, lasts = step(rows, streams, constants, states, size, guess)
            found, ends = ([values[i] for i in guessed] for values in (made[1:], lasts))
            guess = settling.after(guess, found, ends, first)
        said[:, 0].clamp_(min=settling.steps)
        said[:, 1].clamp_(min=settling.residual)
        if settling.done:
            return made, lasts
        said[:, 2] += (~settling.rows).sum(1)
        before, turned = find_states(rows, streams, constants, states, size)
        out, _ = in_turn(rows, streams, constants, states, size, [None])
        return taken_in_turn(settling, made, lasts, (*out, *before), turned)

    return program
