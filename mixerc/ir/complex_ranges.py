"""Bounds of complex expressions: their absolute values and real parts."""

from collections.abc import Callable
from typing import TypeAlias

from mixerc.ir import expr as e
from mixerc.ir.expansion import same_value
from mixerc.ir.expr import Expr
from mixerc.ir.interval import (
    EITHER,
    NONNEGATIVE,
    Interval,
    absolute,
    add,
    between,
    chosen,
    divide,
    hull,
    intersect,
    multiply,
    negate,
    point,
    subtract,
)
from mixerc.ir.interval_functions import call, power
from mixerc.ir.sorts import Kind

Of: TypeAlias = Callable[[Expr], Interval]
"""What bounds a node: its value, or of a complex one its absolute value."""


def magnitude(expr: Expr, of: Of) -> Interval:
    """The absolute value."""
    return absolute(of(expr))


def complex_range(expr: e.Apply, of: Of, real: Of) -> Interval:
    """A primitive of which an operand or the result is complex; `real` bounds real parts."""
    match expr.primitive, [magnitude(operand, of) for operand in expr.operands]:
        case (("neg" | "conj" | "abs"), [a]):
            return a
        case (("add" | "sub"), [a, b]):
            return between(0, a.high + b.high)
        case "mul", [a, b]:
            return multiply(a, b)
        case "div", [a, b]:
            return divide(a, b)
        case "where", [condition, a, b]:
            return chosen(condition, a, b)
        case (("eq" | "ne"), _):
            return EITHER
        case "real", _:
            return real(expr.operands[0])
        case "imag", [a]:
            return hull(a, negate(a))
        case _:
            return _function(expr, of, real)


def _function(expr: e.Apply, of: Of, real: Of) -> Interval:
    first, *others = expr.operands
    match expr.primitive:
        case "complex":
            return _from_parts(first, others[0], of)
        case "exp":
            return call("exp", real(first))
        case "sqrt":
            return call("sqrt", of(first))
        case "pow" if others[0].sort.kind != Kind.COMPLEX:
            return power(magnitude(first, of), of(others[0]))
        case _:
            return NONNEGATIVE


def _from_parts(real: Expr, imaginary: Expr, of: Of) -> Interval:
    """r (cos p + i sin p) is as large as r."""
    for radius, angle in _turned(real, "cos"):
        for other, same in _turned(imaginary, "sin"):
            if same_value(radius, other) and same_value(angle, same):
                return magnitude(radius, of)
    two = point(2)
    return call("sqrt", add(power(of(real), two), power(of(imaginary), two)))


def _turned(expr: Expr, function: str) -> list[tuple[Expr, Expr]]:
    """The ways in which an expression is r * cos(p), as (r, p)."""
    match expr:
        case e.Apply(primitive="mul", operands=(a, b)):
            pairs = ((a, b), (b, a))
        case _:
            return []
    return [
        (radius, turn.operands[0])
        for radius, turn in pairs
        if isinstance(turn, e.Apply) and turn.primitive == function
    ]


def real_range(expr: Expr, of: Of, real: Of) -> Interval:
    """The real part of a complex expression that is no name."""
    size = of(expr)
    most = hull(size, negate(size))
    match expr:
        case e.Apply(primitive="complex", operands=(a, _)):
            found = of(a)
        case e.Apply(primitive="conj", operands=(a,)):
            found = real(a)
        case e.Apply(primitive="neg", operands=(a,)):
            found = negate(real(a))
        case e.Apply(primitive="add", operands=(a, b)):
            found = add(real(a), real(b))
        case e.Apply(primitive="sub", operands=(a, b)):
            found = subtract(real(a), real(b))
        case e.Apply(primitive="mul", operands=(a, b)) if a.sort.kind != Kind.COMPLEX:
            found = multiply(of(a), real(b))
        case e.Apply(primitive="mul", operands=(a, b)) if b.sort.kind != Kind.COMPLEX:
            found = multiply(real(a), of(b))
        case _:
            found = most
    return intersect(found, most)
