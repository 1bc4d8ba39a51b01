"""Expressions taken apart into products and sums, and put together again with their sorts."""

from dataclasses import dataclass, replace
from fractions import Fraction

from mixerc.diagnostics.span import Span
from mixerc.ir.expr import Apply, Expr, Number, Position, Read
from mixerc.ir.sorts import EACH, SHARED, Axis, Heads, Sort, Time
from mixerc.ir.walk import map_children, walk


class NotLinear(Exception):
    """The equations leave the class of linear mixers here; `reason` says it in one sentence.

    `family` is the class that they belong to instead, where the place tells.
    """

    def __init__(self, reason: str, span: Span, family: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.span = span
        self.family = family


class DoesNotSplit(NotLinear):
    """The weight of a sum has no part of the query and part of the key."""


ATTENTION = "masked attention"
LOW_RANK = "linear, low-rank transition"
ELEMENTWISE = "elementwise recurrence"
NONLINEAR = "nonlinear recurrence"
LANDMARK = "landmark projection"
SEVERAL = "several"


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """An expression of one token, with some of its axes called otherwise: (old, new) pairs."""

    expr: Expr
    copies: tuple[tuple[Axis, Axis], ...] = ()

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axes under their new names."""
        names = dict(self.copies)
        return tuple(names.get(axis, axis) for axis in self.expr.sort.axes)


def renamed(factor: Factor, old: Axis, new: Axis) -> Factor:
    """The factor with one of its axes (under its present name) called otherwise."""
    if old == new or old not in factor.axes:
        return factor
    source = factor.expr.sort.axes[factor.axes.index(old)]
    kept = tuple(pair for pair in factor.copies if pair[0] != source)
    return Factor(expr=factor.expr, copies=(*kept, (source, new)))


def number(value: int | Fraction) -> Expr:
    """A literal."""
    return Number(value=Fraction(value))


def is_number(expr: Expr, value: int) -> bool:
    """Whether an expression is this literal."""
    return isinstance(expr, Number) and expr.value == value


def apply(primitive: str, *operands: Expr) -> Expr:
    """A primitive applied to checked operands; the sort is joined from theirs."""
    match primitive, operands:
        case "mul", (Number(value=Fraction(numerator=1, denominator=1)), other):
            return other
        case "mul", (other, Number(value=Fraction(numerator=1, denominator=1))):
            return other
        case "add", (Number(value=Fraction(numerator=0)), other):
            return other
        case "neg", (Number(value=value),):
            return number(-value)
    axes = tuple(dict.fromkeys(axis for e in operands for axis in e.sort.axes))
    times = frozenset[str]().union(*(e.sort.times for e in operands))
    sort = Sort(axes=axes, kind=operands[-1].sort.kind, heads=join_heads(operands), times=times)
    return Apply(primitive=primitive, operands=operands, sort=sort, span=operands[0].span)


def join_heads(operands: tuple[Expr, ...]) -> Heads:
    """One value for each head if an operand has it or groups differ, else the operands' own."""
    kinds = {e.sort.heads for e in operands if e.sort.heads != SHARED}
    match len(kinds):
        case 0:
            return SHARED
        case 1:
            return kinds.pop()
        case _:
            return EACH


def product(factors: list[Expr]) -> Expr:
    """The product of the factors, 1 for none."""
    total = number(1)
    for factor in factors:
        total = apply("mul", total, factor)
    return total


def factors(expr: Expr) -> list[Expr]:
    """The factors of a product; a quotient gives the reciprocal, a minus sign gives -1."""
    match expr:
        case Apply(primitive="mul", operands=(left, right)):
            return factors(left) + factors(right)
        case Apply(primitive="div", operands=(left, right)):
            return [*factors(left), apply("div", number(1), right)]
        case Apply(primitive="neg", operands=(inner,)):
            return [number(-1), *factors(inner)]
        case _:
            return [expr]


def at_token(expr: Expr) -> Expr:
    """A key's or value's expression, read at the token itself: every `[s]` becomes `[t]`."""
    match expr:
        case Read(name=name, time=Time.S, sort=sort, span=span):
            return Read(name=name, time=Time.T, sort=_here(sort), span=span)
        case Position(time=Time.S, sort=sort, span=span):
            return Position(time=Time.T, sort=_here(sort), span=span)
        case _:
            return _resorted(map_children(expr, at_token))


def _here(sort: Sort) -> Sort:
    times = frozenset({"t"}) if "s" in sort.times else sort.times
    return Sort(axes=sort.axes, kind=sort.kind, heads=sort.heads, times=times)


def _resorted(expr: Expr) -> Expr:
    return replace(expr, sort=_here(expr.sort))


def reads_state(expr: Expr, states: frozenset[str]) -> bool:
    """Whether a state stands anywhere in the expression."""
    return any(isinstance(e, Read) and e.name in states for e in walk(expr))
