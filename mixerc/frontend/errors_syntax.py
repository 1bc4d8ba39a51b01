"""The mistakes of the syntax that are not data in `grammar/mistakes.toml`."""

from mixerc.diagnostics.diagnostic import Diagnostic, Related
from mixerc.diagnostics.span import Span


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
        helps=("give parts of it names, each on a line of its own",),
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
        message="a table is declared over axes, `t`, `s`, `t // B` or `s // B`",
        span=span,
        label="none of these",
    )
