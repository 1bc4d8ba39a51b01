"""Breaks long lines of generated Python at their brackets, as a formatter would."""

import ast

_WIDTH = 96
_OPEN, _CLOSE = "([{", ")]}"


def laid_out(statement: str, indent: int, comment: str = "") -> tuple[str, ...]:
    """A statement as lines that fit behind `indent` columns; the comment at its end, or above."""
    room = _WIDTH - indent
    behind = f"{statement}  # {comment}"
    if comment and len(behind) <= room:
        return (behind,)
    above = (f"# {comment}",) if comment else ()
    return (*above, *(_in_brackets(statement, room) or _broken(statement, room)))


def _in_brackets(statement: str, room: int) -> tuple[str, ...]:
    """An assignment of a sum or product that is only too long for one line gets brackets."""
    if len(statement) <= room or " = " not in statement:
        return ()
    node = ast.parse(statement).body[0]
    left, _, right = statement.partition(" = ")
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.BinOp):
        return ()
    return (f"{left} = (", f"    {right}", ")") if len(right) <= room - 4 else ()


def _broken(text: str, room: int) -> tuple[str, ...]:
    if len(text) <= room:
        return (text,)
    bracket = _outermost(text)
    if bracket is None:
        return (text,)
    start, end = bracket
    inside = text[start + 1 : end]
    parts = _pieces(inside)
    lines = [text[: start + 1]]
    for part in parts:
        comma = "," if len(parts) > 1 else ""
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
    """The text cut at the commas that stand in no brackets."""
    pieces, depth, last = [], 0, 0
    for place, char in enumerate(text):
        depth += (char in _OPEN) - (char in _CLOSE)
        if char == "," and depth == 0:
            pieces.append(text[last:place].strip())
            last = place + 1
    return [*pieces, text[last:].strip()]
