"""Where to cut a kernel that holds too much: values that its first half hands to its second.

What follows from the inputs alone, by moves and scalar functions, both halves make for themselves.
Of the rest every step from the end gives a cut, and so does each part of a sum; both are proposed
with and without what takes one product with a stored tile. Each takes in what makes it smaller.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mixerc.backends.triton.cuts import ancestors
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.distribute import is_scalar

_MOST = 4
"""Values that a half may hand on."""
_PARTS = 4
"""The least part of a kernel's values that is worth a half is one in as many."""
_NONE, _ONE, _LOOP = 0, 1, 2
"""How deep a product makes a value: one over rows, and one over blocks of an axis."""


def edges(roots: Iterable[n.Node], given: Collection[n.Node]) -> tuple[tuple[n.Node, ...], ...]:
    """Sets of values, each of which could be stored before the roots are made."""
    roots = tuple(roots)
    found: dict[tuple[n.Node, ...], None] = {}
    for graph in (_graph(roots, given, least) for least in (_ONE, _NONE)):
        late = sorted(set(graph.late.values()))
        halves = [{x for x, at in graph.late.items() if at <= position} for position in late]
        for half in map(graph.closed, (*halves, *graph.behind())):
            edge = graph.edge(half)
            if 0 < len(edge) <= _MOST and all(map(_storable, edge)):
                found[edge] = None
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Graph:
    """The deep nodes, arguments first, with the step from the end at which each is needed."""

    late: dict[n.Node, int]
    readers: dict[n.Node, list[n.Node]]
    roots: frozenset[n.Node]

    def edge(self, half: set[n.Node]) -> tuple[n.Node, ...]:
        """What nodes outside a half read of it."""
        return tuple(x for x in self.late if x in half and not set(self.readers[x]) <= half)

    def behind(self) -> tuple[set[n.Node], ...]:
        """For each node, all that it is made of, where that is a good part of the whole: what a
        sum has added up so far, or one of its terms."""
        found: dict[n.Node, set[n.Node]] = {}
        for node in self.late:
            found[node] = {node}.union(*(found[x] for x in node.args if x in found))
        return tuple(x for x in found.values() if 1 <= _PARTS * len(x) // len(found) < _PARTS - 1)

    def closed(self, half: set[n.Node]) -> set[n.Node]:
        """The half with all that makes its edge smaller."""
        half = half - self.roots
        for node in self.late:
            args = [x for x in node.args if x in self.late]
            if node in half or node in self.roots or not set(args) <= half:
                continue
            if len(self.edge(half | {node})) < len(self.edge(half)):
                half |= {node}
        return half


def _graph(roots: tuple[n.Node, ...], given: Collection[n.Node], least: int) -> _Graph:
    """What is deeper than `least`."""
    order = ancestors(roots, given)
    depth: dict[n.Node, int] = {}
    for node in order:
        below = [depth[arg] for arg in node.args if arg in depth] if node not in given else []
        depth[node] = max(below, default=0) + _step(node, given)
    deep = [x for x in order if depth[x] > least and x not in given and not is_scalar(x)]
    readers: dict[n.Node, list[n.Node]] = {x: [] for x in deep}
    for node in deep:
        for arg in node.args:
            if arg in readers:
                readers[arg].append(node)
    late: dict[n.Node, int] = {}
    for node in reversed(deep):
        late[node] = min((late[r] - 1 for r in readers[node]), default=0)
    return _Graph({x: late[x] for x in deep}, readers, frozenset(roots))


def _step(node: n.Node, given: Collection[n.Node]) -> int:
    match node:
        case n.Contract(over=over) if node not in given:
            return _ONE if all(map(is_tile, over)) else _LOOP
        case _:
            return 0


def _storable(node: n.Node) -> bool:
    """Whether a value stands in every row of its tile, or has no rows."""
    others = (axis for axis in node.axes if axis != n.KEY_ROW)
    return not any(axis.startswith("#r") or axis.endswith("'") for axis in others)
