"""From a checked mask and numeric sizes to a condition over t, s and T."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from mixerc.algebra.masks import forms
from mixerc.algebra.masks.conditions import (
    Condition,
    Holds,
    Index,
    Unknown,
    all_of,
    at_least_zero,
    is_zero,
    negated,
    some_of,
)
from mixerc.algebra.masks.forms import Form, Stream, Variable, larger, number, plus, scaled
from mixerc.ir.expr import Apply, Expr, Number, Position, Read, Size
from mixerc.ir.show import show_expr
from mixerc.ir.sorts import Kind, Time
from mixerc.ir.walk import walk


class MaskError(ValueError):
    """A mask that has no value at these sizes; the text says why."""


class _NotWhole(Exception):
    """A value that whole numbers cannot say: a real stream, a square root of a time."""


REAL_FUNCTIONS: dict[str, Callable[[float], float]] = {
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "expm1": math.expm1,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
}
"""Functions that a size may be put through; their results are as exact as floats are."""

_VARIABLES = {Time.T: Variable.T, Time.S: Variable.S}
_HIGHEST_POWER = 4


def condition_of(
    mask: Expr, sizes: Mapping[str, float | Fraction], tables: Mapping[str, Index] | None = None
) -> Condition:
    """The mask at these sizes; `tables` says over what each table is declared.

    T stays a variable. A mask that reads `head` needs its number among the sizes. Raises
    MaskError for a size that is missing and for a division by zero.
    """
    return _Translation(sizes=sizes, tables=tables or {}).condition(mask)


def number_of(expr: Expr, sizes: Mapping[str, float | Fraction]) -> Fraction:
    """A number that is made of sizes; raises MaskError where it has no value."""
    try:
        form = _Translation(sizes=sizes, tables={}).form(expr)
    except _NotWhole:
        raise MaskError(f"`{show_expr(expr)}` is no number of sizes") from None
    if form.terms:
        raise MaskError(f"`{show_expr(expr)}` varies from token to token")
    return form.constant


@dataclass(frozen=True, slots=True, kw_only=True)
class _Translation:
    sizes: Mapping[str, float | Fraction]
    tables: Mapping[str, Index]

    def condition(self, expr: Expr) -> Condition:
        """A condition of the IR."""
        match expr:
            case Apply(primitive="and", operands=operands):
                return all_of(map(self.condition, operands))
            case Apply(primitive="or", operands=operands):
                return some_of(map(self.condition, operands))
            case Apply(primitive="not", operands=(operand,)):
                return negated(self.condition(operand))
            case Apply(primitive="where", operands=(test, a, b)):
                holds = self.condition(test)
                chosen = all_of([holds, self.condition(a)])
                return some_of([chosen, all_of([negated(holds), self.condition(b)])])
            case Apply(primitive=name, operands=(a, b)):
                return self._comparison(expr, name, a, b)
            case Read(name=name):
                return self._flag(expr, name)
            case _:
                return _unknown(expr)

    def _comparison(self, expr: Expr, name: str, a: Expr, b: Expr) -> Condition:
        if a.sort.kind == Kind.BOOL and b.sort.kind == Kind.BOOL and name in ("eq", "ne"):
            left, right = self.condition(a), self.condition(b)
            same = some_of(
                [all_of([left, right]), all_of([negated(left), negated(right)])],
            )
            return same if name == "eq" else negated(same)
        try:
            gap = plus(self.form(a), self.form(b), -1)
        except _NotWhole:
            return _unknown(expr)
        match name:
            case "ge":
                return at_least_zero(gap)
            case "le":
                return at_least_zero(scaled(gap, -1))
            case "lt":
                return negated(at_least_zero(gap))
            case "gt":
                return negated(at_least_zero(scaled(gap, -1)))
            case "eq":
                return is_zero(gap)
            case "ne":
                return negated(is_zero(gap))
            case _:
                return _unknown(expr)

    def _flag(self, read: Read, name: str) -> Condition:
        """An entry of a stream or table of conditions."""
        if name in self.tables:
            return Holds(name=name, at=self.tables[name])
        if read.time in _VARIABLES and read.sort.kind == Kind.BOOL:
            return Holds(name=name, at=((_VARIABLES[read.time], 1),))
        return _unknown(read)

    def form(self, expr: Expr) -> Form:
        """A number of the IR; raises _NotWhole for what is none of ours."""
        match expr:
            case Number(value=value):
                return number(value)
            case Size(name="T"):
                return forms.single(Variable.LENGTH)
            case Size(name=name):
                return number(self._size(name))
            case Position(time=time) if time in _VARIABLES:
                return forms.single(_VARIABLES[time])
            case Read(name=name, time=time) if expr.sort.kind == Kind.INT:
                return self._stream(name, time)
            case Apply(primitive=name, operands=operands):
                return _applied(name, [self.form(operand) for operand in operands], expr)
            case _:
                raise _NotWhole

    def _size(self, name: str) -> Fraction:
        if name == "pi":
            return Fraction(math.pi)
        if name not in self.sizes:
            raise MaskError(f"the size {name} is not known: give it by name")
        return Fraction(self.sizes[name])

    def _stream(self, name: str, time: Time) -> Form:
        match self.tables.get(name):
            case None if time in _VARIABLES:
                return forms.single(Stream(name=name, time=_VARIABLES[time]))
            case ((variable, block),):
                return forms.single(Stream(name=name, time=variable, block=block))
            case _:
                raise _NotWhole


def _applied(name: str, parts: list[Form], expr: Expr) -> Form:
    match name, parts:
        case "neg", [a]:
            return scaled(a, -1)
        case "add", [a, b]:
            return plus(a, b)
        case "sub", [a, b]:
            return plus(a, b, -1)
        case "mul", [a, b]:
            return forms.times(a, b)
        case "max", [a, b]:
            return larger(a, b)
        case "min", [a, b]:
            return scaled(larger(scaled(a, -1), scaled(b, -1)), -1)
        case "abs", [a]:
            return larger(a, scaled(a, -1))
        case (("div" | "floordiv" | "mod"), [a, Form(terms=(), constant=value)]):
            return _divided(name, a, value, expr)
        case "pow", [a, Form(terms=(), constant=value)]:
            return _power(a, value, expr)
        case _, [Form(terms=(), constant=value)] if name in REAL_FUNCTIONS:
            return number(_finite(lambda: REAL_FUNCTIONS[name](float(value)), expr))
        case _:
            raise _NotWhole


def _divided(name: str, a: Form, value: Fraction, expr: Expr) -> Form:
    if value == 0:
        raise MaskError(f"`{show_expr(expr)}` divides by zero at these sizes")
    if name == "div":
        return scaled(a, 1 / value)
    if value < 0:
        opposite = _divided(name, scaled(a, -1), -value, expr)
        return scaled(opposite, -1) if name == "mod" else opposite
    return forms.quotient(a, value) if name == "floordiv" else forms.remainder(a, value)


def _power(base: Form, exponent: Fraction, expr: Expr) -> Form:
    if not base.terms:
        return number(_finite(lambda: _number_power(base.constant, exponent), expr))
    if exponent.denominator != 1 or not 0 <= exponent <= _HIGHEST_POWER:
        raise _NotWhole
    result = number(1)
    for _ in range(int(exponent)):
        result = forms.times(result, base)
    return result


def _number_power(base: Fraction, exponent: Fraction) -> Fraction | float:
    small = exponent.denominator == 1 and abs(exponent) <= 1024
    return base ** int(exponent) if small else math.pow(base, exponent)


def _finite(compute: Callable[[], Fraction | float], expr: Expr) -> Fraction:
    try:
        return Fraction(compute())
    except (ArithmeticError, ValueError):
        raise MaskError(f"`{show_expr(expr)}` has no value at these sizes") from None


def _unknown(expr: Expr) -> Condition:
    times = {
        _VARIABLES[node.time]
        for node in walk(expr)
        if isinstance(node, Read | Position) and node.time in _VARIABLES
    }
    tables = {name for node in walk(expr) if isinstance(node, Read) for name in node.sort.times}
    known = times | {Variable(name) for name in tables if name in ("t", "s")}
    return Unknown(text=show_expr(expr), times=frozenset(known))
