"""Whole layers against layers that others wrote, with the same weights."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mixerc
from mixerc.compiler import front, read_source
from mixerc.reference.initial import init_weights
from mixerc.reference.layer import run_layer
from tests.parity.harness import float64, relative_rms
from tests.parity.layers import LAYERS, Whole

SPECS = Path(__file__).parents[2] / "specs"
BATCH, TIME = 2, 21


def by_name(build: Callable[[], Whole]) -> str:
    """The name of a layer in a test's name."""
    return build.__name__


def draw(whole: Whole, time: int = TIME) -> Tensor:
    """The layer's input."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(BATCH, time, whole.width, generator=generator, dtype=torch.float64)


def theirs(whole: Whole, x: Tensor) -> Tensor:
    """What the other implementation computes."""
    with float64(), torch.no_grad():
        return whole.run(x)


def load(layer: Any, weights: Mapping[str, Tensor]) -> None:
    """Set every parameter of our layer: the same numbers in the same order, if not shape."""
    parameters = dict(layer.named_parameters())
    assert parameters.keys() == weights.keys()
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name].reshape(parameter.shape))


def fast(build: Callable[[], Whole]) -> bool:
    """Whether this version compiles the layer; the reference runs all."""
    modes = mixerc.compile(SPECS / f"{build().spec}.mix").modes
    return "legal" in (modes["parallel"], modes["recurrent"])


def by_reference(whole: Whole, x: Tensor) -> Tensor:
    """The spec's own equations as a layer, with their weights."""
    mixer = front(read_source(SPECS / f"{whole.spec}.mix"))
    sizes = {"d_model": whole.width, "heads": whole.heads, **whole.sizes}
    like = init_weights(mixer, sizes, torch.Generator())
    assert like.keys() == whole.weights.keys()
    weights = {name: w.detach().reshape(like[name].shape) for name, w in whole.weights.items()}
    return run_layer(mixer, weights, x, sizes)


FAST = [build for build in LAYERS if fast(build)]


def test_three_layers_are_compiled() -> None:
    """At least these stay in the comparison."""
    assert {build().spec for build in FAST} >= {"mamba2", "retnet", "lightning"}


@pytest.mark.parametrize("build", LAYERS, ids=by_name)
def test_the_equations(build: Callable[[], Whole]) -> None:
    """The reference gives their output from their weights."""
    whole = build()
    x = draw(whole)
    assert relative_rms(by_reference(whole, x), theirs(whole, x)) < 1e-10


def ours(whole: Whole) -> Any:
    """Our layer, compiled from its spec, with their weights."""
    mixer = mixerc.compile(str(SPECS / f"{whole.spec}.mix"), target="torch", **whole.sizes)
    layer = mixer.Layer(d_model=whole.width, heads=whole.heads, dtype=torch.float64)
    load(layer, whole.weights)
    return layer


@pytest.mark.parametrize("build", LAYERS, ids=by_name)
def test_every_weight_of_theirs_is_used_once(build: Callable[[], Whole]) -> None:
    """The translation of the weights loses none, and the layer is finite and not zero."""
    whole = build()
    given = sum(weight.numel() for weight in whole.weights.values())
    if whole.spec == "lru":  # one real number for each complex one, a matrix with one diagonal
        given += whole.width * (whole.width - 1) - 2 * whole.theirs.B.numel()
    assert given == sum(parameter.numel() for parameter in whole.theirs.parameters())
    y = theirs(whole, draw(whole))
    assert y.dtype == torch.float64
    assert y.isfinite().all()
    assert y.abs().max() > 1e-3


@pytest.mark.parametrize("build", FAST, ids=by_name)
@pytest.mark.parametrize("time", [1, 21])
def test_layer(build: Callable[[], Whole], time: int) -> None:
    """The same output from the same input and weights."""
    whole = build()
    x = draw(whole, time)
    y, _ = ours(whole)(x)
    assert relative_rms(y, theirs(whole, x)) < 1e-10


@pytest.mark.parametrize("build", FAST, ids=by_name)
def test_layer_token_by_token(build: Callable[[], Whole]) -> None:
    """Steps from the state after the first part give the rest of their whole output."""
    whole = build()
    x = draw(whole)
    layer = ours(whole)
    y, state = layer(x[:, :9])
    outputs = [y]
    for t in range(9, TIME):
        y, state = layer.step(x[:, t : t + 1], state)
        outputs.append(y)
    assert relative_rms(torch.cat(outputs, dim=1), theirs(whole, x)) < 1e-10
