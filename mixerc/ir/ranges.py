"""What a checked expression can be: an interval that holds its value wherever its names lie.

The value of a condition is 1 or 0. Of a complex expression the interval bounds the absolute value.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias, assert_never

from mixerc.ir import expr as e
from mixerc.ir import polynomial
from mixerc.ir.complex_ranges import complex_range, magnitude, real_range
from mixerc.ir.expansion import Expansion, same_value
from mixerc.ir.expr import Expr
from mixerc.ir.interval import (
    ALL,
    EITHER,
    INF,
    NONNEGATIVE,
    POSITIVE,
    SIGNED_UNIT,
    TRUE,
    Interval,
    absolute,
    add,
    between,
    blend,
    chosen,
    compare,
    divide,
    floor_divide,
    hull,
    intersect,
    larger,
    make,
    modulo,
    multiply,
    negate,
    point,
    smaller,
    subtract,
)
from mixerc.ir.interval_functions import call, power
from mixerc.ir.mixer import Input, LayerLine, Param, Range, Value
from mixerc.ir.sorts import Axis, Kind, Time

Environment: TypeAlias = Mapping[str, Interval]

GIVEN_SIZES: Environment = {
    **dict.fromkeys(("d_model", "heads", "layers", "length", "T"), between(1, INF)),
    **dict.fromkeys(("head", "layer"), NONNEGATIVE),
    "pi": between(Fraction("3.14159265358979"), Fraction("3.14159265358980")),
}
"""Sizes that the language gives, where nothing more is known of them."""

EXACTLY: dict[str, Callable[..., Interval]] = {
    "neg": negate,
    "lerp": blend,
    "add": add,
    "sub": subtract,
    "mul": multiply,
    "div": divide,
    "floordiv": floor_divide,
    "mod": modulo,
    "pow": power,
    "max": larger,
    "min": smaller,
}


def range_of(expr: Expr, env: Environment) -> Interval:
    """What the expression can be, given what the sizes, names and times (`t`, `s`) in it can be.

    A name that `env` lacks can be anything, but a size is positive.
    """
    return _Ranges(env=env).of(expr)


def environment(sizes: Iterable[str], lines: Iterable[LayerLine]) -> dict[str, Interval]:
    """What the header sizes and the names of a layer's lines, in order, can be."""
    env = {**dict.fromkeys(sizes, POSITIVE), **GIVEN_SIZES}
    for line in lines:
        env[line.name] = line_range(line, env)
        if isinstance(line, Value) and line.sort.kind == Kind.COMPLEX:
            env[real_part(line.name)] = _Ranges(env=env).real(line.expr)
    return env


def real_part(name: str) -> str:
    """The key for the real part of a complex value."""
    return f"real({name})"


def line_range(line: LayerLine, env: Environment) -> Interval:
    """What one name can be: declared of an input, anything for what is learned."""
    match line:
        case Input(range=bounds):
            return _unknown(line.sort.kind) if bounds is None else _declared(bounds)
        case Param(learned=True):
            return _unknown(line.sort.kind)
        case Param(init=expr) | Value(expr=expr):
            return range_of(expr, env)
        case _:
            assert_never(line)


def _declared(bounds: Range) -> Interval:
    low = -INF if bounds.low is None else bounds.low
    high = INF if bounds.high is None else bounds.high
    return make((low, bounds.low_open), (high, bounds.high_open))


def _unknown(kind: Kind) -> Interval:
    match kind:
        case Kind.BOOL:
            return EITHER
        case Kind.COMPLEX:
            return NONNEGATIVE
        case Kind.REAL | Kind.INT:
            return ALL
        case _:
            assert_never(kind)


@dataclass(slots=True, kw_only=True)
class _Ranges:
    """The ranges of one expression's nodes; each is computed once."""

    env: Environment
    known: dict[int, Interval] = field(default_factory=dict)
    expansion: Expansion = field(init=False)

    def __post_init__(self) -> None:
        self.expansion = Expansion(of=self.of)

    def of(self, expr: Expr) -> Interval:
        """The range of a node."""
        if id(expr) not in self.known:
            self.known[id(expr)] = self._node(expr)
        return self.known[id(expr)]

    def _node(self, expr: Expr) -> Interval:
        match expr:
            case e.Number(value=value):
                return point(value)
            case e.Size(name=name):
                return self.env.get(name, GIVEN_SIZES.get(name, POSITIVE))
            case e.Position(time=time):
                return self.env.get(str(time), NONNEGATIVE)
            case e.Read():
                return self._read(expr)
            case e.Apply():
                return self._apply(expr)
            case e.Contract():
                return self._contract(expr)
            case e.Reduce():
                return self._reduce(expr)
            case e.TimeSum(operand=operand):
                return self._sum("T", self.of(operand), expr.sort.kind)
            case e.Fold():
                return self._fold(expr)
            case e.Item(source=source):
                return self.of(source)
            case e.Arange(axis=axis):
                return intersect(NONNEGATIVE, between(-INF, self._count(axis).high, "()"))
            case _:
                return self._step(expr)

    def _step(self, expr: Expr) -> Interval:
        match expr:
            case e.Concat(parts=parts):
                return hull(*map(self.of, parts))
            case e.FirstLayer(source=source):
                return self.of(source)
            case e.Draw():
                return self._draw(expr)
            case e.Norm(norm="l2norm"):
                return SIGNED_UNIT
            case e.Rope(source=source):
                turned = multiply(absolute(self.of(source)), point(Fraction("1.41422")))
                return hull(turned, negate(turned))
            case _:
                return _unknown(expr.sort.kind)

    def _fold(self, expr: e.Fold) -> Interval:
        """Of the variable nothing is known."""
        others = {name: value for name, value in self.env.items() if name != expr.variable}
        return hull(self.of(expr.start), range_of(expr.next, others))

    def real(self, expr: Expr) -> Interval:
        """The real part."""
        match expr:
            case _ if expr.sort.kind != Kind.COMPLEX:
                return self.of(expr)
            case e.Read(name=name) if expr.time != Time.PREVIOUS and real_part(name) in self.env:
                return self.env[real_part(name)]
            case _:
                return real_range(expr, self.of, self.real)

    def _read(self, expr: e.Read) -> Interval:
        """A value before the first token is 0."""
        value = self.env.get(expr.name, _unknown(expr.sort.kind))
        return hull(value, point(0)) if expr.time == Time.PREVIOUS else value

    def _count(self, axis: Axis) -> Interval:
        name = axis.removesuffix("'")
        return self.env.get(name, GIVEN_SIZES.get(name, POSITIVE))

    def _sum(self, count: str, term: Interval, kind: Kind) -> Interval:
        total = multiply(term, self._count(count))
        return hull(total, point(0)) if kind == Kind.COMPLEX else total

    def _contract(self, expr: e.Contract) -> Interval:
        left, right = expr.left, expr.right
        if expr.sort.kind == Kind.COMPLEX:
            term = multiply(magnitude(left, self.of), magnitude(right, self.of))
        elif expr.left_axis == expr.right_axis and same_value(left, right):
            term = power(self.of(left), point(2))
        else:
            term = multiply(self.of(left), self.of(right))
        return self._sum(expr.left_axis, term, expr.sort.kind)

    def _reduce(self, expr: e.Reduce) -> Interval:
        operand = self.of(expr.operand)
        match expr.reduction:
            case "softmax":
                return between(0, 1, "(]")
            case "sum":
                return self._sum(expr.axis, operand, expr.sort.kind)
            case _:
                return operand

    def _draw(self, expr: e.Draw) -> Interval:
        match expr.distribution, expr.arguments:
            case "uniform" | "loguniform", (low, high):
                return hull(self.of(low), self.of(high))
            case "orthogonal", _:
                return SIGNED_UNIT
            case "choose", _:
                return EITHER
            case _:
                return ALL

    def _apply(self, expr: e.Apply) -> Interval:
        name, operands = expr.primitive, expr.operands
        if any(operand.sort.kind == Kind.COMPLEX for operand in (expr, *operands)):
            return complex_range(expr, self.of, self.real)
        if expr.sort.kind == Kind.BOOL and name != "where":
            return self._condition(name, operands)
        values = [self.of(operand) for operand in operands]
        match name:
            case "neg" | "add" | "sub" | "mul" | "lerp":
                found = self.known[id(expr)] = EXACTLY[name](*values)
                return intersect(found, self._written_out(expr))
            case "div":
                return self._quotient(expr, values)
            case "pow" | "floordiv" | "mod" | "max" | "min":
                return EXACTLY[name](*values)
            case "where":
                return chosen(*values)
            case "real" | "conj":
                return values[0]
            case "imag":
                return point(0)
            case "pi":
                return GIVEN_SIZES["pi"]
            case _:
                return call(name, values[0])

    def _written_out(self, expr: Expr) -> Interval:
        return self.expansion.bounds(self.expansion.polynomial(expr))

    def _quotient(self, expr: e.Apply, values: list[Interval]) -> Interval:
        """`a / b` with 0 <= a <= b lies in [0, 1], which the intervals of a and b cannot tell."""
        top, bottom = map(self.expansion.polynomial, expr.operands)
        scale = polynomial.content(top)
        top = {monomial: value / scale for monomial, value in top.items()}
        share = self.expansion.bounds(top)
        rest = self.expansion.bounds(polynomial.plus(bottom, top, Fraction(-1)))
        found = divide(*values)
        if values[1].positive and share.low >= 0 and rest.low >= 0:
            most = make((Fraction(0), share.positive), (Fraction(1), rest.positive))
            found = intersect(found, multiply(point(scale), most))
        return found

    def _condition(self, name: str, operands: tuple[Expr, ...]) -> Interval:
        match name, [self.of(operand) for operand in operands]:
            case "and", [a, b]:
                return smaller(a, b)
            case "or", [a, b]:
                return larger(a, b)
            case "not", [a]:
                return subtract(TRUE, a)
            case _:
                return compare(name, self._gap(*operands))

    def _gap(self, a: Expr, b: Expr) -> Interval:
        """a - b."""
        written = self.expansion.polynomial
        difference = polynomial.plus(written(a), written(b), Fraction(-1))
        return intersect(subtract(self.of(a), self.of(b)), self.expansion.bounds(difference))
