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
from mixerc.bench.inputs import Setting, attention_inputs, loop_decays, loop_query


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
    decays, asked = loop_decays(linear.states[0], setting), loop_query(linear.states[0], setting)
    query, key, value = (x.transpose(1, 2).contiguous() for x in (q, k, v))
    runs: dict[str, Run] = {
        "mixer": lambda: core(**inputs),
        "loop": lambda: token_loop(q, k, v, decays, asked),
        "attention": lambda: attention(query, key, value),
    }
    return {name: torch.no_grad()(run) for name, run in runs.items()}


def backward_runs(
    core: Any, linear: Linear, inputs: dict[str, Tensor], setting: Setting
) -> dict[str, Run]:
    """Forward and backward of the sum of the output."""
    q, k, v = attention_inputs(setting)
    decays, asked = loop_decays(linear.states[0], setting), loop_query(linear.states[0], setting)

    def looped(q: Tensor, k: Tensor, v: Tensor, *more: Tensor) -> Tensor:
        return token_loop(q, k, v, more[: len(decays)], *more[len(decays) :])

    def mixed(*values: Tensor) -> Tensor:
        output: Tensor = core(**dict(zip(inputs, values, strict=True)))[0]
        return output

    return {
        "mixer": lambda: _differentiated(mixed, *inputs.values()),
        "loop": lambda: _differentiated(looped, q, k, v, *decays, *_given(asked)),
        "attention": lambda: _differentiated(attention_of_rows, q, k, v),
    }


def _differentiated(run: Callable[..., Tensor], *values: Tensor) -> None:
    leaves = [value.detach().clone().requires_grad_() for value in values]
    run(*leaves).sum().backward()  # type: ignore[no-untyped-call]


def _given(value: Tensor | None) -> tuple[Tensor, ...]:
    return () if value is None else (value,)


def token_loop(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decays: tuple[Tensor, ...],
    asked: Tensor | None = None,
) -> Tensor:
    """S = decay · S + k (v + c S)ᵀ, o = q S, where c is what is `asked`, if anything is: shapes
    made outside the loop, as few calls as there can be."""
    queries, keys, values = q[..., None, :].unbind(1), k[..., None].unbind(1), v[..., None, :]
    kept = [decay.unbind(1) for decay in decays]
    state = q.new_zeros(*q.shape[:1], *q.shape[2:], v.shape[-1])
    asking = None if asked is None else asked[..., None, :].unbind(1)
    outputs = []
    for t, (query, key, value) in enumerate(zip(queries, keys, values.unbind(1), strict=True)):
        for decay in kept:
            state = state * decay[t]
        if asking is not None:
            value = value + asking[t] @ state
        state = torch.addcmul(state, key, value)
        outputs.append(query @ state)
    return torch.stack(outputs, 1).squeeze(-2)
