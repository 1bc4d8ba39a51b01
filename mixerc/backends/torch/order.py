"""In which order the nodes of a kernel run, and which of them may reuse memory.

Growing rows from one dyadic level to the next is two thirds of the memory traffic of a decay.
Where nothing needs the smaller level any more, the rows are multiplied where they stand.
"""

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


def added_rows(node: n.Node) -> tuple[n.Node, n.Place] | None:
    """A sum with rows put in place, which need not be spread out to be added: (other, rows)."""
    match node:
        case n.Map(primitive="add", args=(other, n.Place() as rows)) if other.axes == rows.axes:
            return other, rows
        case n.Map(primitive="add", args=(n.Place() as rows, other)) if other.axes == rows.axes:
            return other, rows
        case _:
            return None


def in_place(
    order: tuple[n.Node, ...], kernel: Kernel, inside_others: frozenset[n.Node]
) -> frozenset[n.Node]:
    """The nodes that may overwrite their first operand: a value of this kernel, fresh in memory,
    that nothing needs later. What stands inside another node's line reads when that one runs."""
    place = {node: i for i, node in enumerate(order)}
    users: dict[n.Node, list[n.Node]] = {}
    for node in order:
        for arg in node.args:
            users.setdefault(arg, []).append(node)
    kept = {*kernel.stores, *(after for _, after in kernel.carries)}

    def runs_at(node: n.Node) -> int:
        """The place of the line that holds the node."""
        return max(map(runs_at, users[node])) if node in inside_others else place[node]

    def last_use(node: n.Node) -> float:
        """The place of the last node that reads this one's memory."""
        if node in kept:
            return float("inf")
        uses = users.get(node, [])
        seen = [last_use(user) if isinstance(user, VIEWS) else runs_at(user) for user in uses]
        return max(seen, default=-1)

    def reusable(node: n.Node) -> bool:
        first = _overwritten(node)
        fresh = isinstance(first, FRESH) and first in place
        return first is not None and fresh and last_use(first) <= place[node]

    return frozenset(node for node in order if reusable(node))


def _overwritten(node: n.Node) -> n.Node | None:
    """The operand whose memory a node could take over."""
    if isinstance(node, n.Grow):
        return node.args[0]
    pair = added_rows(node)
    return None if pair is None else pair[0]
