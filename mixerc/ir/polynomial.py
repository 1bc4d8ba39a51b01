"""Polynomials in opaque parts, so that equal parts of a sum meet: bounds of `x - x` are 0.

A polynomial that has no part twice in one product takes its extremes where every part is at an
end of its interval, which bounds `a + (1 - a) * b` by what a and b are.
"""

from collections.abc import Mapping
from fractions import Fraction
from itertools import product
from typing import TypeAlias

from mixerc.ir.interval import (
    MOST_BITS,
    Interval,
    add,
    between,
    intersect,
    multiply,
    point,
    size_of,
)
from mixerc.ir.interval_functions import power

Monomial: TypeAlias = tuple[tuple[int, int], ...]
"""Parts, by number, each with its exponent, in order."""

Polynomial: TypeAlias = Mapping[Monomial, Fraction]

MOST_TERMS = 24
MOST_CORNERS = 6


def constant(value: Fraction) -> Polynomial:
    """A number."""
    return {(): value} if value else {}


def part(number: int) -> Polynomial:
    """One part by itself."""
    return {((number, 1),): Fraction(1)}


def plus(a: Polynomial, b: Polynomial, factor: Fraction = Fraction(1)) -> Polynomial:
    """a + factor * b."""
    total = dict(a)
    for monomial, coefficient in b.items():
        total[monomial] = total.get(monomial, Fraction(0)) + factor * coefficient
    return {monomial: coefficient for monomial, coefficient in total.items() if coefficient}


def times(a: Polynomial, b: Polynomial) -> Polynomial:
    """a * b."""
    total: Polynomial = {}
    for left, factor in a.items():
        shifted = {_joined(left, right): coefficient for right, coefficient in b.items()}
        total = plus(total, shifted, factor)
    return total


def _joined(left: Monomial, right: Monomial) -> Monomial:
    exponents = dict(left)
    for number, exponent in right:
        exponents[number] = exponents.get(number, 0) + exponent
    return tuple(sorted(exponents.items()))


def bounds(polynomial: Polynomial, parts: Mapping[int, Interval]) -> Interval:
    """What the polynomial can be, given what its parts can be."""
    total = point(0)
    for monomial, coefficient in polynomial.items():
        term = point(coefficient)
        for number, exponent in monomial:
            term = multiply(term, power(parts[number], point(exponent)))
        total = add(total, term)
    used = {number for monomial in polynomial for number, _ in monomial}
    once = all(exponent == 1 for monomial in polynomial for _, exponent in monomial)
    if once and len(used) <= MOST_CORNERS and all(parts[number].finite for number in used):
        total = intersect(total, _at_corners(polynomial, {n: parts[n] for n in used}))
    return total


def _at_corners(polynomial: Polynomial, parts: Mapping[int, Interval]) -> Interval:
    values = []
    for ends in product(*((interval.low, interval.high) for interval in parts.values())):
        at = dict(zip(parts, (Fraction(end) for end in ends), strict=True))
        values.append(_value(polynomial, at))
    return between(min(values), max(values))


def _value(polynomial: Polynomial, at: Mapping[int, Fraction]) -> Fraction:
    total = Fraction(0)
    for monomial, coefficient in polynomial.items():
        for number, _ in monomial:
            coefficient *= at[number]
        total += coefficient
    return total


def too_large(polynomial: Polynomial) -> bool:
    """True for one that is better left as it was written."""
    long = any(size_of(coefficient) > MOST_BITS for coefficient in polynomial.values())
    return long or len(polynomial) > MOST_TERMS


def content(polynomial: Polynomial) -> Fraction:
    """The coefficient that is largest in absolute value; 1 for the polynomial 0."""
    return max(polynomial.values(), key=abs, default=Fraction(1))
