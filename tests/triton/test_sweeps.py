"""Masked attention in Triton's interpreter, against the equations: outputs, gradients, caches."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import mixerc
from mixerc.runtime.mixer import CompiledMixer

BLOCK = 16
"""Tokens of a block in the interpreter."""
SIZES: dict[str, dict[str, float]] = {
    **{name: {} for name in ("attention", "gqa", "alibi", "softcap", "prefix_lm", "documents")},
    "mistral": {"W": 5},
    "streaming": {"W": 4, "sinks": 2},
    "longformer": {"W": 6},
    "fixed": {"L": 6, "C": 2},
    "dilated": {"W": 3, "R": 2},
    "bigbird": {"B": 4, "R": 1},
    "block_sparse": {"B": 4},
    "forgetting_attention": {},
}
GROUPED = ("gqa", "mistral", "softcap", "documents")
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
EVERY = (*SIZES, *TEXTS)


@cache
def mixer(name: str) -> CompiledMixer:
    return mixerc.compile(TEXTS.get(name, name), target="triton", **SIZES.get(name, {}))


def drawn(name: str, tokens: int, *, batch: int = 2, seed: int = 0) -> dict[str, Tensor]:
    """Inputs of the shapes that a layer gives, of two groups of heads where there are groups."""
    of, random = mixer(name), torch.Generator().manual_seed(seed + tokens)
    heads = 4 if name in GROUPED else 2
    found: dict[str, Tensor] = {}
    for stream in of.streams:
        copies = 2 if name in GROUPED and stream != "q" else heads
        axes = [6 if stream == "v" and name in TEXTS else 4]
        if stream == "doc":
            found[stream] = (torch.rand(batch, tokens, generator=random) < 0.2).long().cumsum(1)
        elif stream in ("mark", "prefix"):
            found[stream] = torch.rand(batch, tokens, generator=random) < 0.3
        elif stream in ("f", "a"):
            found[stream] = torch.rand(batch, tokens, heads, generator=random).double()
        else:
            axes = [] if (name, stream) == ("root", "v") else axes
            shape = (batch, tokens, copies, *axes)
            found[stream] = torch.randn(shape, generator=random, dtype=torch.float64)
    blocks = -(-tokens // int(SIZES.get(name, {}).get("B", 1)))
    for param in of.params:
        if name in TEXTS:
            found[param] = torch.rand(heads, generator=random).double()
        else:
            copies_of = (heads,) if param == "link" else ()
            shape = (*copies_of, blocks, blocks)
            found[param] = torch.rand(shape, generator=random) < 0.4
    return found


def ran(
    of: CompiledMixer, mode: str, inputs: Mapping[str, Tensor], state: Any = None
) -> tuple[Tensor, Any, dict[str, Tensor]]:
    """Output, state, and the gradients of a random weighting of the output."""
    given = {n: x.clone().requires_grad_(x.is_floating_point()) for n, x in inputs.items()}
    o, after = of(mode=mode, state=state, **given)
    weights = torch.randn(o.shape, generator=torch.Generator().manual_seed(1)).to(o.dtype)
    real = {n: x for n, x in given.items() if x.is_floating_point()}
    grads = torch.autograd.grad((o * weights).sum(), list(real.values()))
    return o.detach(), after, dict(zip(real, grads, strict=True))


def agree(left: Mapping[str, Tensor], right: Mapping[str, Tensor], bound: float = 1e-10) -> None:
    for name, x in left.items():
        error = (x - right[name]).abs().max() / right[name].abs().max().clamp(min=1)
        assert error <= bound, (name, float(error))


@pytest.mark.parametrize("tokens", [1, 2 * BLOCK + 5])
@pytest.mark.parametrize("name", EVERY)
def test_parallel(name: str, tokens: int) -> None:
    inputs = drawn(name, tokens)
    o, _, grads = ran(mixer(name), "parallel", inputs)
    exact, _, wanted = ran(mixer(name), "reference", inputs)
    agree({"o": o, **grads}, {"o": exact, **wanted})


RECURRENT = [name for name in EVERY if name not in ("bigbird", "longformer", "prefix_lm", "window")]


@pytest.mark.parametrize("name", RECURRENT)
def test_token_by_token_and_on_from_there(name: str) -> None:
    """Tokens one by one, then many at once behind what the caches hold."""
    of, inputs, first = mixer(name), drawn(name, BLOCK + 8), 6
    before = {n: x[:, :first] if n in of.streams else x for n, x in inputs.items()}
    behind = {n: x[:, first:] if n in of.streams else x for n, x in inputs.items()}
    exact, _ = of(mode="reference", **inputs)
    o, state = of(mode="recurrent", **before)
    agree({"o": o}, {"o": exact[:, :first]})
    o, after, grads = ran(of, "parallel", behind, state)
    _, known = of(mode="reference", **before)
    _, _, wanted = ran(of, "reference", behind, known)
    agree({"o": o, **grads}, {"o": exact[:, first:], **wanted})
    last = {n: x[:, -1:] if n in of.streams else x for n, x in inputs.items()}
    again, _ = of(mode="recurrent", state=after, **last)
    assert again.isfinite().all()


def test_documents_whose_numbers_come_back() -> None:
    inputs = drawn("documents", 3 * BLOCK)
    inputs["doc"] = torch.randint(0, 3, inputs["doc"].shape)
    o, _, grads = ran(mixer("documents"), "parallel", inputs)
    exact, _, wanted = ran(mixer("documents"), "reference", inputs)
    agree({"o": o, **grads}, {"o": exact, **wanted})


def test_decays_are_exact_after_a_reset() -> None:
    """A logarithm of -inf cuts what lies before it off, and spoils nothing behind it."""
    inputs = drawn("forgetting_attention", 2 * BLOCK + 3)
    logs = inputs.pop("f").log()
    logs[:, [5, 17, 30]] = -torch.inf
    of = mixer("forgetting_attention")
    o, _ = of(mode="parallel", **inputs, log_f=logs)
    exact, _ = of(mode="reference", **inputs, f=logs.exp())
    agree({"o": o}, {"o": exact})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("name", ["gqa", "forgetting_attention"])
def test_narrow_numbers(name: str, dtype: torch.dtype) -> None:
    """Within a few units in the last place of the largest value."""
    wide = drawn(name, BLOCK + 3)
    narrow = {n: x.to(dtype) if x.is_floating_point() else x for n, x in wide.items()}
    o, _, grads = ran(mixer(name), "parallel", narrow)
    exact, _, wanted = ran(mixer(name), "reference", narrow)
    bound = 16 * torch.finfo(dtype).eps
    agree(
        {"o": o.double(), **{n: x.double() for n, x in grads.items()}},
        {"o": exact, **wanted},
        bound,
    )


def test_packed_sequences() -> None:
    inputs = drawn("gqa", 30, batch=1)
    bounds = torch.tensor([0, 7, 7, 30])
    o, _ = mixer("gqa")(**inputs, cu_seqlens=bounds)
    for first, last in ((0, 7), (7, 30)):
        exact, _ = mixer("gqa")(
            mode="reference", **{n: x[:, first:last] for n, x in inputs.items()}
        )
        agree({"o": o[:, first:last]}, {"o": exact})
