"""What is timed, and the tensors that it is timed on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mixerc.algebra.linear import Linear, LinearState, decay_names
from mixerc.algebra.unfold import folded_steps
from mixerc.ir.expr import Expr, Number
from mixerc.ir.mixer import Input, Mixer, Param, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Streams are [batch, tokens, heads, axes…]; every axis of the core has the length `size`, but
    those of folds."""

    batch: int
    tokens: int
    heads: int
    size: int
    repeats: int
    dtype: torch.dtype
    device: str

    def draw(self, *shape: int) -> Tensor:
        """Normal numbers over the root of the size, so that products of rows are of order 1."""
        return torch.randn(shape, device=self.device).div_(self.size**0.5).to(self.dtype)

    def decays(self, *shape: int) -> Tensor:
        """Decays near 1, as gates begin, in float32."""
        return torch.rand(shape, device=self.device) * 0.1 + 0.9


def core_inputs(
    mixer: Mixer, linear: Linear, setting: Setting, *, logarithms: bool = False
) -> dict[str, Tensor]:
    """Random inputs of a core by name; its decays `a` as `log_a` where `logarithms`."""
    decays, steps = decay_names(linear), folded_steps(mixer)
    inputs = {}
    for line in mixer.lines:
        if line.name not in mixer.core.inputs:
            continue
        shape = _shape(line, setting, steps)
        if line.name not in decays:
            inputs[line.name] = setting.draw(*shape)
        elif logarithms:
            inputs[f"log_{line.name}"] = setting.decays(*shape).log_().to(setting.dtype)
        else:
            inputs[line.name] = setting.decays(*shape).to(setting.dtype)
    return inputs


def _shape(
    line: Input | Param | Value, setting: Setting, steps: Mapping[str, int]
) -> tuple[int, ...]:
    copies = () if line.sort.heads.shared else (1 if line.sort.heads.group else setting.heads,)
    rows = (setting.batch, setting.tokens) if line.sort.times else ()
    return (*rows, *copies, *(steps.get(axis, setting.size) for axis in line.sort.axes))


def first_token(mixer: Mixer, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    """The inputs of one token: what does not change from token to token is whole."""
    over_time = {line.name for line in mixer.lines if line.sort.times}
    return {
        name: x[:, :1] if name.removeprefix("log_") in over_time else x
        for name, x in inputs.items()
    }


def attention_inputs(setting: Setting) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values [B, T, H, size]."""
    rows = (setting.batch, setting.tokens, setting.heads, setting.size)
    return setting.draw(*rows), setting.draw(*rows), setting.draw(*rows)


def loop_writes(state: LinearState, setting: Setting) -> tuple[Tensor, Tensor, Tensor | None]:
    """The keys [B, T, H, K, W] of the W writes of a state, their values [B, T, H, W, V], and what
    they ask the state with [B, T, H, W, K], if any does: 0 where a write has no value or does not
    ask. Queries have length 1/2 together, against keys of length 1, so that states shrink."""
    rows = (setting.batch, setting.tokens, setting.heads, setting.size)
    keys, values, queries = [], [], []
    for write in state.writes:
        key, asks = setting.draw(*rows), write.query is not None
        unit = functional.normalize(key, dim=-1)
        keys.append(unit if asks else key)
        queries.append(unit / (-2 * state.rank) if asks else torch.zeros_like(key))
        only_asks = any(_is_zero(factor.expr) for factor in write.value)
        values.append(torch.zeros_like(key) if only_asks else setting.draw(*rows))
    asked = torch.stack(queries, -2) if state.rank else None
    return torch.stack(keys, -1), torch.stack(values, -2), asked


def _is_zero(expr: Expr) -> bool:
    return isinstance(expr, Number) and expr.value == 0


def loop_decays(state: LinearState, setting: Setting) -> tuple[Tensor, ...]:
    """The decays of a state, shaped to multiply [H, K, V] at each token."""
    decays = []
    for decay in state.decays:
        axes = set(decay.sort.axes)
        keys = setting.size if axes & set(state.key_axes) else 1
        values = setting.size if axes & set(state.value_axes) else 1
        rows = (setting.batch, setting.tokens, setting.heads, keys, values)
        decays.append(setting.decays(*rows).to(setting.dtype))
    return tuple(decays)
