"""The plan of a recurrence: its equations over the rows of a piece, cut into maps and scans.

A state stands for its value before each row, and its update for the value after it. Each group of
states that feed one another is solved by one scan, behind the maps that it needs: an affine one
where next state = factor * state + addend, elementwise, else row by row. The adjoint has the same
form, from the last row to the first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mixerc.algebra.stages import Recurrence
from mixerc.ir.expr import Expr, Read
from mixerc.ir.mixer import State
from mixerc.ir.sorts import Kind, Time
from mixerc.ir.walk import map_children, walk
from mixerc.plan import nodes as n
from mixerc.plan.adjoint import adjoint, cotangent_name
from mixerc.plan.build import Builder
from mixerc.plan.chunk_function import rebuilt
from mixerc.plan.distribute import Program, states_only
from mixerc.plan.lower import lower
from mixerc.plan.newton import Newton, newton_plan
from mixerc.plan.staged import staged
from mixerc.plan.verify import verify

ROWS = 1
"""A recurrence has no chunks: it goes from row to row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrencePlan:
    """`forward` is the parallel mode, with scans by blocks; None where a stage has none.
    `recurrent` takes row after row; `states` finds the states before each row again for
    `backward`. `peak` is the state that is a running maximum, if there is one; `newton` a step that
    finds the states of all rows, where it takes small matrices."""

    forward: Program | None
    recurrent: Program
    states: Program
    backward: Program
    peak: str = ""
    newton: Newton | None = None
    chunk: int = ROWS
    logarithms: frozenset[str] = frozenset()
    rows: tuple[n.Load, ...] = ()

    @property
    def programs(self) -> tuple[tuple[str, Program], ...]:
        """Every program with its name."""
        forward = (("forward", self.forward),) if self.forward is not None else ()
        newton = (("newton", self.newton.program),) if self.newton is not None else ()
        return (
            *forward,
            *newton,
            ("recurrent", self.recurrent),
            ("states", self.states),
            ("backward", self.backward),
        )

    @property
    def carries(self) -> tuple[tuple[n.Carry, n.Node], ...]:
        """The states, and what becomes of them."""
        return self.recurrent.carries

    @property
    def moved(self) -> tuple[int, ...]:
        """The places of the states whose cotangents the backward carries, in its order."""
        names = [cotangent_name(carry.state) for carry, _ in self.carries]
        return tuple(names.index(carry.state) for carry, _ in self.backward.carries)

    @property
    def guessed(self) -> tuple[int, ...]:
        """The places of the states that a step of Newton's method is given."""
        names = [carry.state for carry, _ in self.carries]
        guesses = () if self.newton is None else self.newton.guesses
        return tuple(names.index(carry.state) for carry in guesses)


def recurrence_plan(found: Recurrence) -> RecurrencePlan:
    """The plan; its scans are affine wherever an update is."""
    function = row_function(found)
    by_rows = staged(function, affine=False)
    by_blocks = staged(function)
    assert found.obstacle is not None or not by_blocks.row_by_row, "a scan has no affine form"
    return RecurrencePlan(
        forward=verify(by_blocks) if found.obstacle is None else None,
        recurrent=verify(by_rows),
        states=verify(staged(states_only(function), boundaries=True)),
        backward=verify(staged(adjoint(function), reverse=True)),
        peak=found.peak.name if found.peak is not None else "",
        newton=newton_plan(function, found.bent) if found.newton else None,
    )


def row_function(found: Recurrence) -> n.ChunkFunction:
    """The equations over rows: states before each row and inputs to outputs and states after."""
    b = Builder()
    before = {state.name: _carry(b, state) for state in found.states}
    after: dict[str, n.Node] = {}
    for name, update in _in_order(found):
        made = _over_rows(b, update, before, after)
        after[name] = b.laid_as(made, before[name].axes)
    output = b.spread(_over_rows(b, found.output, before, after), (n.ROW,))
    carries = tuple((before[state.name], after[state.name]) for state in found.states)
    still = frozenset() if found.peak is None else frozenset({found.peak.name})
    return n.ChunkFunction(
        nodes=b.nodes, outputs=(("o", output),), carries=carries, chunk=ROWS, still=still
    )


def _in_order(found: Recurrence) -> Iterator[tuple[str, Expr]]:
    """The updates, each behind those that it reads at the same token."""
    waiting = {s.name: update for s, update in zip(found.states, found.updates, strict=True)}
    while waiting:
        ready = next(name for name, e in waiting.items() if not _now(e) & waiting.keys())
        yield ready, waiting.pop(ready)


def _now(expr: Expr) -> set[str]:
    """What an expression reads at its own token."""
    return {e.name for e in walk(expr) if isinstance(e, Read) and e.time is not Time.PREVIOUS}


def _carry(b: Builder, state: State) -> n.Carry:
    is_complex = state.sort.kind is Kind.COMPLEX
    return b.carry(state.name, (n.ROW, *state.sort.axes), complex=is_complex)


def _over_rows(
    b: Builder, expr: Expr, before: dict[str, n.Carry], after: dict[str, n.Node]
) -> n.Node:
    """The expression, with states in the places of their reads."""
    named: dict[str, n.Node] = {f"{name}[t-1]": node for name, node in before.items()}
    named |= {f"{name}[t]": node for name, node in after.items()}
    node = lower(b, _timed(expr, frozenset(before)))
    loads: dict[n.Node, n.Node] = {
        load: named[load.name]
        for load in b.nodes
        if isinstance(load, n.Load) and load.name in named
    }
    return rebuilt(b, node, loads)


def _timed(expr: Expr, states: frozenset[str]) -> Expr:
    """The expression with the time of a state's read in its name."""
    match expr:
        case Read(name=name, time=time) if name in states:
            when = "t-1" if time is Time.PREVIOUS else "t"
            sort = replace(expr.sort, times=frozenset({Time.T}))
            return replace(expr, name=f"{name}[{when}]", sort=sort)
        case _:
            return map_children(expr, lambda e: _timed(e, states))
