"""Nodes that one call of torch computes together, each pattern with the node that it ends in.

A pass over a tile costs as much as the arithmetic in it: rows are grown and added to at once, a
product is added without being stored, and the totals of two sides are woven together.
"""

from collections.abc import Iterator

from mixerc.plan import nodes as n
from mixerc.plan.distribute import Kernel, is_scalar


def added_rows(node: n.Node) -> tuple[n.Node, n.Place] | None:
    """A sum with rows put in place, which need not be spread out to be added: (other, rows)."""
    match node:
        case n.Map(primitive="add", args=(other, n.Place() as rows)) if other.axes == rows.axes:
            return other, rows
        case n.Map(primitive="add", args=(n.Place() as rows, other)) if other.axes == rows.axes:
            return other, rows
        case _:
            return None


def grown_rows(node: n.Node) -> n.Grow | None:
    """The growing, in such a sum, of the very rows that are added to."""
    match added_rows(node):
        case (n.Grow(width=width, side=side) as grown, rows) if (width, side) == (
            rows.width,
            rows.side,
        ):
            return grown
        case _:
            return None


def sides(node: n.Node) -> tuple[n.Unpick, n.Unpick] | None:
    """A sum of the totals of the left and of the right side of each pair: (left, right)."""
    match node:
        case n.Map(primitive="add", args=(n.Unpick() as one, n.Unpick() as other)):
            apart = {one.side, other.side} == {"left", "right"}
            if one.width == other.width and apart and one.axes == other.axes:
                return (one, other) if one.side == "left" else (other, one)
    return None


def added_product(node: n.Node) -> tuple[n.Node, n.Map] | None:
    """A tile with a product of tiles added to it or taken from it: (tile, product)."""
    match node:
        case n.Map(primitive="add", args=(tile, n.Map(primitive="mul") as product)):
            pass
        case n.Map(primitive="add", args=(n.Map(primitive="mul") as product, tile)):
            pass
        case n.Map(primitive="sub", args=(tile, n.Map(primitive="mul") as product)):
            pass
        case _:
            return None
    scalars = any(map(is_scalar, (tile, *product.args)))
    return None if scalars or product.axes != node.axes else (tile, product)


def inside(kernel: Kernel) -> frozenset[n.Node]:
    """The nodes of a kernel that are computed in the line of the one node that reads them."""
    uses: dict[n.Node, list[n.Node]] = {}
    for node in kernel.body:
        for arg in node.args:
            uses.setdefault(arg, []).append(node)
    kept = {*kernel.stores, *(after for _, after in kernel.carries)}
    own = set(kernel.body) - kept
    single = {node: readers[0] for node, readers in uses.items() if len(readers) == 1}
    return frozenset(
        node
        for node, reader in single.items()
        if node in own and (node in _parts(reader) or _elementwise(node, reader))
    )


def _parts(reader: n.Node) -> Iterator[n.Node]:
    """What the call that computes a node takes from its arguments' arguments."""
    pair = added_rows(reader)
    if pair is not None:
        yield pair[1]
    grown = grown_rows(reader)
    if grown is not None:
        yield grown
    yield from sides(reader) or ()


def _elementwise(node: n.Node, reader: n.Node) -> bool:
    """Whether both are elementwise, over the same axes."""
    maps = isinstance(node, n.Map) and isinstance(reader, n.Map) and node.axes == reader.axes
    return maps and added_rows(node) is None and added_rows(reader) is None
