"""What a plan costs, counted node by node: operations and bytes, as polynomials of the sizes.

A contraction over a full tile counts 2 operations a product; a sibling level counts only its own
pairs, so that a whole dyadic tower costs what one triangle does. Bytes are what has to cross
memory: every load and output once, every value handed from kernel to kernel written and read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from mixerc.plan import nodes as n
from mixerc.plan.distribute import Program, is_scalar
from mixerc.plan.plan import loads

WORD = 4
"""Bytes of a value: the floor is given for float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Per token and head: operations of products, other operations, bytes in and out, bytes
    between kernels."""

    contractions: float
    elementwise: float
    floor_bytes: float
    buffer_bytes: float

    @property
    def operations(self) -> float:
        """All operations."""
        return self.contractions + self.elementwise


def cost(program: Program, sizes: Mapping[str, int]) -> Cost:
    """The cost of a program for one token of one head, at these lengths of axes."""
    count = _Lengths(sizes, program.chunk)
    contractions = elementwise = buffers = 0.0
    for kernel in program.kernels:
        for node in kernel.body:
            match node:
                case n.Contract(over=over):
                    contractions += 2 * count.volume((*node.axes, *over))
                case n.Map() | n.Sum() | n.Max() | n.Triangle():
                    elementwise += count.volume(node.axes)
                case n.Grow(width=width):
                    elementwise += count.volume(node.axes) / 2 if width else 0
        handed = [x for x in kernel.stores if not is_scalar(x)]
        buffers += 2 * WORD * sum(count.volume(node.axes) for node in handed)
    ends = [node.axes for node in loads(program)] + [node.axes for _, node in program.outputs]
    floor = WORD * sum(count.volume(axes) for axes in ends if n.ROW in axes)
    chunk = program.chunk
    return Cost(
        contractions=contractions / chunk,
        elementwise=elementwise / chunk,
        floor_bytes=floor / chunk,
        buffer_bytes=buffers / chunk,
    )


@dataclass(frozen=True, slots=True)
class _Lengths:
    sizes: Mapping[str, int]
    chunk: int

    def volume(self, axes: n.Axes) -> float:
        return float(prod(self._length(axis) for axis in axes))

    def _length(self, axis: str) -> int:
        if axis in (n.ROW, n.KEY_ROW):
            return self.chunk
        if axis.startswith("#p"):
            return self.chunk // (2 * int(axis[2:]))
        if axis.startswith("#r"):
            return int(axis[2:].rstrip("'"))
        return self.sizes[axis.rstrip("'")]
