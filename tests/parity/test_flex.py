"""Cores of masked attention against FlexAttention: every mask and score as its paper has it."""

from typing import Any

import pytest
import torch

from tests.parity.fastest import compiled, fastest, gradients, modes, worst
from tests.parity.flex import CASES, SIZE, Scheme, draw, flex, plain
from tests.parity.harness import relative_rms

EXACT = 1e-10

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


def parameters() -> list[Any]:
    """Every scheme, named by its spec and the number of tokens."""
    found = {f"{scheme.spec}-{tokens}": (scheme, tokens) for scheme, tokens in CASES}
    return [pytest.param(*found[name], id=name) for name in sorted(found)]


def mixer_of(scheme: Scheme) -> Any:
    """The scheme's spec with its sizes."""
    return compiled(scheme.spec, D=SIZE, **scheme.sizes)


@pytest.mark.parametrize(("scheme", "tokens"), parameters())
def test_output(scheme: Scheme, tokens: int) -> None:
    """In every mode that this version has, against FlexAttention."""
    inputs, mixer = draw(scheme, tokens), mixer_of(scheme)
    with torch.no_grad():
        want = flex(scheme, inputs)
        for mode in modes(mixer):
            got, _ = mixer(**inputs, mode=mode)
            assert relative_rms(got, want) < EXACT, mode


@pytest.mark.parametrize(("scheme", "tokens"), parameters())
def test_gradients(scheme: Scheme, tokens: int) -> None:
    """Of q, k and v, against autograd through a whole matrix that FlexAttention agrees with."""
    inputs, mixer = draw(scheme, tokens), mixer_of(scheme)
    with torch.no_grad():
        assert relative_rms(plain(scheme, inputs), flex(scheme, inputs)) < EXACT
    rows = {name: inputs[name].requires_grad_() for name in "qkv"}
    want = gradients(plain(scheme, inputs), rows)
    got = gradients(mixer(**inputs, mode=fastest(mixer))[0], rows)
    error, name = worst(got, want)
    assert error < EXACT, name
