"""The closed set of scalar functions: arity, kind of the result, and partial derivatives.

Everything a spec can write elementwise is one of these, and a backend or a domain of the
reference is complete when it prints or computes each of them. A derivative is written with
the same primitives, so the set is closed under differentiation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

Builder: TypeAlias = Callable[..., Any]
Partials: TypeAlias = Callable[..., tuple[Any, ...]]

_HALF = Fraction(1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Primitive:
    """A scalar function.

    `partials(F, *operands)` gives the derivative by each operand, built with `F(name, *args)`
    where args are operands or exact numbers; None for an operand without one (a condition).
    `result` is "same" (real, or complex if an operand is), "real", or "bool".
    `written` is False for those that only derivatives need.
    """

    name: str
    arity: int
    partials: Partials | None
    result: str = "same"
    written: bool = True


def _sigmoid_slope(f: Builder, x: Any) -> Any:
    return f("mul", f("sigmoid", x), f("sigmoid", f("neg", x)))


def _silu_slope(f: Builder, x: Any) -> Any:
    return f("add", f("sigmoid", x), f("mul", x, _sigmoid_slope(f, x)))


def _erf_slope(f: Builder, x: Any) -> Any:
    return f("div", f("mul", 2, f("exp", f("neg", f("mul", x, x)))), f("sqrt", f("pi")))


def _gelu_slope(f: Builder, x: Any) -> Any:
    density = f("div", f("exp", f("mul", f("mul", x, x), -_HALF)), f("sqrt", f("mul", 2, f("pi"))))
    phi = f("mul", f("add", f("erf", f("div", x, f("sqrt", 2))), 1), _HALF)
    return f("add", phi, f("mul", x, density))


def _gelu_tanh_slope(f: Builder, x: Any) -> Any:
    root = f("sqrt", f("div", 2, f("pi")))
    cubic = Fraction(44715, 1_000_000)
    square = f("mul", x, x)
    inner = f("mul", root, f("mul", x, f("add", f("mul", square, cubic), 1)))
    tanh = f("tanh", inner)
    slope = f("mul", root, f("add", f("mul", square, 3 * cubic), 1))
    sech = f("sub", 1, f("mul", tanh, tanh))
    return f("mul", f("add", f("add", tanh, 1), f("mul", x, f("mul", sech, slope))), _HALF)


def _larger(f: Builder, a: Any, b: Any) -> tuple[Any, Any]:
    """The share of a tie is one half each, so that |x| = max(x, -x) has slope 0 at 0."""
    share = f("where", f("gt", a, b), 1, f("where", f("eq", a, b), _HALF, 0))
    return share, f("sub", 1, share)


def _power(f: Builder, a: Any, b: Any) -> tuple[Any, Any]:
    return (
        f("mul", b, f("pow", a, f("sub", b, 1))),
        f("mul", f("pow", a, b), f("log", a)),
    )


def _row(
    name: str, arity: int, partials: Partials | None, result: str = "same", *, written: bool = True
) -> Primitive:
    return Primitive(name=name, arity=arity, partials=partials, result=result, written=written)


_ROWS = (
    _row("neg", 1, lambda f, x: (-1,)),
    _row("add", 2, lambda f, a, b: (1, 1)),
    _row("sub", 2, lambda f, a, b: (1, -1)),
    _row("mul", 2, lambda f, a, b: (b, a)),
    _row("div", 2, lambda f, a, b: (f("div", 1, b), f("neg", f("div", f("div", a, b), b)))),
    _row("floordiv", 2, None),
    _row("mod", 2, None),
    _row("pow", 2, _power),
    _row("exp", 1, lambda f, x: (f("exp", x),)),
    _row("log", 1, lambda f, x: (f("div", 1, x),)),
    _row("expm1", 1, lambda f, x: (f("exp", x),)),
    _row("sqrt", 1, lambda f, x: (f("div", _HALF, f("sqrt", x)),)),
    _row("abs", 1, lambda f, x: (f("sign", x),), "real"),
    _row("sin", 1, lambda f, x: (f("cos", x),)),
    _row("cos", 1, lambda f, x: (f("neg", f("sin", x)),)),
    _row("sigmoid", 1, lambda f, x: (_sigmoid_slope(f, x),)),
    _row("logsigmoid", 1, lambda f, x: (f("sigmoid", f("neg", x)),)),
    _row("tanh", 1, lambda f, x: (f("sub", 1, f("mul", f("tanh", x), f("tanh", x))),)),
    _row("silu", 1, lambda f, x: (_silu_slope(f, x),)),
    _row("gelu", 1, lambda f, x: (_gelu_slope(f, x),)),
    _row("gelu_tanh", 1, lambda f, x: (_gelu_tanh_slope(f, x),)),
    _row("relu", 1, lambda f, x: (f("where", f("gt", x, 0), 1, 0),)),
    _row("elu", 1, lambda f, x: (f("where", f("gt", x, 0), 1, f("exp", f("min", x, 0))),)),
    _row("softplus", 1, lambda f, x: (f("sigmoid", x),)),
    _row("real", 1, None, "real"),
    _row("imag", 1, None, "real"),
    _row("conj", 1, None),
    _row("complex", 2, None, "complex"),
    _row("where", 3, lambda f, c, a, b: (None, f("where", c, 1, 0), f("where", c, 0, 1))),
    _row("max", 2, _larger),
    _row("min", 2, lambda f, a, b: _larger(f, b, a)),
    _row("lerp", 3, lambda f, a, b, w: (f("sub", 1, w), w, f("sub", b, a))),
    _row("eq", 2, None, "bool"),
    _row("ne", 2, None, "bool"),
    _row("lt", 2, None, "bool"),
    _row("le", 2, None, "bool"),
    _row("gt", 2, None, "bool"),
    _row("ge", 2, None, "bool"),
    _row("and", 2, None, "bool"),
    _row("or", 2, None, "bool"),
    _row("not", 1, None, "bool"),
    _row("erf", 1, lambda f, x: (_erf_slope(f, x),), written=False),
    _row("sign", 1, lambda f, x: (0,), "real", written=False),
    _row("pi", 0, None, "real", written=False),
)

PRIMITIVES: dict[str, Primitive] = {row.name: row for row in _ROWS}
"""Every primitive by name. `lerp(a, b, w)` is a + (b - a) · w."""
