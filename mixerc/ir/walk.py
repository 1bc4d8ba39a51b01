"""Children of expressions: the one place that knows which fields of a node are expressions."""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from mixerc.ir.expr import Expr, Node
from mixerc.ir.mixer import Core, Mixer


def children(expr: Expr) -> Iterator[Expr]:
    """The direct operands of a node, left to right as written."""
    for field in fields(expr):
        yield from _expressions(getattr(expr, field.name))


def _expressions(value: Any) -> Iterator[Expr]:
    if isinstance(value, Node):
        yield value  # type: ignore[misc]
    elif isinstance(value, tuple):
        for item in value:
            yield from _expressions(item)


def walk(expr: Expr) -> Iterator[Expr]:
    """Every node of an expression, operands before the node that holds them."""
    for child in children(expr):
        yield from walk(child)
    yield expr


def map_children(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The node with `change` applied to each direct operand; its sort is kept."""
    changed = {
        field.name: _changed(getattr(expr, field.name), change)
        for field in fields(expr)
        if field.name not in ("sort", "span")
    }
    return replace(expr, **changed)


def _changed(value: Any, change: Callable[[Expr], Expr]) -> Any:
    if isinstance(value, Node):
        return change(value)  # type: ignore[arg-type]
    if isinstance(value, tuple):
        return tuple(_changed(item, change) for item in value)
    return value


def core_expressions(core: Core) -> Iterator[Expr]:
    """The expressions of a core, but for its masks."""
    for branch in core.branches:
        yield branch.weight
        yield branch.value
        yield from (e for e in (branch.decay, branch.normalize) if e is not None)
    for line in core.lines:
        yield line.expr
    yield core.output.expr


def map_core(mixer: Mixer, change: Callable[[Expr], Expr]) -> Mixer:
    """The mixer with `change` applied to every expression of its core."""
    core = mixer.core

    def maybe(expr: Expr | None) -> Expr | None:
        return None if expr is None else change(expr)

    branches = tuple(
        replace(
            branch,
            mask=change(branch.mask),
            weight=change(branch.weight),
            value=change(branch.value),
            decay=maybe(branch.decay),
            normalize=maybe(branch.normalize),
        )
        for branch in core.branches
    )
    lines = tuple(replace(line, expr=change(line.expr)) for line in core.lines)
    output = replace(core.output, expr=change(core.output.expr))
    return replace(mixer, core=replace(core, branches=branches, lines=lines, output=output))
