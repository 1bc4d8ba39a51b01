"""One constructor for each mistake in what a header's sizes are worth."""

from fractions import Fraction

from mixerc.diagnostics.diagnostic import Diagnostic
from mixerc.diagnostics.span import Span


def division_by_zero(span: Span) -> Diagnostic:
    """A divisor, or the base of a negative power, that is exactly 0."""
    return Diagnostic(
        slug="division-by-zero",
        message="this divisor is 0",
        span=span,
        helps=("divide by a number or a size that is not 0",),
    )


def size_without_value(span: Span, function: str, wanted: str) -> Diagnostic:
    """A root, logarithm or power of a number that has none."""
    return Diagnostic(
        slug="size-without-value",
        message=f"`{function}` has no value here",
        span=span,
        helps=(f"apply it to a number {wanted}",),
    )


def size_form(span: Span, written: str) -> Diagnostic:
    """Something in a header that is no arithmetic of numbers and sizes."""
    return Diagnostic(
        slug="size-form",
        message=f"{written} cannot stand in a size",
        span=span,
        notes=(
            "a size is made of numbers and sizes, with `+ - * / // % ^` and min, max, sqrt, exp, "
            "log",
        ),
        helps=("write it so, or leave the default out: the size is then given at each use",),
    )


def size_not_positive(span: Span, name: str, value: str, *, length: bool) -> Diagnostic:
    """A length of 0 or less, or a constant below 0."""
    return Diagnostic(
        slug="size-not-positive",
        message=f"the size `{name}` is {value}",
        span=span,
        notes=("the compiler relies on it that no size is negative",) if not length else (),
        helps=(
            f"write a whole number of at least 1, such as `{name} = 64`"
            if length
            else f"write the absolute value here, and `-{name}` where it is read",
        ),
    )


def size_too_large(span: Span, name: str, most: str) -> Diagnostic:
    """A size beyond what a length, or any number, can be."""
    return Diagnostic(
        slug="size-too-large",
        message=f"the size `{name}` is larger than {most}",
        span=span,
        helps=(f"write a number of at most {most}",),
    )


def size_not_whole(span: Span, name: str, value: str, near: int) -> Diagnostic:
    """A fraction as a length."""
    return Diagnostic(
        slug="size-not-whole",
        message=f"the size `{name}` counts something, and is {value}",
        span=span,
        helps=(f"write a whole number, such as `{name} = {near}`",),
    )


def concat_lengths(
    span: Span, parts: str, found: Fraction | int, axis: str, declared: Fraction
) -> Diagnostic:
    """Parts that do not fill the axis of the whole."""
    return Diagnostic(
        slug="concat-lengths",
        message=f"the parts of `concat` have {found} places, `{axis}` has {declared}",
        span=span,
        helps=(f"write `{axis} = {parts}` in the header",),
    )
