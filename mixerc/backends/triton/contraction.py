"""A contraction of two tiles: a matrix product where both have a dimension of their own with more
than one place, else a sum of products. Dimensions that go together are flattened for the product.
A state is no operand of one in float16, whose range sums of many tokens leave: it goes in as WIDE.
"""

from dataclasses import replace

from mixerc.backends.triton.values import (
    COLUMN,
    ROW,
    Block,
    Dims,
    Value,
    aligned,
    length_text,
    role,
)
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile


def contraction(
    node: n.Contract,
    left: Value,
    right: Value,
    dims: Dims,
    block: Block | None,
    *,
    tokens: bool,
) -> str:
    """The sum over the node's dimensions of left · right, over the places that the tiles hold.

    `dims` are those of the result, and `block` names the places that a tile holds of an axis;
    without it there are no matrix products, nor are there any token by token. A row that stands
    for its pair is counted once.
    """
    over = _summed(node, left, right, tokens=tokens)
    left = left if tokens else _counted(node, left, right)
    if _within_pairs(node, tokens=tokens):
        width = int(next(a for a in node.over if a.startswith("#r"))[2:])
        return f"pair_sum({_product(left, right, dims)}, {width})"
    both = tuple(d for d in left.dims if d in right.dims and d not in over)
    rows = tuple(d for d in left.dims if d not in right.dims and d not in over)
    columns = tuple(d for d in right.dims if d not in left.dims and d not in over)
    shared = all(d in left.dims and d in right.dims for d in over)
    if (
        tokens
        or block is None
        or both
        or not shared
        or not all(_wide(d, block) for d in (rows, columns, over))
    ):
        return _summed_product(left, right, over, dims)
    held = any(isinstance(arg, n.Carry) for arg in node.args)
    return _dot(left, right, rows, over, columns, dims, "WIDE" if held else "DOT", block)


def sibling_width(node: n.Node) -> int:
    """The level of a tile of right rows and left rows of the same pairs; 0 for any other."""
    pairs = [a for a in node.axes if a.startswith("#p")]
    keys = [a for a in node.axes if a.startswith("#r") and a.endswith("'")]
    rows = [a for a in node.axes if a.startswith("#r") and not a.endswith("'")]
    return int(pairs[0][2:]) if pairs and keys and rows else 0


def _wide(dims: Dims, block: Block) -> bool:
    """Whether some dimension has more than one place."""
    return any(not length_text(d, block).endswith("_OTHER") for d in dims)


def _summed(node: n.Contract, left: Value, right: Value, *, tokens: bool) -> Dims:
    """The dimensions to sum over: rows where a row axis of that role is summed."""
    found: dict[str, None] = {}
    for axis in node.over:
        if not is_tile(axis):
            found[axis] = None
        elif not tokens:
            found[role(axis)] = None
    return tuple(d for d in found if d in left.dims or d in right.dims)


def _within_pairs(node: n.Contract, *, tokens: bool) -> bool:
    """Whether rows are summed within each pair, which has one row of the result."""
    rows = any(a.startswith("#r") and not a.endswith("'") for a in node.over)
    kept = any(a.startswith("#p") for a in node.axes)
    keys = any(a.endswith("'") for a in (*node.args[0].axes, *node.args[1].axes) if is_tile(a))
    return rows and kept and not keys and not tokens


def _counted(node: n.Contract, left: Value, right: Value) -> Value:
    """The left tile with 0 in the rows that hold nothing, or repeat another row's value."""
    rows = [a for a in node.over if a.startswith("#") and not a.endswith("'") and a != n.ROW]
    if not rows or COLUMN in left.dims or COLUMN in right.dims:
        return left
    width = int(rows[0][2:])
    side = left.side or right.side
    if any(a.startswith("#r") for a in rows):
        kept = f"on_side(i, {width}, {int(side == 'right')})"
    else:
        kept = f"(i % {2 * width} == 0)"
    dims = left.dims if ROW in left.dims else (ROW, *left.dims)
    mask = aligned(Value(text=kept, dims=(ROW,)), dims)
    return replace(left, text=f"tl.where({mask}, {aligned(left, dims)}, 0.0)", dims=dims)


def _product(left: Value, right: Value, dims: Dims) -> str:
    return f"{aligned(left, dims)} * {aligned(right, dims)}"


def _summed_product(left: Value, right: Value, over: Dims, dims: Dims) -> str:
    """Elementwise products, and sums over one dimension after the other, the last one first. A side
    that has every dimension stays as it lies."""
    order = (*dims, *(d for d in over if d not in dims))
    for side in (right, left):
        order = side.dims if set(side.dims) == set(order) else order
    text = _product(left, right, order)
    for place in sorted((order.index(d) for d in over), reverse=True):
        text = f"tl.sum({text}, axis={place})"
    return aligned(Value(text=text, dims=tuple(d for d in order if d not in over)), dims)


def _dot(
    left: Value,
    right: Value,
    rows: Dims,
    over: Dims,
    columns: Dims,
    dims: Dims,
    dtype: str,
    block: Block,
) -> str:
    first = _matrix(left, rows, over, block)
    second = _matrix(right, over, columns, block)
    made = (*rows, *columns)
    text = f"matmul({first}, {second}, ACC, {dtype}, PREC)"
    if len(made) > 2:
        text = f"tl.reshape({text}, ({', '.join(length_text(d, block) for d in made)}))"
    return aligned(Value(text=text, dims=made), dims)


def _matrix(value: Value, rows: Dims, columns: Dims, block: Block) -> str:
    """The tile as a matrix [rows, columns]."""
    text = aligned(value, (*rows, *columns))
    if len(rows) == len(columns) == 1:
        return text
    sides = (" * ".join(length_text(d, block) for d in side) for side in (rows, columns))
    return f"tl.reshape({text}, ({', '.join(sides)}))"
