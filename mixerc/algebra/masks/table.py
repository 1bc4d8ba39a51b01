"""The tiles that a mask allows, as a table: for each block of queries its blocks of keys.

A coarse grid, of cells of CELL x CELL tiles, is classified first; cells that are empty or full as a
whole are never looked into. Strips of a coarse row are held at a time, so memory goes with what is
found and not with the plane.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mixerc.algebra.masks.boxes import Array, Boxes, evaluate
from mixerc.algebra.masks.conditions import Condition
from mixerc.algebra.masks.flags import FALSE, MAY_FAIL, MAY_HOLD, TRUE, Flags, undecided
from mixerc.algebra.masks.tiles import decided
from mixerc.algebra.masks.values import NOTHING_KNOWN, Values

CELL = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileTable:
    """Compressed rows: block `i` of queries visits `blocks[starts[i]:starts[i + 1]]`, in order.

    `full` says of each visited tile whether every pair of it is allowed; tiles at the end of the
    sequence are full if all pairs that exist are.
    """

    length: int
    queries: int
    keys: int
    starts: NDArray[np.int32]
    blocks: NDArray[np.int32]
    full: NDArray[np.bool_]

    @property
    def visited(self) -> int:
        """How many tiles are visited."""
        return len(self.blocks)

    def rows(self) -> NDArray[np.int32]:
        """The block of queries of each visited tile."""
        counts = np.diff(self.starts)
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts)

    def by_keys(self) -> "TileTable":
        """The same tiles by blocks of keys: `blocks` are then those of queries."""
        order = np.argsort(self.blocks, kind="stable")
        count = -(-self.length // self.keys)
        starts = np.searchsorted(self.blocks[order], np.arange(count + 1)).astype(np.int32)
        return TileTable(
            length=self.length,
            queries=self.keys,
            keys=self.queries,
            starts=starts,
            blocks=self.rows()[order],
            full=self.full[order],
        )


def tile_table(
    condition: Condition,
    length: int,
    queries: int = 64,
    keys: int = 64,
    values: Values = NOTHING_KNOWN,
) -> TileTable:
    """The tiles of `queries` x `keys` tokens in which the mask allows some pair."""
    plane = _Plane(condition=condition, length=length, sides=(queries, keys), values=values)
    rows, columns = plane.counts(1)
    starts = np.zeros(rows + 1, dtype=np.int32)
    blocks, full = [], []
    cells = plane.flags(CELL)
    for index, row in enumerate(cells):
        first = index * CELL
        strip = _strip(plane, row, first, min(first + CELL, rows), columns)
        counts = np.count_nonzero(strip & np.uint8(MAY_HOLD), axis=1)
        starts[first + 1 : first + 1 + len(counts)] = counts
        places = np.flatnonzero(strip & np.uint8(MAY_HOLD))
        blocks.append((places % columns).astype(np.int32))
        full.append((strip.ravel()[places] & np.uint8(MAY_FAIL)) == 0)
    return TileTable(
        length=length,
        queries=queries,
        keys=keys,
        starts=np.cumsum(starts, dtype=np.int32),
        blocks=np.concatenate(blocks),
        full=np.concatenate(full),
    )


def _strip(plane: "_Plane", cells: Flags, first: int, last: int, columns: int) -> Flags:
    """Flags of the tiles in the rows first..last; empty and full cells are only filled in."""
    strip = np.full((last - first, columns), FALSE, dtype=np.uint8)
    kinds = np.where(cells & MAY_FAIL == 0, 2, np.where(cells & MAY_HOLD == 0, 0, 1))
    edges = np.flatnonzero(np.diff(kinds, prepend=-1, append=-1))
    for begin, end in pairwise(edges.tolist()):
        place = slice(begin * CELL, min(end * CELL, columns))
        if kinds[begin] == 2:
            strip[:, place] = TRUE
        elif kinds[begin] == 1:
            strip[:, place] = plane.grid(1, slice(first, last), place)
    rows, keys = np.nonzero(undecided(strip))
    if len(rows):
        strip[rows, keys] = decided(plane.condition, plane.tiles(rows + first, keys), plane.values)
    return strip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plane:
    """The (t, s) plane in tiles, and in cells of several."""

    condition: Condition
    length: int
    sides: tuple[int, int]
    values: Values

    def counts(self, times: int) -> tuple[int, int]:
        """Rows and columns of tiles so many times as large."""
        first, second = (-(-self.length // (side * times)) for side in self.sides)
        return first, second

    def flags(self, times: int) -> Flags:
        """The whole grid of such tiles."""
        rows, columns = self.counts(times)
        return self.grid(times, slice(0, rows), slice(0, columns))

    def grid(self, times: int, rows: slice, columns: slice) -> Flags:
        """Part of it."""
        t = self._ends(np.arange(rows.start, rows.stop), self.sides[0] * times)
        s = self._ends(np.arange(columns.start, columns.stop), self.sides[1] * times)
        boxes = Boxes(
            t=(t[0][:, None], t[1][:, None]), s=(s[0][None], s[1][None]), length=self.length
        )
        return evaluate(self.condition, boxes, self.values)

    def tiles(self, rows: Array, columns: Array) -> Boxes:
        """A list of tiles."""
        t, s = self._ends(rows, self.sides[0]), self._ends(columns, self.sides[1])
        return Boxes(t=t, s=s, length=self.length)

    def _ends(self, index: Array, side: int) -> tuple[Array, Array]:
        return index * side, np.minimum((index + 1) * side, self.length) - 1
