"""The layers of the pipes, in float64: linear, conv, norms, rope, gated linear units.

Each works on a tensor [B, T, heads, axes] in the layout of the step's source.
"""

import math
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from mixerc import naming
from mixerc.ir.expr import Conv, Expr, Linear, Norm
from mixerc.ir.walk import walk

Weights: TypeAlias = Mapping[str, Tensor]
Weighted: TypeAlias = Linear | Conv | Norm


def named_steps(line: str, expr: Expr) -> tuple[tuple[Weighted, str], ...]:
    """The steps with weights in the line that defines `line`, in post-order, and their names."""
    steps = list(_weighted(expr))
    kinds = [step.norm if isinstance(step, Norm) else type(step).__name__.lower() for step in steps]
    return tuple(zip(steps, naming.step_names(line, kinds), strict=True))


def _weighted(expr: Expr) -> Iterator[Weighted]:
    for node in walk(expr):
        match node:
            case Linear() | Conv():
                yield node
            case Norm(norm=norm, affine=True) if norm != "l2norm":
                yield node
            case _:
                pass


def linear(x: Tensor, weights: Weights, name: str) -> Tensor:
    """[B, T, heads, axes] -> [B, T, out]: weight [out, in], or [n, out/n, in/n] in n blocks."""
    flat = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)
    weight = weights[naming.weight(name)]
    if weight.dim() == 3:
        blocks = flat.reshape(*flat.shape[:2], weight.shape[0], weight.shape[2])
        y = torch.einsum("btni,noi->btno", blocks, weight).flatten(2)
    else:
        y = flat @ weight.T
    bias = naming.bias(name)
    return y + weights[bias] if bias in weights else y


def conv(x: Tensor, weights: Weights, name: str) -> Tensor:
    """[B, T, …] -> the same: weight [channels, n], whose last column meets the current token."""
    flat = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    weight = weights[naming.weight(name)]
    width = weight.shape[1]
    y = torch.zeros_like(flat)
    for tap in range(width):
        y = y + weight[:, tap] * shift(flat, width - 1 - tap)
    bias = naming.bias(name)
    if bias in weights:
        y = y + weights[bias]
    return y.reshape(x.shape)


def shift(x: Tensor, count: int) -> Tensor:
    """[B, T, …]: each token finds what stood `count` tokens before it; 0 before the first."""
    if count == 0:
        return x
    kept = x[:, : max(x.shape[1] - count, 0)]
    zeros = torch.zeros_like(x[:, : x.shape[1] - kept.shape[1]])
    return torch.cat([zeros, kept], dim=1)


def norm(
    x: Tensor, step: Norm, groups: int | None, per_head: bool, weights: Weights, name: str | None
) -> Tensor:
    """[B, T, heads, axes] -> the same.

    Without groups each head's axes are one vector and the gain is [axes]; with groups heads and
    axes are joined and cut, and the gain is [heads, axes].
    """
    first = 3 if per_head and groups is None else 2
    size = math.prod(x.shape[first:])
    shape = (*x.shape[:2], groups, size // groups) if groups else (*x.shape[:first], size)
    y = _normalised(x.reshape(shape), step.norm, float(step.eps)).reshape(x.shape)
    if name is None:
        return y
    y = y * weights[naming.weight(name)]
    return y + weights[naming.bias(name)] if naming.bias(name) in weights else y


def _normalised(x: Tensor, kind: str, eps: float) -> Tensor:
    if kind == "l2norm":
        return x / torch.sqrt((x * x).sum(-1, keepdim=True) + eps)
    if kind == "rmsnorm":
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)
    if kind == "layernorm":
        centred = x - x.mean(-1, keepdim=True)
        return centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + eps)
    raise ValueError(f"there is no norm {kind}")


def rope(x: Tensor, base: Tensor, interleaved: bool) -> Tensor:
    """[B, T, heads, D]: the pair i is rotated by t · base^(-2i/D)."""
    count, size = x.shape[1], x.shape[-1]
    powers = -2 * torch.arange(size // 2, dtype=x.dtype) / size
    angles = torch.arange(count, dtype=x.dtype)[:, None] * base**powers
    shape = (count, *[1] * (x.dim() - 3), size // 2)
    cos, sin = torch.cos(angles).reshape(shape), torch.sin(angles).reshape(shape)
    if interleaved:
        a, b = x[..., 0::2], x[..., 1::2]
    else:
        a, b = x.chunk(2, dim=-1)
    turned = (a * cos - b * sin, a * sin + b * cos)
    return torch.stack(turned, -1).flatten(-2) if interleaved else torch.cat(turned, -1)


def glu(x: Tensor, gate: str) -> Tensor:
    """[B, T, 2n] -> [B, T, n]: the first half through the gate's function, times the second."""
    first, second = x.chunk(2, dim=-1)
    if gate == "glu":
        return torch.sigmoid(first) * second
    if gate == "swiglu":
        return F.silu(first) * second
    if gate == "geglu":
        return F.gelu(first) * second
    raise ValueError(f"there is no gated unit {gate}")
