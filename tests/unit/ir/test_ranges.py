"""Ranges hold every value, and are as narrow as the proofs about decays need."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath as mp
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mixerc.frontend.check import check
from mixerc.frontend.parser import parse
from mixerc.ir.expr import Apply, Expr, Linear, Number, Read, Size
from mixerc.ir.interval import (
    ALL,
    EITHER,
    FALSE,
    INF,
    NONNEGATIVE,
    POSITIVE,
    SIGNED_UNIT,
    TRUE,
    Interval,
    between,
    hull,
    intersect,
    within,
)
from mixerc.ir.mixer import Mixer
from mixerc.ir.ranges import environment, range_of
from mixerc.ir.sorts import Kind, Sort, Time

UNIT = between(0, 1, "()")
BOOL = Sort(kind=Kind.BOOL)


def ranges(*lines: str) -> dict[str, Interval]:
    """The ranges of the names that some lines of a layer define."""
    names = [line.split("=")[0].split()[-1].split("[")[0] for line in lines]
    used = [name for line, name in zip(lines, names, strict=True) if not line.startswith("input")]
    text = "\n".join(
        [
            "mixer m(E = 64, N = 4, c = 2)",
            "z = x | linear",
            "q[E] = x | linear",
            *lines,
            "state S[E]",
            f"S[t] = S[t-1] + q * z * c / N + 0 * ({' + '.join(used) or '0'}) * q",
            "o[E] = S[t]",
        ]
    )
    checked = check(parse(text, "test.mix"))
    assert isinstance(checked, Mixer)
    return environment([size.name for size in checked.sizes], checked.lines)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a = z | sigmoid", UNIT),
        ("a = exp(-softplus(z))", UNIT),
        ("a = z | softplus", POSITIVE),
        ("a = z | exp", POSITIVE),
        ("a = z | tanh", between(-1, 1, "()")),
        ("a = z | silu", between(Fraction("-0.2784646"), INF)),
        ("a = z | relu", NONNEGATIVE),
        ("a = z | elu", between(-1, INF, "()")),
        ("a = z | logsigmoid", between(-INF, 0, "()")),
        ("a = z | sin", SIGNED_UNIT),
        ("a = abs(z)", NONNEGATIVE),
        ("a = exp(-abs(z))", between(0, 1, "(]")),
        ("a = z * z", NONNEGATIVE),
        ("a = z ^ 2", NONNEGATIVE),
        ("a = z ^ 3", ALL),
        ("a = q @ q", NONNEGATIVE),
        ("a = sum[E](q * q)", NONNEGATIVE),
        ("a = max[E](q | sigmoid)", UNIT),
        ("a = sigmoid(z) ^ (1/16)", UNIT),
        ("a = (-1) ^ head", SIGNED_UNIT),
        ("a = 1 - sigmoid(z)", UNIT),
        ("a = z - z", between(0, 0)),
        ("a = where(z > 0, 1, 1/2)", between(Fraction(1, 2), 1)),
        ("a = where(z * z >= 0, 1, 2)", between(1, 1)),
        ("a = max(z, 1)", between(1, INF)),
        ("a = min(z, 1)", between(-INF, 1)),
        ("a = lerp(1, 1/2, sigmoid(z))", between(Fraction(1, 2), 1, "()")),
        ("a = layer / layers", between(0, 1, "[)")),
        ("a = (head + 1) / heads", between(0, 1, "(]")),
        ("a = 2 ^ (-8 * (head + 1) / heads)", between(Fraction(1, 256), 1, "[)")),
        ("a = 1 - layer / (layers - 1 + 1e-5)", between(0, 1, "(]")),
        ("a = 1 / (1 + z * z)", between(0, 1, "(]")),
        ("a = c / (c + exp(z))", UNIT),
        ("a = abs(complex(0.5 * cos(z), 0.5 * sin(z)))", between(Fraction(1, 2), Fraction(1, 2))),
        ("a = abs(exp(complex(-exp(z), z)))", UNIT),
        ("a = real(exp(complex(-exp(z), z)))", between(-1, 1, "()")),
        ("param a = 0.5", ALL),
        ("buffer a = uniform(0.25, 0.5)", between(Fraction(1, 4), Fraction(1, 2))),
        ("buffer a = loguniform(0.25, 0.5)", between(Fraction(1, 4), Fraction(1, 2))),
        ("buffer a = 1 - uniform(0, 1)", between(0, 1)),
        ("buffer a = normal", ALL),
        ("input a", ALL),
        ("input a in (0, 1]", between(0, 1, "(]")),
        ("input a in [-2, inf)", between(-2, INF)),
    ],
)
def test_what_a_name_can_be(line: str, expected: Interval) -> None:
    extra = ("b = a | sin",) if line.startswith("input") else ()
    assert ranges(line, *extra)["a"] == expected


def test_names_are_followed_from_line_to_line() -> None:
    found = ranges("low = layer / layers", "a = low + (1 - low) * sigmoid(z)", "k = 1 - a")
    assert found["a"] == between(0, 1, "(]")
    assert found["k"] == between(0, 1, "[)")


def test_two_layers_that_look_alike_are_two_values() -> None:
    found = ranges("f, i = x | linear | sigmoid", "a = f / (f + i)", "d = f - i")
    assert found["a"] == UNIT
    assert found["d"] == between(-1, 1, "()")
    assert ranges("a = (x | linear) - (x | linear)")["a"] == ALL


def test_two_layers_in_one_expression_do_not_cancel() -> None:
    layer = [
        Linear(source=Read(name="x", time=Time.T), features=None, bias=None, init=None, blocks=None)
        for _ in range(2)
    ]
    assert layer[0] == layer[1]
    assert range_of(Apply(primitive="sub", operands=(layer[0], layer[1])), {}) == ALL
    assert range_of(Apply(primitive="sub", operands=(layer[0], layer[0])), {}) == between(0, 0)


def test_the_token_before_the_first_is_0() -> None:
    found = ranges("e = exp(z)", "a = exp(e[t-1])", "b = max(e[t-1], e)")
    assert found["a"] == between(1, INF)
    assert found["b"] == POSITIVE


def test_names_nobody_knows_can_be_anything_and_sizes_are_positive() -> None:
    assert range_of(Read(name="u", time=Time.T), {}) == ALL
    assert range_of(Size(name="W"), {}) == POSITIVE
    assert range_of(Size(name="W"), {"W": between(0, 0)}) == between(0, 0)


NUMBERS = st.fractions(min_value=-4, max_value=4, max_denominator=8)
NAMES: dict[str, Interval] = {
    "any": ALL,
    "unit": between(0, 1, "(]"),
    "signed": between(-2, Fraction(3, 2), "()"),
    "great": between(1, INF),
    "flag": EITHER,
}
ARITHMETIC = {"add", "sub", "mul", "div", "floordiv", "mod", "pow", "max", "min"}
COMPARED = ["eq", "ge", "gt", "le", "lt", "ne"]
LOGIC = {"and", "or", "not"}
OTHERS = {"where", "lerp", *LOGIC, *COMPARED, *ARITHMETIC}


def gelu_tanh(x: Any) -> Any:
    inner = mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3)
    return x * (1 + mp.tanh(inner)) / 2


def power(a: Any, b: Any) -> Any:
    assume(a > 0 or (b == int(b) and (a != 0 or b > 0)))
    assume(abs(b) < 100)
    return a**b


def logarithm(x: Any) -> Any:
    assume(x > 0)
    return mp.log(x)


def root(x: Any) -> Any:
    assume(x >= 0)
    return mp.sqrt(x)


def quotient(a: Any, b: Any) -> Any:
    assume(b != 0)
    return a / b


COMPUTED: dict[str, Callable[..., Any]] = {
    "neg": lambda a: -a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": quotient,
    "floordiv": lambda a, b: mp.floor(quotient(a, b)),
    "mod": lambda a, b: a - b * mp.floor(quotient(a, b)),
    "pow": power,
    "max": max,
    "min": min,
    "exp": mp.exp,
    "expm1": mp.expm1,
    "log": logarithm,
    "sqrt": root,
    "abs": abs,
    "sin": mp.sin,
    "cos": mp.cos,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "logsigmoid": lambda x: -mp.log1p(mp.exp(-x)),
    "tanh": mp.tanh,
    "silu": lambda x: x / (1 + mp.exp(-x)),
    "gelu": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2,
    "gelu_tanh": gelu_tanh,
    "relu": lambda x: max(x, mp.mpf(0)),
    "elu": lambda x: x if x > 0 else mp.expm1(x),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "erf": mp.erf,
    "sign": mp.sign,
    "where": lambda c, a, b: a if c else b,
    "lerp": lambda a, b, w: a + (b - a) * w,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "not": lambda a: not a,
}
FUNCTIONS = sorted(COMPUTED.keys() - OTHERS)


def leaves() -> st.SearchStrategy[Expr]:
    names = [name for name in NAMES if name != "flag"]
    return st.one_of(
        NUMBERS.map(lambda value: Number(value=value)),
        st.sampled_from(names).map(lambda name: Read(name=name, time=Time.T)),
        st.sampled_from(["head", "heads", "layer", "layers", "W"]).map(lambda n: Size(name=n)),
    )


def applied(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    conditions = st.one_of(
        st.just(Read(name="flag", time=Time.T, sort=BOOL)),
        st.builds(
            lambda name, a, b: Apply(primitive=name, operands=(a, b), sort=BOOL),
            st.sampled_from(COMPARED),
            inner,
            inner,
        ),
    )
    either = st.builds(
        lambda name, a, b: Apply(primitive=name, operands=(a, b), sort=BOOL),
        st.sampled_from(["and", "or"]),
        conditions,
        conditions.map(lambda c: Apply(primitive="not", operands=(c,), sort=BOOL)),
    )
    return st.one_of(
        st.builds(
            lambda n, a: Apply(primitive=n, operands=(a,)), st.sampled_from(FUNCTIONS), inner
        ),
        st.builds(
            lambda f, a, b: Apply(primitive=f, operands=(a, b)),
            st.sampled_from(sorted(ARITHMETIC)),
            inner,
            inner,
        ),
        st.builds(lambda a: Apply(primitive="mul", operands=(a, a)), inner),
        st.builds(lambda a, b, w: Apply(primitive="lerp", operands=(a, b, w)), inner, inner, inner),
        st.builds(
            lambda c, a, b: Apply(primitive="where", operands=(c, a, b)),
            st.one_of(conditions, either),
            inner,
            inner,
        ),
    )


EXPRESSIONS = st.recursive(leaves(), applied, max_leaves=8)


@st.composite
def points(draw: st.DrawFn) -> dict[str, Fraction | int]:
    heads, layers = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    unit = draw(st.fractions(0, 1, max_denominator=16).filter(bool))
    return {
        "heads": heads,
        "head": draw(st.integers(0, heads - 1)),
        "layers": layers,
        "layer": draw(st.integers(0, layers - 1)),
        "W": draw(st.fractions(Fraction(1, 4), 100, max_denominator=4)),
        "any": draw(st.fractions(-20, 20, max_denominator=16)),
        "unit": unit,
        "signed": draw(st.fractions(-2, Fraction(3, 2), max_denominator=16).filter(_inside)),
        "great": draw(st.fractions(1, 30, max_denominator=16)),
        "flag": draw(st.integers(0, 1)),
    }


def _inside(value: Fraction) -> bool:
    return -2 < value < Fraction(3, 2)


def evaluate(expr: Expr, at: dict[str, Fraction | int]) -> Any:
    """The value to 60 digits; gives up where it is none, or too large to compute."""
    match expr:
        case Number(value=value):
            return mp.mpf(value.numerator) / value.denominator
        case Size(name=name) | Read(name=name):
            value = Fraction(at[name])
            return mp.mpf(value.numerator) / value.denominator
        case Apply(primitive=name, operands=operands):
            values = [evaluate(operand, at) for operand in operands]
            assume(all(abs(value) < 1e4 for value in values))
            return COMPUTED[name](*values)
        case _:
            raise AssertionError(expr)


def holds(interval: Interval, value: Any) -> bool:
    """True if the value lies in the interval, but for the last of its 60 digits."""
    slack = mp.mpf(10) ** -40 * (1 + abs(value))
    low, high = (
        mp.mpf(bound) if isinstance(bound, float) else mp.mpf(bound.numerator) / bound.denominator
        for bound in (interval.low, interval.high)
    )
    return bool(low - slack <= value <= high + slack)


@given(EXPRESSIONS, points())
def test_every_value_lies_in_the_range(expr: Expr, at: dict[str, Fraction | int]) -> None:
    with mp.workdps(60):
        value = evaluate(expr, at)
        found = range_of(expr, NAMES)
        assert holds(found, mp.mpf(value)), (found, value)


@given(EXPRESSIONS, points())
def test_a_point_has_a_narrow_range(expr: Expr, at: dict[str, Fraction | int]) -> None:
    with mp.workdps(60):
        value = mp.mpf(evaluate(expr, at))
        env = {name: between(number, number) for name, number in at.items()}
        found = range_of(expr, env)
        assert holds(found, value), (found, value)


CONDITIONS = st.builds(
    lambda name, a, b: Apply(primitive=name, operands=(a, b), sort=BOOL),
    st.sampled_from(COMPARED),
    EXPRESSIONS,
    EXPRESSIONS,
)


@given(CONDITIONS, points())
def test_what_is_decided_is_so(condition: Expr, at: dict[str, Fraction | int]) -> None:
    with mp.workdps(60):
        value = evaluate(condition, at)
        found = range_of(condition, NAMES)
        assert found in (TRUE, FALSE, EITHER)
        assert holds(found, mp.mpf(value)), (found, value)


BOUNDS = st.one_of(st.just(INF), st.fractions(-3, 3, max_denominator=4))


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    low, high = draw(BOUNDS), draw(BOUNDS)
    low = -low if isinstance(low, float) else low
    ends = draw(st.sampled_from(["[]", "(]", "[)", "()"]))
    assume(low < high or (low == high and ends == "[]"))
    return between(low, high, ends)


@given(intervals(), intervals())
def test_hulls_hold_and_intersections_are_held(a: Interval, b: Interval) -> None:
    assert within(a, hull(a, b))
    assert within(b, hull(a, b))
    assert within(intersect(a, b), a)
    assert intersect(a, hull(a, b)) == a


def test_large_powers_keep_their_sign_and_stay_short() -> None:
    signed, name = {"u": between(-2, 1)}, Read(name="u", time=Time.T)

    def raised(base: Expr, exponent: int) -> Expr:
        return Apply(primitive="pow", operands=(base, Number(value=Fraction(exponent))))

    odd, even = range_of(raised(name, 65), signed), range_of(raised(name, 100), signed)
    assert odd.low <= -(2**65)
    assert even.low == 0
    assert even.high >= 2**100
    tower: Expr = Number(value=Fraction(3))
    for _ in range(20):
        tower = raised(tower, 4)
    assert range_of(tower, {}).high == INF
    assert range_of(tower, {}).low > 10**300


def test_long_bounds_are_rounded_outwards() -> None:
    low, high = Fraction(3**3000, 7**2999), Fraction(5**3001, 4**3000)
    rounded = between(low, high)
    assert rounded.low <= low
    assert rounded.high >= high
    assert rounded.high < high * Fraction(1001, 1000)
    assert between(Fraction(1, 7**2000), 1).low == 0
