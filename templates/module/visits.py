"""Which tiles of the (t, s) plane a mask visits, and in which of them every pair is allowed.

Tiles go by pairs (first, last) of int64 tensors, both ends inclusive. A generated file brings
`tiles(t, s, length, read)`, which bounds its mask in tiles, and `pairs(t, s)`, which evaluates it.
"""

import itertools

import torch

CELL = 32
"""Tiles in a row of a cell of the coarse grid."""
TOGETHER = 2**18
"""Pairs that are evaluated together."""


def visits(tiles, pairs, queries, keys, side=(128, 128), *, length, read):
    """The tiles that a mask visits, as compressed rows: starts [rows + 1], blocks [n], full [n].

    `queries` and `keys` are (first position, count), and tiles start at the first positions.
    Row i visits blocks[starts[i] : starts[i + 1]] of keys, in order, each of which has an allowed
    pair; in the full ones every pair that exists is allowed. Without `pairs` the bounds decide, and
    a tile that they leave open is visited.
    """
    plane = Plane(tiles, pairs, (queries, keys), side, length, read)
    rows, columns = plane.count(0), plane.count(1)
    cells = plane.bounded(*plane.grid(torch.arange(-(-rows // CELL)), times=CELL))
    counts, blocks, full = [torch.zeros(1, dtype=torch.long)], [], []
    for index, row in enumerate(cells):
        strip = plane.strip(row, torch.arange(index * CELL, min((index + 1) * CELL, rows)))
        places = strip.flatten().nonzero().flatten()
        counts.append(strip.count_nonzero(1))
        blocks.append(places % columns)
        full.append(strip.flatten()[places] == 2)
    starts = torch.cat(counts).cumsum(0)
    if not blocks:
        return starts, torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.bool)
    return starts, torch.cat(blocks), torch.cat(full)


class Plane:
    """The queries and keys in tiles. A kind is 0 where no pair is allowed, 2 where all are."""

    def __init__(self, tiles, pairs, ranges, side, length, read):
        self.tiles, self.pairs, self.length, self.read = tiles, pairs, length, read
        self.ranges, self.side = ranges, side

    def count(self, axis):
        """How many tiles there are along t (0) or s (1)."""
        return -(-self.ranges[axis][1] // self.side[axis])

    def ends(self, axis, index, times=1):
        """The first and the last position of some tiles, or of cells of several."""
        (first, count), side = self.ranges[axis], self.side[axis] * times
        start = first + index * side
        return start, (start + side - 1).clamp(max=first + count - 1)

    def grid(self, rows, columns=None, times=1):
        """Tiles as a grid, from their rows and columns; all columns unless they are given."""
        if columns is None:
            columns = torch.arange(-(-self.count(1) // times))
        t, s = self.ends(0, rows, times), self.ends(1, columns, times)
        return tuple(x[:, None] for x in t), tuple(x[None] for x in s)

    def bounded(self, t, s):
        """What interval arithmetic says of the kinds: 1 is open."""
        may, must = self.tiles(t, s, self.length, self.read)
        kinds = may.byte() + must.byte()
        return kinds.expand(torch.broadcast_shapes(t[0].shape, s[0].shape))

    def strip(self, cells, rows):
        """The kinds of the tiles [rows, columns], exactly; decided cells are only filled in."""
        kinds = cells.repeat_interleave(CELL)[: self.count(1)].repeat(len(rows), 1)
        columns = (kinds[:1] == 1).flatten().nonzero().flatten()
        if len(columns):
            kinds[:, columns] = self.decided(*self.grid(rows, columns))
        return kinds

    def decided(self, t, s):
        """The kinds of a grid of tiles; two corners show most of those that are neither."""
        kinds = self.bounded(t, s)
        undecided = kinds == 1
        if self.pairs is not None and undecided.any():
            undecided &= self.pairs(t[1], s[0]) == self.pairs(t[0], s[1])
            rows, columns = undecided.nonzero().unbind(1)
            if len(rows):
                t, s = (end[rows, 0] for end in t), (end[0, columns] for end in s)
                kinds = kinds.clone()
                kinds[rows, columns] = self.evaluated(tuple(t), tuple(s))
        return kinds

    def evaluated(self, t, s):
        """The kinds of a list of tiles: from the pairs of their edges, then from all."""
        some, fails = torch.zeros(2, len(t[0]), dtype=torch.bool)
        first, last, whole = slice(1), slice(-1, None), slice(None)
        for edge in ((last, whole), (whole, first), (first, whole), (whole, last), (whole, whole)):
            within = [torch.arange(n)[part] for n, part in zip(self.side, edge, strict=True)]
            most = max(TOGETHER // (len(within[0]) * len(within[1])), 1)
            for part in (~(some & fails)).nonzero().flatten().split(most):
                ends = ((x[0][part, None], x[1][part, None]) for x in (t, s))
                # The last position stands again where a tile is cut.
                rows, columns = (
                    torch.minimum(x[0] + places, x[1])
                    for x, places in zip(ends, within, strict=True)
                )
                held = self.pairs(rows[:, :, None], columns[:, None]).flatten(1)
                some[part] |= held.any(1)
                fails[part] |= ~held.all(1)
        return some.byte() + (some & ~fails).byte()


def runs(starts, blocks, full):
    """For each row its (begin, end, full): neighbouring blocks that are equally full, together."""
    first = torch.ones(len(blocks) + 1, dtype=torch.bool)
    first[1:-1] = (blocks[1:] != blocks[:-1] + 1) | (full[1:] != full[:-1])
    first[starts] = True
    begins = first.nonzero().flatten()
    each = list(
        zip(
            blocks[begins[:-1]].tolist(),
            (blocks[begins[1:] - 1] + 1).tolist(),
            full[begins[:-1]].tolist(),
            strict=True,
        )
    )
    rows = torch.searchsorted(begins, starts).tolist()
    return [each[a:b] for a, b in itertools.pairwise(rows)]
