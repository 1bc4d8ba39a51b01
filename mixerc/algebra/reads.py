"""How the output reads its states: which axes it sums over, with which query, before or after.

`q @ (S[t-1] + u * k * v)` becomes the readout `q · S[t-1]` and the local term `(q @ (u * k)) * v`:
a contraction is distributed over sums, and factors without the summed axis move out of it.
"""

from dataclasses import dataclass, field, replace

from mixerc.algebra.linear import Readout
from mixerc.algebra.terms import (
    ELEMENTWISE,
    SEVERAL,
    Factor,
    NotLinear,
    apply,
    factors,
    number,
    product,
    reads_state,
)
from mixerc.ir.expr import Apply, Contract, Expr, Read, Reduce
from mixerc.ir.show import show_expr
from mixerc.ir.sorts import Axis, Sort, Time
from mixerc.ir.walk import map_children


@dataclass(slots=True)
class Reads:
    """Collects the readouts of an output, and which axes each state is summed over."""

    states: frozenset[str]
    readouts: list[Readout] = field(default_factory=list)
    key_axes: dict[str, tuple[Axis, ...]] = field(default_factory=dict)

    def rewrite(self, expr: Expr) -> Expr:
        """The expression with each read of a state as a readout."""
        if not reads_state(expr, self.states):
            return expr
        match expr:
            case Contract(left=left, right=right, left_axis=axis, right_axis=other):
                if axis != other:
                    raise NotLinear(f"`{show_expr(expr)}` mixes two copies of an axis", expr.span)
                return self._summed(apply("mul", left, right), axis)
            case Reduce(reduction="sum", axis=axis, operand=operand):
                return self._summed(operand, axis)
            case Read(name=name):
                raise NotLinear(
                    f"the state {name} is read without summing over one of its axes: an "
                    f"elementwise recurrence",
                    expr.span,
                    ELEMENTWISE,
                )
            case _:
                return map_children(expr, self.rewrite)

    def _summed(self, expr: Expr, axis: Axis) -> Expr:
        """The sum over an axis of a product, term by term."""
        total = number(0)
        for term in expanded(expr, self.states):
            parts = [f if self._held(f) else self.rewrite(f) for f in term]
            inside = [f for f in parts if axis in f.sort.axes]
            outside = [f for f in parts if axis not in f.sort.axes]
            held = [f for f in inside if self._held(f)]
            if any(map(self._held, outside)) or len(held) > 1:
                raise NotLinear(f"`{show_expr(expr)}` multiplies two states", expr.span, SEVERAL)
            local = [f for f in inside if f not in held]
            summed = self._readout(held[0], local, axis) if held else contracted(local, axis)
            total = apply("add", total, apply("mul", product(outside), summed))
        return total

    def _held(self, factor: Expr) -> bool:
        """Whether a factor is a state itself; any other that reads one has readouts of its own."""
        return isinstance(factor, Read) and factor.name in self.states

    def _readout(self, state: Expr, query: list[Expr], axis: Axis) -> Expr:
        assert isinstance(state, Read)
        name, time, sort, span = state.name, state.time, state.sort, state.span
        known = self.key_axes.setdefault(name, (axis,))
        if known != (axis,):
            reason = f"the state {name} is summed over {known[0]} here and {axis} there"
            raise NotLinear(reason, span)
        kept = [f for f in query if set(f.sort.axes) & (set(sort.axes) - {axis})]
        if kept:
            raise NotLinear(f"the query `{show_expr(kept[0])}` has an axis of the value", span)
        name = f"#{len(self.readouts)}"
        self.readouts.append(
            Readout(
                name=name,
                state=state.name,
                query=tuple(Factor(expr=f) for f in query),
                before=time == Time.PREVIOUS,
            )
        )
        axes = tuple(a for a in sort.axes if a != axis)
        return Read(name=name, time=Time.T, sort=replace(sort, axes=axes), span=span)


def contracted(inside: list[Expr], axis: Axis) -> Expr:
    """The sum over an axis of a product of factors that all have it."""
    if not inside:
        raise AssertionError("a sum over an axis that nothing has")
    if len(inside) == 1:
        axes = tuple(a for a in inside[0].sort.axes if a != axis)
        sort = replace(inside[0].sort, axes=axes)
        return Reduce(reduction="sum", axis=axis, operand=inside[0], sort=sort)
    right = product(inside[1:])
    return Contract(
        left=inside[0],
        right=right,
        left_axis=axis,
        right_axis=axis,
        sort=_contract_sort(inside[0], right, axis),
        span=inside[0].span,
    )


def _contract_sort(left: Expr, right: Expr, axis: Axis) -> Sort:
    whole = apply("mul", left, right).sort
    return replace(whole, axes=tuple(a for a in whole.axes if a != axis))


def expanded(expr: Expr, states: frozenset[str]) -> tuple[list[Expr], ...]:
    """The expression as a sum of products, distributed over the sums that read a state."""
    match expr:
        case Apply(primitive="add", operands=(left, right)):
            return expanded(left, states) + expanded(right, states)
        case Apply(primitive="sub", operands=(left, right)):
            return expanded(left, states) + expanded(apply("neg", right), states)
    parts = factors(expr)
    for i, part in enumerate(parts):
        match part:
            case Apply(primitive="add" | "sub") if reads_state(part, states):
                others = product(parts[:i] + parts[i + 1 :])
                return tuple(
                    term
                    for pieces in expanded(part, states)
                    for term in expanded(apply("mul", others, product(pieces)), states)
                )
    return (parts,)
