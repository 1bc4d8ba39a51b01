"""Which comment belongs to which line of a spec."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mixerc.frontend.syntax import BranchLine, Comment, Node, Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Remarks:
    """The comments of one line: those above it, and the one beside it."""

    above: tuple[str, ...] = ()
    beside: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """The remarks of each line, by the number it has in the text, and those below the last."""

    by_line: Mapping[int, Remarks] = field(default_factory=dict)
    below: tuple[str, ...] = ()

    def of(self, node: Node) -> Remarks:
        """The remarks of a statement, a clause of a branch, or the header."""
        return self.by_line.get(node.span.line, Remarks())


def attach(spec: Spec) -> Attached:
    """Each comment goes with the line that it stands beside, or else with the next one below."""
    places = sorted(_places(spec))
    starts = [first for first, _ in places]
    inside: dict[int, list[Comment]] = {first: [] for first in starts}
    before: dict[int, list[Comment]] = {first: [] for first in starts}
    below = []
    for comment in spec.comments:
        line = comment.span.line
        index = bisect_left(starts, line + 1) - 1
        if index >= 0 and line <= places[index][1]:
            inside[starts[index]].append(comment)
        elif index + 1 < len(starts):
            before[starts[index + 1]].append(comment)
        else:
            below.append(comment.text)
    by_line = {first: _remarks(before[first], inside[first]) for first in starts}
    return Attached(by_line=by_line, below=tuple(below))


def _places(spec: Spec) -> Iterator[tuple[int, int]]:
    """The first and the last line of each thing that can have remarks."""
    for node in (spec.header, *spec.statements):
        match node:
            case BranchLine(span=span, clauses=clauses):
                yield span.line, span.line
                yield from ((clause.span.line, clause.span.end_line) for clause in clauses)
            case _:
                yield node.span.line, node.span.end_line


def _remarks(before: list[Comment], inside: list[Comment]) -> Remarks:
    """A line has room for one comment beside it: the last; those before it move above."""
    last = max((index for index, each in enumerate(inside) if not each.alone), default=None)
    moved = [comment for index, comment in enumerate(inside) if index != last]
    return Remarks(
        above=tuple(comment.text for comment in (*before, *moved)),
        beside="" if last is None else inside[last].text,
    )
