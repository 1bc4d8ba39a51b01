"""Blocks of queries whose keys stand alike, taken together: as many products of the same shape."""

STRIP = 16
"""Heads of all the blocks that are taken together: their scores stay in caches."""


def strips(run):
    """The blocks of queries in the order of queries: alone, or (blocks, how many) for a run of
    blocks that differ by where they stand, and in nothing that a mask or a decay asks for."""
    most = max(STRIP // run.lead[2], 1)
    alike, found = None, []
    for block in run.visits:
        shape = shape_of(run, block)
        if shape is not None and shape == alike and found[-1][1] < most:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((block, 1))
        alike = shape
    return found


def shape_of(run, block):
    """What blocks share that are taken together: queries, and keys in one run behind them."""
    first, last, runs = block
    if run.decays is not None or not run.sweep.relative or not runs or len(grouped(runs)) > 1:
        return None
    if runs[-1][1] - runs[0][0] != sum(high - low for low, high, _ in runs):
        return None
    t, s = run.positions
    near = [(low - first, high - first, full) for low, high, full in runs]
    return last - first, s[runs[0][0]] - t[first], near


def strip_of(run, block, count, lane):
    """So many blocks, this one and those behind it, as a pass over a block: they take the place
    of sequences, and there is one sequence in the lane."""
    first, last, runs = block
    low, high, side = runs[0][0], runs[-1][1], last - first
    mine, (t, s) = run.narrowed(lane), run.positions
    rows = {n: windows(x, first, side, side, count) for n, x in mine.rows.items()}
    keys = {n: windows(x, low, high - low, side, count) for n, x in mine.keys.items()}
    visits = [(0, side, [(a - low, b - low, full) for a, b, full in runs])]
    lead, positions = (count, *mine.lead[1:]), (t[first:last], s[low:high])
    made = Pass(run.sweep, mine.fixed, rows, keys, 0, visits, lead, positions)
    made.biases = run.biases
    return made


def windows(x, first, size, step, count):
    """[1, G, r, T, axes…] as [count, G, r, size, axes…], each window a step behind the last: a
    view. Positions are those of the first window."""
    if x.dim() == 1:
        return x[first : first + size]
    inside = x[:, :, :, first : first + size + (count - 1) * step]
    return inside.unfold(3, size, step).movedim(3, 0).squeeze(1).movedim(-1, 3)
