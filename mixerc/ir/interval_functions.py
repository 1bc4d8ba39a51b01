"""Scalar functions of intervals: powers, and what is computed in floating point and rounded out."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from mixerc.ir.interval import (
    ALL,
    INF,
    NONNEGATIVE,
    POSITIVE,
    SIGNED_UNIT,
    Bound,
    Corner,
    Interval,
    absolute,
    between,
    divide,
    greatest,
    highs,
    hull,
    intersect,
    larger,
    least,
    lows,
    make,
    negate,
    point,
)

Function: TypeAlias = Callable[[float], float]

_HUGE = Fraction(2) ** 1000
_TINY = 1 / _HUGE
_LARGEST_EXACT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Increasing:
    """An increasing function: its limits at both ends, and one value that is known exactly.

    `slack` is the absolute error where the computed value's relative one has no bound.
    """

    function: Function
    limits: Interval
    known: tuple[int, Fraction] | None = None
    slack: Fraction = _TINY


@dataclass(frozen=True, slots=True, kw_only=True)
class Valley:
    """A function that falls from 0 to its one minimum and rises from there, through 0 at 0."""

    function: Function
    bottom: Interval
    minimum: Fraction


def enclose(value: float, slack: Fraction = _TINY) -> tuple[Bound, Bound]:
    """Bounds a few roundings below and above a computed number."""
    if math.isinf(value):
        return (_HUGE, INF) if value > 0 else (-INF, -_HUGE)
    exact = Fraction(value)
    slack += abs(exact) / 2**40
    return exact - slack, exact + slack


def _float(x: Fraction) -> float:
    try:
        return float(x)
    except OverflowError:
        return math.copysign(INF, x)


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return INF


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else _exp(x) / (1 + _exp(x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _silu(x: float) -> float:
    return x * _sigmoid(x) if x > -INF else 0.0


def _gelu(x: float) -> float:
    return x / 2 * math.erfc(-x / math.sqrt(2)) if x > -INF else 0.0


def _gelu_tanh(x: float) -> float:
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
    return x * _sigmoid(2 * inner) if x > -INF else 0.0


INCREASING = {
    "exp": Increasing(function=_exp, limits=POSITIVE, known=(0, Fraction(1))),
    "expm1": Increasing(
        function=lambda x: math.expm1(x) if x < 709 else INF,
        limits=between(-1, INF, "()"),
        known=(0, Fraction(0)),
    ),
    "log": Increasing(
        function=lambda x: math.log(x) if x > 0 else -INF,
        limits=ALL,
        known=(1, Fraction(0)),
        slack=Fraction(1, 2**50),
    ),
    "sqrt": Increasing(function=math.sqrt, limits=NONNEGATIVE, known=(1, Fraction(1))),
    "sigmoid": Increasing(function=_sigmoid, limits=between(0, 1, "()"), known=(0, Fraction(1, 2))),
    "logsigmoid": Increasing(function=lambda x: -_softplus(-x), limits=between(-INF, 0, "()")),
    "softplus": Increasing(function=_softplus, limits=POSITIVE),
    "tanh": Increasing(function=math.tanh, limits=between(-1, 1, "()"), known=(0, Fraction(0))),
    "elu": Increasing(
        function=lambda x: x if x > 0 else math.expm1(x),
        limits=between(-1, INF, "()"),
        known=(0, Fraction(0)),
    ),
    "erf": Increasing(function=math.erf, limits=between(-1, 1, "()"), known=(0, Fraction(0))),
}

VALLEYS = {
    "silu": Valley(
        function=_silu,
        bottom=between(Fraction("-1.2785"), Fraction("-1.2784")),
        minimum=Fraction("-0.2784646"),
    ),
    "gelu": Valley(
        function=_gelu,
        bottom=between(Fraction("-0.7518"), Fraction("-0.7517")),
        minimum=Fraction("-0.1699713"),
    ),
    "gelu_tanh": Valley(
        function=_gelu_tanh,
        bottom=between(Fraction("-0.7525"), Fraction("-0.7524")),
        minimum=Fraction("-0.1700408"),
    ),
}


def call(name: str, a: Interval) -> Interval:
    """A function of one operand by its name in `ir.primitives`."""
    match name:
        case "log" | "sqrt":
            domain = POSITIVE if name == "log" else NONNEGATIVE
            return ALL if a.high < 0 else _increasing(INCREASING[name], intersect(a, domain))
        case "relu":
            return larger(a, point(0))
        case "abs":
            return absolute(a)
        case "sin" | "cos":
            return SIGNED_UNIT
        case "sign":
            return between(-1 if a.low < 0 else 0, 1 if a.high > 0 else 0)
        case _ if name in INCREASING:
            return _increasing(INCREASING[name], a)
        case _ if name in VALLEYS:
            return _valley(VALLEYS[name], a)
        case _:
            raise AssertionError(name)


def _increasing(row: Increasing, a: Interval) -> Interval:
    low, high = _value(row, a.low)[0], _value(row, a.high)[1]
    limits = row.limits
    return make(
        (low, a.low_open or (low == limits.low and limits.low_open)),
        (high, a.high_open or (high == limits.high and limits.high_open)),
    )


def _value(row: Increasing, x: Bound) -> tuple[Bound, Bound]:
    """Bounds of the value at one place."""
    if isinstance(x, float):
        limit = row.limits.high if x > 0 else row.limits.low
        return limit, limit
    if row.known and x == row.known[0]:
        return row.known[1], row.known[1]
    if x == 0 and row.function(0.0) == 0:
        return x, x
    below, above = _floats(x)
    low, high = (
        enclose(row.function(below), row.slack)[0],
        enclose(row.function(above), row.slack)[1],
    )
    if row.known and x < row.known[0]:
        high = min(high, row.known[1])
    elif row.known:
        low = max(low, row.known[1])
    return max(low, row.limits.low), min(high, row.limits.high)


def _floats(x: Fraction) -> tuple[float, float]:
    """A number to a rounding, or the two floats around one that is too large or too small."""
    if abs(x) > _HUGE:
        return (float(_HUGE), INF) if x > 0 else (-INF, -float(_HUGE))
    if 0 < abs(x) < _TINY:
        return (0.0, float(_TINY)) if x > 0 else (-float(_TINY), 0.0)
    return float(x), float(x)


def _valley(row: Valley, a: Interval) -> Interval:
    ends = [_valley_value(row, x) for x in (a.low, a.high)]
    crosses = a.low <= row.bottom.high and a.high >= row.bottom.low
    low = row.minimum if crosses else min(end[0] for end in ends)
    return make((low, False), (max(end[1] for end in ends), False))


def _valley_value(row: Valley, x: Bound) -> tuple[Bound, Bound]:
    if isinstance(x, float):
        limit = x if x > 0 else Fraction(0)
        return limit, limit
    low, high = enclose(row.function(_float(x)))
    return (
        (min(low, Fraction(0)), min(high, Fraction(0))) if x <= 0 else (max(low, Fraction(0)), high)
    )


def power(a: Interval, b: Interval) -> Interval:
    """a ^ b; a negative base with a fractional exponent is no number and counts for nothing."""
    exponent = b.point
    if exponent is not None and exponent.denominator == 1 and abs(exponent) <= _LARGEST_EXACT:
        return _whole_power(a, int(exponent))
    if a.low < 0 and (exponent is None or exponent.denominator == 1):
        size = power(absolute(a), b)
        even = exponent is not None and exponent % 2 == 0
        return size if even else hull(size, negate(size))
    if a.high < 0:
        return ALL
    base = intersect(a, NONNEGATIVE)
    places = [(x, y) for x in (lows(base), highs(base)) for y in (lows(b), highs(b))]
    # With one operand fixed the other rises or falls, so that open ends stay open.
    fixed_exponent, fixed_base = exponent is not None, base.point not in (None, 0, 1)
    values = [
        (_power(x[0], y[0]), (x[1] and fixed_exponent) or (y[1] and fixed_base)) for x, y in places
    ]
    found = make(
        least([(value[0], is_open) for value, is_open in values]),
        greatest([(value[1], is_open) for value, is_open in values]),
    )
    return intersect(found, POSITIVE) if base.positive else found


def _whole_power(a: Interval, exponent: int) -> Interval:
    if exponent < 0:
        return divide(point(1), _whole_power(a, -exponent))
    if exponent == 0:
        return point(1)
    base = a if exponent % 2 else absolute(a)
    return make(_raised(lows(base), exponent), _raised(highs(base), exponent))


def _raised(corner: Corner, exponent: int) -> Corner:
    return corner[0] ** exponent, corner[1]


def _power(x: Bound, y: Bound) -> tuple[Bound, Bound]:
    """Bounds of x ^ y for x >= 0, limits where one is infinite or x is 0."""
    one = Fraction(1)
    if x == 1 or y == 0:
        return one, one
    if x == 0 or isinstance(x, float) or isinstance(y, float):
        limit = INF if (x > 1) == (y > 0) else Fraction(0)
        return limit, limit
    if y.denominator == 1 and abs(y) <= _LARGEST_EXACT:
        return x ** int(y), x ** int(y)
    low, high = enclose(_float_power(_float(x), _float(y)))
    above = (x > 1) == (y > 0)
    return (max(low, one), high) if above else (max(low, Fraction(0)), min(high, one))


def _float_power(x: float, y: float) -> float:
    try:
        return math.pow(x, y)
    except OverflowError:
        return INF
