"""Complex nodes as pairs of real ones, for targets that have no complex numbers.

Only loads and carried states are halves of something in memory; all else is real arithmetic, as
written in every textbook, but for a quotient: that is scaled, so that no square leaves the range.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from mixerc.plan import nodes as n
from mixerc.plan.build import Builder

Pair = tuple[n.Node, n.Node]
Numbers = tuple[n.Node, ...]
"""One real node, or the real and the imaginary part."""
HALVES: tuple[n.Half, n.Half] = ("re", "im")


class Pairs:
    """Makes real nodes of nodes; equal ones once."""

    def __init__(self) -> None:
        self.b = Builder()
        self._made: dict[n.Node, Numbers] = {}

    def of(self, node: n.Node) -> Numbers:
        """The real node, or both parts of a complex one."""
        if node not in self._made:
            self._made[node] = self._of(node)
        return self._made[node]

    def _of(self, node: n.Node) -> Numbers:
        b = self.b
        match node:
            case n.Load(complex=True):
                return tuple(b.intern(replace(node, complex=False, half=x)) for x in HALVES)
            case n.Carry(complex=True, axes=axes, state=name):
                return tuple(b.intern(n.Carry(axes=axes, state=name, half=x)) for x in HALVES)
            case n.Map():
                return self._map(node, tuple(map(self.of, node.args)))
        args = tuple(map(self.of, node.args))
        if all(len(arg) == 1 for arg in args):
            return (b.rebuild(node, tuple(arg[0] for arg in args)),)
        if isinstance(node, n.Contract):
            return self._contract(node, *map(self._pair, args))
        whole = (
            arg if len(arg) == 2 else (arg[0], b.spread(b.node(0), arg[0].axes)) for arg in args
        )
        return tuple(b.rebuild(node, side) for side in zip(*whole, strict=True))

    def _pair(self, numbers: Numbers) -> Pair:
        real, *imaginary = numbers
        return real, imaginary[0] if imaginary else self.b.node(0)

    def _contract(self, node: n.Contract, left: Pair, right: Pair) -> Numbers:
        def product(x: n.Node, y: n.Node) -> n.Node:
            return self.b.node(0) if _is_zero(x) or _is_zero(y) else self.b.rebuild(node, (x, y))

        return _multiplied(self.b, left, right, product)

    def _map(self, node: n.Map, args: tuple[Numbers, ...]) -> Numbers:
        b, primitive = self.b, node.primitive
        real = all(len(arg) == 1 for arg in args)
        match primitive, args:
            case "complex", ((x,), (y,)):
                return x, y
            case "real", ((x, *_),):
                return (x,)
            case "imag", ((x, *y),):
                return (y[0] if y else b.spread(b.node(0), x.axes),)
            case "conj", ((x,),):
                return (x,)
            case "where", ((test,), left, right) if not real:
                sides = zip(self._pair(left), self._pair(right), strict=True)
                return tuple(b("where", test, x, y) for x, y in sides)
            case "lerp", (start, end, (weight,)) if not real:
                sides = zip(self._pair(start), self._pair(end), strict=True)
                return tuple(b("lerp", x, y, weight) for x, y in sides)
            case "pow", (base, (n.Number(value=power),)) if not real:
                return _power(b, self._pair(base), power)
            case _ if real:
                return (b(primitive, *(arg[0] for arg in args)),)
            case _ if primitive in RULES:
                return RULES[primitive](b, *map(self._pair, args))
            case _:
                raise ValueError(f"`{primitive}` of complex numbers has no real form here yet")


def _is_zero(node: n.Node) -> bool:
    return isinstance(node, n.Number) and node.value == 0


def _times(b: Builder, x: n.Node, y: n.Node) -> n.Node:
    return b.node(0) if _is_zero(x) or _is_zero(y) else b("mul", x, y)


def _multiplied(
    b: Builder, left: Pair, right: Pair, product: Callable[[n.Node, n.Node], n.Node]
) -> Pair:
    (x, y), (u, v) = left, right
    across, down = product(y, v), product(y, u)
    real = product(x, u) if _is_zero(across) else b("sub", product(x, u), across)
    return real, b("add", product(x, v), down)


def _mul(b: Builder, left: Pair, right: Pair) -> Pair:
    return _multiplied(b, left, right, lambda x, y: _times(b, x, y))


def _div(b: Builder, left: Pair, right: Pair) -> Pair:
    u, v = right
    if _is_zero(v):
        return b("div", left[0], u), left[1] if _is_zero(left[1]) else b("div", left[1], u)
    scale = b("max", b("abs", u), b("abs", v))
    u, v = b("div", u, scale), b("div", v, scale)
    size = b("mul", b("add", b("mul", u, u), b("mul", v, v)), scale)
    real, imaginary = _mul(b, left, (u, b("neg", v)))
    return b("div", real, size), b("div", imaginary, size)


def _exp(b: Builder, x: Pair) -> Pair:
    size = b("exp", x[0])
    return b("mul", size, b("cos", x[1])), b("mul", size, b("sin", x[1]))


def _expm1(b: Builder, x: Pair) -> Pair:
    """e^x cos y - 1 = (e^x - 1) cos y - 2 sin(y/2)^2: nothing cancels near 0."""
    half = b("sin", b("mul", x[1], Fraction(1, 2)))
    less = b("mul", b("mul", half, half), 2)
    real = b("sub", b("mul", b("expm1", x[0]), b("cos", x[1])), less)
    return real, b("mul", b("exp", x[0]), b("sin", x[1]))


def _abs(b: Builder, x: Pair) -> n.Node:
    """The length, from a scaled square."""
    large = b("max", b("abs", x[0]), b("abs", x[1]))
    small = b("min", b("abs", x[0]), b("abs", x[1]))
    share = b("div", small, b("where", b("eq", large, 0), 1, large))
    return b("mul", large, b("sqrt", b("add", b("mul", share, share), 1)))


def _sqrt(b: Builder, x: Pair) -> Pair:
    """The root with a real part that is not negative."""
    length, half = _abs(b, x), Fraction(1, 2)
    large = b("sqrt", b("mul", b("add", length, b("abs", x[0])), half))
    small = b("div", b("mul", b("abs", x[1]), half), b("where", b("eq", large, 0), 1, large))
    right = b("ge", x[0], 0)
    down = b("where", b("lt", x[1], 0), -1, 1)
    return b("where", right, large, small), b("mul", down, b("where", right, small, large))


def _power(b: Builder, base: Pair, power: Fraction) -> Pair:
    if power.denominator != 1:
        raise ValueError(f"a complex number to the power of {power} has no real form here yet")
    made = base
    for _ in range(abs(int(power)) - 1):
        made = _mul(b, made, base)
    return made if power > 0 else _div(b, (b.node(1), b.node(0)), made)


def _sin(b: Builder, x: Pair) -> Pair:
    cosh, sinh = _hyperbolic(b, x[1])
    return b("mul", b("sin", x[0]), cosh), b("mul", b("cos", x[0]), sinh)


def _cos(b: Builder, x: Pair) -> Pair:
    cosh, sinh = _hyperbolic(b, x[1])
    return b("mul", b("cos", x[0]), cosh), b("neg", b("mul", b("sin", x[0]), sinh))


def _hyperbolic(b: Builder, x: n.Node) -> Pair:
    """cosh x and sinh x."""
    up, down = b("expm1", x), b("expm1", b("neg", x))
    half = Fraction(1, 2)
    cosh = b("add", b("mul", b("add", up, down), half), 1)
    return cosh, b("mul", b("sub", up, down), half)


RULES: dict[str, Callable[..., Numbers]] = {
    "neg": lambda b, x: (b("neg", x[0]), b("neg", x[1])),
    "conj": lambda b, x: (x[0], b("neg", x[1])),
    "add": lambda b, x, y: (b("add", x[0], y[0]), b("add", x[1], y[1])),
    "sub": lambda b, x, y: (b("sub", x[0], y[0]), b("sub", x[1], y[1])),
    "mul": _mul,
    "div": _div,
    "exp": _exp,
    "expm1": _expm1,
    "abs": lambda b, x: (_abs(b, x),),
    "sqrt": _sqrt,
    "sin": _sin,
    "cos": _cos,
    "eq": lambda b, x, y: (b("and", b("eq", x[0], y[0]), b("eq", x[1], y[1])),),
    "ne": lambda b, x, y: (b("or", b("ne", x[0], y[0]), b("ne", x[1], y[1])),),
}
"""Primitives of complex numbers; that of `log` needs an angle, which Triton has no word for."""
