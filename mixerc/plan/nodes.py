"""The nodes of a chunk function: named-axis values of one chunk of C tokens.

Axes of the chunk begin with `#`, which no name of a spec does. Rows are the axis `#c`, here
written `c`; rows seen as keys are `c'`, and rows in the middle of a product of two pair tiles
`c''`. At the dyadic level w the rows split into C / 2w pairs of adjacent blocks of w rows:
`Halves` takes the right (or left) block of every pair, with the axes `p<w>` (which pair) and
`r<w>` (which row of the block). The totals of blocks of 2w rows have the axis `p<w>` too. Nodes
are compared by identity; `Builder` makes equal nodes once.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, TypeAlias

Axes: TypeAlias = tuple[str, ...]
Side: TypeAlias = Literal["left", "right"]
Half: TypeAlias = Literal["", "re", "im"]

ROW = "#c"
KEY_ROW = "#c'"
MID_ROW = "#c''"
ROWS = (ROW, KEY_ROW, MID_ROW)


def pair_axis(width: int) -> str:
    """The axis that counts pairs of adjacent blocks of `width` rows."""
    return f"#p{width}"


def row_axis(width: int) -> str:
    """The axis of the rows of one block of `width` rows."""
    return f"#r{width}"


def key_axis(width: int) -> str:
    """The rows of a block, seen as keys."""
    return f"#r{width}'"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """What every node carries: the axes of its value and the nodes it is made of."""

    axes: Axes
    args: tuple["Node", ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One place of an axis of an input."""

    name: str
    axis: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Load(Node):
    """A tile of an input of the core (or of one `item` of it), or of a cotangent. With the axis `c`
    if it is a stream. One of complex numbers can be given as a pair of real loads, one for each
    `half`."""

    name: str
    complex: bool = False
    half: Half = ""
    item: Item | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Carry(Node):
    """A state before the chunk (or, in an adjoint, the cotangent of the state after it). With the
    axis `c` it is the state before each row: a recurrence goes from row to row. A complex one can
    be a pair, too."""

    state: str
    complex: bool = False
    half: Half = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Number(Node):
    """An exact number."""

    value: Fraction


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Size(Node):
    """A number known at the call: the length of an axis, or another header size."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadIndex(Node):
    """The index of the head, 0, 1, …"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arange(Node):
    """0, 1, … along the node's one axis."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Map(Node):
    """A scalar primitive, elementwise, arguments broadcast by name."""

    primitive: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contract(Node):
    """The sum over the axes `over`, which both arguments have, of left · right."""

    over: Axes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sum(Node):
    """The sum over some axes."""

    over: Axes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Max(Node):
    """The maximum over some axes."""

    over: Axes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rename(Node):
    """The same value with one axis called otherwise."""

    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spread(Node):
    """The argument repeated along the axes that it lacks."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pad(Node):
    """The argument, with `fill` in the rows past the end of the sequence."""

    fill: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Halves(Node):
    """Rows `c` to the blocks on one side of each pair: (`p<w>`, `r<w>`)."""

    width: int
    side: Side


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place(Node):
    """The adjoint of Halves: the blocks at their rows of `c`, 0 in the other side's rows."""

    width: int
    side: Side


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pick(Node):
    """Totals of blocks of w rows (`c` for w = 1) to those on one side of each pair (`p<w>`)."""

    width: int
    side: Side


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unpick(Node):
    """The adjoint of Pick: 0 for the blocks of the other side."""

    width: int
    side: Side


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grow(Node):
    """Rows (`c`), those on one side of each pair multiplied by the factor (`p<w>`) of the pair.

    Growing from w to 2w multiplies the right rows by the total of the block at their left
    (prefixes), or the left rows by the total of the block at their right (suffixes).
    """

    width: int
    side: Side


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks(Node):
    """The lower triangle (`c`, `c'`) put together from one part a level.

    The first argument is the diagonal (`c`) if `diagonal`; then, for each of `widths`, the pairs
    (`p<w>`, `r<w>`, `r<w>'`) of right rows with left rows. Everything else is 0.
    """

    widths: tuple[int, ...]
    diagonal: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block(Node):
    """One level of a pair tile (`c`, `c'`): (`p<w>`, `r<w>`, `r<w>'`)."""

    width: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Diagonal(Node):
    """The diagonal (`c`) of a pair tile (`c`, `c'`)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Triangle(Node):
    """A pair tile with 0 where the key is not before the row; `strict` drops the diagonal too."""

    strict: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solve(Node):
    """The rows x with x = rows + lower x, from a strictly lower pair tile and rows; `transposed`
    with the transposed tile. Backends get an `Inverse` and products for it."""

    transposed: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inverse(Node):
    """The inverse of 1 - lower, of a strictly lower pair tile: unit triangular too."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Concat(Node):
    """The arguments one after the other along `over`; each has `parts[i]` in its place."""

    over: str
    parts: Axes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part(Node):
    """The slice of the first argument that argument `index` of a Concat had; the other
    arguments are all parts of that Concat, for their lengths."""

    over: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkFunction:
    """A chunk as a pure function: tiles and carried states to outputs and next states.

    `carries` are (carry, next value); for an adjoint they run from the last chunk to the first.
    `nodes` holds every node, arguments first. The states and loads in `still` may have any
    value without changing the outputs: they have no cotangent. Those in `handed` are rows that one
    state's read hands to another's, or that were solved for: where kernels are cut, if they are.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, Node], ...]
    carries: tuple[tuple[Carry, Node], ...]
    chunk: int
    still: frozenset[str] = frozenset()
    handed: tuple[Node, ...] = ()
