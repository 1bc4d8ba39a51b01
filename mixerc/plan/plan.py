"""The whole plan of a linear mixer: four programs over the same chunk algebra."""

from dataclasses import dataclass

from mixerc.algebra.linear import Linear
from mixerc.plan import nodes as n
from mixerc.plan.adjoint import adjoint
from mixerc.plan.build import Builder
from mixerc.plan.chunk_function import chunk_function
from mixerc.plan.distribute import Program, distribute, states_only
from mixerc.plan.peaks import PeakRows, peak_rows, with_peak
from mixerc.plan.solve import by_inverses
from mixerc.plan.verify import verify

CHUNK = 64
"""Tokens a chunk where the caller does not choose: below it scans dominate, above it scores."""
CHUNKS = (CHUNK, CHUNK // 2, CHUNK // 4)
"""What a chunk can have by default, the best choice first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`forward` is the parallel mode, `recurrent` the same with C = 1, `states` the pass that
    finds the states at chunk boundaries again, `backward` the adjoint that uses them. Where there
    is a running maximum, `peak` makes its rows, which all but `recurrent` read."""

    chunk: int
    logarithms: frozenset[str]
    forward: Program
    recurrent: Program
    states: Program
    backward: Program
    peak: PeakRows | None = None

    @property
    def carries(self) -> tuple[tuple[n.Carry, n.Node], ...]:
        """The states, and what becomes of them; a running maximum is the last of them."""
        return self.recurrent.carries

    @property
    def rows(self) -> tuple[n.Load, ...]:
        """Streams that are found before the chunks, and are no inputs of the mixer."""
        return () if self.peak is None else (self.peak.before, self.peak.after)

    @property
    def programs(self) -> tuple[tuple[str, Program], ...]:
        """Every program with its name."""
        return (
            ("forward", self.forward),
            ("recurrent", self.recurrent),
            ("states", self.states),
            ("backward", self.backward),
        )


def longest_chunk(linear: Linear) -> int:
    """Tokens a chunk of this mixer. Rounding grows with the rows that are solved together, where
    the recurrence forgets it: a token with several of them counts as many."""
    rank = max((state.rank for state in linear.states), default=0)
    return max(CHUNK >> (max(rank, 1) - 1).bit_length(), CHUNKS[-1])


def make_plan(linear: Linear, *, chunk: int, logarithms: frozenset[str]) -> Plan:
    """The plan for chunks of `chunk` tokens (a power of two), some decays given as logarithms."""
    form, scaled = (
        (linear, None) if linear.scaled is None else (linear.scaled.linear, linear.scaled)
    )
    still = frozenset() if scaled is None else frozenset({scaled.before, scaled.after})
    whole = chunk_function(form, chunk, logarithms, still)
    b = Builder()
    function, back = by_inverses(b, whole), by_inverses(b, adjoint(whole))
    by_token = chunk_function(form, 1, logarithms)
    if scaled is not None:
        by_token = with_peak(by_token, scaled, logarithms)
    return Plan(
        chunk=chunk,
        logarithms=logarithms,
        forward=verify(distribute(function)),
        recurrent=verify(distribute(by_token)),
        states=verify(distribute(states_only(function), boundaries=True)),
        backward=verify(distribute(back, reverse=True)),
        peak=None if scaled is None else peak_rows(scaled, logarithms),
    )


def loads(program: Program) -> tuple[n.Load, ...]:
    """The inputs that a program reads, in order of first use."""
    found = dict.fromkeys(
        node for kernel in program.kernels for node in kernel.inputs if isinstance(node, n.Load)
    )
    return tuple(found)
