"""Ranges that the compiler relies on, checked on the values of a call (`check=True`)."""

from collections.abc import Mapping
from typing import Any

from mixerc.algebra.classify import Algebra
from mixerc.ir.mixer import Input, Mixer, Range


def check_inputs(mixer: Mixer, algebra: Algebra, inputs: Mapping[str, Any]) -> None:
    """Raises ValueError for a value that is not finite, or outside its range.

    A decay beyond 1 in absolute value is refused whether or not a range was declared.
    """
    declared = {
        line.name: line.range for line in mixer.lines if isinstance(line, Input) and line.range
    }
    decays = algebra.decays
    for name, value in inputs.items():
        plain = name.removeprefix("log_")
        logarithm = plain in decays and plain != name
        if value.is_floating_point() and not logarithm and not bool(value.isfinite().all()):
            raise ValueError(f"`{name}` has values that are not finite")
        if logarithm:
            _within(name, value, bool((value <= 0).all()), "log_a <= 0")
        elif plain in decays:
            least = -1 if algebra.attention is None else 0  # pairs have a decay's logarithm
            holds = bool(((value >= least) & (value <= 1)).all())
            _within(name, value, holds, f"between {least} and 1")
        if name in declared:
            _in_range(name, value, declared[name])


def _within(name: str, value: Any, holds: bool, what: str) -> None:
    if not holds:
        worst = value.abs().max().item() if "between" in what else value.max().item()
        raise ValueError(f"the decay `{name}` has to be {what}; it reaches {worst:.6g}")


def _in_range(name: str, value: Any, bounds: Range) -> None:
    low, high = value.min().item(), value.max().item()
    below = bounds.low is not None and (low <= bounds.low if bounds.low_open else low < bounds.low)
    above = bounds.high is not None and (
        high >= bounds.high if bounds.high_open else high > bounds.high
    )
    if below or above:
        raise ValueError(
            f"`{name}` leaves its declared range: it runs from {low:.6g} to {high:.6g}"
        )
