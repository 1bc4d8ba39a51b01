"""Linear mixers as data: the transition is the identity, scalar, diagonal, or one plus low rank.

    S[t] = decay ∘ S[t-1] + sum of key ⊗ (value + query · S[t-1])
    read = query · S[t]  (or S[t-1])

Everything here is an expression of one token's inputs; `output` is an expression of the reads. A
write that has a query is one of a delta rule: what it adds depends on what the state holds there,
so that every such write adds key ⊗ query to the transition.
"""

from dataclasses import dataclass
from typing import TypeAlias

from mixerc.algebra.terms import Factor
from mixerc.ir.expr import Expr, Read
from mixerc.ir.sorts import Axis

Product: TypeAlias = tuple[Factor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """key ⊗ value: what a token adds to a state. The key has the axes that reads sum over, and so
    has the `query`, if there is one: then query · S[t-1] is added to the value, or the query times
    the state that is `decayed` already."""

    key: Product
    value: Product
    query: Expr | None = None
    decayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearState:
    """A state, its axes as declared; `decays` are factors, each along key axes or value axes."""

    name: str
    axes: tuple[Axis, ...]
    key_axes: tuple[Axis, ...]
    decays: tuple[Expr, ...]
    writes: tuple[Write, ...]

    @property
    def value_axes(self) -> tuple[Axis, ...]:
        """The axes that a read keeps."""
        return tuple(axis for axis in self.axes if axis not in self.key_axes)

    @property
    def rank(self) -> int:
        """The rank of what the transition has beside its diagonal."""
        return sum(write.query is not None for write in self.writes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """The sum over the key axes of query · state, after the token's update or before it."""

    name: str
    state: str
    query: Product
    before: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A linear mixer. In `output`, `Read(readout.name)` stands for a readout, as it does in the
    queries of later readouts. `scaled` is the form that is computed, where that is another one."""

    states: tuple[LinearState, ...]
    readouts: tuple[Readout, ...]
    output: Expr
    scaled: "Scaled | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """The states in `names` over e^m. m is the state `peak`; what it is before and after each token
    reads as a stream of that name, and `update` gives the one from the other."""

    linear: Linear
    peak: str
    before: str
    after: str
    names: frozenset[str]
    update: Expr


def transition(state: LinearState) -> str:
    """The name of the transition's place in the order identity < scalar < diagonal, each of them
    by itself or with a part of low rank."""
    axes = {axis for decay in state.decays for axis in decay.sort.axes}
    if axes:
        found = f"diagonal along {', '.join(a for a in state.axes if a in axes)}"
    else:
        found = "scalar" if state.decays else "identity"
    return f"{found} plus rank {state.rank}" if state.rank else found


def decay_names(linear: Linear) -> tuple[str, ...]:
    """Decays that are inputs of the core by themselves: these may be given as logarithms."""
    reads = (decay for state in linear.states for decay in state.decays)
    return tuple(dict.fromkeys(decay.name for decay in reads if isinstance(decay, Read)))
