"""Generalised delta rules with vectors of their own, against fla: outputs, states, gradients.

    S[t] = (1 or a) ∘ S[t-1] + b (c · S[t-1])' + k v'

where b, c and k are three streams. The length of the chunks must not change the answer.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import mixerc
from tests.parity.harness import fla, heads_first, in_float64, relative_rms

IPLR = """mixer iplr(K, V)
q[K], k[K], b[K], c[K] = x | linear
v[V] = x | linear
state S[K, V]
S[t] = S[t-1] + b * (c @ S[t-1]) + k * v
o[V] = q @ S[t] / sqrt(K)
y = o | linear
"""
DPLR = IPLR.replace("mixer iplr", "mixer dplr").replace(
    "S[t] = S[t-1] + b", "S[t] = a * S[t-1] + b"
)
DPLR = DPLR.replace("v[V] = x | linear\n", "v[V] = x | linear\na[K] = x | linear | sigmoid\n")
CHUNKS = (16, 32, 64, 128)
TOKENS, K, V = 150, 6, 5


@in_float64
def iplr(q: Tensor, k: Tensor, b: Tensor, c: Tensor, v: Tensor, start: Tensor) -> tuple:
    """The identity plus low rank (fla)."""
    run = fla("generalized_delta_rule/iplr/naive").iplr_recurrence
    o, state = run(*heads_first(q, k, v, c, b), initial_state=start)
    return o.transpose(1, 2), state


@in_float64
def dplr(q: Tensor, k: Tensor, b: Tensor, c: Tensor, v: Tensor, a: Tensor, start: Tensor) -> tuple:
    """A diagonal plus low rank (fla)."""
    run = fla("generalized_delta_rule/dplr/naive").dplr_recurrence
    o, state = run(*heads_first(q, k, v, c, b, a.log()), initial_state=start)
    return o.transpose(1, 2), state


def drawn(text: str) -> tuple[dict[str, Tensor], Tensor]:
    """Streams, the two sides of what is erased of length 1 at most, and a first state."""
    generator = torch.Generator().manual_seed(5)
    sizes = {"q": K, "k": K, "b": K, "c": K, "v": V, **({"a": K} if "a[K]" in text else {})}
    streams = {
        name: torch.randn(2, TOKENS, 3, size, generator=generator, dtype=torch.float64)
        for name, size in sizes.items()
    }
    streams["b"] = -0.9 * F.normalize(streams["b"], dim=-1)
    streams["c"] = F.normalize(streams["c"], dim=-1)
    if "a" in streams:
        streams["a"] = streams["a"].sigmoid()
    return streams, torch.randn(2, 3, K, V, generator=generator, dtype=torch.float64)


def results(run: Callable[..., tuple], streams: dict[str, Tensor], start: Tensor) -> list[Tensor]:
    """The output, the last state, and the gradients of a sum of both."""
    leaves = {n: x.detach().requires_grad_() for n, x in (*streams.items(), ("start", start))}
    o, state = run(**leaves)
    weights = torch.linspace(-1, 1, o.numel(), dtype=o.dtype).view_as(o)
    total = (o * weights).sum() + (state * state).sum()
    return [o, state, *torch.autograd.grad(total, list(leaves.values()))]


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(("text", "oracle"), [(IPLR, iplr), (DPLR, dplr)], ids=["iplr", "dplr"])
def test_separate_keys(text: str, oracle: Callable[..., tuple], chunk: int) -> None:
    streams, start = drawn(text)
    wanted = results(oracle, streams, start)
    mixer = mixerc.compile(text, target="torch", chunk=chunk)
    for mode in ("parallel", "recurrent"):

        def ours(start: Tensor, mode: str = mode, **inputs: Tensor) -> tuple:
            o, state = mixer(**inputs, state={"S": start}, mode=mode)
            return o, state["S"]

        for found, want in zip(results(ours, streams, start), wanted, strict=True):
            assert relative_rms(found, want) < 1e-10
