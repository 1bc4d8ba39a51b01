"""What the defaults of a header are worth, as far as it is known before a layer is built.

What depends on `d_model` or `heads` is only refused where no layer could have it.
"""

from collections.abc import Mapping
from fractions import Fraction

from mixerc.frontend import errors_sizes
from mixerc.frontend.arithmetic import SYMBOLS
from mixerc.frontend.rules import SETTABLE
from mixerc.frontend.scope import Scope, poisoned
from mixerc.ir.expr import Apply, Concat, Expr, Number, Size
from mixerc.ir.interval import Interval
from mixerc.ir.mixer import SizeDef
from mixerc.ir.ranges import range_of
from mixerc.ir.walk import walk

OPERATIONS = ("neg", "add", "sub", "mul", "div", "floordiv", "mod", "pow")
ARITHMETIC = frozenset({*OPERATIONS, "max", "min", "sqrt", "exp", "log"})
LONGEST = 2**31
LARGEST = Fraction(10) ** 300


def check_sizes(scope: Scope, sizes: tuple[SizeDef, ...]) -> None:
    """Report defaults without a value, and lengths that nothing can have.

    A size whose default is refused counts as unknown in those that read it.
    """
    known: dict[str, Interval] = {}
    for size in sizes:
        default = size.default
        if default is None or poisoned(default) or not _has_value(scope, default, known):
            continue
        found = range_of(default, known)
        if _legal(scope, size.name, default, found):
            known[size.name] = found
    for joined in scope.joined:
        _check_joined(scope, joined, known)


def _check_joined(scope: Scope, joined: Concat, known: Mapping[str, Interval]) -> None:
    """The parts fill the whole, as far as their lengths are known."""
    axes = [part.sort.axes[0] for part in joined.parts]
    *parts, whole = [known.get(axis.rstrip("'")) for axis in (*axes, joined.axis)]
    lengths = [length.point for length in parts if length is not None]
    exact = [length for length in lengths if length is not None]
    if whole is None or whole.point is None or len(exact) < len(parts):
        return
    if sum(exact) != whole.point:
        total = " + ".join(axes)
        scope.report(
            errors_sizes.concat_lengths(joined.span, total, sum(exact), joined.axis, whole.point)
        )


def _has_value(scope: Scope, default: Expr, known: Mapping[str, Interval]) -> bool:
    before = len(scope.diagnostics)
    for node in walk(default):
        match node:
            case Number() | Size():
                pass
            case Apply(primitive=primitive) if primitive in ARITHMETIC:
                _check_operands(scope, node, [range_of(each, known) for each in node.operands])
            case _:
                name = node.primitive if isinstance(node, Apply) else ""
                written = f"`{SYMBOLS.get(name, name)}`" if name else "this"
                scope.report(errors_sizes.size_form(node.span, written))
                return False
    return len(scope.diagnostics) == before


def _check_operands(scope: Scope, node: Apply, ranges: list[Interval]) -> None:
    match node.primitive, ranges:
        case "div" | "floordiv" | "mod", [_, Interval(point=0)]:
            scope.report(errors_sizes.division_by_zero(node.operands[1].span))
        case "pow", [Interval(point=0), exponent] if exponent.high < 0:
            scope.report(errors_sizes.division_by_zero(node.operands[0].span))
        case "pow", [base, Interval(point=Fraction() as exponent)] if (
            base.high < 0 and exponent.denominator > 1
        ):
            wanted = "of at least 0, or take a whole power"
            scope.report(errors_sizes.size_without_value(node.span, "^", wanted))
        case "sqrt", [operand] if operand.high < 0:
            scope.report(errors_sizes.size_without_value(node.span, "sqrt", "of at least 0"))
        case "log", [operand] if operand.high <= 0:
            scope.report(errors_sizes.size_without_value(node.span, "log", "above 0"))


def _legal(scope: Scope, name: str, default: Expr, found: Interval) -> bool:
    """Whether a length is a whole number from 1 to the longest, a constant not negative."""
    length = name in scope.lengths | SETTABLE
    most, shown = (LONGEST, "2^31") if length else (LARGEST, "1e300")
    if found.high < 0 or (length and found.high == 0):
        value = f"{'' if found.point is not None else 'at most '}{found.high}"
        scope.report(errors_sizes.size_not_positive(default.span, name, value, length=length))
    elif found.low > most:
        scope.report(errors_sizes.size_too_large(default.span, name, shown))
    elif length and (found.high < 1 or (found.point or Fraction(1)).denominator > 1):
        value = "less than 1" if found.point is None else str(found.point)
        near = max(round(found.point or 1), 1)
        scope.report(errors_sizes.size_not_whole(default.span, name, value, near))
    else:
        return True
    return False
