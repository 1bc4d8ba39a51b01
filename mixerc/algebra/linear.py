"""Linear mixers with an identity, scalar or diagonal transition, as data.

    S[t] = decay ∘ S[t-1] + sum of key ⊗ value,      read = query · S[t]  (or S[t-1])

Everything here is an expression of one token's inputs; `output` is an expression of the reads.
"""

from dataclasses import dataclass
from typing import TypeAlias

from mixerc.algebra.terms import Factor
from mixerc.ir.expr import Expr, Read
from mixerc.ir.sorts import Axis

Product: TypeAlias = tuple[Factor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """key ⊗ value: what a token adds to a state. The key has the axes that reads sum over."""

    key: Product
    value: Product


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
    """The name of the transition's place in the order identity < scalar < diagonal."""
    if not state.decays:
        return "identity"
    axes = {axis for decay in state.decays for axis in decay.sort.axes}
    if not axes:
        return "scalar"
    return f"diagonal along {', '.join(a for a in state.axes if a in axes)}"


def decay_names(linear: Linear) -> tuple[str, ...]:
    """Decays that are inputs of the core by themselves: these may be given as logarithms."""
    reads = (decay for state in linear.states for decay in state.decays)
    return tuple(dict.fromkeys(decay.name for decay in reads if isinstance(decay, Read)))
