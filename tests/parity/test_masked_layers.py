"""Whole layers of masked attention against layers that others wrote: outputs, gradients, caches."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.parity.fastest import Theirs, gradients, our_layer, worst
from tests.parity.harness import relative_rms
from tests.parity.masked_layers import BATCH, LAYERS, WIDTH, Mistral, bigbird, mistral

EXACT = 1e-10
Build = Callable[[], Theirs]


def by_name(build: Build) -> str:
    """The name of a layer in a test's name."""
    return build.__name__


def draw(tokens: int, width: int = WIDTH) -> Tensor:
    """A layer's input."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(BATCH, tokens, width, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("build", LAYERS, ids=by_name)
def test_every_weight_of_theirs_has_a_name(build: Build) -> None:
    """But the bias that Linformer's package adds to its output, which is 0 there."""
    theirs = build()
    unnamed = dict(theirs.module.named_parameters())
    for name in theirs.names.values():
        assert unnamed.pop(name).abs().max() > 0.1
    assert all(not weight.any() for weight in unnamed.values())
    assert set(unnamed) <= {"to_out.bias"}


@pytest.mark.parametrize("build", LAYERS, ids=by_name)
def test_output(build: Build) -> None:
    """The same output from the same input and weights."""
    theirs = build()
    x = draw(theirs.tokens)
    want = theirs.run(x)
    assert want.dtype == torch.float64
    assert relative_rms(our_layer(theirs).run(x), want) < EXACT


@pytest.mark.parametrize("build", LAYERS, ids=by_name)
def test_gradients(build: Build) -> None:
    """The gradients of the input and of every weight, theirs by autograd through their code."""
    theirs = build()
    x = draw(theirs.tokens).requires_grad_()
    parameters = dict(theirs.module.named_parameters())
    named = {ours: parameters[name] for ours, name in theirs.names.items()}
    want = gradients(theirs.run(x), {"x": x, **named})
    ours = our_layer(theirs)
    found = gradients(ours.run(x), {"x": x, **ours.weights})
    got = {name: theirs.theirs_of(name, gradient) for name, gradient in found.items()}
    got = {name: gradient.reshape(want[name].shape) for name, gradient in got.items()}
    error, name = worst(got, want)
    assert error < EXACT, name


# Mistral's cache

PARTS = {"tokens": [1] * 21, "prompt": [9] + [1] * 12, "several": [9, 4, 1, 7]}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("window", [2, 5])
def test_mistral_from_its_sliding_cache(window: int, parts: list[int]) -> None:
    """Their generation, which keeps the last W - 1 keys, against our whole run."""
    x = draw(21)
    with torch.no_grad():
        want = Mistral(window, groups=2).generated(x, parts)
        got = our_layer(mistral(window)).run(x)
    assert relative_rms(got, want) < EXACT


@pytest.mark.parametrize("first", [1, 9])
@pytest.mark.parametrize("window", [2, 5])
def test_mistral_step_by_step(window: int, first: int) -> None:
    """Their generation against ours, token by token after the first ones."""
    ours = our_layer(mistral(window)).compiled
    assert ours is not None
    x = draw(21)
    with torch.no_grad():
        want = Mistral(window, groups=2).generated(x, [first] + [1] * (21 - first))
        y, state = ours(x[:, :first])
        outputs = [y]
        for t in range(first, 21):
            y, state = ours.step(x[:, t], state)
            outputs.append(y[:, None])
    assert relative_rms(torch.cat(outputs, dim=1), want) < EXACT


def test_bigbird_takes_blocks_at_random() -> None:
    """In every row that is not global, R blocks that no other rule gives; not the same by head.

    transformers takes block 0 for all of them in evaluation mode, and nothing would be compared.
    """
    link = bigbird(random=2).tables["link"]
    place = torch.arange(link.shape[-1])
    near = (place[:, None] - place).abs() <= 1
    assert not (link & near).any()
    assert not link[..., [0, -1]].any()
    assert (link.sum(-1)[:, 1:-1] == 2).all()
    assert not (link == link[0]).all()
