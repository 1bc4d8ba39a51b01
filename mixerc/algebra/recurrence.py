"""A recurrence as a linear mixer: its update affine in the state, its output linear in reads."""

from mixerc.algebra.affine import affine, summands
from mixerc.algebra.erasing import Erasing, erasing, joined
from mixerc.algebra.linear import Linear, LinearState, Write
from mixerc.algebra.reads import Reads
from mixerc.algebra.terms import (
    ELEMENTWISE,
    LOW_RANK,
    SEVERAL,
    Factor,
    NotLinear,
    factors,
    is_number,
)
from mixerc.ir.expr import Expr, Read, TimeSum
from mixerc.ir.mixer import Mixer, State, Update, Value
from mixerc.ir.show import show_expr
from mixerc.ir.sorts import Axis, Time
from mixerc.ir.walk import map_children, walk


def linear_recurrence(mixer: Mixer) -> Linear:
    """The linear form of a mixer given by the updates of its states."""
    states = frozenset(state.name for state in mixer.core.states)
    updates, output = inlined(mixer)
    _refuse_cascades(updates)
    erased = {name: erasing(expr, name) for name, expr in updates.items()}
    reads = Reads(states=states)
    result = reads.rewrite(output)
    made = tuple(
        _state(state, erased[state.name], reads.key_axes.get(state.name))
        for state in mixer.core.states
    )
    return Linear(states=made, readouts=tuple(reads.readouts), output=result)


def inlined(mixer: Mixer) -> tuple[dict[str, Expr], Expr]:
    """The updates and the output with intermediate values written out."""
    values: dict[str, Expr] = {}
    updates: dict[str, Expr] = {}
    for line in mixer.core.lines:
        match line:
            case Update(state=state, expr=expr):
                updates[state] = substituted(expr, values)
            case Value(name=name, expr=expr):
                if any(isinstance(e, TimeSum) for e in walk(expr)):
                    raise NotLinear("a sum over every token stands in the core", line.span)
                values[name] = substituted(expr, values)
    return updates, substituted(mixer.core.output.expr, values)


def substituted(expr: Expr, values: dict[str, Expr]) -> Expr:
    """The expression with the named values written out."""
    match expr:
        case Read(name=name, time=Time.T | Time.NONE) if name in values:
            return values[name]
        case _:
            return map_children(expr, lambda e: substituted(e, values))


def _refuse_cascades(updates: dict[str, Expr]) -> None:
    for name, expr in updates.items():
        for e in walk(expr):
            if isinstance(e, Read) and e.name in updates and e.name != name:
                reason = f"the state {e.name} feeds the update of {name}"
                raise NotLinear(reason, e.span, SEVERAL)


def _state(state: State, erased: Erasing, key_axes: tuple[Axis, ...] | None) -> LinearState:
    update = affine(erased.update, state.name, Time.PREVIOUS)
    if key_axes is None:
        reason = f"no axis of the state {state.name} is summed over when it is read"
        raise NotLinear(reason, state.span, ELEMENTWISE)
    if erased.axis not in (None, *key_axes):
        reason = (
            f"the update of {state.name} sums over {erased.axis} and its reads over "
            f"{', '.join(key_axes)}"
        )
        raise NotLinear(reason, state.span, LOW_RANK)
    keys = frozenset(key_axes)
    values = frozenset(state.sort.axes) - keys
    decays = _decays(state, update.coefficient, keys, values)
    writes = () if update.rest is None else _writes(state, update.rest, keys, values)
    writes = joined(writes, erased, values, decays)
    if erased.readouts:
        _refuse_values(state, decays, values)
    return LinearState(
        name=state.name,
        axes=state.sort.axes,
        key_axes=key_axes,
        decays=decays,
        writes=writes,
    )


def _decays(
    state: State, coefficient: Expr | None, keys: frozenset[Axis], values: frozenset[Axis]
) -> tuple[Expr, ...]:
    if coefficient is None:
        reason = f"the state {state.name} forgets everything at each token"
        raise NotLinear(reason, state.span, ELEMENTWISE)
    parts = [f for f in factors(coefficient) if not is_number(f, 1)]
    for part in parts:
        axes = frozenset(part.sort.axes)
        if axes & keys and axes & values:
            reason = (
                f"the decay `{show_expr(part)}` of {state.name} lies along "
                f"{' and '.join(part.sort.axes)} at once, so scores within a chunk do not factor"
            )
            raise NotLinear(reason, part.span, ELEMENTWISE)
    return tuple(parts)


def _refuse_values(state: State, decays: tuple[Expr, ...], values: frozenset[Axis]) -> None:
    """A transition of low rank acts on every value alike; a decay of each value would not."""
    for decay in decays:
        if set(decay.sort.axes) & values:
            reason = (
                f"the decay `{show_expr(decay)}` lies along {', '.join(decay.sort.axes)}, and "
                f"{state.name} is contracted too: each value would have a transition of its own"
            )
            raise NotLinear(reason, decay.span, LOW_RANK)


def _writes(
    state: State, rest: Expr, keys: frozenset[Axis], values: frozenset[Axis]
) -> tuple[Write, ...]:
    return tuple(_write(state, term, keys, values) for term in summands(rest, keys, values))


def _write(state: State, term: list[Expr], keys: frozenset[Axis], values: frozenset[Axis]) -> Write:
    for factor in term:
        axes = frozenset(factor.sort.axes)
        if axes & keys and axes & values:
            reason = (
                f"`{show_expr(factor)}` does not split into a part along "
                f"{', '.join(sorted(keys))} and a part along {', '.join(sorted(values))}"
            )
            raise NotLinear(reason, factor.span, ELEMENTWISE)
    key = [f for f in term if set(f.sort.axes) & keys]
    value = [f for f in term if f not in key]
    return Write(
        key=tuple(Factor(expr=f) for f in key),
        value=tuple(Factor(expr=f) for f in value),
    )
