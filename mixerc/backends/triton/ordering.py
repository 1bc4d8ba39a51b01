"""The order of a kernel's statements in which few tiles live at once.

Statements come in the order in which their values were asked for, which keeps some tiles waiting
for long. From the last one back, that statement goes next whose operands are alive already.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mixerc.backends.triton.pressure import NAME, most_held
from mixerc.backends.triton.values import Dims, places_of

_MADE = re.compile(r"^\s*(\w+) (?:=|\+=) ", re.MULTILINE)
_UPDATED = re.compile(r"^\s*(\w+) (?:\+= |= tl\.maximum\(\1,)", re.MULTILINE)
_STEP = "    "
_PLACES = 32
"""Places of an axis of the spec for which the order is best."""


@dataclass(frozen=True, slots=True, eq=False)
class _Statement:
    """Its lines (a loop's with all that is inside), and the variables that it makes and reads;
    a total that it adds to is both."""

    lines: tuple[str, ...]
    made: frozenset[str]
    read: frozenset[str]


def ordered(lines: Sequence[str], dims: Mapping[str, Dims], chunk: int) -> tuple[str, ...]:
    """The lines in the better one of two orders: as they came, or from the last one back."""
    statements = [_statement(_inside(group, dims, chunk)) for group in statements_of(lines)]
    found = tuple(line for s in _backwards(statements, dims, chunk) for line in s.lines)
    before, after = (most_held(x, dims, chunk, _PLACES) for x in (lines, found))
    return found if after < before else tuple(lines)


def statements_of(lines: Sequence[str]) -> Iterable[tuple[str, ...]]:
    """Statements as groups of lines: what is indented, or closes a bracket, goes on."""
    group: list[str] = []
    for line in lines:
        if group and not line.startswith((" ", ")", "]")):
            yield tuple(group)
            group = []
        group.append(line)
    if group:
        yield tuple(group)


def _inside(lines: tuple[str, ...], dims: Mapping[str, Dims], chunk: int) -> tuple[str, ...]:
    """A statement's lines; those within a loop in an order of their own."""
    head, *rest = lines
    if not head.startswith("for "):
        return lines
    inner = ordered([line.removeprefix(_STEP) for line in rest], dims, chunk)
    return (head, *(f"{_STEP}{line}" for line in inner))


def _statement(lines: tuple[str, ...]) -> _Statement:
    text = "\n".join(lines)
    made, updated = set(_MADE.findall(text)), set(_UPDATED.findall(text))
    read = set(NAME.findall(text)) - (made - updated)
    return _Statement(lines, frozenset(made), frozenset(read))


def _backwards(
    statements: Sequence[_Statement], dims: Mapping[str, Dims], chunk: int
) -> list[_Statement]:
    """The statements in a new order that keeps every dependence."""
    waiting = {s: _followers(s, statements[i + 1 :]) for i, s in enumerate(statements)}
    place = {s: i for i, s in enumerate(statements)}
    alive: set[str] = set()
    order: list[_Statement] = []

    def weight(names: Iterable[str]) -> int:
        return sum(places_of(dims[name], chunk, _PLACES) for name in names if name in dims)

    def growth(statement: _Statement) -> tuple[int, int]:
        freed = (statement.made & alive) - statement.read
        return weight(statement.read - alive) - weight(freed), -place[statement]

    while waiting:
        ready = [s for s, followers in waiting.items() if not followers & waiting.keys()]
        chosen = min(ready, key=growth)
        del waiting[chosen]
        alive = (alive - chosen.made) | chosen.read
        order.append(chosen)
    return order[::-1]


def _followers(statement: _Statement, later: Sequence[_Statement]) -> set[_Statement]:
    """What has to stay behind a statement: readers of what it makes, makers of what it reads."""
    return {
        other
        for other in later
        if statement.made & (other.read | other.made) or other.made & statement.read
    }
