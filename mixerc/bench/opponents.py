"""What a mixer is timed against on any device: causal attention, and a lean loop over tokens.

Forward runs without autograd; backward runs are forward and backward. A run is called with
nothing: what it needs was made before.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mixerc.algebra.linear import Linear
from mixerc.bench.clock import Run
from mixerc.bench.inputs import Setting, attention_inputs, loop_decays, loop_writes


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal softmax attention of rows [B, H, T, size]."""
    return functional.scaled_dot_product_attention(query, key, value, is_causal=True)


def attention_of_rows(*rows: Tensor) -> Tensor:
    """The same of rows [B, T, H, size], in and out."""
    query, key, value = (x.transpose(1, 2) for x in rows)
    return attention(query, key, value)


def forward_runs(
    core: Any, linear: Linear, inputs: dict[str, Tensor], setting: Setting
) -> dict[str, Run]:
    """Forward alone, without autograd."""
    q, k, v = attention_inputs(setting)
    state = linear.states[0]
    (keys, values, asked), decays = loop_writes(state, setting), loop_decays(state, setting)
    query, key, value = (x.transpose(1, 2).contiguous() for x in (q, k, v))
    runs: dict[str, Run] = {
        "mixer": lambda: core(**inputs),
        "loop": lambda: token_loop(q, keys, values, decays, asked),
        "attention": lambda: attention(query, key, value),
    }
    return {name: torch.no_grad()(run) for name, run in runs.items()}


def backward_runs(
    core: Any, linear: Linear, inputs: dict[str, Tensor], setting: Setting
) -> dict[str, Run]:
    """Forward and backward of the sum of the output."""
    q, k, v = attention_inputs(setting)
    state = linear.states[0]
    (keys, values, asked), decays = loop_writes(state, setting), loop_decays(state, setting)

    def looped(q: Tensor, keys: Tensor, values: Tensor, *more: Tensor) -> Tensor:
        return token_loop(q, keys, values, more[: len(decays)], *more[len(decays) :])

    def mixed(*values: Tensor) -> Tensor:
        output: Tensor = core(**dict(zip(inputs, values, strict=True)))[0]
        return output

    return {
        "mixer": lambda: _differentiated(mixed, *inputs.values()),
        "loop": lambda: _differentiated(looped, q, keys, values, *decays, *_given(asked)),
        "attention": lambda: _differentiated(attention_of_rows, q, k, v),
    }


def _differentiated(run: Callable[..., Tensor], *values: Tensor) -> None:
    leaves = [value.detach().clone().requires_grad_() for value in values]
    run(*leaves).sum().backward()  # type: ignore[no-untyped-call]


def _given(value: Tensor | None) -> tuple[Tensor, ...]:
    return () if value is None else (value,)


def token_loop(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    decays: tuple[Tensor, ...] = (),
    asked: Tensor | None = None,
) -> Tensor:
    """S = decay · S, S = S + K (V + C S), o = q S: S as it has decayed is asked with C, if `asked`.

    K has a column, V and C a row for each of W writes: q [B, T, H, K], keys [B, T, H, K, W], values
    [B, T, H, W, V], asked [B, T, H, W, K]. Shapes are made outside the loop, with as few calls as
    there can be.
    """
    state = q.new_zeros(*q.shape[:1], *q.shape[2:], values.shape[-1])
    queries, kept = q[..., None, :].unbind(1), [decay.unbind(1) for decay in decays]
    asking = None if asked is None else asked.unbind(1)
    one = keys.shape[-1] == 1
    outputs = []
    for t, (query, key, value) in enumerate(
        zip(queries, keys.unbind(1), values.unbind(1), strict=True)
    ):
        for decay in kept:
            state = state * decay[t]
        if asking is not None:
            value = value + asking[t] @ state
        state = torch.addcmul(state, key, value) if one else state + key @ value
        outputs.append(query @ state)
    return torch.stack(outputs, 1).squeeze(-2)
