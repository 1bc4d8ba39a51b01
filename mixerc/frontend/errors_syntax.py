"""The mistakes of the syntax that are not data in `grammar/mistakes.toml`."""

from mixerc.diagnostics.diagnostic import Diagnostic, Related
from mixerc.diagnostics.span import Span

# Signs that other languages, or papers, use for what the language writes otherwise.
WRITTEN_OTHERWISE = {
    ".": "a number has a digit before its point, as in `0.5`; names have none",
    "&": "write `and`",
    "!": "write `not`, or `!=` for unequal",
    "~": "write `not`",
    ":": "lines have no colon; a value is given with `=`",
    ";": "one statement a line, without a `;`",
    "{": "brackets are `(` and `[`",
    "}": "brackets are `(` and `[`",
    "·": "write `*` for a product, `@` for a contraction",
    "×": "write `*`",
    "−": "write `-`",
    "≤": "write `<=`",
    "≥": "write `>=`",
    "≠": "write `!=`",
    "²": "write `^2`",
    "√": "write `sqrt(…)`",
    "∞": "leave the range out",
    "“": 'write `"`',
    "”": 'write `"`',
}


def number_out_of_range(span: Span, text: str) -> Diagnostic:
    """A number is larger, smaller or longer than any computation can hold."""
    shown = text if len(text) <= 20 else f"{text[:20]}…"
    return Diagnostic(
        slug="number-out-of-range",
        message=f"no float64 holds the number `{shown}`",
        span=span,
        notes=("numbers lie between 1e-308 and 1e308 and have at most 400 digits",),
    )


def nesting_too_deep(span: Span, limit: int) -> Diagnostic:
    """An expression holds more operations within each other than anybody reads."""
    return Diagnostic(
        slug="nesting-too-deep",
        message=f"more than {limit} operations stand within each other",
        span=span,
        label="the innermost stands here",
        helps=("give parts of the expression names, each on a line of its own",),
    )


def reduction_axis(span: Span, name: str) -> Diagnostic:
    """`sum[K + 1](e)`: what a function reduces over is not an axis."""
    return Diagnostic(
        slug="reduction-axis",
        message=f"`{name}[…](…)` goes over one axis, which is a name",
        span=span,
        label="not the name of an axis",
        helps=(f"write `{name}[K](…)` for an axis K, `{name}[s](…)` for the tokens",),
    )


def table_axis(span: Span) -> Diagnostic:
    """`input layout[t - 1]`: a table has a place for each time or block of times."""
    return Diagnostic(
        slug="table-axis",
        message="a declaration lists axes, or for a table `t`, `s`, `t // B`, `s // B`",
        span=span,
        label="none of these",
    )


def contraction_place(span: Span, operator: Span) -> Diagnostic:
    """`c * q @ k`: a contraction stands in a product that it does not open."""
    return Diagnostic(
        slug="contraction-place",
        message="`@` opens a product or stands in brackets",
        span=span,
        label="neither here",
        related=(Related(span=operator, label="the product has begun before"),),
        helps=("put brackets round it: `c * (q @ k)`",),
    )


def contraction_chain(span: Span, first: Span) -> Diagnostic:
    """`q @ A @ k`: which of the two sums comes first is not said."""
    return Diagnostic(
        slug="contraction-place",
        message="`@` does not chain",
        span=span,
        label="a second one",
        related=(Related(span=first, label="the first"),),
        helps=("put brackets round the one that comes first: `(q @ A) @ k`",),
    )


def missing_close(span: Span, opening: str, closing: str, found: str) -> Diagnostic:
    """A bracket is still open where the statement is over."""
    return Diagnostic(
        slug="missing-close",
        message=f"the bracket `{opening}` is never closed",
        span=span,
        label="opened here",
        notes=(f"{found} cannot stand in a bracket",),
        helps=(f"write the missing `{closing}`",),
    )


def unmatched_close(span: Span, closing: str) -> Diagnostic:
    """A bracket closes that was never opened."""
    return Diagnostic(
        slug="unmatched-close",
        message=f"the bracket `{closing}` closes none",
        span=span,
        label="no bracket is open here",
    )


def mismatched_close(span: Span, closing: str, opener: Span, expected: str) -> Diagnostic:
    """A bracket is closed by one of the other kind."""
    return Diagnostic(
        slug="mismatched-close",
        message=f"the bracket `{closing}` closes one of the other kind",
        span=span,
        label=f"should be `{expected}`",
        related=(Related(span=opener, label="opened here"),),
    )


def keyword_as_name(span: Span, word: str) -> Diagnostic:
    """A word with a meaning of its own stands where a name must stand."""
    return Diagnostic(
        slug="keyword-as-name",
        message=f"`{word}` is a keyword and cannot be a name",
        span=span,
        label="choose another name",
    )


def second_header(span: Span) -> Diagnostic:
    """A file holds a second mixer or stack."""
    return Diagnostic(
        slug="second-header",
        message="a file holds one mixer or stack",
        span=span,
        label="another begins here",
        helps=("give it a file of its own; a stack finds it there by its name",),
    )


def indented_line(span: Span) -> Diagnostic:
    """A line is indented that belongs to no branch and continues no line."""
    return Diagnostic(
        slug="indented-line",
        message="this line is indented, but stands in no branch",
        span=span,
        label="should begin at the left, or where its neighbours in a branch do",
        helps=("a line that continues the one above begins with an operator",),
    )


def two_statements(span: Span, found: str) -> Diagnostic:
    """The line could end here, and goes on with another value or statement."""
    return Diagnostic(
        slug="two-statements",
        message=f"{found} follows what is already complete",
        span=span,
        label="neither joined to what is before nor on a line of its own",
        helps=(
            "one statement a line; between two values stands an operator, such as `*`",
            "a condition that chooses is written `where(condition, then, else)`",
        ),
    )


def unclosed_string(span: Span) -> Diagnostic:
    """A citation has no closing quote on its line."""
    return Diagnostic(
        slug="unclosed-string",
        message='the citation has no closing `"` on its line',
        span=span,
        helps=("a citation may have several lines, each in quotes of its own",),
    )


def non_ascii_name(span: Span, word: str) -> Diagnostic:
    """A name has a letter outside ASCII."""
    return Diagnostic(
        slug="non-ascii-name",
        message=f"the name `{word}` has a letter outside ASCII",
        span=span,
        helps=("spell it out, as in `beta`",),
    )


def unknown_character(span: Span, character: str) -> Diagnostic:
    """A character that no part of the language uses."""
    shown = f"`{character}`" if character.isprintable() else f"U+{ord(character):04X}"
    return Diagnostic(
        slug="unknown-character",
        message=f"the character {shown} is not in the language",
        span=span,
        helps=(WRITTEN_OTHERWISE[character],) if character in WRITTEN_OTHERWISE else (),
    )


def unexpected(span: Span, found: str) -> Diagnostic:
    """Anything else that cannot stand where it stands."""
    return Diagnostic(
        slug="unexpected",
        message=f"{found} cannot stand here",
        span=span,
    )
