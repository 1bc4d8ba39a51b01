"""Operators and scalar functions on checked operands: the broadcasting and contraction rules."""

from mixerc.diagnostics.span import Span
from mixerc.frontend import errors
from mixerc.frontend.rules import (
    COMPLEX_OPERANDS,
    CONDITIONS,
    contracted_pairs,
    join_heads,
    join_kinds,
    join_times,
    union_axes,
    widest_axes,
)
from mixerc.frontend.scope import POISON, Scope, poisoned
from mixerc.ir.expr import Apply, Contract, Expr
from mixerc.ir.sorts import FEATURES, Axis, Heads, Kind, Sort

OPERATORS = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "//": "floordiv",
    "%": "mod",
    "^": "pow",
    "<": "lt",
    "<=": "le",
    ">": "gt",
    ">=": "ge",
    "==": "eq",
    "!=": "ne",
}
SYMBOLS = {primitive: symbol for symbol, primitive in OPERATORS.items()}


def apply(scope: Scope, primitive: str, operands: tuple[Expr, ...], span: Span) -> Expr:
    """A scalar primitive with the sort that its operands give it."""
    if poisoned(*operands) or not _kinds_fit(scope, primitive, operands):
        return POISON
    heads = common_heads(scope, operands, span)
    axes = _common_axes(scope, primitive, operands, span)
    if heads is None or axes is None:
        return POISON
    kind = join_kinds(primitive, operands)
    sort = Sort(axes=axes, kind=kind, heads=heads, times=join_times(operands))
    return Apply(primitive=primitive, operands=operands, sort=sort, span=span)


def common_heads(scope: Scope, operands: tuple[Expr, ...], span: Span) -> Heads | None:
    """The heads of a result; None, reported, where two kinds of groups meet."""
    heads = join_heads(operands)
    if heads is None:
        groups = dict.fromkeys(each.sort.heads.group for each in operands if each.sort.heads.group)
        scope.report(errors.groups_differ(span, groups))
    return heads


def _common_axes(
    scope: Scope, primitive: str, operands: tuple[Expr, ...], span: Span
) -> tuple[Axis, ...] | None:
    with_axes = [operand for operand in operands if operand.sort.axes]
    if len(with_axes) > 1 and any(FEATURES in operand.sort.axes for operand in with_axes):
        scope.report(errors.unnamed_features(span))
        return None
    if primitive == "mul":
        return union_axes(operands)
    axes = widest_axes(operands)
    if axes is None:
        sorts = tuple(operand.sort for operand in operands)
        scope.report(errors.axes_do_not_meet(span, SYMBOLS.get(primitive, primitive), sorts))
    return axes


def _kinds_fit(scope: Scope, primitive: str, operands: tuple[Expr, ...]) -> bool:
    name = SYMBOLS.get(primitive, primitive)
    fits = True
    for position, operand in enumerate(operands):
        condition = operand.sort.kind == Kind.BOOL
        if primitive in CONDITIONS or (primitive == "where" and position == 0):
            if not condition:
                scope.report(errors.number_operand(operand.span, name))
                fits = False
        elif condition and not _takes_conditions(primitive, operands):
            scope.report(errors.bool_operand(operand.span, name))
            fits = False
        elif operand.sort.kind == Kind.COMPLEX and primitive not in COMPLEX_OPERANDS:
            scope.report(errors.complex_operand(operand.span, name))
            fits = False
    return fits


def _takes_conditions(primitive: str, operands: tuple[Expr, ...]) -> bool:
    """`a == b` and `where(c, a, b)` also of two conditions."""
    chosen = operands[-2:]
    return primitive in ("eq", "ne", "where") and all(
        operand.sort.kind == Kind.BOOL for operand in chosen
    )


def numbers(scope: Scope, name: str, *operands: Expr, real: bool = False) -> bool:
    """True if these are numbers (real ones, if asked); reports what is not."""
    fits = not poisoned(*operands)
    for operand in operands:
        if operand.sort.kind == Kind.BOOL:
            scope.report(errors.bool_operand(operand.span, name))
            fits = False
        elif real and operand.sort.kind == Kind.COMPLEX:
            scope.report(errors.complex_operand(operand.span, name))
            fits = False
    return fits


def contract(scope: Scope, left: Expr, right: Expr, span: Span) -> Expr:
    """`left @ right`: over the one axis that both have; `N'` of one side meets `N` of the other."""
    if not numbers(scope, "@", left, right):
        return POISON
    pairs = contracted_pairs(left.sort.axes, right.sort.axes)
    heads = common_heads(scope, (left, right), span)
    if heads is None:
        return POISON
    if len(pairs) != 1:
        return scope.report(errors.contraction_axes(span, left.sort, right.sort, pairs))
    left_axis, right_axis = pairs[0]
    axes = tuple(axis for axis in left.sort.axes if axis != left_axis)
    axes += tuple(axis for axis in right.sort.axes if axis != right_axis)
    sort = Sort(
        axes=axes,
        kind=join_kinds("mul", (left, right)),
        heads=heads,
        times=join_times((left, right)),
    )
    return Contract(
        left=left, right=right, left_axis=left_axis, right_axis=right_axis, sort=sort, span=span
    )
