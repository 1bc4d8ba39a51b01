"""What the rows of a chunk see of a state that is carried from chunk to chunk.

With a transition of low rank a chunk's own rows are made of the state before it, and the next
state of them: a scan then sums over axes of its state, and what both need is made before it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mixerc.backends.triton.cuts import ancestors
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.distribute import Program, Schedule, descendants


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The axes of a state that rows sum over, of which a program holds every place; the rows made
    of the state that other kernels read; and what these are made of, before the scan."""

    whole: tuple[str, ...] = ()
    rows: tuple[n.Node, ...] = ()
    given: tuple[n.Node, ...] = ()


NOTHING = Seen()


def seen(program: Program, carry: n.Carry, after: n.Node) -> Seen:
    """What a program's rows see of one state; nothing where they only add to it."""
    order = ancestors((after,))
    reached = descendants(order, {carry}) - {carry}
    whole = tuple(axis for axis in carry.axes if axis in _summed(reached))
    if not whole:
        return NOTHING
    outside = (arg for x in order if x in reached for arg in x.args if arg not in reached)
    given = (found for x in outside for found in _before(x, set(carry.axes)))
    return Seen(
        whole=whole,
        rows=tuple(x for x in rows_seen(program) if x in reached),
        given=tuple(dict.fromkeys(given)),
    )


def rows_seen(program: Program) -> tuple[n.Node, ...]:
    """The rows that the scans of a program make on their way, for kernels behind them."""
    scans = (kernel for kernel in program.kernels if kernel.schedule == Schedule.CHUNK_SCAN)
    return tuple(x for kernel in scans for x in kernel.stores if n.ROW in x.axes)


def _summed(nodes: Iterable[n.Node]) -> set[str]:
    return {
        axis
        for node in nodes
        if isinstance(node, n.Contract | n.Sum)
        for axis in node.over
        if not is_tile(axis)
    }


def _before(node: n.Node, state: set[str]) -> Iterator[n.Node]:
    """What is made before the scan of a node: a tile as large as the state is made in it."""
    if state <= set(node.axes):
        for arg in node.args:
            yield from _before(arg, state)
    elif _is_work(node):
        yield node


def _is_work(node: n.Node) -> bool:
    """Whether a value is made of sums, or of rows that grow: not in the order of chunks, then."""
    return any(isinstance(x, n.Contract | n.Grow | n.Pick) for x in ancestors((node,)))
