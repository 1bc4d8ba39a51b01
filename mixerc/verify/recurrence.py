"""A linear mixer token by token, over a floating domain: what fast modes are measured against.

    S[t] = decay[t] ∘ S[t-1] + sum of key[t] ⊗ (value[t] + query[t] · S[t-1]),
    read[t] = query[t] · S[t] or S[t-1]

It shares the classifier with the compiler, and nothing of plans and kernels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from mixerc.algebra.linear import Linear, LinearState, Product, Readout, Write
from mixerc.algebra.terms import Factor
from mixerc.ir.expr import Expr
from mixerc.ir.mixer import Mixer
from mixerc.ir.sorts import Sort, Time
from mixerc.reference import named
from mixerc.reference.domain import Domain
from mixerc.reference.evaluate import Scope, evaluate, no_step
from mixerc.reference.float64 import FLOAT64
from mixerc.reference.named import BATCH, HEADS, TIME, Dims, Named, head_dims
from mixerc.reference.sequence import on_heads
from mixerc.reference.sizes import Sizes, infer_sizes, lengths
from mixerc.reference.sources import source_of

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """All tokens of a run: what names stand for, [BATCH, TIME, heads, axes] by name."""

    domain: Domain
    sizes: Sizes
    values: Mapping[str, Named]
    batch: int
    count: int

    def of(self, expr: Expr) -> Named:
        """The value of an expression at every token."""
        scope = Scope(
            domain=self.domain,
            sizes=self.sizes,
            read=self._read,
            position=_no_position,
            step=no_step,
        )
        return evaluate(expr, scope)

    def _read(self, name: str, time: Time) -> Named:
        return self.values[name]

    def product(self, factors: Product) -> Named:
        """The product of some factors, 1 for none."""
        total = Named(self.domain.number(1), ())
        for factor in factors:
            total = named.apply(self.domain, "mul", [total, self._factor(factor)])
        return total

    def _factor(self, factor: Factor) -> Named:
        value = self.of(factor.expr)
        for old, new in factor.copies:
            value = named.rename(value, old, new)
        return value

    def settled(self, value: Named, dims: Dims) -> Tensor:
        """The value [BATCH, TIME, HEADS, axes], spread along what it lacks."""
        known = lengths(self.sizes, dims[3:]) | {BATCH: self.batch, TIME: self.count}
        known[HEADS] = int(self.sizes.get("heads", 1))
        tensor: Tensor = named.conform(self.domain, value, dims, known).array
        return tensor


def _no_position(time: object) -> Named:
    raise ValueError("a linear mixer reads no position")


def run_linear(
    mixer: Mixer,
    linear: Linear,
    inputs: Tensors,
    sizes: Sizes,
    *,
    state: Tensors | None = None,
    domain: Domain = FLOAT64,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The output [B, T, H, axes] and the states [B, H, axes] after the last token."""
    tokens = _tokens(mixer, inputs, sizes, domain)
    held = {
        part.name: _states(
            tokens, part, None if state is None else domain.convert(state[part.name])
        )
        for part in linear.states
    }
    whole = tokens
    for readout in linear.readouts:  # its query may be made of those before it
        read = _read(whole, linear, readout, held)
        whole = replace(whole, values={**whole.values, readout.name: read})
    o = whole.settled(whole.of(linear.output), _output_dims(mixer.core.output.sort))
    return o, {name: states[-1] for name, states in held.items()}


def _output_dims(sort: Sort) -> Dims:
    return (BATCH, TIME, HEADS, *sort.axes)


def _tokens(mixer: Mixer, inputs: Tensors, sizes: Sizes, domain: Domain) -> Tokens:
    known = infer_sizes(mixer, inputs, sizes)
    values: dict[str, Named] = {}
    batch = count = 0
    for name in mixer.core.inputs:
        source, array = source_of(mixer, name), domain.convert(inputs[name])
        dims = (*head_dims(source.sort.heads), *source.sort.axes)
        value = Named(array, (BATCH, TIME, *dims) if source.stream else dims)
        values[name] = on_heads(value, known, domain)
        if source.stream:
            batch, count = array.shape[:2]
    return Tokens(domain=domain, sizes=known, values=values, batch=batch, count=count)


def _states(tokens: Tokens, state: LinearState, first: Any) -> list[Tensor]:
    """The state before the first token and after each."""
    domain, dims = tokens.domain, (BATCH, TIME, HEADS, *state.axes)
    multiply, add = partial(named.apply, domain, "mul"), partial(named.apply, domain, "add")
    decay = written = None
    for expr in state.decays:
        value = tokens.of(expr)
        decay = value if decay is None else multiply([decay, value])
    for write in state.writes:
        term = multiply([tokens.product(write.key), tokens.product(write.value)])
        written = term if written is None else add([written, term])
    if written is None:
        written = Named(domain.number(0), ())
    adds = tokens.settled(written, dims)
    keeps = None if decay is None else tokens.settled(decay, dims).unbind(1)
    asked = [_asked(tokens, state, write) for write in state.writes if write.query is not None]
    shape = (tokens.batch, *adds.shape[2:])
    held = [domain.zeros(shape, False) if first is None else first]
    for t, added in enumerate(adds.unbind(1)):
        kept = held[-1] if keeps is None else keeps[t] * held[-1]
        for key, query, decayed in asked:
            read = (query[:, t] * (kept if decayed else held[-1])).sum(_places(state), keepdim=True)
            added = added + key[:, t] * read
        held.append(kept + added)
    return held


def _asked(tokens: Tokens, state: LinearState, write: Write) -> tuple[Tensor, Tensor, bool]:
    """The key and the query of a write, with the state's axes, of length 1 along the values."""
    assert write.query is not None
    dims = (BATCH, TIME, HEADS, *(axis for axis in state.axes if axis in state.key_axes))
    places = [place for place, axis in enumerate(state.axes) if axis not in state.key_axes]
    sides = []
    for value in (tokens.product(write.key), tokens.of(write.query)):
        side = tokens.settled(value, dims)
        for place in places:
            side = side.unsqueeze(3 + place)
        sides.append(side)
    return sides[0], sides[1], write.decayed


def _places(state: LinearState) -> tuple[int, ...]:
    """The dimensions of a state [B, H, axes] that reads sum over."""
    return tuple(2 + place for place, axis in enumerate(state.axes) if axis in state.key_axes)


def _read(
    tokens: Tokens, linear: Linear, readout: Readout, held: Mapping[str, list[Tensor]]
) -> Named:
    """A readout at every token: the sum over the state's key axes."""
    part = next(state for state in linear.states if state.name == readout.state)
    states = held[part.name]
    read = states[:-1] if readout.before else states[1:]
    shape = (tokens.batch, 0, *states[0].shape[1:])
    array = tokens.domain.stack(read, 1) if read else tokens.domain.zeros(shape, False)
    state = Named(array, (BATCH, TIME, HEADS, *part.axes))
    total = named.apply(tokens.domain, "mul", [tokens.product(readout.query), state])
    for axis in part.key_axes:
        total = named.reduce(tokens.domain, "sum", total, axis)
    return total
