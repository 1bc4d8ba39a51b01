"""Kinds of masked sums that no shipped spec has, in Triton's interpreter, against the equations."""

from collections.abc import Mapping
from functools import cache

import pytest
import torch
from torch import Tensor

import mixerc
from mixerc.runtime.mixer import CompiledMixer

HEAD = """
q[D], k[D] = x | linear
v[V]       = x | linear
"""
TEXTS = {
    # A constant that scores read, and values of another length than queries.
    "penalty": f"""mixer penalty(D = 4, V = 6)
{HEAD}
param a = 1

mask      causal
weight    exp(q[t] @ k[s] / sqrt(D) - a * (t - s))
normalize sum
state     cache

y = o | linear
""",
    # Weights that are no exponentials, over a window on both sides.
    "window": f"""mixer window(D = 4, V = 6)
{HEAD}
mask   -3 <= t - s <= 4
weight sigmoid(q[t] @ k[s] / sqrt(D))
state  cache

y = o | linear
""",
    # Values of keys in the scores, decays of weights, a normaliser with a floor.
    "faded": f"""mixer faded(D = 4, V = 6)
{HEAD}
a = x | linear
f = x | linear | sigmoid

mask      0 <= t - s < 20
weight    relu(q[t] @ k[s] + a[s])
decay     f
normalize max(sum, 1)
state     cache

y = o | linear
""",
    # No maximum can be taken out, and values have no axis.
    "root": """mixer root(D = 4)

q[D], k[D] = x | linear
v          = x | linear

mask      causal
weight    exp(q[t] @ k[s])
normalize sqrt(sum)
state     cache

y = o | linear
""",
}


@cache
def mixer(name: str) -> CompiledMixer:
    return mixerc.compile(TEXTS.get(name, name), target="triton")


def drawn(name: str, tokens: int) -> dict[str, Tensor]:
    """Inputs of two heads; decays and penalties lie between 0 and 1."""
    of, random = mixer(name), torch.Generator().manual_seed(tokens)
    plain = ("f", "a") if name != "root" else ("v",)
    found: dict[str, Tensor] = {}
    for stream in of.streams:
        axes = [] if stream in plain else [6 if stream == "v" and name in TEXTS else 4]
        x = torch.randn(2, tokens, 2, *axes, generator=random, dtype=torch.float64)
        found[stream] = x.sigmoid() if stream in ("f", "a") else x
    for param in of.params:
        found[param] = torch.rand(2, generator=random).double()
    return found


def ran(of: CompiledMixer, mode: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The output, and the gradients of a random weighting of it."""
    given = {n: x.clone().requires_grad_(x.is_floating_point()) for n, x in inputs.items()}
    o, _ = of(mode=mode, **given)
    weights = torch.randn(o.shape, generator=torch.Generator().manual_seed(1)).to(o.dtype)
    real = {n: x for n, x in given.items() if x.is_floating_point()}
    grads = torch.autograd.grad((o * weights).sum(), list(real.values()))
    return {"o": o.detach(), **dict(zip(real, grads, strict=True))}


def agree(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> None:
    for name, x in left.items():
        error = (x - right[name]).abs().max() / right[name].abs().max().clamp(min=1)
        assert error <= 1e-10, (name, float(error))


@pytest.mark.parametrize("tokens", [1, 37])
@pytest.mark.parametrize("name", TEXTS)
def test_parallel(name: str, tokens: int) -> None:
    inputs = drawn(name, tokens)
    agree(ran(mixer(name), "parallel", inputs), ran(mixer(name), "reference", inputs))


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "window"])
def test_token_by_token(name: str) -> None:
    inputs = drawn(name, 19)
    o, _ = mixer(name)(mode="recurrent", **inputs)
    exact, _ = mixer(name)(mode="reference", **inputs)
    agree({"o": o}, {"o": exact})


def test_documents_whose_numbers_come_back() -> None:
    inputs = {n: torch.randn(1, 48, 2, 4, dtype=torch.float64) for n in "qkv"}
    inputs["doc"] = torch.randint(0, 3, (1, 48))
    of = mixer("documents")
    agree(ran(of, "parallel", inputs), ran(of, "reference", inputs))


def test_decays_are_exact_after_a_reset() -> None:
    """A logarithm of -inf cuts what lies before it off, and spoils nothing behind it."""
    of, inputs = mixer("forgetting_attention"), drawn("forgetting_attention", 35)
    logs = inputs.pop("f").log()
    logs[:, [5, 17, 30]] = -torch.inf
    o, _ = of(mode="parallel", **inputs, log_f=logs)
    exact, _ = of(mode="reference", **inputs, f=logs.exp())
    agree({"o": o}, {"o": exact})
