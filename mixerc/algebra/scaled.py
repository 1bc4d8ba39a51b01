"""A linear mixer with an exponential gate under a ratio or a maximum, over a running maximum.

Where a token writes exp(x) k v, with one number x, states are kept as S = e^m S', as in
`stabilise`, and m[t] = max(m[t-1] + log f, x) is found before anything else: then

    S'[t] = exp(m[t-1] + log f - m[t]) S'[t-1] + exp(x - m[t]) k v

is a linear mixer whose decays and gates are at most 1. That the output is the same for every m is
proved by the degrees of what reads the states.
"""

from collections.abc import Mapping
from dataclasses import replace

from mixerc.algebra.linear import Linear, LinearState, Scaled, Write
from mixerc.algebra.logarithm import logarithm
from mixerc.algebra.stabilise import Depends, Invariant, free_name, is_steep
from mixerc.algebra.terms import Factor, apply, number, product
from mixerc.ir.expr import Apply, Expr, Read
from mixerc.ir.interval import Interval
from mixerc.ir.mixer import State
from mixerc.ir.sorts import Kind, Sort, Time
from mixerc.ir.walk import map_children, walk

BEFORE, AFTER = "_before", "_after"
"""Ends of the names of the two streams that a maximum is read as."""


def scaled(linear: Linear, env: Mapping[str, Interval]) -> Scaled | None:
    """The mixer over a running maximum, or None where nothing calls for one, or where the output
    is no function of ratios."""
    gates = {s.name: _exponents(s) for s in linear.states}
    steep = [s for s in linear.states if any(is_steep(x, env) for x in gates[s.name])]
    if not steep:
        return None
    same = [s for s in linear.states if gates[s.name] and s.decays == steep[0].decays]
    names = frozenset(s.name for s in same)
    reads = {r.name: r.before for r in linear.readouts if r.state in names}
    queries = (f.expr for r in linear.readouts for f in r.query)
    if any(isinstance(e, Read) and e.name in reads for expr in queries for e in walk(expr)):
        return None
    sort = gates[steep[0].name][0].sort
    taken = {*env, *(s.name for s in linear.states)}
    taken |= {name.removesuffix(end) for name in taken for end in (BEFORE, AFTER)}
    return _Peak(free_name(taken), sort).scaled(linear, same, reads)


def _exponents(state: LinearState) -> tuple[Expr, ...]:
    """The exponents of what is written, if neither they nor the decays lie along axes of it. What
    a write reads from the state before has another scale than what stands beside it."""
    if state.rank:
        return ()
    found = tuple(_exponent(write)[0] for write in state.writes)
    plain = all(not e.sort.axes for e in (*found, *state.decays))
    return found if plain else ()


def _exponent(write: Write) -> tuple[Expr, Write]:
    """A write as exp(x) times another one; x is 0 where there is no exponential."""
    total: Expr = number(0)
    sides: list[tuple[Factor, ...]] = []
    for side in (write.key, write.value):
        kept = []
        for factor in side:
            match factor.expr:
                case Apply(primitive="exp", operands=(inner,)) if not inner.sort.axes:
                    total = apply("add", total, inner)
                case _:
                    kept.append(factor)
        sides.append(tuple(kept))
    return total, Write(key=sides[0], value=sides[1])


class _Peak:
    """A running maximum by its name, and the sort of the exponents that it is over."""

    def __init__(self, name: str, sort: Sort) -> None:
        plain = replace(sort, axes=(), kind=Kind.REAL, times=frozenset({Time.T}))
        self.state = State(name=name, sort=plain)
        self.before = Read(name=f"{name}{BEFORE}", time=Time.T, sort=plain)
        self.after = Read(name=f"{name}{AFTER}", time=Time.T, sort=plain)

    def scaled(
        self, linear: Linear, states: list[LinearState], reads: Mapping[str, bool]
    ) -> Scaled | None:
        """The mixer over the maximum; `reads` are its readouts of these states, with whether they
        come before a token's update."""
        invariant = Invariant(names=frozenset(reads), peak=self.state)
        try:
            output = invariant.invariant(_timed(linear.output, reads))
        except Depends:
            return None
        names = frozenset(s.name for s in states)
        made = tuple(self._state(s) if s.name in names else s for s in linear.states)
        return Scaled(
            linear=replace(linear, states=made, output=self._named(output)),
            peak=self.state.name,
            before=self.before.name,
            after=self.after.name,
            names=names,
            update=self._update(states),
        )

    def _state(self, state: LinearState) -> LinearState:
        fall, log = apply("sub", self.before, self.after), logarithm(product(list(state.decays)))
        decays: tuple[Expr, ...] = (*state.decays, apply("exp", fall))
        if log is not None:
            decays = (apply("exp", apply("sub", apply("add", self.before, log), self.after)),)
        return replace(state, decays=decays, writes=tuple(map(self._write, state.writes)))

    def _write(self, write: Write) -> Write:
        exponent, rest = _exponent(write)
        gate = Factor(expr=apply("exp", apply("sub", exponent, self.after)))
        return replace(rest, key=(gate, *rest.key))

    def _update(self, states: list[LinearState]) -> Expr:
        """The next maximum, over the one before."""
        total: Expr = self.before
        if states[0].decays:
            factor = product(list(states[0].decays))
            total = apply("add", total, logarithm(factor) or apply("log", factor))
        for exponent in dict.fromkeys(x for state in states for x in _exponents(state)):
            total = apply("max", total, exponent)
        return total

    def _named(self, expr: Expr) -> Expr:
        """The maximum's reads by the names of its rows, and readouts as they were."""
        match expr:
            case Read(name=name, time=time) if name == self.state.name:
                return self.before if time is Time.PREVIOUS else self.after
            case Read(time=Time.PREVIOUS):
                return replace(expr, time=Time.T)
            case _:
                return map_children(expr, self._named)


def _timed(expr: Expr, reads: Mapping[str, bool]) -> Expr:
    """Readouts of states before the update, as reads of the token before."""
    match expr:
        case Read(name=name) if reads.get(name):
            return replace(expr, time=Time.PREVIOUS)
        case _:
            return map_children(expr, lambda e: _timed(e, reads))
