"""What a mixer is timed against on any device: causal attention, and a lean loop over tokens.

Forward runs without autograd; backward runs are forward and backward. A run is called with
nothing: what it needs was made before.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mixerc.algebra.linear import Linear
from mixerc.bench.clock import Run
from mixerc.bench.inputs import LoopWrite, Setting, attention_inputs, loop_decays, loop_writes


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
    decays, writes = loop_decays(state, setting), loop_writes(state, setting)
    query, key, value = (x.transpose(1, 2).contiguous() for x in (q, k, v))
    runs: dict[str, Run] = {
        "mixer": lambda: core(**inputs),
        "loop": lambda: token_loop(q, writes, decays),
        "attention": lambda: attention(query, key, value),
    }
    return {name: torch.no_grad()(run) for name, run in runs.items()}


def backward_runs(
    core: Any, linear: Linear, inputs: dict[str, Tensor], setting: Setting
) -> dict[str, Run]:
    """Forward and backward of the sum of the output."""
    q, k, v = attention_inputs(setting)
    state = linear.states[0]
    decays, writes = loop_decays(state, setting), loop_writes(state, setting)

    def looped(q: Tensor, *more: Tensor) -> Tensor:
        kept, rows = more[: len(decays)], iter(more[len(decays) :])
        again = [_mapped(lambda _: next(rows), write) for write in writes]
        return token_loop(q, again, kept)

    def mixed(*values: Tensor) -> Tensor:
        output: Tensor = core(**dict(zip(inputs, values, strict=True)))[0]
        return output

    return {
        "mixer": lambda: _differentiated(mixed, *inputs.values()),
        "loop": lambda: _differentiated(looped, q, *decays, *_given(writes)),
        "attention": lambda: _differentiated(attention_of_rows, q, k, v),
    }


def _differentiated(run: Callable[..., Tensor], *values: Tensor) -> None:
    leaves = [value.detach().clone().requires_grad_() for value in values]
    run(*leaves).sum().backward()  # type: ignore[no-untyped-call]


def _mapped(function: Callable[[Tensor], Any], write: Sequence[Tensor | None]) -> Any:
    """A write with a function of each of its rows."""
    return tuple(None if x is None else function(x) for x in write)


def _given(writes: Sequence[LoopWrite]) -> list[Tensor]:
    return [x for write in writes for x in write if x is not None]


def token_loop(q: Tensor, writes: Sequence[LoopWrite], decays: tuple[Tensor, ...] = ()) -> Tensor:
    """S = decay · S, S = S + the sum of k (v + c S)ᵀ over writes, o = q S.

    All writes ask the same S, which has decayed. Shapes are made outside the loop, and a write is
    two calls at most, three if it asks.
    """
    value = next(x for _, x, _ in writes if x is not None)
    state = q.new_zeros(*q.shape[:1], *q.shape[2:], value.shape[-1])
    kept = [decay.unbind(1) for decay in decays]
    columns = [key[..., None].unbind(1) for key, _, _ in writes]
    others = [_mapped(lambda x: x[..., None, :].unbind(1), write[1:]) for write in writes]
    outputs = []
    for t, query in enumerate(q[..., None, :].unbind(1)):
        for decay in kept:
            state = state * decay[t]
        added = [_row(t, state, *other) for other in others]
        for column, row in zip(columns, added, strict=True):
            state = torch.addcmul(state, column[t], row)
        outputs.append(query @ state)
    return torch.stack(outputs, 1).squeeze(-2)


def _row(
    t: int, state: Tensor, value: tuple[Tensor, ...] | None, query: tuple[Tensor, ...] | None
) -> Tensor:
    """What a token writes: a value, and what it asks the state."""
    if query is not None:
        asked = query[t] @ state
        return asked if value is None else value[t] + asked
    if value is None:
        raise AssertionError("a write that neither asks nor has a value")
    return value[t]
