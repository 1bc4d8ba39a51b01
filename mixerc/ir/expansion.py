"""Sums and products of an expression, written out as a polynomial in what stands between them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from mixerc.ir import expr as e
from mixerc.ir import polynomial
from mixerc.ir.expr import Expr
from mixerc.ir.interval import NONNEGATIVE, Interval
from mixerc.ir.polynomial import Polynomial
from mixerc.ir.sorts import Kind
from mixerc.ir.walk import walk

INDEX_OF: dict[str, Expr] = {"heads": e.Size(name="head"), "layers": e.Size(name="layer")}
DRAWN_ANEW = (e.Linear, e.Conv, e.Norm, e.Glu, e.Draw, e.UseBlock, e.UseMixer, e.Repeat)
HIGHEST_EXPONENT = 4
_ONE = Fraction(1)


def drawn_anew(expr: Expr) -> bool:
    """True for a layer or a draw, which has a value of its own wherever it stands."""
    return any(isinstance(node, DRAWN_ANEW) for node in walk(expr))


def same_value(a: Expr, b: Expr) -> bool:
    """True if two expressions have one value."""
    return a is b or (a == b and not drawn_anew(a))


@dataclass(slots=True, kw_only=True)
class Expansion:
    """The polynomials of one expression's nodes, and what their parts can be."""

    of: Callable[[Expr], Interval]
    parts: dict[int, Interval] = field(default_factory=dict)
    numbers: dict[object, int] = field(default_factory=dict)
    known: dict[int, Polynomial] = field(default_factory=dict)

    def bounds(self, polynomial_: Polynomial) -> Interval:
        """What a polynomial in these parts can be."""
        return polynomial.bounds(polynomial_, self.parts)

    def polynomial(self, expr: Expr) -> Polynomial:
        """The expression as a polynomial in parts that are no sums or products."""
        if id(expr) not in self.known:
            expanded = self._expanded(expr) if expr.sort.kind != Kind.COMPLEX else None
            if expanded is None or polynomial.too_large(expanded):
                expanded = self._part(expr)
            self.known[id(expr)] = expanded
        return self.known[id(expr)]

    def _expanded(self, expr: Expr) -> Polynomial | None:
        match expr:
            case e.Number(value=value):
                return polynomial.constant(value)
            case e.Size(name=name) if name in INDEX_OF:
                return self._size(expr)
            case e.Apply(primitive="neg", operands=(a,)):
                return polynomial.times(polynomial.constant(-_ONE), self.polynomial(a))
            case e.Apply(primitive="add", operands=(a, b)):
                return polynomial.plus(self.polynomial(a), self.polynomial(b))
            case e.Apply(primitive="sub", operands=(a, b)):
                return polynomial.plus(self.polynomial(a), self.polynomial(b), -_ONE)
            case e.Apply(primitive="mul", operands=(a, b)):
                return polynomial.times(self.polynomial(a), self.polynomial(b))
            case e.Apply(primitive="div", operands=(a, e.Number(value=value))) if value:
                return polynomial.times(polynomial.constant(1 / value), self.polynomial(a))
            case e.Apply(primitive="pow", operands=(a, e.Number(value=value))):
                return self._raised(a, value)
            case e.Apply(primitive="lerp", operands=(a, b, weight)):
                start = self.polynomial(a)
                step = polynomial.plus(self.polynomial(b), start, -_ONE)
                return polynomial.plus(start, polynomial.times(step, self.polynomial(weight)))
            case _:
                return None

    def _size(self, size: e.Size) -> Polynomial:
        """Counted things are their index, one, and what comes after: heads = head + 1 + rest."""
        index = self._part(INDEX_OF[size.name])
        rest = polynomial.part(self._number(f"after {size.name}", NONNEGATIVE))
        return polynomial.plus(polynomial.plus(index, rest), polynomial.constant(_ONE))

    def _raised(self, base: Expr, exponent: Fraction) -> Polynomial | None:
        if exponent.denominator != 1 or not 0 < exponent <= HIGHEST_EXPONENT:
            return None
        raised = polynomial.constant(_ONE)
        for _ in range(int(exponent)):
            raised = polynomial.times(raised, self.polynomial(base))
            if polynomial.too_large(raised):
                return None
        return raised

    def _part(self, expr: Expr) -> Polynomial:
        """Equal nodes are one part, but a layer has weights of its own wherever it stands."""
        if isinstance(expr, e.Size):
            return polynomial.part(self._number(expr.name, self.of(expr)))
        key = id(expr) if drawn_anew(expr) else expr
        return polynomial.part(self._number(key, self.of(expr)))

    def _number(self, key: object, interval: Interval) -> int:
        number = self.numbers.setdefault(key, len(self.numbers))
        self.parts.setdefault(number, interval)
        return number
