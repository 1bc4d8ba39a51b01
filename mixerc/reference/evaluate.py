"""The value of an expression, given what the names in it stand for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from mixerc.ir.expr import (
    Apply,
    Arange,
    Concat,
    Contract,
    Conv,
    Draw,
    Expr,
    FirstLayer,
    Fold,
    Glu,
    Item,
    Linear,
    Norm,
    Number,
    Position,
    Read,
    Reduce,
    Repeat,
    Rope,
    Size,
    TimeSum,
    UseBlock,
    UseMixer,
)
from mixerc.ir.sorts import Axis, Time
from mixerc.reference import named
from mixerc.reference.domain import Domain
from mixerc.reference.named import HEADS, KEYS, Named
from mixerc.reference.sizes import Sizes, length

Step: TypeAlias = (
    Draw | Linear | Conv | Norm | Rope | Glu | FirstLayer | UseBlock | UseMixer | Repeat
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an expression may read.

    `read` finds a name at a time and `position` the time itself; `step` computes layers, draws
    and uses, which only some places allow. `local` are the variables of surrounding folds, and
    `index` their places along the axes folded over. `tokens` is the length `T`.
    """

    domain: Domain
    sizes: Sizes
    read: Callable[[str, Time], Named]
    position: Callable[[Time], Named]
    step: Callable[["Scope", Step], Named]
    tokens: int = 0
    local: Mapping[str, Named] = field(default_factory=dict)
    index: Mapping[Axis, int] = field(default_factory=dict)


def no_step(scope: Scope, step: Step) -> Named:
    """For places where no layer stands."""
    raise ValueError(f"{type(step).__name__} cannot stand here: the core has no layers or draws")


def evaluate(expr: Expr, scope: Scope) -> Named:
    """The value of an expression; operands left to right, sources before their steps."""
    match expr:
        case Number() | Size() | Position() | Arange():
            return _leaf(expr, scope)
        case Read():
            return _read(expr, scope)
        case Apply(primitive=primitive, operands=operands):
            return named.apply(scope.domain, primitive, _together(operands, scope))
        case Contract(left_axis=left_axis, right_axis=right_axis):
            left, right = _together((expr.left, expr.right), scope)
            return named.contract(scope.domain, left, right, left_axis, right_axis)
        case Reduce(reduction=reduction, axis=axis, operand=operand):
            return named.reduce(scope.domain, reduction, evaluate(operand, scope), axis)
        case TimeSum():
            return _time_sum(expr, scope)
        case Fold():
            return _fold(expr, scope)
        case Item(source=source, axis=axis, index=index):
            return evaluate(source, replace(scope, index={**scope.index, axis: index}))
        case Concat():
            return _concat(expr, scope)
        case _:
            return scope.step(scope, expr)


def _together(operands: tuple[Expr, ...], scope: Scope) -> list[Named]:
    values = [evaluate(operand, scope) for operand in operands]
    heads = length(scope.sizes, "heads") if "heads" in scope.sizes else None
    return named.meet_heads(scope.domain, values, heads)


def _leaf(expr: Number | Size | Position | Arange, scope: Scope) -> Named:
    domain = scope.domain
    match expr:
        case Number(value=value):
            return Named(domain.number(value), ())
        case Size(name="head"):
            return Named(domain.arange(length(scope.sizes, "heads")), (HEADS,))
        case Size(name="T"):
            return Named(domain.number(scope.tokens), ())
        case Size(name="pi"):
            return Named(domain.primitives["pi"](), ())
        case Size(name=name):
            if name not in scope.sizes:
                raise ValueError(f"the size {name} is not known: give it by name")
            return Named(domain.number(scope.sizes[name]), ())
        case Position(time=time):
            return scope.position(time)
        case Arange(axis=axis):
            return _at_index(Named(domain.arange(length(scope.sizes, axis)), (axis,)), scope)


def _read(expr: Read, scope: Scope) -> Named:
    if expr.name in scope.local:
        return scope.local[expr.name]
    return _at_index(scope.read(expr.name, expr.time), scope)


def _at_index(value: Named, scope: Scope) -> Named:
    """Inside a fold a value is taken at the current index of the axis."""
    for axis, index in scope.index.items():
        if axis in value.dims:
            value = named.select(scope.domain, value, axis, index)
    return value


def _time_sum(expr: TimeSum, scope: Scope) -> Named:
    keys = scope.position(Time.S)
    operand = evaluate(expr.operand, scope)
    spread = named.spread(scope.domain, operand, KEYS, keys.size(KEYS))
    return named.reduce(scope.domain, "sum", spread, KEYS)


def _fold(expr: Fold, scope: Scope) -> Named:
    value = evaluate(expr.start, scope)
    for index in range(length(scope.sizes, expr.axis)):
        inner = replace(
            scope,
            local={**scope.local, expr.variable: value},
            index={**scope.index, expr.axis: index},
        )
        value = evaluate(expr.next, inner)
    return value


def _concat(expr: Concat, scope: Scope) -> Named:
    """Each part brings its own axis, which becomes a stretch of the result's."""
    parts = []
    for part, value in zip(expr.parts, _together(expr.parts, scope), strict=True):
        own = [axis for axis in part.sort.axes if axis not in expr.sort.axes] or [expr.axis]
        parts.append(named.rename(value, own[0], expr.axis))
    return named.concat(scope.domain, parts, expr.axis)
