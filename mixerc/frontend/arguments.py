"""The arguments of steps: by position or by name, each taken once."""

from dataclasses import dataclass, replace
from fractions import Fraction

from mixerc.frontend import errors, errors_layer, syntax
from mixerc.frontend.arithmetic import numbers
from mixerc.frontend.scope import POISON, SIZE, Check, Scope, init_place, poisoned
from mixerc.ir.expr import Expr
from mixerc.ir.sorts import Sort


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a step takes: `positional` come in order, those of `named` also by name."""

    positional: tuple[str, ...] = ()
    named: tuple[str, ...] = ()


def bind_arguments(
    scope: Scope, step: syntax.Name | syntax.Call, signature: Signature
) -> dict[str, syntax.Expr] | None:
    """The arguments by name; None, reported, where they do not fit."""
    if isinstance(step, syntax.Name):
        return {}
    if step.axis:
        scope.report(errors_layer.axis_bracket(step.id_span, step.id))
        return None
    most = len(signature.positional)
    if len(step.arguments) > most:
        wanted = f"{most or 'no'} argument{'s' if most != 1 else ''} without a name"
        scope.report(errors_layer.argument_count(step.span, step.id, wanted, len(step.arguments)))
        return None
    bound = dict(zip(signature.positional, step.arguments, strict=False))
    for keyword in step.keywords:
        if keyword.name not in signature.named:
            scope.report(
                errors_layer.unknown_argument(keyword.span, step.id, keyword.name, signature.named)
            )
            return None
        if keyword.name in bound:
            scope.report(errors_layer.repeated_argument(keyword.span, keyword.name))
            return None
        bound[keyword.name] = keyword.value
    return bound


def size_argument(
    scope: Scope, arguments: dict[str, syntax.Expr], name: str, check: Check
) -> Expr | None:
    """An argument made of sizes, or None where it is not given."""
    if name not in arguments:
        return None
    size = check(scope, SIZE, arguments[name])
    return size if numbers(scope, name, size, real=True) else POISON


def count_argument(
    scope: Scope, arguments: dict[str, syntax.Expr], name: str, check: Check
) -> Expr | None:
    """An argument that counts features, groups or tokens, or None where it is not given."""
    count = size_argument(scope, arguments, name, check)
    return None if count is None else scope.count(count)


def initial_value(
    scope: Scope, arguments: dict[str, syntax.Expr], name: str, target: Sort, check: Check
) -> Expr | None:
    """`bias` or `init`: an initial value that fills the target."""
    if name not in arguments:
        return None
    written = arguments[name]
    target = replace(target, times=frozenset())
    value = check(scope, init_place(target), written)
    if not numbers(scope, name, value, real=True):
        return POISON
    if not set(value.sort.axes) <= set(target.axes):
        return scope.report(errors.initial_value_axes(written.span, name, target, value.sort))
    return value


def number_argument(
    scope: Scope, arguments: dict[str, syntax.Expr], name: str, default: Fraction
) -> Fraction:
    """An argument that must be a literal number."""
    match arguments.get(name):
        case None:
            return default
        case syntax.Number(value=value):
            return value
        case written:
            scope.report(errors_layer.argument_value(written.span, name, "a plain number"))
            return default


def flag_argument(
    scope: Scope, arguments: dict[str, syntax.Expr], name: str, *, default: bool
) -> bool:
    """An argument that is on (1) or off (0)."""
    match arguments.get(name):
        case None:
            return default
        case syntax.Number(value=value) if value in (0, 1):
            return value == 1
        case written:
            scope.report(errors_layer.argument_value(written.span, name, "0 or 1"))
            return default


def any_poisoned(*exprs: Expr | None) -> bool:
    """True if one of the given arguments comes from a mistake."""
    return poisoned(*(expr for expr in exprs if expr is not None))
