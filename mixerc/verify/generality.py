"""The order of transitions, identity < scalar < diagonal, each below itself plus low rank: a mixer
in a more general class."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from torch import Tensor

from mixerc.algebra.linear import Linear, LinearState, Write
from mixerc.algebra.terms import Factor, apply, number, product
from mixerc.compiler import emit
from mixerc.ir.expr import Arange, Expr
from mixerc.ir.sorts import Axis, Sort
from mixerc.plan.plan import make_plan
from mixerc.runtime.cache import find, key_of, store
from mixerc.runtime.load import load_module
from mixerc.verify.cases import Case, draw
from mixerc.verify.outcome import Run, Tensors, by_equations, differences, outcome, prefixed
from mixerc.verify.result import Result, judged
from mixerc.verify.states import initial_states, state_names
from mixerc.verify.subject import Subject

CHUNK = 16


def generality_law(subject: Subject, case: Case) -> Result:
    """The mixer through every more general transition, against its own recurrence."""
    inputs, first = draw(subject, case), initial_states(subject, case)
    finals = state_names(subject)
    want = outcome(by_equations(subject), inputs, first, finals=finals)
    errors: dict[str, float] = {}
    for name, linear in promotions(subject.linear):
        for mode in subject.modes:
            got = outcome(_through(subject, linear, mode), inputs, first, finals=finals)
            errors |= prefixed(f"{name}, {mode},", differences(got, want))
    return judged("generality", errors, where=case.where)


def promotions(linear: Linear) -> Iterator[tuple[str, Linear]]:
    """The same mixer with transitions further up in the order, by name."""
    made = (
        ("identity as scalar", _each(linear, _with_one)),
        ("along keys", _each(linear, lambda state: _along(state, state.key_axes))),
        ("along values", _each(linear, _along_values)),
        ("plus rank 1", _each(linear, _plus_nothing)),
    )
    yield from ((name, other) for name, other in made if other != linear)


def _each(linear: Linear, change: Callable[[LinearState], LinearState]) -> Linear:
    """Another transition for each state; none of them over a running maximum."""
    changed = tuple(change(state) for state in linear.states)
    return linear if changed == linear.states else replace(linear, states=changed, scaled=None)


def _with_one(state: LinearState) -> LinearState:
    """Keeping all is keeping 1 of it."""
    return state if state.decays else replace(state, decays=(number(1),))


def _along_values(state: LinearState) -> LinearState:
    """A transition of low rank acts on all values alike: it is not below this one."""
    return state if state.rank else _along(state, state.value_axes)


def _plus_nothing(state: LinearState) -> LinearState:
    """One more write, which asks the state for nothing and gives nothing more."""
    keys = (
        product([f.expr for f in w.key]) for w in state.writes if not any(f.copies for f in w.key)
    )
    whole = [key for key in keys if key.sort.axes == state.key_axes]
    if not whole or any(set(d.sort.axes) & set(state.value_axes) for d in state.decays):
        return state
    nothing = apply("mul", number(0), whole[0])
    write = Write(key=(Factor(expr=whole[0]),), value=(Factor(expr=number(0)),), query=nothing)
    return replace(state, writes=(*state.writes, write))


def _along(state: LinearState, axes: tuple[Axis, ...]) -> LinearState:
    """A scalar decay, or 1, repeated along the first axis, unless one lies there already."""
    if not axes or any(axes[0] in decay.sort.axes for decay in state.decays):
        return state
    scalars = [decay for decay in state.decays if not decay.sort.axes]
    others = tuple(decay for decay in state.decays if decay.sort.axes)
    first, *rest = scalars or [number(1)]
    return replace(state, decays=(*others, _spread(first, axes[0]), *rest))


def _spread(expr: Expr, axis: Axis) -> Expr:
    """The expression with one more axis, along which it does not change."""
    zero = apply("mul", number(0), Arange(axis=axis, sort=Sort(axes=(axis,))))
    return apply("add", expr, zero)


def _through(subject: Subject, linear: Linear, mode: str) -> Run:
    """The core compiled from another linear form; the cache holds its file."""
    key = key_of("verify", subject.target, subject.source.text, repr(subject.sizes), repr(linear))
    path = find(key)
    if path is None:
        mixer = replace(subject.mixer, y=None)
        plan = make_plan(linear, chunk=CHUNK, logarithms=frozenset())
        path = store(key, emit(subject.target, mixer, linear, plan, subject.source.text).text)
    module = load_module(path)
    options = {name: subject.sizes[name] for name in module.GIVEN if name in subject.sizes}

    def run(inputs: Tensors, state: Tensors | None) -> tuple[Tensor, Tensors]:
        result: tuple[Tensor, Tensors] = module.mix(**inputs, **options, state=state, mode=mode)
        return result

    return run
