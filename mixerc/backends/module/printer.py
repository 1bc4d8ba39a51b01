"""Text of the scalar primitives in torch, and of numbers: one row a primitive, two tables.

`TENSOR_TEXTS` is for operands of which at least one is a tensor, `NUMBER_TEXTS` for Python
numbers alone (sizes, literals). The texts use the names torch, functional (of torch.nn) and math.
Operands may be any expressions: parentheses are put where Python's precedence wants them.
"""

import ast
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

TextRule: TypeAlias = Callable[..., str]

_SUM, _PRODUCT, _UNARY, _POWER, _ATOM = 9, 10, 11, 12, 13
_LEVELS: dict[type, int] = {
    ast.IfExp: 0,
    ast.Or: 1,
    ast.And: 2,
    ast.Not: 3,
    ast.Compare: 4,
    ast.BitOr: 5,
    ast.BitXor: 6,
    ast.BitAnd: 7,
    ast.Add: _SUM,
    ast.Sub: _SUM,
    ast.Mult: _PRODUCT,
    ast.Div: _PRODUCT,
    ast.FloorDiv: _PRODUCT,
    ast.Mod: _PRODUCT,
    ast.MatMult: _PRODUCT,
    ast.USub: _UNARY,
    ast.Invert: _UNARY,
    ast.Pow: _POWER,
}
_NO_NAMES: frozenset[str] = frozenset()
_FUNCTIONS = frozenset({"math", "abs", "max", "min", "complex"})


class NumberText(str):
    """An operand that is a Python number when the code runs."""

    __slots__ = ()


@lru_cache(maxsize=4096)
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _level(text: str) -> int:
    """How tightly the text's outermost operator binds."""
    if text.startswith("(") and isinstance(_parsed(f"{text} .p"), ast.Attribute):
        return _ATOM
    node = _parsed(text)
    return _LEVELS.get(type(getattr(node, "op", node)), _ATOM)


def within(text: str, level: int = _ATOM) -> str:
    """The text, in parentheses unless it binds at least as tightly as `level`."""
    return text if _level(text) >= level else f"({text})"


def number_text(value: Fraction | int | float) -> str:
    """A literal: an integer where the value is one, else the nearest float."""
    return str(int(value)) if value == int(value) else repr(float(value))


def is_number(text: str, scalars: frozenset[str] = _NO_NAMES) -> bool:
    """Whether the text is a Python number, the names in `scalars` being numbers."""
    names = (node.id for node in ast.walk(_parsed(text)) if isinstance(node, ast.Name))
    return all(name in scalars or name in _FUNCTIONS for name in names)


def _infix(symbol: str, level: int) -> TextRule:
    def text(a: str, b: str) -> str:
        return f"{within(a, level)} {symbol} {within(b, level + 1)}"

    return text


def _call(function: str, tail: str = "") -> TextRule:
    return lambda *operands: f"{function}({', '.join(operands)}{tail})"


def _add(a: str, b: str) -> str:
    negative = b.startswith("-") and isinstance(b, NumberText) and _level(b) == _UNARY
    return f"{within(a, _SUM)} - {b[1:]}" if negative else _infix("+", _SUM)(a, b)


def _sub(a: str, b: str) -> str:
    negative = b.startswith("-") and isinstance(b, NumberText) and _level(b) == _UNARY
    return f"{within(a, _SUM)} + {b[1:]}" if negative else _infix("-", _SUM)(a, b)


def _pow(a: str, b: str) -> str:
    return f"{within(a)} ** {within(b, _UNARY)}"


def _complex(a: str, b: str) -> str:
    if isinstance(a, NumberText) or isinstance(b, NumberText):
        return _add(a, f"1j * {within(b, _UNARY)}")
    return f"torch.complex({a}, {b})"


def _clamp(function: str, bound: str) -> TextRule:
    def text(a: str, b: str) -> str:
        if isinstance(b, NumberText):
            return f"torch.clamp({a}, {bound}={b})"
        if isinstance(a, NumberText):
            return f"torch.clamp({b}, {bound}={a})"
        return f"{function}({a}, {b})"

    return text


def _lerp(a: str, b: str, w: str) -> str:
    difference = _infix("-", _SUM)(b, a)
    return f"{within(a, _SUM)} + ({difference}) * {within(w, _UNARY)}"


_SHARED: dict[str, TextRule] = {
    "neg": lambda x: f"-{within(x, _UNARY)}",
    "add": _add,
    "sub": _sub,
    "mul": _infix("*", _PRODUCT),
    "div": _infix("/", _PRODUCT),
    "floordiv": _infix("//", _PRODUCT),
    "mod": _infix("%", _PRODUCT),
    "pow": _pow,
    "lerp": _lerp,
    "eq": lambda a, b: f"{within(a, 5)} == {within(b, 5)}",
    "ne": lambda a, b: f"{within(a, 5)} != {within(b, 5)}",
    "lt": lambda a, b: f"{within(a, 5)} < {within(b, 5)}",
    "le": lambda a, b: f"{within(a, 5)} <= {within(b, 5)}",
    "gt": lambda a, b: f"{within(a, 5)} > {within(b, 5)}",
    "ge": lambda a, b: f"{within(a, 5)} >= {within(b, 5)}",
    "pi": lambda: "math.pi",
}

TENSOR_TEXTS: dict[str, TextRule] = {
    **_SHARED,
    "exp": _call("torch.exp"),
    "log": _call("torch.log"),
    "expm1": _call("torch.expm1"),
    "sqrt": _call("torch.sqrt"),
    "abs": _call("torch.abs"),
    "sin": _call("torch.sin"),
    "cos": _call("torch.cos"),
    "sigmoid": _call("torch.sigmoid"),
    "logsigmoid": _call("functional.logsigmoid"),
    "tanh": _call("torch.tanh"),
    "silu": _call("functional.silu"),
    "gelu": _call("functional.gelu"),
    "gelu_tanh": _call("functional.gelu", ', approximate="tanh"'),
    "relu": _call("torch.relu"),
    "elu": _call("functional.elu"),
    "softplus": _call("functional.softplus"),
    "real": _call("torch.real"),
    "imag": _call("torch.imag"),
    "conj": _call("torch.conj"),
    "complex": _complex,
    "where": _call("torch.where"),
    "max": _clamp("torch.maximum", "min"),
    "min": _clamp("torch.minimum", "max"),
    "and": _infix("&", 7),
    "or": _infix("|", 5),
    "not": lambda x: f"~{within(x, _UNARY)}",
    "erf": _call("torch.erf"),
    "sign": _call("torch.sign"),
}


def _sigmoid(x: str) -> str:
    return f"1 / (1 + math.exp({_SHARED['neg'](x)}))"


NUMBER_TEXTS: dict[str, TextRule] = {
    **_SHARED,
    "exp": _call("math.exp"),
    "log": _call("math.log"),
    "expm1": _call("math.expm1"),
    "sqrt": _call("math.sqrt"),
    "abs": _call("abs"),
    "sin": _call("math.sin"),
    "cos": _call("math.cos"),
    "sigmoid": _sigmoid,
    "logsigmoid": lambda x: f"-math.log1p(math.exp({_SHARED['neg'](x)}))",
    "tanh": _call("math.tanh"),
    "silu": lambda x: f"{within(x, _PRODUCT)} / (1 + math.exp({_SHARED['neg'](x)}))",
    "gelu": lambda x: f"{within(x, _PRODUCT)} * (1 + math.erf({x} / math.sqrt(2))) / 2",
    "gelu_tanh": lambda x: (
        f"{within(x, _PRODUCT)} * (1 + math.tanh(math.sqrt(2 / math.pi) * ({x} + 0.044715"
        f" * ({x}) ** 3))) / 2"
    ),
    "relu": lambda x: f"max({x}, 0)",
    "elu": lambda x: f"{within(x, 1)} if {within(x, 5)} > 0 else math.expm1({x})",
    "softplus": lambda x: f"math.log1p(math.exp({x}))",
    "real": lambda x: f"{within(x)}.real",
    "imag": lambda x: f"{within(x)}.imag",
    "conj": lambda x: f"{within(x)}.conjugate()",
    "complex": _call("complex"),
    "where": lambda c, a, b: f"{within(a, 1)} if {within(c, 1)} else {within(b, 1)}",
    "max": _call("max"),
    "min": _call("min"),
    "and": _infix("and", 2),
    "or": _infix("or", 1),
    "not": lambda x: f"not {within(x, 4)}",
    "erf": _call("math.erf"),
    "sign": lambda x: f"math.copysign(1, {x}) if {x} else 0",
}


def apply_text(
    primitive: str, operands: tuple[str, ...], scalars: frozenset[str] = _NO_NAMES
) -> str:
    """A primitive applied to the texts of its operands.

    Names in `scalars` are Python numbers; an expression of numbers alone is printed with math.
    """
    marked = tuple(
        NumberText(text) if isinstance(text, NumberText) or is_number(text, scalars) else text
        for text in operands
    )
    numbers = all(isinstance(text, NumberText) for text in marked)
    return (NUMBER_TEXTS if numbers else TENSOR_TEXTS)[primitive](*marked)
