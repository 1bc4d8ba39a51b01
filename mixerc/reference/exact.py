"""The exact domain: NumPy object arrays of SymPy numbers and expressions.

Rationals stay rationals; what is not rational (exp, log, …) stays symbolic. Objects are built
from numbers and nodes, never from text.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp  # type: ignore[import-untyped]

from mixerc.reference.domain import Array, Domain, Scalar, Shape


def _number(value: Any) -> Any:
    """One SymPy object: floats become the rational that they are."""
    if isinstance(value, sp.Basic):
        return value
    if isinstance(value, bool | np.bool_):
        return sp.true if value else sp.false
    if isinstance(value, complex):
        return _number(value.real) + sp.I * _number(value.imag)
    fraction = Fraction(value)
    return sp.Rational(fraction.numerator, fraction.denominator)


def _array(values: Sequence[Any], shape: Shape) -> Array:
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        array[index] = _number(value)
    return array.reshape(shape)


def _convert(value: Any) -> Array:
    source = value.detach() if hasattr(value, "detach") else np.asarray(value, dtype=object)
    return _array(source.reshape(-1).tolist(), tuple(source.shape))


def _scalar(value: Scalar) -> Array:
    return _array([value], ())


def _zeros(shape: Shape, is_complex: bool) -> Array:
    return np.full(shape, sp.Integer(0), dtype=object)


def _elementwise(function: Callable[..., Any], arity: int) -> Callable[..., Array]:
    """The function on arrays; frompyfunc returns a bare object for arrays without axes."""
    universal = np.frompyfunc(function, arity, 1)

    def on_arrays(*arrays: Array) -> Array:
        result = universal(*arrays)
        return result if isinstance(result, np.ndarray) else _array([result], ())

    return on_arrays


def _reduction(function: Callable[..., Any]) -> Callable[[Array, int], Array]:
    def along(array: Array, axis: int) -> Array:
        rows = np.moveaxis(array, axis, -1)
        flat = rows.reshape(-1, rows.shape[-1])
        return _array([function(*row) for row in flat], rows.shape[:-1])

    return along


def _softmax(array: Array, axis: int) -> Array:
    weights = PRIMITIVES["exp"](array)
    total = np.expand_dims(_reduction(sp.Add)(weights, axis), axis)
    return PRIMITIVES["div"](weights, total)


def _einsum(a: Array, a_dims: list[int], b: Array, b_dims: list[int], out: list[int]) -> Array:
    result = np.einsum(a, a_dims, b, b_dims, out)
    return _convert(result)


def _where(condition: Any, a: Any, b: Any) -> Any:
    if condition in (sp.true, sp.Integer(1)):
        return a
    if condition in (sp.false, sp.Integer(0)):
        return b
    return sp.Piecewise((a, condition), (b, True))


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + sp.exp(-x))


def _gelu_tanh(x: Any) -> Any:
    inner = sp.sqrt(2 / sp.pi) * (x + sp.Rational(44715, 1_000_000) * x**3)
    return x / 2 * (1 + sp.tanh(inner))


def _elu(x: Any) -> Any:
    return _where(sp.Gt(x, 0), x, sp.exp(x) - 1)


_TABLE: dict[str, tuple[int, Callable[..., Any]]] = {
    "neg": (1, lambda x: -x),
    "add": (2, lambda a, b: a + b),
    "sub": (2, lambda a, b: a - b),
    "mul": (2, lambda a, b: a * b),
    "div": (2, lambda a, b: a / b),
    "floordiv": (2, lambda a, b: sp.floor(a / b)),
    "mod": (2, lambda a, b: a - b * sp.floor(a / b)),
    "pow": (2, lambda a, b: a**b),
    "exp": (1, sp.exp),
    "log": (1, sp.log),
    "expm1": (1, lambda x: sp.exp(x) - 1),
    "sqrt": (1, sp.sqrt),
    "abs": (1, sp.Abs),
    "sin": (1, sp.sin),
    "cos": (1, sp.cos),
    "sigmoid": (1, _sigmoid),
    "logsigmoid": (1, lambda x: -sp.log(1 + sp.exp(-x))),
    "tanh": (1, sp.tanh),
    "silu": (1, lambda x: x * _sigmoid(x)),
    "gelu": (1, lambda x: x / 2 * (1 + sp.erf(x / sp.sqrt(2)))),
    "gelu_tanh": (1, _gelu_tanh),
    "relu": (1, lambda x: sp.Max(x, 0)),
    "elu": (1, _elu),
    "softplus": (1, lambda x: sp.log(1 + sp.exp(x))),
    "real": (1, sp.re),
    "imag": (1, sp.im),
    "conj": (1, sp.conjugate),
    "complex": (2, lambda a, b: a + sp.I * b),
    "where": (3, _where),
    "max": (2, sp.Max),
    "min": (2, sp.Min),
    "lerp": (3, lambda a, b, w: a + (b - a) * w),
    "eq": (2, sp.Eq),
    "ne": (2, sp.Ne),
    "lt": (2, sp.Lt),
    "le": (2, sp.Le),
    "gt": (2, sp.Gt),
    "ge": (2, sp.Ge),
    "and": (2, sp.And),
    "or": (2, sp.Or),
    "not": (1, sp.Not),
    "erf": (1, sp.erf),
    "sign": (1, sp.sign),
}

PRIMITIVES: dict[str, Callable[..., Array]] = {
    **{name: _elementwise(function, arity) for name, (arity, function) in _TABLE.items()},
    "pi": lambda: _array([sp.pi], ()),
}

EXACT = Domain(
    name="exact",
    primitives=PRIMITIVES,
    reductions={"sum": _reduction(sp.Add), "max": _reduction(sp.Max), "softmax": _softmax},
    convert=_convert,
    number=_scalar,
    zeros=_zeros,
    arange=lambda count: _array(range(count), (count,)),
    permute=lambda array, order: np.transpose(array, order),
    reshape=lambda array, shape: array.reshape(shape),
    broadcast=np.broadcast_to,
    select=lambda array, axis, index: _convert(np.take(array, index, axis)),
    take=lambda array, axis, indices: np.take(array, list(indices), axis),
    unstack=lambda array, axis: [_convert(part) for part in np.moveaxis(array, axis, 0)],
    stack=lambda arrays, axis: np.stack(arrays, axis),
    concat=lambda arrays, axis: np.concatenate(arrays, axis),
    einsum=_einsum,
)
