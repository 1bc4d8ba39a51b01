"""In which order the nodes of a kernel run, and which of them may reuse memory.

Growing rows from one dyadic level to the next is two thirds of the memory traffic of a decay.
Where nothing needs the smaller level any more, the rows are multiplied where they stand.
"""

from dataclasses import dataclass

from mixerc.backends.module.fused import added_rows
from mixerc.plan import nodes as n
from mixerc.plan.distribute import Kernel

FRESH = (n.Map, n.Grow, n.Contract, n.Place)
VIEWS = (n.Halves, n.Rename, n.Pad, n.Pick, n.Diagonal, n.Block, n.Spread)


def growing_last(body: tuple[n.Node, ...]) -> tuple[n.Node, ...]:
    """The same nodes, arguments first, with each Grow only when nothing else can run."""
    waiting = list(body)
    inside = set(body)
    done: set[n.Node] = set()
    order: list[n.Node] = []
    while waiting:
        ready = [x for x in waiting if all(a in done or a not in inside for a in x.args)]
        calm = [x for x in ready if not isinstance(x, n.Grow)]
        chosen = calm or [min(ready, key=_width)]
        order += chosen
        done.update(chosen)
        waiting = [x for x in waiting if x not in done]
    return tuple(order)


def _width(node: n.Node) -> int:
    """Levels one after the other, so that each is done with when the next one grows over it."""
    return node.width if isinstance(node, n.Grow) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Who writes where: nodes that overwrite their first operand, and the blocks of rows that
    are copied out before that happens."""

    in_place: frozenset[n.Node] = frozenset()
    copied: frozenset[n.Node] = frozenset()


NOTHING_SHARED = Memory()


def memory(order: tuple[n.Node, ...], kernel: Kernel, inside_others: frozenset[n.Node]) -> Memory:
    """A value of this kernel, fresh in memory, that nothing needs later may be overwritten; if
    only blocks of its rows are needed, these are copied, which is half of copying the value."""
    uses = _Uses(order, kernel, inside_others)
    in_place: set[n.Node] = set()
    copied: set[n.Node] = set()
    for node in order:
        first = _overwritten(node)
        if not isinstance(first, FRESH) or first not in uses.place:
            continue
        when = uses.runs_at(node)
        needed = [x for x in uses.readers(first) if x is not node and uses.last_read(x) > when]
        blocks = {x for x in needed if isinstance(x, n.Halves) and uses.place[x] < when}
        if first not in uses.kept and blocks.issuperset(needed):
            in_place.add(node)
            copied |= blocks
    return Memory(in_place=frozenset(in_place), copied=frozenset(copied))


class _Uses:
    """Where each value of a kernel is read, by the place of the line that reads it."""

    def __init__(
        self, order: tuple[n.Node, ...], kernel: Kernel, inside_others: frozenset[n.Node]
    ) -> None:
        self.place = {node: i for i, node in enumerate(order)}
        self.kept = {*kernel.stores, *(after for _, after in kernel.carries)}
        self._inside = inside_others
        self._users: dict[n.Node, list[n.Node]] = {}
        for node in order:
            for arg in node.args:
                self._users.setdefault(arg, []).append(node)

    def readers(self, node: n.Node) -> list[n.Node]:
        """The nodes that read this one."""
        return self._users.get(node, [])

    def runs_at(self, node: n.Node) -> int:
        """The place of the line that holds the node: it may stand inside another's."""
        if node in self._inside:
            return max(map(self.runs_at, self._users[node]))
        return self.place[node]

    def last_read(self, node: n.Node) -> float:
        """The place of the last line that reads the memory which the node reads or shows."""
        if not isinstance(node, VIEWS):
            return self.runs_at(node)
        if node in self.kept:
            return float("inf")
        return max((self.last_read(user) for user in self.readers(node)), default=-1)


def _overwritten(node: n.Node) -> n.Node | None:
    """The operand whose memory a node could take over."""
    if isinstance(node, n.Grow):
        return node.args[0]
    pair = added_rows(node)
    return None if pair is None else pair[0]
