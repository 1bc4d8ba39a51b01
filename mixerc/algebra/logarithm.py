"""The logarithm of an expression, where rewriting gives one that is exact and stable.

log exp(e) = e, log sigmoid(e) = logsigmoid(e), log a^c = c · log a, log a·b = log a + log b,
log a/b = log a - log b, log sqrt(a) = log a / 2, log (1 - sigmoid(e)) = logsigmoid(-e), and
positive numbers. There is none for other sums: their rounding is not undone by a logarithm.
"""

from fractions import Fraction

from mixerc.ir.expr import Apply, Expr, Number, Size
from mixerc.ir.sorts import EACH, SHARED, Kind, Sort


def logarithm(expr: Expr) -> Expr | None:
    """The logarithm of a positive real expression; None where no rule above applies."""
    if expr.sort.kind is Kind.COMPLEX:
        return None
    match expr:
        case Number(value=value):
            return _apply("log", expr) if value > 0 else None
        case Size(name="pi" | "d_model" | "heads" | "layers"):
            return _apply("log", expr)
        case Apply(primitive=primitive, operands=operands):
            return _of_primitive(primitive, operands)
        case _:
            return None


def _of_primitive(primitive: str, operands: tuple[Expr, ...]) -> Expr | None:
    match primitive, operands:
        case "exp", (operand,):
            return operand
        case "sigmoid", (operand,):
            return _apply("logsigmoid", operand)
        case "sqrt", (operand,):
            half = Number(value=Fraction(1, 2))
            return _scaled(half, logarithm(operand))
        case "pow", (base, exponent):
            return _scaled(exponent, logarithm(base))
        case "mul" | "div", (left, right):
            return _joined("add" if primitive == "mul" else "sub", left, right)
        case "sub", (Number(value=one), rest) if one == 1:
            return _of_complement(rest)
        case _:
            return None


def _of_complement(expr: Expr) -> Expr | None:
    """log(1 - expr) where 1 - expr is a sigmoid."""
    match expr:
        case Apply(primitive="sigmoid", operands=(operand,)):
            return _apply("logsigmoid", _apply("neg", operand))
        case _:
            return None


def _scaled(factor: Expr, logarithm_of_base: Expr | None) -> Expr | None:
    if logarithm_of_base is None or factor.sort.kind is Kind.COMPLEX:
        return None
    match factor:
        case Apply(primitive="div", operands=(Number(value=one), divisor)) if one == 1:
            return _apply("div", logarithm_of_base, divisor)
        case _:
            return _apply("mul", factor, logarithm_of_base)


def _joined(primitive: str, left: Expr, right: Expr) -> Expr | None:
    a, b = logarithm(left), logarithm(right)
    return None if a is None or b is None else _apply(primitive, a, b)


def _apply(primitive: str, *operands: Expr) -> Apply:
    """A real primitive applied, with the sort that its operands give."""
    axes = tuple(dict.fromkeys(axis for operand in operands for axis in operand.sort.axes))
    copies = [operand.sort.heads for operand in operands if not operand.sort.heads.shared]
    heads = EACH if EACH in copies else next(iter(copies), SHARED)
    times = frozenset[str]().union(*(operand.sort.times for operand in operands))
    sort = Sort(axes=axes, heads=heads, times=times)
    return Apply(sort=sort, span=operands[0].span, primitive=primitive, operands=operands)
