"""Caches over many windows: in blocks of any size, in both modes, and moved on in place."""

from random import Random

import pytest
import torch

import mixerc
from mixerc.verify.subject import FAST

RING = """mixer ring(D, W = {window}, C = {pinned})
input q[D]
input k[D]
input v[D]

mask      {mask}
weight    exp(q[t] @ k[s] / sqrt(D))
normalize sum
state     cache
"""
PINNED = "causal and (t - s < W or s < C)"
DILATED = "0 <= t - s < W and (t - s) % C == 0"
MASKS = [(3, 1, PINNED), (5, 4, PINNED), (7, 2, PINNED), (4, 6, PINNED), (6, 2, DILATED)]
every_ring = pytest.mark.parametrize(("window", "pinned", "mask"), MASKS)
GROWING = [("causal", 0), ("causal and (t - s < W or s % W == C)", 1)]


def ring(window: int, pinned: int, mask: str):
    """The mixer; the header's sizes that its mask does not read are left out."""
    text = RING.format(window=window, pinned=pinned, mask=mask)
    return mixerc.compile(
        text if "C" in mask else text.replace(f", W = {window}, C = {pinned}", "")
    )


def streams(tokens: int, seed: int, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, tokens, 2, 3)
    return {
        n: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for n in "qkv"
    }


def part(inputs, start: int, stop: int):
    return {name: x[:, start:stop] for name, x in inputs.items()}


def blocks(tokens: int, longest: int, random: Random):
    """Starts and ends that follow each other, empty ones among them."""
    start = 0
    while start < tokens:
        stop = min(start + random.randint(0, longest), tokens)
        yield start, stop
        start = stop


@every_ring
@pytest.mark.parametrize("seed", range(3))
def test_five_windows_in_blocks(window: int, pinned: int, mask: str, seed: int) -> None:
    """Blocks shorter and longer than the window, either mode after either."""
    mixer, random = ring(window, pinned, mask), Random(seed)
    tokens = 5 * (window + pinned)
    inputs = streams(tokens, seed)
    want, _ = mixer(**inputs, mode="reference")
    state, found = None, []
    for start, stop in blocks(tokens, 2 * window, random):
        o, state = mixer(**part(inputs, start, stop), state=state, mode=random.choice(FAST))
        found.append(o)
    torch.testing.assert_close(torch.cat(found, 1), want, rtol=1e-12, atol=1e-12)
    assert state["seen"].tolist() == [tokens] * 2
    assert state["k"].shape[2] == window + (pinned if mask == PINNED else 0)


@every_ring
def test_gradients_through_many_states(window: int, pinned: int, mask: str) -> None:
    """Training on one piece after another, the state kept in the graph."""
    mixer, random = ring(window, pinned, mask), Random(window)
    tokens = 3 * (window + pinned)
    leaves = {name: x.requires_grad_() for name, x in streams(tokens, window).items()}
    want, _ = mixer(**leaves, mode="reference")
    weights = torch.randn_like(want)
    wanted = torch.autograd.grad((want * weights).sum(), list(leaves.values()))
    state, found = None, []
    for start, stop in blocks(tokens, window, random):
        o, state = mixer(**part(leaves, start, stop), state=state, mode=random.choice(FAST))
        found.append(o)
    got = torch.autograd.grad((torch.cat(found, 1) * weights).sum(), list(leaves.values()))
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("window", "pinned", "mask"), [*MASKS, *((3, c, m) for m, c in GROWING)])
@pytest.mark.parametrize("seed", range(2))
@torch.no_grad()
def test_in_place(window: int, pinned: int, mask: str, seed: int) -> None:
    """The given state is moved on in its own memory, and only a cache that grows is replaced."""
    mixer, random = ring(window, pinned, mask), Random(seed)
    inputs = streams(40, seed)
    want, _ = mixer(**inputs, mode="reference")
    first, state = mixer(**part(inputs, 0, 4), mode=random.choice(FAST))
    found = [first]
    for start, stop in blocks(36, 3, random):
        held, rows = dict(state), part(inputs, start + 4, stop + 4)
        o, after = mixer(**rows, state=state, mode="recurrent", in_place=True)
        found.append(o)
        assert after is state
        assert after["seen"] is held["seen"]
        assert mask not in (PINNED, DILATED) or after["k"] is held["k"]
    torch.testing.assert_close(torch.cat(found, 1), want, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_in_place_of_rows_with_different_pasts() -> None:
    """Packed prompts of different lengths, then one batch that is decoded in place."""
    mixer, own = ring(4, 2, PINNED), (1, 9, 0, 5)
    bounds = torch.tensor([0, 1, 10, 10, 15])
    prompts = {name: x[:1] for name, x in streams(15, 0).items()}
    _, state = mixer(**prompts, cu_seqlens=bounds)
    rows = streams(14, 1)
    more = {name: x.reshape(4, 7, 2, 3) for name, x in rows.items()}
    o, _ = mixer(**more, state=state, mode="recurrent", in_place=True)
    for row, length in enumerate(own):
        start = int(bounds[row])
        whole = {
            name: torch.cat((prompts[name][:, start : start + length], x[row : row + 1]), 1)
            for name, x in more.items()
        }
        want, _ = mixer(**whole, mode="reference")
        torch.testing.assert_close(o[row : row + 1], want[:, length:], rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_a_ring_in_bfloat16_is_the_one_in_parallel() -> None:
    """What is kept has the dtype of the streams: nothing is rounded on the way."""
    mixer = ring(5, 1, PINNED)
    inputs = streams(40, 3, torch.bfloat16)
    whole, _ = mixer(**inputs)
    state, found = None, []
    for token in range(40):
        o, state = mixer(**part(inputs, token, token + 1), state=state, mode="recurrent")
        found.append(o)
    assert state["k"].dtype == torch.bfloat16
    torch.testing.assert_close(torch.cat(found, 1), whole, rtol=2**-7, atol=2**-8)
