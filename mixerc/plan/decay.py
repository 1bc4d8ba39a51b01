"""Decays over contiguous runs, by doubling: nothing is subtracted, nothing is divided.

Every pair s < t meets at one dyadic level w, as (product from the start of t's block to t) ·
(product from s to the end of s's block). Both grow from level to level by the totals of whole
blocks, so a decay of exactly 0, a negative one, and one that is nearly 1 are all exact to a few
roundings. Given as logarithms, totals are sums and only they are exponentiated.
"""

from dataclasses import dataclass

from mixerc.plan import nodes as n
from mixerc.plan.build import Builder, block_axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Decay:
    """What a state keeps in a step, along some of its axes: its rows, as values or logarithms."""

    rows: n.Node
    logarithmic: bool

    def value(self, b: Builder) -> n.Node:
        """The decay of each row itself."""
        return b("exp", self.rows) if self.logarithmic else self.rows

    def total(self, b: Builder, width: int) -> n.Node:
        """Totals of blocks of `width` rows, as logarithms if the decay is given so."""
        total = self.rows
        combine = "add" if self.logarithmic else "mul"
        for w in widths(width):
            total = b(combine, b.pick(total, w, "left"), b.pick(total, w, "right"))
        return total

    def factor(self, b: Builder, width: int, side: n.Side) -> n.Node:
        """The total of the block on one side of each pair of blocks of `width` rows."""
        total = self.total(b, width)
        return b.pick(b("exp", total) if self.logarithmic else total, width, side)

    def whole(self, b: Builder, chunk: int) -> n.Node:
        """The product over the whole chunk, without a row axis."""
        total = b.sum(self.total(b, chunk), (block_axis(chunk),))
        return b("exp", total) if self.logarithmic else total


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows with what lies between them and an edge of their block multiplied in.

    `levels[i]` has blocks of 2^i rows; the last is the whole chunk. Queries take the product
    from the start of the block up to them, keys and values the one after them up to its end.
    """

    levels: tuple[n.Node, ...]

    @property
    def whole(self) -> n.Node:
        """The rows against the edge of the chunk."""
        return self.levels[-1]


def widths(chunk: int) -> tuple[int, ...]:
    """The dyadic levels of a chunk: 1, 2, 4, … chunk / 2."""
    return tuple(1 << i for i in range(chunk.bit_length() - 1))


def grown(b: Builder, rows: n.Node, decay: Decay | None, chunk: int, side: n.Side) -> Rows:
    """The rows at every level; without a decay they are the same at each.

    `side` is the side whose rows grow: the right one for prefixes, the left one for suffixes.
    """
    other: n.Side = "left" if side == "right" else "right"
    levels = [rows]
    for w in widths(chunk):
        level = levels[-1]
        if decay is not None:
            level = b.grow(level, decay.factor(b, w, other), w, side)
        levels.append(level)
    return Rows(levels=tuple(levels))
