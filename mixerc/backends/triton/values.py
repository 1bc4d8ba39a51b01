"""What a node is inside a Triton kernel: a tile whose rows are always the rows of the chunk.

A value with one row a pair of blocks holds it in every row of the pair, and one with the rows of
one side of each pair holds anything in the rows of the other side. So every node of the dyadic
algebra is a tile of C rows (or C × C), moved about by masks, and no shape depends on a level.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from mixerc.backends.module.printer import within
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile

ROW, COLUMN, MIDDLE = "row", "column", "middle"
ROWS = (ROW, COLUMN, MIDDLE)
"""Dimensions that are rows of the chunk: as they are, as keys, and between two pair tiles."""
_MASK, _OTHER = "MASK_OF_", "_other"
Dims = tuple[str, ...]
Block = Callable[[str], str]
"""The name of the number of places that a tile holds of an axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A variable (or an expression) and its dimensions: rows, rows seen as keys, axes of the spec.

    `side` says which rows of each pair hold something. Past the end of an axis in `zero` there
    are zeros; a value that is not `calm` may hold infinities there.
    """

    text: str
    dims: Dims = ()
    side: n.Side | None = None
    zero: frozenset[str] = frozenset()
    calm: bool = True


def dims_of(axes: n.Axes, *, tokens: bool = False) -> Dims:
    """The dimensions of a node with these axes; token by token there are no rows."""
    spec = tuple(axis for axis in axes if not is_tile(axis))
    if tokens:
        return spec
    tile = [axis for axis in axes if is_tile(axis)]
    found = {role(axis) for axis in tile if not axis.startswith("#p")}
    if tile and not found - {ROW}:  # of pairs there is one in each row
        found = {ROW}
    return (*(dim for dim in ROWS if dim in found), *spec)


def role(axis: str) -> str:
    """The dimension that an axis of the chunk is."""
    if axis == n.MID_ROW:
        return MIDDLE
    return COLUMN if axis.endswith("'") else ROW


def aligned(value: Value, dims: Dims) -> str:
    """The value with its dimensions in the places that `dims` give them; others have length 1."""
    kept = tuple(dim for dim in dims if dim in value.dims)
    text = value.text
    if kept != value.dims:
        order = ", ".join(str(value.dims.index(dim)) for dim in kept)
        text = f"tl.permute({text}, ({order}))"
    if kept == dims or not kept:
        return text
    return f"{within(text)}[{', '.join(':' if dim in kept else 'None' for dim in dims)}]"


def shape_text(dims: Dims, block: Block) -> str:
    """The shape of a tile, from the names of its blocks."""
    lengths = [length_text(dim, block) for dim in dims]
    return f"({', '.join(lengths)}{',' if len(lengths) == 1 else ''})"


def length_text(dim: str, block: Block) -> str:
    """The length of a dimension of a tile: a name of the kernel."""
    return block(dim)


def size_of(axis: str) -> str:
    """The name of an axis's length."""
    return axis.rstrip("'")


def block_of(axis: str) -> str:
    """The name of the number of places of an axis that a tile holds.

    Of an axis that stands beside another of its own size, as in a product of two keys, it holds
    one place: the tile is as large as one with the first axis alone.
    """
    if axis in ROWS:
        return "CHUNK"
    return f"{size_of(axis)}_OTHER" if is_other(axis) else f"{size_of(axis)}_BLOCK"


def is_other(axis: str) -> bool:
    """Whether an axis of the spec stands beside another of its size."""
    return axis.endswith("'")


LONG = 128
"""Places of an axis that is held whole, as tiles are chosen; of the others half as many then."""


def places_of(dims: Dims, chunk: int, block: int, whole: Dims = ()) -> int:
    """How many places a tile has, with `block` of each axis, or every place of the `whole` ones."""
    lengths = {**dict.fromkeys(ROWS, chunk), **dict.fromkeys(whole, LONG)}
    other = max(block // 2, 16) if whole else block
    return prod(lengths.get(dim, 1 if is_other(dim) else other) for dim in dims)


def first_of(axis: str) -> str:
    """The variable with the first place of an axis's block in a program of the grid."""
    return f"first_{size_of(axis)}{_OTHER if axis.endswith(chr(39)) else ''}"


def mask_of(axis: str) -> str:
    """Stands for the mask of an axis until the place of the text says which block it is of."""
    return f"{_MASK}{axis.replace(chr(39), _OTHER)}"


def with_masks(text: str, index: Callable[[str], str]) -> str:
    """The text with the mask of each axis, from the variable with its places."""

    def found(match: re.Match[str]) -> str:
        name = match[1]
        axis = f"{name.removesuffix(_OTHER)}'" if name.endswith(_OTHER) else name
        return f"{index(axis)}_in"

    return re.sub(rf"{_MASK}(\w+)", found, text)
