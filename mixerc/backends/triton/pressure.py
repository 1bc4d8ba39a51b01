"""How many places of tiles a kernel's text holds at once: what decides how large its tiles may be.

A variable lives from the line that makes it to the last one that reads it, or to the end of a loop
that reads what was made before it. Registers follow from this, and a compiler that runs out of
them puts tiles into memory.
"""

import re
from collections.abc import Mapping, Sequence

from mixerc.backends.triton.values import COLUMN, ROW, ROWS, Dims, places_of

CALL, _INSIDE = "inverted(", 4
"""A function of our own, and the tiles that it holds beside what it is given."""
NAME = re.compile(r"[A-Za-z_]\w*")


def most_held(
    lines: Sequence[str],
    dims: Mapping[str, Dims],
    chunk: int,
    block: int,
    least: int = 1,
    whole: Dims = (),
    copies: int = 1,
) -> int:
    """The most places that live at one line, with `block` places of each axis of the spec.

    A tile counts for at least `least` places: where it has fewer, several threads hold the same.
    Of one with rows there are as many `copies`.
    """
    spans = _spans(lines, dims)
    held = [0] * (len(lines) + 1)
    for name, (first, last) in spans.items():
        places = places_of(dims[name], chunk, block, whole)
        places *= copies if set(dims[name]) & set(ROWS) else 1
        places = max(places, least) if len(dims[name]) > 1 else places
        for line in range(first, last + 1):
            held[line] += places
    inside = _INSIDE * places_of((ROW, COLUMN), chunk, block) * copies
    for number, text in enumerate(lines):
        held[number] += inside if CALL in text else 0
    return max(held)


def _spans(lines: Sequence[str], dims: Mapping[str, Dims]) -> dict[str, tuple[int, int]]:
    """The first and the last line of each tile's life."""
    spans: dict[str, tuple[int, int]] = {}
    loops = _loops(lines)
    for index, line in enumerate(lines):
        for name in set(NAME.findall(line)) & dims.keys():
            first = spans.get(name, (index, index))[0]
            ends = [stop for start, stop in loops if start <= index <= stop and first < start]
            spans[name] = (first, max([index, spans.get(name, (0, 0))[1], *ends]))
    return spans


def _loops(lines: Sequence[str]) -> list[tuple[int, int]]:
    """The first and the last line of each loop."""
    found = []
    for start, line in enumerate(lines):
        if line.lstrip().startswith("for "):
            depth = _depth(line)
            inside = [i for i in range(start + 1, len(lines)) if _depth(lines[i]) <= depth]
            found.append((start, (inside[0] if inside else len(lines)) - 1))
    return found


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
