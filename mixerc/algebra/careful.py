"""The same function, computed without taking a number from one that is nearly the same.

1 - exp(x) is -expm1(x), 1 - a^2 is (1 - a) (1 + a), log(1 + exp(x)) is softplus(x): each pair is
equal for all real numbers, and only the right side keeps its digits where the left one cancels or
overflows.
"""

from fractions import Fraction

from mixerc.algebra.terms import apply, is_number, number
from mixerc.ir.expr import Apply, Expr, Number
from mixerc.ir.sorts import Kind
from mixerc.ir.walk import map_children


def careful(expr: Expr) -> Expr:
    """The expression with every such place rewritten, from the inside out."""
    inner = map_children(expr, careful)
    made = _rewritten(inner) if inner.sort.kind is Kind.REAL else None
    return inner if made is None else made


def _rewritten(expr: Expr) -> Expr | None:
    match expr:
        case Apply(primitive="sub", operands=(one, right)) if is_number(one, 1):
            return _one_less(right)
        case Apply(primitive="sub", operands=(left, one)) if is_number(one, 1):
            inner = _one_less(left)
            return None if inner is None else apply("neg", inner)
        case Apply(primitive="pow", operands=(Apply(primitive="exp", operands=(x,)), power)):
            return apply("exp", apply("mul", power, x))
        case Apply(primitive="sqrt", operands=(Apply(primitive="exp", operands=(x,)),)):
            return apply("exp", apply("mul", number(Fraction(1, 2)), x))
        case Apply(
            primitive="sqrt",
            operands=(
                Apply(
                    primitive="mul",
                    operands=(
                        Apply(primitive="sub", operands=(one, a)) as less,
                        Apply(primitive="add", operands=(also, b)) as more,
                    ),
                ),
            ),
        ) if is_number(one, 1) and is_number(also, 1) and a == b:
            # Apart, so that the slope at a = 1 is infinite, and not 0 times infinity.
            return apply("mul", apply("sqrt", less), apply("sqrt", more))
        case Apply(primitive="log", operands=(inner,)):
            return _logarithm(inner)
        case _:
            return None


def _one_less(expr: Expr) -> Expr | None:
    """1 - expr."""
    match expr:
        case Apply(primitive="exp", operands=(x,)):
            return apply("neg", apply("expm1", x))
        case Apply(primitive="sigmoid", operands=(x,)):
            return apply("sigmoid", apply("neg", x))
        case Apply(primitive="pow", operands=(a, Number(value=power))) if power == 2:
            return apply("mul", apply("sub", number(1), a), apply("add", number(1), a))
        case Apply(primitive="mul", operands=(a, b)) if a == b:
            return apply("mul", apply("sub", number(1), a), apply("add", number(1), a))
        case _:
            return None


def _logarithm(expr: Expr) -> Expr | None:
    match expr:
        case Apply(primitive="exp", operands=(x,)):
            return x
        case Apply(primitive="sigmoid", operands=(x,)):
            return apply("logsigmoid", x)
        case (
            Apply(primitive="add", operands=(one, Apply(primitive="exp", operands=(x,))))
            | Apply(primitive="add", operands=(Apply(primitive="exp", operands=(x,)), one))
        ) if is_number(one, 1):
            return apply("softplus", x)
        case _:
            return None
