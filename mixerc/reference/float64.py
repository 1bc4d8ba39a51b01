"""The domain of floating point: tensors of one precision, differentiable by autograd.

The reference runs in float64 and complex128. Integers are kept as floats too (in float64 exact to
2^53), so that arithmetic has one type.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mixerc.reference.domain import Domain, Scalar, Shape


def _common(arrays: Sequence[Tensor]) -> list[Tensor]:
    """The arrays, all complex if one is: these torch functions do not promote by themselves."""
    widest = next((array.dtype for array in arrays if array.is_complex()), None)
    return list(arrays) if widest is None else [array.to(widest) for array in arrays]


def _take(array: Tensor, axis: int, indices: Sequence[int]) -> Tensor:
    return array.index_select(axis, torch.tensor(list(indices), dtype=torch.int64))


def _stack(arrays: Sequence[Tensor], axis: int) -> Tensor:
    return torch.stack(_common(arrays), axis)


def _concat(arrays: Sequence[Tensor], axis: int) -> Tensor:
    return torch.cat(_common(arrays), axis)


def _einsum(a: Tensor, a_dims: list[int], b: Tensor, b_dims: list[int], out: list[int]) -> Tensor:
    left, right = _common([a, b])
    result: Tensor = torch.einsum(left, a_dims, right, b_dims, out)
    return result


def _condition(value: Tensor) -> Tensor:
    return value if value.dtype == torch.bool else value != 0


def _where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(_condition(condition), a, b)


def _imag(x: Tensor) -> Tensor:
    return x.imag if x.is_complex() else torch.zeros_like(x)


def _conj(x: Tensor) -> Tensor:
    return torch.conj_physical(x) if x.is_complex() else x


def _complex(a: Tensor, b: Tensor) -> Tensor:
    return torch.complex(a + torch.zeros_like(b), b + torch.zeros_like(a))


def _floordiv(a: Tensor, b: Tensor) -> Tensor:
    return torch.div(a, b, rounding_mode="floor")


def _amax(array: Tensor, axis: int) -> Tensor:
    return array.amax(axis)


PRIMITIVES: dict[str, Callable[..., Tensor]] = {
    "neg": torch.neg,
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "floordiv": _floordiv,
    "mod": torch.remainder,
    "pow": torch.pow,
    "exp": torch.exp,
    "log": torch.log,
    "expm1": torch.expm1,
    "sqrt": torch.sqrt,
    "abs": torch.abs,
    "sin": torch.sin,
    "cos": torch.cos,
    "sigmoid": torch.sigmoid,
    "logsigmoid": F.logsigmoid,
    "tanh": torch.tanh,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "elu": F.elu,
    # torch's softplus is x itself above a threshold; without one this is log(1 + exp(x)).
    "softplus": lambda x: -F.logsigmoid(-x),
    "real": torch.real,
    "imag": _imag,
    "conj": _conj,
    "complex": _complex,
    "where": _where,
    "max": torch.maximum,
    "min": torch.minimum,
    "lerp": lambda a, b, w: a + (b - a) * w,
    "eq": torch.eq,
    "ne": torch.ne,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
    "and": lambda a, b: _condition(a) & _condition(b),
    "or": lambda a, b: _condition(a) | _condition(b),
    "not": lambda a: ~_condition(a),
    "erf": torch.erf,
    "sign": torch.sign,
}


def floating(real: torch.dtype, complex_: torch.dtype) -> Domain:
    """The domain of these two dtypes."""

    def convert(value: Any) -> Tensor:
        tensor = torch.as_tensor(value)
        if tensor.dtype == torch.bool:
            return tensor.cpu()
        return tensor.to("cpu", complex_ if tensor.is_complex() else real)

    def number(value: Scalar) -> Tensor:
        return torch.tensor(float(value), dtype=real)

    def zeros(shape: Shape, is_complex: bool) -> Tensor:
        return torch.zeros(shape, dtype=complex_ if is_complex else real)

    return Domain(
        name=str(real).removeprefix("torch."),
        primitives={**PRIMITIVES, "pi": lambda: number(math.pi)},
        reductions={"sum": torch.sum, "max": _amax, "softmax": torch.softmax},
        convert=convert,
        number=number,
        zeros=zeros,
        arange=lambda count: torch.arange(count, dtype=real),
        permute=lambda array, order: array.permute(tuple(order)),
        reshape=lambda array, shape: array.reshape(shape),
        broadcast=torch.broadcast_to,
        select=torch.select,
        take=_take,
        unstack=torch.unbind,
        stack=_stack,
        concat=_concat,
        einsum=_einsum,
    )


FLOAT64 = floating(torch.float64, torch.complex128)
FLOAT32 = floating(torch.float32, torch.complex64)
