"""Takes from a file of helpers just the functions and classes that a generated file uses."""

import ast
from collections.abc import Iterable


def needed(source_text: str, names: Iterable[str]) -> str:
    """The top-level definitions of the source that are named, and what these use, in its order.

    A top-level call (a registration) comes along with the definitions it mentions.
    """
    statements = ast.parse(source_text).body
    defined = {name: node for node in statements for name in _defined(node)}
    wanted = _closure(frozenset(names) & defined.keys(), defined)
    kept = [node for node in statements if _is_kept(node, wanted, defined.keys())]
    return "\n\n".join(f"{_segment(source_text, node)}\n" for node in kept)


def used_names(text: str) -> frozenset[str]:
    """Every name that a piece of Python text mentions."""
    return _names(ast.parse(text))


def _defined(node: ast.stmt) -> tuple[str, ...]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case ast.Assign(targets=[ast.Name(id=name)]):
            return (name,)
        case _:
            return ()


def _names(node: ast.AST) -> frozenset[str]:
    return frozenset(part.id for part in ast.walk(node) if isinstance(part, ast.Name))


def _closure(names: frozenset[str], defined: dict[str, ast.stmt]) -> frozenset[str]:
    """The names and all that their definitions use."""
    used = names.union(*(_names(defined[name]) & defined.keys() for name in names))
    return names if used == names else _closure(used, defined)


def _is_kept(node: ast.stmt, wanted: frozenset[str], defined: Iterable[str]) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        mentioned = _names(node) & frozenset(defined)
        return bool(mentioned) and mentioned <= wanted
    return any(name in wanted for name in _defined(node))


def _segment(source_text: str, node: ast.stmt) -> str:
    """The text of a statement with its decorators."""
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(part.lineno for part in decorators)])
    return "\n".join(source_text.splitlines()[first - 1 : node.end_lineno])
