"""A running maximum beside a linear mixer: its rows, found before the chunks, or token by token."""

from dataclasses import dataclass

from mixerc.algebra.linear import Scaled
from mixerc.plan import nodes as n
from mixerc.plan.build import Builder
from mixerc.plan.chunk_function import rebuilt
from mixerc.plan.distribute import Program
from mixerc.plan.lower import lower
from mixerc.plan.staged import staged
from mixerc.plan.verify import verify


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakRows:
    """`program` goes over rows, as that of a recurrence; the two loads are what it gives: the
    maximum before each token and after it."""

    program: Program
    before: n.Load
    after: n.Load


def peak_rows(scaled: Scaled, logarithms: frozenset[str]) -> PeakRows:
    """The program that finds the maximum of every token."""
    b = Builder(logarithms)
    carry = b.carry(scaled.peak, (n.ROW,))
    after = _updated(b, scaled, carry)
    function = n.ChunkFunction(
        nodes=b.nodes,
        outputs=((scaled.before, carry), (scaled.after, after)),
        carries=((carry, after),),
        chunk=1,
    )
    before, behind = (b.load(name, (n.ROW,)) for name in (scaled.before, scaled.after))
    assert isinstance(before, n.Load)
    assert isinstance(behind, n.Load)
    return PeakRows(program=verify(staged(function)), before=before, after=behind)


def _updated(b: Builder, scaled: Scaled, before: n.Node) -> n.Node:
    """The maximum after a token, from that before it."""
    update = lower(b, scaled.update)
    return rebuilt(b, update, {b.load(scaled.before, (n.ROW,)): before})


def with_peak(
    function: n.ChunkFunction, scaled: Scaled, logarithms: frozenset[str]
) -> n.ChunkFunction:
    """A function over one token that carries the maximum with its other states."""
    b = Builder(logarithms)
    for node in function.nodes:
        b.intern(node)
    carry = b.carry(scaled.peak, ())
    before = b.spread(carry, (n.ROW,))
    after = _updated(b, scaled, before)
    rows: dict[n.Node, n.Node] = {
        b.load(scaled.before, (n.ROW,)): before,
        b.load(scaled.after, (n.ROW,)): after,
    }
    for node in function.nodes:  # of one token there are no rows past the end
        if isinstance(node, n.Pad):
            rows[node] = rebuilt(b, node.args[0], rows)
    outputs = tuple((name, rebuilt(b, node, rows)) for name, node in function.outputs)
    carries = tuple((each, rebuilt(b, node, rows)) for each, node in function.carries)
    carries = (*carries, (carry, b.sum(after, (n.ROW,))))
    return n.ChunkFunction(
        nodes=b.nodes,
        outputs=outputs,
        carries=carries,
        chunk=function.chunk,
    )
