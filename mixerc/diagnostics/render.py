"""Diagnostics as text, the lines of the spec underlined: the only place that draws carets."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixerc.diagnostics.diagnostic import Diagnostic
from mixerc.diagnostics.span import Span

TAB = " " * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One underlined place: `^` for the mistake, `-` for what has to do with it."""

    span: Span
    label: str
    sign: str


def render(diagnostics: Sequence[Diagnostic], sources: Mapping[str, str]) -> str:
    """The diagnostics in rustc's style; `sources` holds the text of each file."""
    return "\n".join(_diagnostic(diagnostic, sources) for diagnostic in diagnostics)


def _diagnostic(diagnostic: Diagnostic, sources: Mapping[str, str]) -> str:
    marks = [
        Mark(span=diagnostic.span, label=diagnostic.label, sign="^"),
        *(Mark(span=each.span, label=each.label, sign="-") for each in diagnostic.related),
    ]
    placed = [mark for mark in marks if mark.span.line > 0]
    gutter = " " * len(str(max((mark.span.line for mark in placed), default=0)))
    lines = [f"{diagnostic.severity}[{diagnostic.slug}]: {_printable(diagnostic.message)}"]
    for file in dict.fromkeys(mark.span.file for mark in placed):
        in_file = [mark for mark in placed if mark.span.file == file]
        start = in_file[0].span
        arrow = "-->" if file == diagnostic.span.file else ":::"
        lines.append(f"{gutter} {arrow} {file}:{start.line}:{start.column}")
        lines += _snippet(in_file, sources.get(file, ""), gutter)
    lines += [f"{gutter}  = note: {_printable(note)}" for note in diagnostic.notes]
    lines += [f"{gutter}  = help: {_printable(help_)}" for help_ in diagnostic.helps]
    return "\n".join(lines) + "\n"


def _snippet(marks: Sequence[Mark], source: str, gutter: str) -> list[str]:
    """The lines that have marks, in their order, each with its marks below it."""
    text = source.split("\n")
    lines = [f"{gutter}  |"]
    for number in sorted({mark.span.line for mark in marks if mark.span.line <= len(text)}):
        line = text[number - 1].rstrip("\r")
        lines.append(f" {number:>{len(gutter)}} | {_printable(line)}".rstrip())
        on_line = [mark for mark in marks if mark.span.line == number]
        for mark in sorted(on_line, key=lambda mark: mark.span.column):
            lines.append(f"{gutter}  | {_underline(mark, line)}")
    return lines if len(lines) > 1 else []


def _underline(mark: Mark, line: str) -> str:
    """The row below a line; a span of several lines is underlined to the end of its first."""
    start = min(max(mark.span.column, 1) - 1, len(line))
    end = mark.span.end_column - 1 if mark.span.end_line == mark.span.line else len(line)
    before, marked = line[:start], line[start:end]
    signs = mark.sign * max(_width(marked), 1)
    return f"{' ' * _width(before)}{signs} {_printable(mark.label)}".rstrip()


def _printable(text: str) -> str:
    """The text as a terminal can show it, a place for each character but the tab."""
    return "".join(
        TAB if sign == "\t" else sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for sign in text
    )


def _width(text: str) -> int:
    """How many columns a terminal gives to the printable form of a text."""
    return sum(_columns(sign) for sign in _printable(text))


def _columns(sign: str) -> int:
    if unicodedata.combining(sign):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1
