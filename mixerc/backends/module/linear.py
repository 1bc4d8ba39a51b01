"""Text of whole sums of named values: `2 * t0 - s1 + 3`."""

from collections.abc import Iterable

from mixerc.backends.module.printer import apply_text


def sum_text(terms: Iterable[tuple[str, int]], constant: int = 0) -> str:
    """A constant and some texts, each times its coefficient; what is added stands first."""
    ordered = sorted(terms, key=lambda term: term[1] < 0)
    if constant > 0 or not ordered:
        place = sum(factor > 0 for _, factor in ordered)
        ordered.insert(place, (str(abs(constant)), -1 if constant < 0 else 1))
    elif constant:
        ordered.append((str(-constant), -1))
    (text, factor), *rest = ordered
    total = _times(text, factor)
    for text, factor in rest:
        total = apply_text("sub" if factor < 0 else "add", (total, _times(text, abs(factor))))
    return total


def _times(text: str, factor: int) -> str:
    if abs(factor) == 1:
        return text if factor > 0 else apply_text("neg", (text,))
    return apply_text("mul", (str(factor), text))
