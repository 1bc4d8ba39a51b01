"""`mixerc fmt`: one text for all who write the same spec, and its comments kept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mixerc.frontend import notation
from mixerc.frontend.order import Rank, ranked
from mixerc.frontend.syntax import BranchLine, Comment, Node, Spec, Statement

# The parts of a spec that an empty line separates.
SECTIONS = {
    Rank.INPUT: "given",
    Rank.CONSTANT: "given",
    Rank.PARAM: "given",
    Rank.STREAM: "streams",
    Rank.OUTPUT: "layer",
    Rank.LAST: "layer",
}
BESIDE = " " * 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Remarks:
    """The comments of one line: those above it, and the one beside it."""

    above: tuple[str, ...] = ()
    beside: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A statement, in lines of text that are aligned, and its comments."""

    text: str
    remarks: Remarks


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """Statements of one section; the clauses of a branch follow its first line, indented."""

    section: str
    statements: tuple[Statement, ...]


def format_spec(spec: Spec) -> str:
    """The canonical text of a spec."""
    remarks, last = _remarks(spec)
    blocks = [_header(spec, remarks)]
    paragraphs = list(_paragraphs(spec.statements))
    for above, paragraph in zip([None, *paragraphs], paragraphs, strict=False):
        text = "\n".join(_lines(paragraph, remarks))
        # An output that is a line by itself stands with the layer's.
        if above is not None and above.section == "core" and len(above.statements) == 1:
            is_pair = paragraph.section == "layer" and not isinstance(
                above.statements[0], BranchLine
            )
        else:
            is_pair = False
        if is_pair:
            blocks[-1] += "\n" + text
        else:
            blocks.append(text)
    if last:
        blocks.append("\n".join(last))
    return "\n\n".join(blocks) + "\n"
