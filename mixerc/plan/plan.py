"""The whole plan of a linear mixer: four programs over the same chunk algebra."""

from dataclasses import dataclass

from mixerc.algebra.linear import Linear
from mixerc.plan import nodes as n
from mixerc.plan.adjoint import adjoint
from mixerc.plan.chunk_function import chunk_function
from mixerc.plan.distribute import Program, distribute, states_only
from mixerc.plan.verify import verify

CHUNK = 64
"""Tokens a chunk where the caller does not choose: below it scans dominate, above it scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`forward` is the parallel mode, `recurrent` the same with C = 1, `states` the pass that
    finds the states at chunk boundaries again, `backward` the adjoint that uses them."""

    chunk: int
    logarithms: frozenset[str]
    forward: Program
    recurrent: Program
    states: Program
    backward: Program

    @property
    def carries(self) -> tuple[tuple[n.Carry, n.Node], ...]:
        """The states, and what becomes of them."""
        return self.forward.carries

    @property
    def programs(self) -> tuple[tuple[str, Program], ...]:
        """Every program with its name."""
        return (
            ("forward", self.forward),
            ("recurrent", self.recurrent),
            ("states", self.states),
            ("backward", self.backward),
        )


def make_plan(linear: Linear, *, chunk: int, logarithms: frozenset[str]) -> Plan:
    """The plan for chunks of `chunk` tokens (a power of two), some decays given as logarithms."""
    function = chunk_function(linear, chunk, logarithms)
    return Plan(
        chunk=chunk,
        logarithms=logarithms,
        forward=verify(distribute(function)),
        recurrent=verify(distribute(chunk_function(linear, 1, logarithms))),
        states=verify(distribute(states_only(function), boundaries=True)),
        backward=verify(distribute(adjoint(function), reverse=True)),
    )


def loads(program: Program) -> tuple[n.Load, ...]:
    """The inputs that a program reads, in order of first use."""
    found = dict.fromkeys(
        node for kernel in program.kernels for node in kernel.inputs if isinstance(node, n.Load)
    )
    return tuple(found)
