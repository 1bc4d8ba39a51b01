"""A sum over s as a linear mixer: weight split into pairs, one state a pair, decays inside.

o[t] = sum_{s <= t} weight(t, s) · prod_{s<j<=t} decay[j] · value[s],  divided by f(sum)
"""

from dataclasses import replace

from mixerc.algebra.linear import Linear, LinearState, Readout, Write
from mixerc.algebra.recurrence import substituted
from mixerc.algebra.separate import Pair, separate
from mixerc.algebra.terms import (
    ATTENTION,
    LANDMARK,
    Factor,
    NotLinear,
    apply,
    at_token,
    factors,
    number,
    product,
)
from mixerc.ir.expr import Apply, Expr, Position, Read, TimeSum
from mixerc.ir.mixer import Branch, CoreLine, Mixer, State, Value
from mixerc.ir.show import show_expr
from mixerc.ir.sorts import Axis, Time
from mixerc.ir.walk import map_children, walk


def linear_sum(mixer: Mixer) -> Linear:
    """The linear form of a mixer given as sums over s, each over a plain prefix."""
    for line in mixer.core.lines:
        if any(isinstance(e, TimeSum) for e in walk(line.expr)):
            reason = f"`{show_expr(line.expr)}` sums over every token of the sequence"
            raise NotLinear(reason, line.span, LANDMARK)
    for branch in mixer.core.branches:
        if not branch.states:
            reason = "the spec keeps a cache of tokens (`state cache`), not a state"
            raise NotLinear(reason, branch.span, ATTENTION)
    values: dict[str, Expr] = {}
    for line in mixer.core.lines:
        values[line_name(line)] = substituted(line.expr, values)
    found = Linear(states=(), readouts=(), output=substituted(mixer.core.output.expr, values))
    for branch in mixer.core.branches:
        others = {state.name for other in mixer.core.branches for state in other.states}
        found = _Sum(branch, found, frozenset(others)).linear()
    return found


def line_name(line: CoreLine) -> str:
    """The name that a line of the core defines."""
    return line.name if isinstance(line, Value) else line.state


def strict_prefix(mask: Expr) -> bool:
    """False for `s <= t`, True for `s < t`; raises NotLinear for any other mask."""
    match mask:
        case Apply(primitive="le", operands=(Position(time=Time.S), Position(time=Time.T))):
            return False
        case Apply(primitive="ge", operands=(Position(time=Time.T), Position(time=Time.S))):
            return False
        case Apply(primitive="lt", operands=(Position(time=Time.S), Position(time=Time.T))):
            return True
        case Apply(primitive="gt", operands=(Position(time=Time.T), Position(time=Time.S))):
            return True
        case _:
            reason = f"the mask is not a plain prefix (`{show_expr(mask)}`)"
            raise NotLinear(reason, mask.span, ATTENTION)


class _Sum:
    """Builds the states and readouts of one branch, behind those of the branches before it.

    `declared` are the names of all states that the spec declares.
    """

    def __init__(self, branch: Branch, before: Linear, declared: frozenset[str]) -> None:
        self.branch = branch
        self.before = before
        self.taken = declared | {state.name for state in before.states}
        self.strict = strict_prefix(branch.mask)
        self.pairs = separate(branch.weight)
        self.decays = factors(branch.decay) if branch.decay is not None else []
        self.unclaimed = list(branch.states)
        self.states: list[LinearState] = []
        self.readouts: list[Readout] = []

    def linear(self) -> Linear:
        """The branches before, and this one."""
        value = at_token(self.branch.value)
        total = self._total(value, self.branch.value.sort.axes)
        if self.branch.normalize is not None:
            total = apply("div", total, self._normalizer(self.branch.normalize))
        return Linear(
            states=(*self.before.states, *self.states),
            readouts=(*self.before.readouts, *self.readouts),
            output=_replace_read(self.before.output, self.branch.name, total),
        )

    def _normalizer(self, normalize: Expr) -> Expr:
        if not any(isinstance(e, Read) and e.name == "sum" for e in walk(normalize)):
            return normalize
        total = self._total(number(1), self._mixed_axes(), weights=True)
        return _replace_read(normalize, "sum", total)

    def _on_value(self) -> bool:
        """Whether the decay, taken whole, lies along the value's axes alone: not in the weights."""
        axes = set() if self.branch.decay is None else set(self.branch.decay.sort.axes)
        return bool(axes) and axes <= set(self.branch.value.sort.axes)

    def _mixed_axes(self) -> tuple[Axis, ...]:
        """Value axes of the sum of the weights: those of a decay that keys have a part in too."""
        axes = set() if self.branch.decay is None else set(self.branch.decay.sort.axes)
        values = self.branch.value.sort.axes
        keys = {axis for pair in self.pairs for axis in pair.axes}
        return tuple(a for a in values if a in axes) if axes & keys else ()

    def _total(self, value: Expr, value_axes: tuple[Axis, ...], *, weights: bool = False) -> Expr:
        """The sum over the pairs; the sum of the weights has 1 for a value."""
        total = number(0)
        for pair in self.pairs:
            total = apply("add", total, self._read(pair, value, value_axes, weights=weights))
        return total

    def _read(
        self, pair: Pair, value: Expr, value_axes: tuple[Axis, ...], *, weights: bool
    ) -> Expr:
        decays = [] if weights and self._on_value() else self._decays_of(pair, value_axes)
        state = self._state(pair, value, value_axes, tuple(decays), weights=weights)
        if state not in self.states:
            self.states.append(state)
        along_keys = [d for d in decays if not set(d.sort.axes) & set(value_axes)]
        before = [d for d in decays if d not in along_keys] if self.strict else []
        query = pair.query
        if self.strict:
            query = (*query, *(Factor(expr=d) for d in along_keys))
        name = f"#{len(self.before.readouts) + len(self.readouts)}"
        self.readouts.append(Readout(name=name, state=state.name, query=query, before=self.strict))
        sort = replace(self.branch.sort, axes=value_axes)
        read = Read(name=name, time=Time.T, sort=sort, span=self.branch.span)
        return apply("mul", product(before), read)

    def _decays_of(self, pair: Pair, value_axes: tuple[Axis, ...]) -> list[Expr]:
        chosen = []
        for decay in self.decays:
            axes = set(decay.sort.axes)
            if axes <= set(pair.axes) or (axes <= set(value_axes)):
                chosen.append(decay)
            elif value_axes or not axes & set(self.branch.value.sort.axes):
                reason = (
                    f"the decay `{show_expr(decay)}` lies along {', '.join(decay.sort.axes)}, "
                    f"which not every part of the weight sums over"
                )
                raise NotLinear(reason, decay.span)
        return chosen

    def _state(
        self,
        pair: Pair,
        value: Expr,
        value_axes: tuple[Axis, ...],
        decays: tuple[Expr, ...],
        *,
        weights: bool,
    ) -> LinearState:
        axes = (*pair.axes, *value_axes)
        name, order = self._declared(axes, weights=weights)
        return LinearState(
            name=name,
            axes=order,
            key_axes=pair.axes,
            decays=decays,
            writes=(Write(key=pair.key, value=tuple(Factor(expr=f) for f in factors(value))),),
        )

    def _declared(self, axes: tuple[Axis, ...], *, weights: bool) -> tuple[str, tuple[Axis, ...]]:
        """The declared state with these axes; the sum of the weights has a name of its own."""
        for state in self.unclaimed:
            if set(state.sort.axes) == set(axes):
                self.unclaimed.remove(state)
                return state.name, state.sort.axes
        stem = "sum" if weights else "S"
        taken = {state.name for state in self.states} | self.taken
        name = stem
        for suffix in range(1, 10):
            if name not in taken:
                break
            name = f"{stem}_{suffix}"
        return name, axes


def unfitting(branch: Branch, linear: Linear) -> State | None:
    """A declared state that the sum does not keep."""
    kept = {state.name for state in linear.states}
    return next((state for state in branch.states if state.name not in kept), None)


def _replace_read(expr: Expr, name: str, by: Expr) -> Expr:
    match expr:
        case Read(name=found) if found == name:
            return by
        case _:
            return map_children(expr, lambda e: _replace_read(e, name, by))
