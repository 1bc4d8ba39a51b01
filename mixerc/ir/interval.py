"""Intervals of real numbers: exact bounds, each open or closed, and arithmetic that keeps inside.

Every operation returns an interval that holds all results; a bound that is no rational number is
rounded outwards.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

Bound: TypeAlias = Fraction | float
"""An exact number, or an infinity."""

Corner: TypeAlias = tuple[Bound, bool]
"""A bound and whether it is open."""

INF = math.inf
MOST_BITS = 4096
_LARGE = Fraction(2) ** (MOST_BITS // 4 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The numbers between two bounds; an infinite bound is always open."""

    low: Bound
    high: Bound
    low_open: bool = False
    high_open: bool = False

    @property
    def point(self) -> Fraction | None:
        """The one number that it holds, if it is one."""
        return self.low if isinstance(self.low, Fraction) and self.low == self.high else None

    @property
    def positive(self) -> bool:
        """True if every number in it is above 0."""
        return self.low > 0 or (self.low == 0 and self.low_open)

    @property
    def finite(self) -> bool:
        """True if both bounds are numbers."""
        return isinstance(self.low, Fraction) and isinstance(self.high, Fraction)


def between(low: Bound | int, high: Bound | int, ends: str = "[]") -> Interval:
    """`between(0, 1, "(]")`: the numbers above 0 and up to 1."""
    return make((_bound(low), ends[0] == "("), (_bound(high), ends[1] == ")"))


def _bound(value: Bound | int) -> Bound:
    return value if isinstance(value, float) else Fraction(value)


def make(low: Corner, high: Corner) -> Interval:
    """The interval between two corners; all numbers where they leave none, as a pole does."""
    if low[0] == INF or high[0] == -INF:
        return ALL
    return Interval(
        low=_shorter(low[0], up=False),
        high=_shorter(high[0], up=True),
        low_open=low[1] or low[0] == -INF,
        high_open=high[1] or high[0] == INF,
    )


def _shorter(value: Bound, *, up: bool) -> Bound:
    """A bound with too many digits to compute with is rounded outwards."""
    if isinstance(value, float) or size_of(value) <= MOST_BITS:
        return value
    if value < 0:
        return -_shorter(-value, up=not up)
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    if abs(exponent) > MOST_BITS // 4:
        ends = (_LARGE, INF) if exponent > 0 else (Fraction(0), 1 / _LARGE)
        return ends[up]
    unit = _LARGE / Fraction(2) ** exponent
    return Fraction(math.ceil(value * unit) if up else math.floor(value * unit)) / unit


def size_of(value: Fraction) -> int:
    """How many bits a number takes."""
    return value.numerator.bit_length() + value.denominator.bit_length()


def point(value: Fraction | int) -> Interval:
    """One number."""
    return between(value, value)


ALL = between(-INF, INF)
POSITIVE = between(0, INF, "()")
NONNEGATIVE = between(0, INF)
SIGNED_UNIT = between(-1, 1)
TRUE = point(1)
FALSE = point(0)
EITHER = between(0, 1)
"""Conditions are 1 where they hold and 0 where they do not."""


def lows(a: Interval) -> Corner:
    """The lower corner."""
    return a.low, a.low_open


def highs(a: Interval) -> Corner:
    """The upper corner."""
    return a.high, a.high_open


def least(corners: Iterable[Corner]) -> Corner:
    """The smallest; of equal ones a closed one."""
    return min(corners, key=lambda corner: (corner[0], corner[1]))


def greatest(corners: Iterable[Corner]) -> Corner:
    """The largest; of equal ones a closed one."""
    return max(corners, key=lambda corner: (corner[0], not corner[1]))


def within(a: Interval, limits: Interval) -> bool:
    """True if every number of `a` is in `limits`."""
    low = a.low > limits.low or (a.low == limits.low and (a.low_open or not limits.low_open))
    high = a.high < limits.high or (a.high == limits.high and (a.high_open or not limits.high_open))
    return low and high


def hull(*intervals: Interval) -> Interval:
    """The smallest interval that holds these."""
    return make(least(map(lows, intervals)), greatest(map(highs, intervals)))


def intersect(a: Interval, b: Interval) -> Interval:
    """What two intervals share that both hold some number; `a`, should they share none."""
    low = max(lows(a), lows(b))
    high = min(highs(a), highs(b), key=lambda corner: (corner[0], not corner[1]))
    if low[0] > high[0] or (low[0] == high[0] and (low[1] or high[1])):
        return a
    return make(low, high)


def negate(a: Interval) -> Interval:
    """-a."""
    return make((-a.high, a.high_open), (-a.low, a.low_open))


def add(a: Interval, b: Interval) -> Interval:
    """a + b."""
    return make(
        (a.low + b.low, a.low_open or b.low_open), (a.high + b.high, a.high_open or b.high_open)
    )


def subtract(a: Interval, b: Interval) -> Interval:
    """a - b."""
    return add(a, negate(b))


def _product(a: Corner, b: Corner) -> Corner:
    if a[0] == 0 or b[0] == 0:
        reached = (a[0] == 0 and not a[1]) or (b[0] == 0 and not b[1])
        return Fraction(0), not reached
    return a[0] * b[0], a[1] or b[1]


def multiply(a: Interval, b: Interval) -> Interval:
    """a * b."""
    corners = [_product(x, y) for x in (lows(a), highs(a)) for y in (lows(b), highs(b))]
    return make(least(corners), greatest(corners))


def divide(a: Interval, b: Interval) -> Interval:
    """a / b; a quotient by 0 is no number and counts for nothing."""
    if b.low < 0 < b.high or b.low == b.high == 0:
        return ALL
    if b.high <= 0:
        return negate(divide(a, negate(b)))
    return multiply(a, make(_inverse(highs(b)), _inverse(lows(b))))


def _inverse(corner: Corner) -> Corner:
    value, is_open = corner
    if value == 0:
        return INF, True
    return (Fraction(0), True) if isinstance(value, float) else (1 / value, is_open)


def floor_divide(a: Interval, b: Interval) -> Interval:
    """The quotient rounded down."""
    ratio = divide(a, b)
    return make((_floor(ratio.low), False), (_floor(ratio.high), False))


def _floor(value: Bound) -> Bound:
    return value if isinstance(value, float) else Fraction(math.floor(value))


def modulo(a: Interval, b: Interval) -> Interval:
    """a - b * floor(a / b), which has the sign of b."""
    if a.point is not None and b.point:
        return point(a.point % b.point)
    if b.positive and a.low >= 0 and a.high < b.low:
        return a
    if b.low >= 0:
        return make((Fraction(0), False), (b.high, True))
    if b.high <= 0:
        return make((b.low, True), (Fraction(0), False))
    return make((b.low, True), (b.high, True))


def absolute(a: Interval) -> Interval:
    """|a|."""
    if a.low >= 0:
        return a
    if a.high <= 0:
        return negate(a)
    return make((Fraction(0), False), greatest([highs(a), highs(negate(a))]))


def larger(a: Interval, b: Interval) -> Interval:
    """max(a, b)."""
    return make(max(lows(a), lows(b)), greatest([highs(a), highs(b)]))


def smaller(a: Interval, b: Interval) -> Interval:
    """min(a, b)."""
    return negate(larger(negate(a), negate(b)))


def blend(start: Interval, end: Interval, weight: Interval) -> Interval:
    """`lerp(start, end, weight)`: between the two where the weight is between 0 and 1."""
    if within(weight, EITHER):
        return hull(start, end)
    return add(start, multiply(subtract(end, start), weight))


def chosen(condition: Interval, a: Interval, b: Interval) -> Interval:
    """`where(condition, a, b)`."""
    if condition.point is None:
        return hull(a, b)
    return a if condition.point else b


def compare(name: str, gap: Interval) -> Interval:
    """`lt`, `le`, `gt`, `ge`, `eq` or `ne` of a and b, given what a - b can be."""
    match name:
        case "gt":
            return TRUE if gap.positive else FALSE if gap.high <= 0 else EITHER
        case "ge":
            return TRUE if gap.low >= 0 else FALSE if negate(gap).positive else EITHER
        case "lt" | "le":
            return compare({"lt": "gt", "le": "ge"}[name], negate(gap))
        case "eq":
            apart = gap.positive or negate(gap).positive
            return TRUE if gap.point == 0 else FALSE if apart else EITHER
        case _:
            return subtract(TRUE, compare("eq", gap))
