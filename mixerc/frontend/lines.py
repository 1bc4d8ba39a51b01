"""What can be said of a text line by line, whether or not it parses."""

import re
from dataclasses import dataclass

from mixerc.diagnostics.span import Span
from mixerc.frontend.syntax import Comment

# A citation is the only string, and ends on its line; a `#` in it begins no comment.
CODE = re.compile(r'(?:[^"#\n]|"[^"\n]*"|"(?=[^"\n]*$))*')
STRING = re.compile(r'"[^"\n]*"?')
LAST_LEXEME = re.compile(r"([A-Za-z_0-9]+|//|[<>=!]=|[^\sA-Za-z_0-9])\s*\Z")
CONTINUES = re.compile(r"\s*(?:[|+\-*/%@^<>)\]]|[!=]=|(?:and|or)\b)")
PAIRS = {"(": ")", "[": "]"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """An opening bracket and where it stands, line and column counted from 1."""

    text: str
    line: int
    column: int


def code(line: str) -> str:
    """A line without its comment."""
    found = CODE.match(line)
    return line[: found.end()] if found else line


def comments(text: str, file: str) -> tuple[Comment, ...]:
    """The comments of a text, in order."""
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        before = code(line)
        written = line[len(before) :].rstrip()
        if written:
            start = len(before) + 1
            span = Span(
                file=file,
                line=number,
                column=start,
                end_line=number,
                end_column=start + len(written),
            )
            found.append(Comment(span=span, text=written, alone=not before.strip()))
    return tuple(found)


def last_lexeme(text: str) -> str:
    """The word or sign that a text ends with; "" where it has none."""
    for line in reversed(text.split("\n")):
        if found := LAST_LEXEME.search(code(line)):
            return found[1]
    return ""


def open_brackets(lines: list[str], line: int, column: int) -> list[Bracket]:
    """The brackets that stand open at a place, the innermost last.

    The kinds are not compared: an input's range (0, 1] closes with either.
    """
    stack: list[Bracket] = []
    before = [*lines[: line - 1], lines[line - 1][: column - 1]] if line <= len(lines) else lines
    for number, content in enumerate(before, start=1):
        in_string = False
        for place, sign in enumerate(code(content), start=1):
            in_string ^= sign == '"'
            if sign in PAIRS and not in_string:
                stack.append(Bracket(text=sign, line=number, column=place))
            elif sign in PAIRS.values() and not in_string and stack:
                stack.pop()
    return stack


def without_statement(text: str, line: int) -> str | None:
    """The text with the statement that stands at a line replaced by one without mistakes.

    None for the header, without which there is nothing to read.

    Where the statement ends is a guess, for its brackets may be what is wrong: at the next line
    that neither is indented deeper nor begins with an operator.
    """
    lines = text.split("\n")
    first = _first_line(lines, line - 1)
    if not any(code(above).strip() for above in lines[:first]):
        return None
    depth = indent(lines[first])
    after = line
    while after < len(lines) and (
        not code(lines[after]).strip()
        or indent(lines[after]) > depth
        or CONTINUES.match(lines[after])
    ):
        after += 1
    words = lines[first].split()
    if words[:1] == ["branch"]:
        after = max(first + 1, line)
    lines[first:after] = ["" for _ in lines[first:after]]
    if not "".join(words).startswith('"'):
        lines[first] = " " * depth + ("branch x" if words[:1] == ["branch"] else "mask full")
    return "\n".join(lines)


def _first_line(lines: list[str], last: int) -> int:
    """The index of the line that begins the statement of another."""
    first = depth = 0
    for index, line in enumerate(lines[: last + 1]):
        signs = STRING.sub('"', code(line))
        if depth == 0 and signs.strip() and not CONTINUES.match(line):
            first = index
        depth += sum(map(signs.count, PAIRS)) - sum(map(signs.count, PAIRS.values()))
        depth = max(depth, 0)
    return first


def indent(line: str) -> int:
    """How far a line is indented, tabs counted as 8."""
    expanded = line.expandtabs(8)
    return len(expanded) - len(expanded.lstrip())
