"""`mixerc fmt`: one text for all who write the same spec, its comments kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mixerc.frontend import notation
from mixerc.frontend.order import Rank, ranked
from mixerc.frontend.remarks import Attached, Remarks, attach
from mixerc.frontend.syntax import BranchLine, Define, Header, Spec, Statement

INDENT = "  "
BESIDE = " " * 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """Lines without an empty one between them."""

    section: str
    statements: tuple[Statement, ...]


def format_spec(spec: Spec) -> str:
    """The canonical text of a spec."""
    remarks = attach(spec)
    paragraphs = _paragraphs(spec.statements)
    text = _header(spec.header, remarks.of(spec.header))
    for above, paragraph in pairwise([None, *paragraphs]):
        assert paragraph is not None
        text += "" if above and _stand_together(above, paragraph) else "\n"
        text += "".join(f"{line}\n" for line in _lines(paragraph, remarks))
    return text + "".join(f"\n{comment}" for comment in remarks.below) + "\n" * bool(remarks.below)


def _header(header: Header, remarks: Remarks) -> str:
    lines = _commented([notation.header(header)], [remarks])
    citation = [f'"{line}"' for line in header.citation]
    return "".join(f"{line}\n" for line in [*lines, *citation])


def _section(rank: Rank) -> str:
    if rank <= Rank.PARAM:
        return "given"
    if rank <= Rank.STREAM:
        return "streams"
    return "core" if rank <= Rank.CORE else "layer"


def _paragraphs(statements: Sequence[Statement]) -> list[Paragraph]:
    """The lines in their order, cut where a section ends; a branch is a paragraph by itself."""
    result: list[Paragraph] = []
    for rank, statement in ranked(statements):
        section = "branch" if rank is Rank.BRANCH else _section(rank)
        joined: tuple[Statement, ...] = (statement,)
        if result and result[-1].section == section != "branch":
            joined = (*result.pop().statements, statement)
        result.append(Paragraph(section=section, statements=joined))
    return result


def _stand_together(above: Paragraph, below: Paragraph) -> bool:
    """An output that is a line by itself stands with the layer's."""
    match above.statements:
        case (Define(),):
            return above.section == "core" and below.section == "layer"
        case _:
            return False


def _lines(paragraph: Paragraph, remarks: Attached) -> Iterator[str]:
    statements = paragraph.statements
    yield from _commented(_aligned(statements), [remarks.of(each) for each in statements])
    for statement in statements:
        match statement:
            case BranchLine(clauses=clauses):
                lines = _commented(_aligned(clauses), [remarks.of(each) for each in clauses])
                yield from (INDENT + line for line in lines)
            case _:
                pass


def _aligned(statements: Sequence[Statement]) -> list[str]:
    """The statements as text: keywords of clauses padded, `=` below `=`."""
    parts = [notation.parts(statement) for statement in statements]
    word = max(len(keyword) for keyword, _, _ in parts)
    side = max(len(left) for _, left, _ in parts)
    texts = []
    for keyword, left, right in parts:
        if keyword:
            texts.append(f"{keyword:<{word}} {right}")
        elif left:
            texts.append(f"{left:<{side}} = {right}")
        else:
            texts.append(right)
    return texts


def _commented(texts: Sequence[str], remarks: Sequence[Remarks]) -> list[str]:
    """The lines with their comments; those beside adjacent lines begin in one column."""
    widths = _widths(texts, remarks)
    lines: list[str] = []
    for text, remark, width in zip(texts, remarks, widths, strict=True):
        *first, last = text.split("\n")
        lines += [*remark.above, *first]
        lines.append(f"{last:<{width}}{BESIDE}{remark.beside}" if remark.beside else last)
    return lines


def _widths(texts: Sequence[str], remarks: Sequence[Remarks]) -> list[int]:
    """For each statement the column after which a comment beside it begins."""
    runs: list[list[int]] = []
    for text, remark in zip(texts, remarks, strict=True):
        width = len(text.split("\n")[-1])
        if runs and remark.beside and not remark.above and "\n" not in text and runs[-1]:
            runs[-1].append(width)
        elif remark.beside:
            runs.append([width])
        else:
            runs.append([])
    return [max(run, default=0) for run in runs for _ in (run or [0])]
