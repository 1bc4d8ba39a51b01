"""Takes from a file of helpers just the functions and classes that a generated file uses."""

import ast
import symtable
from collections.abc import Iterable


def needed(source_text: str, names: Iterable[str]) -> str:
    """The top-level definitions of the source that are named, and what these use, in its order.

    A top-level call (a registration) comes along with the definitions it mentions.
    """
    statements = [(node, _segment(source_text, node)) for node in ast.parse(source_text).body]
    defined = {name: text for node, text in statements for name in _defined(node)}
    wanted = _closure(frozenset(names) & defined.keys(), defined)
    kept = [text for node, text in statements if _is_kept(node, text, wanted, defined.keys())]
    return "\n\n".join(f"{text}\n" for text in kept)


def used_names(text: str) -> frozenset[str]:
    """Every name that a piece of Python text takes from outside its functions: a variable of a
    function that is called as a helper is does not mention the helper."""
    return _mentioned(symtable.symtable(text, "<text>", "exec"))


def _mentioned(table: symtable.SymbolTable) -> frozenset[str]:
    outside = table.get_type() == "module"
    own = (s for s in table.get_symbols() if s.is_referenced() and (outside or s.is_global()))
    inner = (_mentioned(child) for child in table.get_children())
    return frozenset(symbol.get_name() for symbol in own).union(*inner)


def defined_names(text: str) -> frozenset[str]:
    """Every function, class and constant at the top of a piece of Python text."""
    return frozenset(name for node in ast.parse(text).body for name in _defined(node))


def _defined(node: ast.stmt) -> tuple[str, ...]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case ast.Assign(targets=[ast.Name(id=name)]):
            return (name,)
        case _:
            return ()


def _closure(names: frozenset[str], defined: dict[str, str]) -> frozenset[str]:
    """The names and all that their definitions use."""
    used = names.union(*(used_names(defined[name]) & defined.keys() for name in names))
    return names if used == names else _closure(used, defined)


def _is_kept(node: ast.stmt, text: str, wanted: frozenset[str], defined: Iterable[str]) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        mentioned = used_names(text) & frozenset(defined)
        return bool(mentioned) and mentioned <= wanted
    return any(name in wanted for name in _defined(node))


def _segment(source_text: str, node: ast.stmt) -> str:
    """The text of a statement with its decorators."""
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(part.lineno for part in decorators)])
    return "\n".join(source_text.splitlines()[first - 1 : node.end_lineno])
