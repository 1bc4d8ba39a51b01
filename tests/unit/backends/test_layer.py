"""Emitted layers against the reference: whole, split, token by token, packed; and as modules."""

import ast
import copy
import os
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from mixerc.ir.mixer import Mixer
from mixerc.reference.layer import run_layer
from tests.unit.backends.layers import emitted, load
from tests.unit.reference.small import (
    LOOK_AHEAD,
    MIXERS,
    close,
    layer_inputs,
    mixer,
    sizes_of,
    uniform,
)

T, D_MODEL = 8, 16
NOT_HEADER = ("d_model", "heads", "layer", "layers", "length")
CAUSAL = [name for name in MIXERS if name not in LOOK_AHEAD]
LINEAR = [
    "linear_attention", "performer", "based", "retnet", "lightning", "gla", "hgrn2", "mamba2",
    "rwkv5", "rwkv6",
]  # fmt: skip


def build(spec: Mixer, **options: Any) -> Any:
    """The emitted layer at small sizes, its weights moved away from where they start."""
    sizes = sizes_of(spec)
    header = {definition.name for definition in spec.sizes}
    own = {name: size for name, size in sizes.items() if name in header and name != "heads"}
    text = emitted(spec)
    if "length" in text:
        own["length"] = sizes["length"]
    torch.manual_seed(1)
    layer = load(spec, sizes)(sizes["d_model"], sizes["heads"], **own, layer=1, layers=3, **options)
    with torch.no_grad():
        for weight in layer.parameters():
            weight += 0.1 * torch.rand_like(weight)
    return layer


def tokens(batch: int = 2, count: int = T, seed: int = 0) -> Tensor:
    return uniform(torch.Generator().manual_seed(seed), batch, count, D_MODEL)


def reference(spec: Mixer, layer: Any, x: Tensor, **options: Any) -> Tensor:
    weights = dict(layer.state_dict())
    return run_layer(spec, weights, x, sizes_of(spec), layer=1, layers=3, **options)


def part_of(inputs: dict[str, Tensor], part: Any) -> dict[str, Tensor]:
    return {name: a[:, part] if a.shape[:2] == (2, T) else a for name, a in inputs.items()}


@pytest.mark.parametrize("name", MIXERS)
def test_whole(name: str) -> None:
    spec = mixer(name)
    layer, x, inputs = build(spec, dtype=torch.float64), tokens(), layer_inputs(spec, T)
    y, _ = layer(x, **inputs)
    close(y, reference(spec, layer, x, inputs=inputs))


@pytest.mark.parametrize("name", CAUSAL)
def test_splits_and_tokens(name: str) -> None:
    spec = mixer(name)
    layer, x, inputs = build(spec, dtype=torch.float64), tokens(), layer_inputs(spec, T)
    whole, _ = layer(x, **inputs)
    for bounds in ((0, 3, T), (0, 1, 2, T), (0, T - 1, T)):
        state, parts = None, []
        for a, b in pairwise(bounds):
            given = part_of(inputs, slice(a, b))
            y, state = layer(x[:, a:b], state, mode="recurrent", **given)
            parts.append(y)
        close(torch.cat(parts, 1), whole)
    state, parts = None, []
    for t in range(T):
        y, state = layer.step(x[:, t], state, **part_of(inputs, t))
        parts.append(y)
    close(torch.stack(parts, 1), whole)


@pytest.mark.parametrize("name", CAUSAL)
def test_packed(name: str) -> None:
    spec = mixer(name)
    layer, x = build(spec, dtype=torch.float64), tokens(batch=1)
    inputs = {n: a[:1] if a.shape[0] == 2 else a for n, a in layer_inputs(spec, T).items()}
    bounds = [0, 3, 3, T]
    y, state = layer(x, cu_seqlens=torch.tensor(bounds, dtype=torch.int32), **inputs)
    close(y, reference(spec, layer, x, inputs=inputs, cu_seqlens=bounds))
    if not inputs:
        more = tokens(batch=1, count=6, seed=1)
        y, _ = layer(more, state, cu_seqlens=torch.tensor([0, 1, 4, 6]))
        x = torch.cat((x[:, :3], more[:, :1], more[:, 1:4], x[:, 3:], more[:, 4:]), 1)
        again = reference(spec, layer, x, cu_seqlens=[0, 4, 7, 14])
        close(y, again[:, [3, 4, 5, 6, 12, 13]])


def test_first_layer() -> None:
    spec = mixer("rwkv7")
    layer, x = build(spec, dtype=torch.float64), tokens()
    first = {"v0": uniform(torch.Generator().manual_seed(3), 2, T, 4, 6)}
    y, _ = layer(x, first=dict(first))
    close(y, reference(spec, layer, x, first=first))
    shared: dict[str, Tensor] = {}
    alone, _ = layer(x, first=shared)
    close(alone, layer(x)[0])
    assert shared["v0"].shape == (2, T, 4, 6)


@pytest.mark.parametrize("name", MIXERS)
def test_weights_start_as_the_spec_says(name: str) -> None:
    spec = mixer(name)
    text = emitted(spec)
    ast.parse(text)
    torch.manual_seed(0)
    layer = build(spec)
    for key, weight in layer.state_dict().items():
        assert torch.isfinite(weight).all(), key
        assert weight.dtype in (torch.float32, torch.bool, torch.complex64), key


@pytest.mark.parametrize("name", LINEAR)
def test_layers_are_modules(name: str) -> None:
    spec = mixer(name)
    layer, x = build(spec), tokens().float()
    y, state = layer(x)
    assert y.dtype == torch.float32
    twin = copy.deepcopy(layer)
    twin.load_state_dict(layer.state_dict())
    torch.testing.assert_close(twin(x)[0], y)
    assert "d_model=16" in repr(layer)
    meta = build(spec, device="meta")
    assert all(weight.is_meta for weight in meta.parameters())
    meta.to_empty(device="cpu").reset_parameters()
    assert all(torch.isfinite(weight).all() for weight in meta.parameters())
    assert set(state) >= {key for key in state if key.endswith(("_conv", "_previous"))}


@pytest.mark.parametrize("name", LINEAR)
def test_low_precision(name: str) -> None:
    """Logarithms stay in float32; the stand-in core checks it."""
    spec, x = mixer(name), tokens().float()
    layer = build(spec)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, state = layer(x)
        layer(x, state)
    torch.testing.assert_close(y.float(), layer(x)[0], rtol=0.1, atol=0.1)
    small = build(spec, dtype=torch.bfloat16)
    y, state = small(x.bfloat16())
    assert y.dtype == torch.bfloat16
    small(x.bfloat16(), state)


def test_the_text_is_the_same_in_every_process() -> None:
    script = (
        "import sys; from mixerc.frontend.check import check; from mixerc.frontend.parser import "
        "parse; from mixerc.backends.module.layer import layer_text, helpers_text\n"
        "for name in sys.argv[1:]:\n"
        "    spec = check(parse(open(f'specs/{name}.mix').read(), name))\n"
        "    text = layer_text(spec, frozenset(spec.core.inputs))\n"
        "    print(helpers_text(text), text)\n"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", script, "gla", "rwkv6", "mamba2"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(texts) == 1
