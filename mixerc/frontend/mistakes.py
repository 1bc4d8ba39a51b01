"""Which mistake a parser's error is: found by the examples in `grammar/mistakes.toml`."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from lark import Lark, UnexpectedToken

from mixerc import resources
from mixerc.diagnostics.diagnostic import Diagnostic
from mixerc.diagnostics.span import Span

HEADER = "mixer m(K)\n"

# A state of the parser, what it could go on with, and what it met; what is left open is None.
Key: TypeAlias = tuple[int, frozenset[str] | None, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One entry of the file; `{found}` and `{before}` in its texts are filled in."""

    slug: str
    message: str
    label: str = ""
    note: str = ""
    help: str = ""
    anything: bool = False
    examples: Sequence[str] = ()
    files: Sequence[str] = ()

    def texts(self) -> Iterator[str]:
        """The examples as whole files."""
        yield from self.files
        yield from (HEADER + example for example in self.examples)

    def diagnostic(self, span: Span, found: str, before: str) -> Diagnostic:
        """This mistake at a place."""
        words = {"found": found, "before": before}
        return Diagnostic(
            slug=self.slug,
            message=self.message.format_map(words),
            span=span,
            label=self.label.format_map(words),
            notes=tuple(note.format_map(words) for note in (self.note,) if note),
            helps=tuple(text.format_map(words) for text in (self.help,) if text),
        )


def read_mistakes() -> tuple[Mistake, ...]:
    """The entries of the file, in order."""
    entries: list[dict[str, Any]] = tomllib.loads(resources.read("grammar", "mistakes.toml"))[
        "mistake"
    ]
    return tuple(Mistake(**entry) for entry in entries)


def error_of(language: Lark, text: str) -> UnexpectedToken:
    """The error that a broken text gives."""
    try:
        language.parse(text + "\n")
    except UnexpectedToken as error:
        return error
    raise AssertionError(f"an example in mistakes.toml is no syntax mistake: {text!r}")


def find(language: Lark, error: UnexpectedToken) -> Mistake | None:
    """The mistake whose example is nearest to an error, if any is in its state."""
    known = _known(language)
    keys = (*_keys(error, anything=False), *_keys(error, anything=True))
    return next((known[key] for key in keys if key in known), None)


@cache
def _known(language: Lark) -> Mapping[Key, Mistake]:
    known: dict[Key, Mistake] = {}
    for mistake in read_mistakes():
        for text in mistake.texts():
            for key in _keys(error_of(language, text), anything=mistake.anything):
                known.setdefault(key, mistake)
    return known


def _keys(error: UnexpectedToken, *, anything: bool) -> tuple[Key, ...]:
    """What an error is known by, the stricter first.

    The state is what `Lark.match_examples` compares too. It does not say in which brackets the
    parser is, which matters where any word may follow; what it could go on with does.
    """
    state = error.interactive_parser.parser_state.position
    accepted = frozenset(error.accepts)
    if anything:
        return ((state, accepted, None),)
    return (state, accepted, error.token.type), (state, None, error.token.type)
