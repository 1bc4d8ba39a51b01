"""Text of the scalar primitives in Triton, for operands that are tiles or numbers of their dtype.

What Triton has no word for is a helper of device.py.
"""

from mixerc.backends.module.printer import TENSOR_TEXTS, TextRule


def _call(function: str) -> TextRule:
    return lambda *operands: f"{function}({', '.join(operands)})"


TEXTS: dict[str, TextRule] = {
    **{
        name: TENSOR_TEXTS[name]
        for name in ("neg", "add", "sub", "mul", "div", "lerp", "eq", "ne", "lt", "le", "gt", "ge")
    },
    **{name: TENSOR_TEXTS[name] for name in ("and", "or")},
    "exp": _call("tl.exp"),
    "log": _call("tl.log"),
    "sqrt": _call("tl.sqrt"),
    "abs": _call("tl.abs"),
    "sin": _call("tl.sin"),
    "cos": _call("tl.cos"),
    "erf": _call("tl.erf"),
    "where": _call("tl.where"),
    "max": _call("tl.maximum"),
    "min": _call("tl.minimum"),
    "expm1": _call("expm1"),
    "sigmoid": _call("sigmoid"),
    "logsigmoid": _call("logsigmoid"),
    "softplus": _call("softplus"),
    "tanh": _call("tanh"),
    "silu": _call("silu"),
    "gelu": _call("gelu"),
    "gelu_tanh": _call("gelu_tanh"),
    "relu": _call("relu"),
    "elu": _call("elu"),
    "sign": _call("sign"),
    "pow": _call("power"),
    "not": _call("negated"),
    "floordiv": _call("floor_div"),
    "mod": _call("floor_mod"),
}

_CALM = """neg add sub mul lerp exp abs sin cos erf where max min expm1 sigmoid logsigmoid softplus
tanh silu gelu gelu_tanh relu elu sign eq ne lt le gt ge and or not"""
_KEEPS_ZERO = "neg abs relu sin tanh silu sign sqrt expm1 erf"

CALM = frozenset(_CALM.split())
"""Finite wherever their operands are small."""

KEEPS_ZERO = frozenset(_KEEPS_ZERO.split())
"""Functions of one operand that are 0 at 0."""
