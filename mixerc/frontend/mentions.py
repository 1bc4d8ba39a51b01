"""Which names a piece of a spec mentions, before anything is known about them."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from mixerc.diagnostics.span import Span
from mixerc.frontend import syntax


def mentions(node: Any) -> Iterator[tuple[str, Span]]:
    """Every name that is read: in expressions, in brackets, as a step, as an axis at the left."""
    match node:
        case syntax.Name():
            yield node.id, node.span
        case syntax.Indexed():
            yield node.id, node.id_span
        case syntax.Call():
            yield node.id, node.id_span
            yield node.axis.removesuffix("'"), node.id_span
        case syntax.AxisRef():
            yield node.name.removesuffix("'"), node.span
    yield from _inside(node)


def _inside(node: Any) -> Iterator[tuple[str, Span]]:
    if isinstance(node, tuple):
        for item in node:
            yield from mentions(item)
    elif is_dataclass(node) and not isinstance(node, Span):
        for field in fields(node):
            yield from mentions(getattr(node, field.name))


def sums_over_time(node: Any) -> bool:
    """True where `sum[s](…)` stands in it."""
    if isinstance(node, syntax.Call) and node.axis == "s":
        return True
    if isinstance(node, tuple):
        return any(sums_over_time(item) for item in node)
    if is_dataclass(node) and not isinstance(node, Span):
        return any(sums_over_time(getattr(node, field.name)) for field in fields(node))
    return False


def defined_names(spec: syntax.Spec) -> dict[str, Span]:
    """Every name that the spec defines anywhere, where it first does."""
    found: dict[str, Span] = {}
    for name, _, span in spec.header.sizes:
        found.setdefault(name, span)
    for statement in spec.statements:
        for name, span in _defined(statement):
            found.setdefault(name, span)
    return found


def _defined(statement: syntax.Statement) -> Iterator[tuple[str, Span]]:
    match statement:
        case syntax.Feature() | syntax.BlockLine():
            yield statement.name, statement.span
        case syntax.BranchLine():
            yield statement.name, statement.span
            for clause in statement.clauses:
                yield from _defined(clause)
        case syntax.Clause() | syntax.Recurrence():
            return
        case _:
            for declared in statement.declared:
                yield declared.name, declared.name_span
