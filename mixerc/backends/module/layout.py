"""Breaks long lines of generated Python at their brackets, as a formatter would."""

import ast
from collections.abc import Iterable, Iterator
from itertools import pairwise

_WIDTH = 96
_LEVELS = ((ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.BitOr,), (ast.BitAnd,))
_OPEN, _CLOSE = "([{", ")]}"


def laid_out(statement: str, indent: int, comment: str = "") -> tuple[str, ...]:
    """A statement as lines that fit behind `indent` columns; the comment at its end, or above."""
    room = _WIDTH - indent
    behind = f"{statement}  # {comment}"
    if comment and len(behind) <= room:
        return (behind,)
    above = (f"# {comment}",) if comment else ()
    return (*above, *(_in_brackets(statement, room) or _broken(statement, room)))


def packed(start: str, items: Iterable[str], end: str, indent: int) -> tuple[str, ...]:
    """A call or a head of a function with many short items: as many on a line as fit."""
    rows: list[str] = []
    for item in items:
        if rows and len(rows[-1]) + len(item) + 2 <= _WIDTH - indent - 4:
            rows[-1] += f" {item},"
        else:
            rows.append(f"{item},")
    together = f"{start}{' '.join(rows).removesuffix(',')}{end}"
    if len(together) <= _WIDTH - indent:
        return (together,)
    return (start, *(f"    {row}" for row in rows), end)


def _in_brackets(statement: str, room: int) -> tuple[str, ...]:
    """An assignment of a long sum or product: brackets, and a line for each part."""
    if len(statement) <= room or statement.endswith(":"):
        return ()
    node = ast.parse(statement).body[0]
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.BinOp):
        return ()
    left, _, right = statement.partition(" = ")
    parts = (right,) if len(right) <= room - 4 else tuple(_operands(right))
    lines = [line for part in parts for line in _broken(part, room - 4)]
    return (f"{left} = (", *(f"    {line}" for line in lines), ")")


def _operands(text: str) -> Iterator[str]:
    """The operands of a sum or product, each with the operator before it."""
    node = ast.parse(text, mode="eval").body
    kinds = next((k for k in _LEVELS if isinstance(node, ast.BinOp) and isinstance(node.op, k)), ())
    cuts = [len(text)]
    while isinstance(node, ast.BinOp) and isinstance(node.op, kinds):
        gap = text.encode()[: node.right.col_offset].decode()
        cuts.insert(0, gap.rstrip("( ").rfind(" ") + 1)
        node = node.left
    for start, end in pairwise((0, *cuts)):
        yield text[start:end].strip()


def _broken(text: str, room: int) -> tuple[str, ...]:
    if len(text) <= room:
        return (text,)
    bracket = _outermost(text)
    if bracket is None:
        return (text,)
    start, end = bracket
    inside = text[start + 1 : end].strip()
    trailing = inside.endswith(",")
    parts = _pieces(inside.removesuffix(","))
    lines = [text[: start + 1]]
    for part in parts:
        comma = "," if trailing or len(parts) > 1 else ""
        broken = _broken(part, room - 4 - len(comma))
        lines += [f"    {line}" for line in broken[:-1]] + [f"    {broken[-1]}{comma}"]
    return (*lines, text[end:])


def _outermost(text: str) -> tuple[int, int] | None:
    """The longest pair of brackets that stands in no other."""
    pairs: list[tuple[int, int]] = []
    depth, start = 0, 0
    for place, char in enumerate(text):
        if char in _OPEN:
            depth, start = depth + 1, place if depth == 0 else start
        elif char in _CLOSE:
            depth -= 1
            if depth == 0:
                pairs.append((start, place))
    return max(pairs, key=lambda pair: pair[1] - pair[0], default=None)


def _pieces(text: str) -> list[str]:
    """The text cut at the commas that stand in no brackets and in no string."""
    pieces, depth, last, quoted = [], 0, 0, False
    for place, char in enumerate(text):
        quoted ^= char == '"'
        depth += (char in _OPEN) - (char in _CLOSE)
        if char == "," and depth == 0 and not quoted:
            pieces.append(text[last:place].strip())
            last = place + 1
    return [*pieces, text[last:].strip()]


def tuple_text(items: list[str]) -> str:
    """A tuple of some expressions."""
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
