"""Between which numbers a form lies, exactly: whole numbers of any size, or infinities."""

import math
from collections.abc import Mapping
from itertools import product
from typing import TypeAlias

from mixerc.algebra.masks.forms import (
    Atom,
    Form,
    Larger,
    Product,
    Quotient,
    Remainder,
    Stream,
    Variable,
)

Ranges: TypeAlias = Mapping[Variable, tuple[float | int, float | int]]
"""The least and the greatest value of t, s and T."""

ANYWHERE: Ranges = {
    Variable.T: (0, math.inf),
    Variable.S: (0, math.inf),
    Variable.LENGTH: (1, math.inf),
}


def within(length: int) -> Ranges:
    """The positions of a sequence of this length."""
    positions = (0, length - 1)
    return {Variable.T: positions, Variable.S: positions, Variable.LENGTH: (length, length)}


def bounds(form: Form, ranges: Ranges = ANYWHERE) -> tuple[float | int, float | int]:
    """Bounds of a form with whole coefficients where its variables lie in these ranges."""
    low: float | int = int(form.constant)
    high = low
    for atom, coefficient in form.terms:
        ends = [_times(int(coefficient), end) for end in atom_bounds(atom, ranges)]
        low, high = _plus(low, min(ends)), _plus(high, max(ends))
    return low, high


def _times(a: float | int, b: float | int) -> float | int:
    """A product in which infinities are floats, and whole numbers of any size stay whole."""
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    return 0 if 0 in (a, b) else math.inf if (a > 0) == (b > 0) else -math.inf


def _plus(a: float | int, b: float | int) -> float | int:
    return a if isinstance(a, float) else b if isinstance(b, float) else a + b


def atom_bounds(atom: Atom, ranges: Ranges) -> tuple[float | int, float | int]:
    """Bounds of an atom; of streams nothing is known."""
    match atom:
        case Variable():
            return ranges[atom]
        case Quotient(form=form, divisor=divisor):
            low, high = bounds(form, ranges)
            return _floor(low, divisor), _floor(high, divisor)
        case Remainder(modulus=modulus):
            return 0, modulus - 1
        case Larger(left=left, right=right):
            (a, b), (c, d) = bounds(left, ranges), bounds(right, ranges)
            return max(a, c), max(b, d)
        case Product(left=left, right=right):
            corners = product(bounds(left, ranges), bounds(right, ranges))
            ends = [_times(a, b) for a, b in corners]
            return min(ends), max(ends)
        case Stream():
            return -math.inf, math.inf


def _floor(value: float | int, divisor: int) -> float | int:
    return value if isinstance(value, float) else value // divisor
