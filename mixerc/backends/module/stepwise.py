"""A line as one statement where that is short, else as several that compute it from inside out."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from mixerc.backends.module.dimensions import TOKENS, Text, conformed, own_dims, unflattened
from mixerc.backends.module.expression import Scope, printed
from mixerc.ir.expr import Apply, Conv, Expr, Glu, Linear, Norm, Number, Read, Rope, Size
from mixerc.ir.sorts import Sort
from mixerc.ir.walk import walk

_SHORT = 76


def stepwise(name: str, expr: Expr, scope: Scope, sort: Sort) -> tuple[Text, tuple[str, ...]]:
    """The value under its name, with the dimensions of `sort`, and the statements that give it."""
    statements: list[str] = []
    done: dict[int, Text] = {}
    spine = _spine(expr)
    for inner, outer in pairwise(spine):
        attempt = printed(outer, _within(replace(scope, done=done), expr, outer))
        attempt = _settled(attempt, sort) if outer is expr else attempt
        if len(attempt.text) > _SHORT:
            value = printed(inner, _within(replace(scope, done=done), expr, inner))
            if value.text != name:
                statements.append(f"{name} = {value.text}")
            done[id(inner)] = replace(value, text=name)
    value = _settled(printed(expr, replace(scope, done=done)), sort)
    return replace(value, text=name), (*statements, f"{name} = {value.text}")


def _spine(expr: Expr) -> tuple[Expr, ...]:
    """From inside out, the nodes of which each needs only the one before it and simple values."""
    inner = _only_part(expr)
    return (expr,) if inner is None else (*_spine(inner), expr)


def _only_part(expr: Expr) -> Expr | None:
    match expr:
        case Linear(source=source) | Conv(source=source) | Norm(source=source):
            return source
        case Rope(source=source) | Glu(source=source):
            return source
        case Apply(operands=operands):
            parts = [operand for operand in operands if not _is_simple(operand)]
            return parts[0] if len(parts) == 1 else None
        case _:
            return None


def _is_simple(expr: Expr) -> bool:
    match expr:
        case Number() | Size() | Read():
            return True
        case Apply(operands=operands):
            return all(isinstance(operand, Number | Size) for operand in operands)
        case _:
            return False


def _within(scope: Scope, root: Expr, node: Expr) -> Scope:
    """The scope at a node of the spine: what a step takes in is not widened."""
    return replace(scope, wide=scope.wide and not _under_step(root, node))


def _under_step(root: Expr, node: Expr) -> bool:
    return any(
        part is not node and any(inner is node for inner in walk(part)) for part in _steps(root)
    )


def _steps(root: Expr) -> Iterator[Expr]:
    return (part for part in walk(root) if isinstance(part, Linear | Conv | Norm | Rope | Glu))


def _settled(value: Text, sort: Sort) -> Text:
    """A line's value with all heads and axes of its sort, in their order."""
    if value.number:
        return value
    tokens = tuple(dim for dim in TOKENS if dim in value.dims)
    return unflattened(conformed(value, (*tokens, *own_dims(sort))))
