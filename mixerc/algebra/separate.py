"""Whether a weight splits: weight(t, s) = sum over pairs of query(t) · key(s).

A contraction of a part of t with a part of s splits along its axis; sums and products of what
splits split too, so a polynomial of q[t] @ k[s] does (one state a degree), and exp of it does not.
"""

from dataclasses import dataclass

from mixerc.algebra.linear import Product
from mixerc.algebra.terms import (
    ATTENTION,
    DoesNotSplit,
    Factor,
    NotLinear,
    apply,
    at_token,
    factors,
    number,
    renamed,
)
from mixerc.ir.expr import Apply, Contract, Expr, Number, Reduce
from mixerc.ir.sorts import Axis
from mixerc.ir.text import TextContext, show_expr

_TIMED = TextContext(explicit=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The sum over `axes` of query · key, both read at their own token."""

    query: Product
    key: Product
    axes: tuple[Axis, ...]


def separate(weight: Expr) -> tuple[Pair, ...]:
    """The pairs whose sum is the weight; raises NotLinear at the part that does not split."""
    if "s" not in weight.sort.times:
        return (Pair(query=_product(weight), key=(), axes=()),)
    if "t" not in weight.sort.times:
        return (Pair(query=(), key=_product(weight), axes=()),)
    match weight:
        case Apply(primitive="add", operands=(left, right)):
            return separate(left) + separate(right)
        case Apply(primitive="sub", operands=(left, right)):
            return separate(left) + separate(apply("neg", right))
        case Apply(primitive="neg", operands=(inner,)):
            return _times(separate(number(-1)), separate(inner))
        case Apply(primitive="mul", operands=(left, right)):
            return _times(separate(left), separate(right))
        case Apply(primitive="div", operands=(left, right)):
            return _times(separate(left), separate(apply("div", number(1), right)))
        case Apply(primitive="pow", operands=(base, Number(value=power))) if (
            power.denominator == 1 and 1 <= power <= 4
        ):
            return _power(separate(base), int(power))
        case Contract(left=left, right=right, left_axis=axis, right_axis=other):
            return (_contracted(factors(left), factors(right), axis, other, weight),)
        case Reduce(reduction="sum", axis=axis, operand=operand):
            return (_contracted(factors(operand), [], axis, axis, weight),)
        case _:
            raise DoesNotSplit(
                f"the weight does not split into a part of the query and a part of the key "
                f"(`{show_expr(weight, _TIMED)}` mixes them)",
                weight.span,
                ATTENTION,
            )


def _product(expr: Expr) -> Product:
    return tuple(Factor(expr=at_token(factor)) for factor in factors(expr))


def _contracted(left: list[Expr], right: list[Expr], axis: Axis, other: Axis, whole: Expr) -> Pair:
    """One pair from a contraction whose every factor belongs to one token."""
    query: list[Factor] = []
    key: list[Factor] = []
    for factor, old in [(e, axis) for e in left] + [(e, other) for e in right]:
        if {"t", "s"} <= factor.sort.times:
            raise DoesNotSplit(
                f"the factor `{show_expr(factor, _TIMED)}` of the weight mixes query and key",
                factor.span,
                ATTENTION,
            )
        part = renamed(Factor(expr=at_token(factor)), old, axis)
        (key if "s" in factor.sort.times else query).append(part)
    if whole.sort.axes:
        raise NotLinear("the weight is a contraction that leaves an axis", whole.span)
    return Pair(query=tuple(query), key=tuple(key), axes=(axis,))


def _times(left: tuple[Pair, ...], right: tuple[Pair, ...]) -> tuple[Pair, ...]:
    return tuple(_multiply(a, b) for a in left for b in right)


def _power(pairs: tuple[Pair, ...], power: int) -> tuple[Pair, ...]:
    total = pairs
    for _ in range(power - 1):
        total = _times(total, pairs)
    return total


def _multiply(a: Pair, b: Pair) -> Pair:
    """The product of two sums is a sum over both axes: those of b that a has too are copied."""
    query, key, axes = b.query, b.key, b.axes
    for axis in b.axes:
        fresh = axis
        while fresh in a.axes or (fresh != axis and fresh in axes):
            fresh += "'"
        query = tuple(renamed(f, axis, fresh) for f in query)
        key = tuple(renamed(f, axis, fresh) for f in key)
        axes = tuple(fresh if x == axis else x for x in axes)
    return Pair(query=a.query + query, key=a.key + key, axes=a.axes + axes)
