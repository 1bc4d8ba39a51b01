"""What a plan costs, counted node by node: operations and bytes, as polynomials of the sizes.

A contraction over a full tile counts 2 operations a product; a sibling level counts only its own
pairs, so that a whole dyadic tower costs what one triangle does. Bytes are what has to cross
memory: every load and output once, every value handed from kernel to kernel written and read.
Streams may be narrower than fp32; states, and what kernels hand on, are sums and stay fp32.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType

from mixerc.plan import nodes as n
from mixerc.plan.adjoint import cotangent_name
from mixerc.plan.distribute import Program, is_scalar
from mixerc.plan.plan import loads

WORD = 4
"""Bytes of a float32 value."""
NO_SHARES: Mapping[str, float] = MappingProxyType({})


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


def cost(
    program: Program,
    sizes: Mapping[str, int],
    *,
    word: int = WORD,
    shares: Mapping[str, float] = NO_SHARES,
) -> Cost:
    """The cost of a program for one token of one head, at these lengths of axes.

    `word` is the bytes of a value of the streams and of the output. `shares` are streams that
    several heads have in common: rows of the stream to a head, 1/8 where eight heads share it.
    """
    count = _Lengths(sizes, program.chunk)
    contractions = elementwise = buffers = 0.0
    for kernel in program.kernels:
        for node in kernel.body:
            match node:
                case n.Contract(over=over):
                    contractions += 2 * count.volume((*node.axes, *over))
                case n.Map() | n.Sum() | n.Max() | n.Triangle():
                    elementwise += count.volume(node.axes)
                case n.Inverse():  # of what is not 0
                    contractions += program.chunk**3 / 3
                case n.Grow(width=width):
                    elementwise += count.volume(node.axes) / 2 if width else 0
        handed = [x for x in kernel.stores if not is_scalar(x)]
        buffers += 2 * WORD * sum(count.volume(node.axes) for node in handed)
    ends = [(node.name, node.axes) for node in loads(program)]
    ends += [(name, node.axes) for name, node in program.outputs]
    shared = _with_items(program, shares)
    common = {**shared, **{cotangent_name(name): share for name, share in shared.items()}}
    rows = [(common.get(name, 1.0), axes) for name, axes in ends if n.ROW in axes]
    floor = word * sum(share * count.volume(axes) for share, axes in rows)
    chunk = program.chunk
    return Cost(
        contractions=contractions / chunk,
        elementwise=elementwise / chunk,
        floor_bytes=floor / chunk,
        buffer_bytes=buffers / chunk,
    )


def _with_items(program: Program, shares: Mapping[str, float]) -> dict[str, float]:
    """The shares, and those of each item of a stream by its own name."""
    items = ((load.name, load.item.name) for load in loads(program) if load.item is not None)
    return {**shares, **{name: shares[of] for name, of in items if of in shares}}


@dataclass(frozen=True, slots=True)
class _Lengths:
    sizes: Mapping[str, int]
    chunk: int

    def volume(self, axes: n.Axes) -> float:
        return float(prod(self._length(axis) for axis in axes))

    def _length(self, axis: str) -> int:
        if axis in n.ROWS:
            return self.chunk
        if axis.startswith("#p"):
            return self.chunk // (2 * int(axis[2:]))
        if axis.startswith("#r"):
            return int(axis[2:].rstrip("'"))
        return self.sizes[axis.rstrip("'")]
