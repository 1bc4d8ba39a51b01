"""Exponential gates under a ratio: the same function with a running maximum taken out.

States S[t] = f S[t-1] + exp(x) r with one factor f are kept as S = e^m S', where

    m[t] = max(m[t-1] + log f, x),    S'[t] = exp(m[t-1] + log f - m[t]) S'[t-1] + exp(x - m[t]) r

so no exponent formed is above 0. Whatever reads the states has to be the same for (S, exp(x)) and
for (c S, c exp(x)), for every c > 0: then m cancels, and the rewritten mixer is the same function
whatever m is. That is what `Invariant` finds out, by the degree of every part in c.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mixerc.algebra.affine import affine
from mixerc.algebra.logarithm import logarithm
from mixerc.algebra.terms import NotLinear, apply, factors, number, product, reads_state
from mixerc.ir.expr import Apply, Contract, Expr, Read, Reduce
from mixerc.ir.interval import Interval
from mixerc.ir.mixer import State
from mixerc.ir.ranges import range_of
from mixerc.ir.sorts import Kind, Sort, Time

FALL = 80
"""How far a maximum may fall in a step before what is kept, a factor below e^-80, counts as 0."""
STEEP = 20.0
"""An exponent that is never above this needs no maximum: even float16 holds sums of its power."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """A state as f S[t-1] + sum of exp(x) r: the factor, and the pairs (x, r)."""

    state: State
    factor: Expr
    terms: tuple[tuple[Expr, Expr], ...]

    @property
    def exponents(self) -> tuple[Expr, ...]:
        """What a maximum is taken of: the factor, by its logarithm, and each x."""
        return (self.factor, *(exponent for exponent, _ in self.terms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stable:
    """States with their updates, in order, with the maximum among them; and the output."""

    states: tuple[State, ...]
    updates: tuple[Expr, ...]
    output: Expr
    peak: str
    scaled: tuple[str, ...]


def stabilised(
    states: tuple[State, ...],
    updates: Mapping[str, Expr],
    output: Expr,
    env: Mapping[str, Interval],
) -> Stable | None:
    """The mixer with a running maximum, or None where nothing calls for one, or where what reads
    the states is no function of their ratios."""
    gated = [g for s in states if (g := _gated(s, updates[s.name], env)) is not None]
    steep = next((g for g in gated if any(is_steep(x, env) for x, _ in g.terms)), None)
    if steep is None:
        return None
    same = [g for g in gated if g.factor == steep.factor]
    names = frozenset(g.state.name for g in same)
    peak = free_name({*updates, *env})
    found = Invariant(names=names, peak=_peak_state(peak, same))
    try:
        made = {g.state.name: found.update(g) for g in same}
        others = {n: found.invariant(e) for n, e in updates.items() if n not in names}
        result = found.invariant(output)
    except Depends:
        return None
    first = next(i for i, state in enumerate(states) if state.name in names)
    order = (*states[:first], found.peak, *states[first:])
    after = {peak: found.maximum(same), **made, **others}
    return Stable(
        states=order,
        updates=tuple(after[state.name] for state in order),
        output=result,
        peak=peak,
        scaled=tuple(state.name for state in states if state.name in names),
    )


def free_name(taken: set[str]) -> str:
    """A name for a maximum that nothing else has."""
    name = "peak"
    while name in taken:
        name += "_"
    return name


def _peak_state(name: str, gated: list[Gated]) -> State:
    """The axes along which the exponents and the logarithm of the factor lie."""
    axes = {axis for g in gated for e in g.exponents for axis in e.sort.axes}
    own = gated[0].state.sort
    kept = tuple(axis for axis in own.axes if axis in axes)
    return State(name=name, sort=replace(own, axes=kept, kind=Kind.REAL))


def _gated(state: State, update: Expr, env: Mapping[str, Interval]) -> Gated | None:
    """A real state that is affine in itself, with exponentials among what is added."""
    try:
        form = affine(update, state.name, Time.PREVIOUS)
    except NotLinear:
        return None
    if form.coefficient is None or form.rest is None or state.sort.kind is Kind.COMPLEX:
        return None
    if range_of(form.coefficient, env).low < 0:
        return None
    terms = tuple(_term(part) for part in _summands(form.rest))
    return Gated(state=state, factor=form.coefficient, terms=terms)


def is_steep(exponent: Expr, env: Mapping[str, Interval]) -> bool:
    """Whether powers of an exponent may leave the range of a float."""
    return range_of(exponent, env).high > STEEP


def _summands(expr: Expr) -> list[Expr]:
    match expr:
        case Apply(primitive="add", operands=(left, right)):
            return _summands(left) + _summands(right)
        case Apply(primitive="sub", operands=(left, right)):
            return _summands(left) + [apply("neg", each) for each in _summands(right)]
        case _:
            return [expr]


def _term(expr: Expr) -> tuple[Expr, Expr]:
    """A product as exp(x) r; x is 0 where there is no exponential."""
    parts = factors(expr)
    powers = [p.operands[0] for p in parts if isinstance(p, Apply) and p.primitive == "exp"]
    rest = [p for p in parts if not (isinstance(p, Apply) and p.primitive == "exp")]
    total = number(0)
    for power in powers:
        total = apply("add", total, power)
    return total, product(rest)


class Depends(Exception):
    """The value changes when states and gates are scaled together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """Rewrites what reads scaled states, over a maximum of the exponents that meet there."""

    names: frozenset[str]
    peak: State

    def update(self, gated: Gated) -> Expr:
        """The next scaled state."""
        if not set(self.peak.sort.axes) <= set(gated.state.sort.axes):
            raise Depends
        for expr in (gated.factor, *(e for pair in gated.terms for e in pair)):
            if reads_state(expr, self.names):
                raise Depends
        now, state = self._peak(Time.T), gated.state
        before = Read(name=state.name, time=Time.PREVIOUS, sort=_at_t(state.sort))
        total = apply("mul", self._kept(gated.factor), before)
        for exponent, rest in gated.terms:
            gate = apply("exp", apply("sub", exponent, now))
            total = apply("add", total, apply("mul", gate, rest))
        return total

    def _kept(self, factor: Expr) -> Expr:
        """What is kept of a scaled state: exp(m[t-1] + log f - m[t]), at most 1. A factor whose
        logarithm is not known stands in front, so that it has a slope where it is 0."""
        then, now, log = self._peak(Time.PREVIOUS), self._peak(Time.T), logarithm(factor)
        if log is None:
            fall = apply("min", apply("sub", then, now), number(FALL))
            return apply("mul", factor, apply("exp", fall))
        return apply("exp", apply("sub", apply("add", then, log), now))

    def maximum(self, gated: list[Gated]) -> Expr:
        """The next maximum."""
        total = apply("add", self._peak(Time.PREVIOUS), _log(gated[0].factor))
        exponents: list[Expr] = []
        for exponent in (x for g in gated for x, _ in g.terms):
            if exponent not in exponents:
                exponents.append(exponent)
        for exponent in exponents:
            total = apply("max", total, exponent)
        return total

    def invariant(self, expr: Expr) -> Expr:
        """The expression over scaled states; raises Depends where it is not of degree 0."""
        if not reads_state(expr, self.names):
            return expr
        exponents: list[Expr] = []
        degree, _ = self._of(expr, None, exponents)
        if degree != 0:
            raise Depends
        top = exponents[0]
        for other in exponents[1:]:
            top = apply("max", top, other)
        return self._of(expr, top, [])[1]

    def _of(self, expr: Expr, top: Expr | None, seen: list[Expr]) -> tuple[int, Expr]:
        """The degree d, and the expression over e^(d top); exponents that it meets are noted."""
        if not reads_state(expr, self.names):
            return 0, expr
        match expr:
            case Read(time=time):
                return 1, self._times(self._peak(time), expr, top, seen)
            case Apply(primitive="add" | "sub" | "max" | "min", operands=operands):
                return self._alike(expr, operands, top, seen)
            case Apply(primitive="mul" | "div" as sign, operands=(left, right)):
                (a, x), (b, y) = self._of(left, top, seen), self._of(right, top, seen)
                return a + b if sign == "mul" else a - b, replace(expr, operands=(x, y))
            case Apply(primitive="neg" | "abs", operands=(inner,)):
                degree, x = self._of(inner, top, seen)
                return degree, replace(expr, operands=(x,))
            case Apply(primitive="where", operands=(test, *sides)):
                degree, x = self._of(test, top, seen)
                if degree:
                    raise Depends
                degree, made = self._alike(expr, tuple(sides), top, seen)
                assert isinstance(made, Apply)
                return degree, replace(expr, operands=(x, *made.operands))
            case Contract(left=left, right=right, left_axis=axis, right_axis=other):
                (a, x), (b, y) = self._of(left, top, seen), self._of(right, top, seen)
                return _summed(a + b, (axis, other), top), replace(expr, left=x, right=y)
            case Reduce(operand=inner, reduction="sum" | "max", axis=axis):
                degree, x = self._of(inner, top, seen)
                return _summed(degree, (axis,), top), replace(expr, operand=x)
            case Apply(operands=operands):
                parts = [self._of(each, top, seen) for each in operands]
                if any(degree for degree, _ in parts):
                    raise Depends
                return 0, replace(expr, operands=tuple(x for _, x in parts))
            case _:
                raise Depends

    def _alike(
        self, expr: Apply, sides: tuple[Expr, ...], top: Expr | None, seen: list[Expr]
    ) -> tuple[int, Expr]:
        """Sides of one degree: what has none among those that have one is a gate, or exp(0)."""
        made = [self._of(side, top, seen) for side in sides]
        degree = max(d for d, _ in made)
        lifted = []
        for (own, x), side in zip(made, sides, strict=True):
            if own not in (degree, 0) or (own == 0 != degree and degree != 1):
                raise Depends
            if own == degree:
                lifted.append(x)
                continue
            if reads_state(side, self.names):
                lifted.append(self._times(number(0), x, top, seen))
                continue
            exponent, rest = _term(side)
            lifted.append(self._times(exponent, rest, top, seen))
        return degree, replace(expr, operands=tuple(lifted))

    def _times(self, exponent: Expr, rest: Expr, top: Expr | None, seen: list[Expr]) -> Expr:
        """exp(exponent - top) · rest."""
        if exponent not in seen:
            seen.append(exponent)
        if top is None or exponent == top:
            return rest
        return apply("mul", apply("exp", apply("sub", exponent, top)), rest)

    def _peak(self, time: Time) -> Expr:
        return Read(name=self.peak.name, time=time, sort=_at_t(self.peak.sort))


def _summed(degree: int, axes: tuple[str, ...], top: Expr | None) -> int:
    """The degree of a sum; a scale that differs along what is summed over has no place outside."""
    if degree and top is not None and set(axes) & set(top.sort.axes):
        raise Depends
    return degree


def _log(factor: Expr) -> Expr:
    return logarithm(factor) or apply("log", factor)


def _at_t(sort: Sort) -> Sort:
    return replace(sort, times=frozenset({Time.T}))
