"""Which values are stored between the kernels of a pass, beside those that the plan hands on.

A kernel makes what it needs anew in each of its programs. That is cheap for what has the axes of
the spec that the program has a block of. A value without any of them (scores, a normaliser, a
decay of each row) is the same in every block, and where it is a sum over an axis, or grown level by
level, each program would run a loop for it, or exchange rows many times: it is made once, and read.
"""

from collections.abc import Collection, Iterable

from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.distribute import is_scalar

_MOVES = (n.Block, n.Diagonal, n.Triangle, n.Rename, n.Spread, n.Halves, n.Place, n.Pick, n.Unpick)
"""What only moves or drops values: done where they are read."""


def cuts(roots: Iterable[n.Node], given: Collection[n.Node]) -> tuple[n.Node, ...]:
    """The values to store for kernels that make the roots, each one before those that read it."""
    roots = tuple(roots)
    order = ancestors(roots, given)
    looped = _looped(order, given)
    inner = {x for x in looped if all(is_tile(axis) for axis in x.axes)}
    edge: set[n.Node] = set()
    for node in order:
        if node not in inner and node not in given:
            edge.update(arg for arg in node.args if arg in inner)
    found = {node for x in edge for node in _sources(x, inner)}
    return tuple(x for x in order if x in found and x not in roots and _whole(x))


def only_multiplied(node: n.Node, roots: Iterable[n.Node], given: Collection[n.Node]) -> bool:
    """Whether a value is only an operand of contractions: kept in the dtype of their operands."""
    readers: dict[n.Node, list[n.Node]] = {}
    for reader in ancestors(roots, given):
        for arg in reader.args:
            readers.setdefault(arg, []).append(reader)

    def multiplied(node: n.Node) -> bool:
        return all(
            isinstance(reader, n.Contract) or (isinstance(reader, _MOVES) and multiplied(reader))
            for reader in readers.get(node, ())
        )

    return multiplied(node)


def ancestors(nodes: Iterable[n.Node], given: Collection[n.Node] = ()) -> tuple[n.Node, ...]:
    """The nodes and what they are made of, arguments first; what is given is made of nothing."""
    found: dict[n.Node, None] = {}

    def visit(node: n.Node) -> None:
        if node not in found:
            for arg in node.args if node not in given else ():
                visit(arg)
            found[node] = None

    for node in nodes:
        visit(node)
    return tuple(found)


def _looped(order: tuple[n.Node, ...], given: Collection[n.Node]) -> set[n.Node]:
    """The nodes that wait for a sum over an axis of the spec, or for rows to grow."""
    found: set[n.Node] = set()
    for node in order:
        if node in given or is_scalar(node):
            continue
        grows = isinstance(node, n.Grow) and all(map(is_tile, node.axes))
        if grows or _sums(node) or any(arg in found for arg in node.args):
            found.add(node)
    return found


def _sums(node: n.Node) -> bool:
    """Whether a node is a sum over an axis of the spec."""
    match node:
        case n.Contract(over=over) | n.Sum(over=over) | n.Max(over=over):
            return not all(is_tile(axis) for axis in over)
        case _:
            return False


def _sources(node: n.Node, inner: set[n.Node]) -> tuple[n.Node, ...]:
    """The node, or what it moves."""
    if isinstance(node, _MOVES):
        return tuple(x for arg in node.args if arg in inner for x in _sources(arg, inner))
    return (node,)


def _whole(node: n.Node) -> bool:
    """Whether a value has the rows of the chunk, and no level's pairs."""
    return bool(node.axes) and set(node.axes) <= {n.ROW, n.KEY_ROW}
