"""A recurrence seen as affine in its state: S[t] = coefficient ∘ S[t-1] + rest.

The walk goes down to every place where the state stands and fails, with that place, where the
state meets anything but a sum or an elementwise product with what does not read it.
"""

from dataclasses import dataclass

from mixerc.algebra.terms import (
    LOW_RANK,
    NONLINEAR,
    NotLinear,
    apply,
    factors,
    number,
    product,
    reads_state,
)
from mixerc.ir.expr import Apply, Contract, Expr, Fold, Read, Reduce
from mixerc.ir.show import show_expr
from mixerc.ir.sorts import Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """coefficient ∘ state + rest; None stands for 0 on either side."""

    coefficient: Expr | None
    rest: Expr | None


def affine(expr: Expr, state: str, time: Time) -> Affine:
    """The expression as an affine function of the state at that time."""
    if not reads_state(expr, frozenset({state})):
        return Affine(coefficient=None, rest=expr)
    match expr:
        case Read(name=name, time=at) if name == state and at == time:
            return Affine(coefficient=number(1), rest=None)
        case Apply(primitive="add", operands=(left, right)):
            return _added(affine(left, state, time), affine(right, state, time))
        case Apply(primitive="sub", operands=(left, right)):
            return _added(affine(left, state, time), affine(apply("neg", right), state, time))
        case Apply(primitive="neg", operands=(inner,)):
            return _scaled(number(-1), affine(inner, state, time))
        case Apply(primitive="mul", operands=(left, right)):
            return _product(left, right, state, time)
        case Apply(primitive="div", operands=(left, right)) if not _reads(right, state):
            return _scaled(apply("div", number(1), right), affine(left, state, time))
        case Apply(primitive="lerp", operands=(a, b, w)) if not _reads(w, state):
            keep = _scaled(apply("sub", number(1), w), affine(a, state, time))
            return _added(keep, _scaled(w, affine(b, state, time)))
        case Apply(primitive="where", operands=(test, a, b)) if not _reads(test, state):
            return _chosen(test, affine(a, state, time), affine(b, state, time))
        case _:
            raise _leaves(expr, state)


def _leaves(expr: Expr, state: str) -> NotLinear:
    text = show_expr(expr)
    match expr:
        case Contract() | Reduce(reduction="sum"):
            reason = f"`{text}` contracts the state {state}: its transition is not diagonal"
            return NotLinear(reason, expr.span, LOW_RANK)
        case Fold():
            reason = f"`{text}` updates {state} several times a token"
            return NotLinear(reason, expr.span, LOW_RANK)
        case _:
            reason = f"the update is not linear in {state} (`{text}`)"
            return NotLinear(reason, expr.span, NONLINEAR)


def _reads(expr: Expr, state: str) -> bool:
    return reads_state(expr, frozenset({state}))


def _product(left: Expr, right: Expr, state: str, time: Time) -> Affine:
    if _reads(left, state) and _reads(right, state):
        whole = apply("mul", left, right)
        reason = f"the update is not linear in {state} (`{show_expr(whole)}`)"
        raise NotLinear(reason, left.span, NONLINEAR)
    if _reads(left, state):
        return _scaled(right, affine(left, state, time))
    return _scaled(left, affine(right, state, time))


def _added(a: Affine, b: Affine) -> Affine:
    return Affine(
        coefficient=_sum(a.coefficient, b.coefficient),
        rest=_sum(a.rest, b.rest),
    )


def _sum(a: Expr | None, b: Expr | None) -> Expr | None:
    if a is None or b is None:
        return b if a is None else a
    return apply("add", a, b)


def _scaled(factor: Expr, value: Affine) -> Affine:
    return Affine(
        coefficient=_times(factor, value.coefficient),
        rest=_times(factor, value.rest),
    )


def _times(factor: Expr, value: Expr | None) -> Expr | None:
    return None if value is None else apply("mul", factor, value)


def _chosen(test: Expr, a: Affine, b: Affine) -> Affine:
    return Affine(
        coefficient=_either(test, a.coefficient, b.coefficient),
        rest=_either(test, a.rest, b.rest),
    )


def _either(test: Expr, a: Expr | None, b: Expr | None) -> Expr | None:
    if a is None and b is None:
        return None
    return apply("where", test, a or number(0), b or number(0))


def summands(expr: Expr, mixed: frozenset[str], kept: frozenset[str]) -> tuple[list[Expr], ...]:
    """The expression as a sum of products, multiplied out only where it has to be.

    A factor that has axes of both sets and is a sum is distributed over.
    """
    match expr:
        case Apply(primitive="add", operands=(left, right)):
            return summands(left, mixed, kept) + summands(right, mixed, kept)
        case Apply(primitive="sub", operands=(left, right)):
            return summands(left, mixed, kept) + summands(apply("neg", right), mixed, kept)
        case Apply(primitive="lerp", operands=(a, b, w)):
            far = apply("mul", w, apply("sub", b, a))
            return summands(a, mixed, kept) + summands(far, mixed, kept)
    parts = factors(expr)
    for i, part in enumerate(parts):
        if _mixes(part, mixed, kept) and _is_sum(part):
            others = product(parts[:i] + parts[i + 1 :])
            inner = summands(part, mixed, kept)
            return tuple(
                term
                for pieces in inner
                for term in summands(apply("mul", others, product(pieces)), mixed, kept)
            )
    return (parts,)


def _mixes(expr: Expr, mixed: frozenset[str], kept: frozenset[str]) -> bool:
    axes = set(expr.sort.axes)
    return bool(axes & mixed) and bool(axes & kept)


def _is_sum(expr: Expr) -> bool:
    match expr:
        case Apply(primitive="add" | "sub" | "lerp"):
            return True
        case Apply(primitive="neg", operands=(inner,)):
            return _is_sum(inner)
        case _:
            return False
