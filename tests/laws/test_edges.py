"""Lengths at the edges of chunks, decays at the edges of their range, long and narrow runs."""

from random import Random

import pytest
import torch

import mixerc
from mixerc.verify.cases import random_case
from mixerc.verify.causality import rows_law, support_law
from mixerc.verify.modes import reference_law, states_law
from mixerc.verify.subject import FAST
from tests.laws.subjects import LINEAR, check, subject

LENGTHS = (0, 1, 5, 63, 64, 65, 1000)
EDGES = (0.0, 1e-30, 1 - 1e-7, 1.0, -0.5, -1.0)
DECAYED = """mixer edge(K = 3, V = 5)
input q[K], k[K], v[V]
input a{axes} in [-1, 1]

mask   causal
weight q[t] @ k[s]
decay  a
state  S[K, V]
"""
DECAYED = DECAYED.replace("input q[K], k[K], v[V]\n", "input q[K]\ninput k[K]\ninput v[V]\n")


def drawn(tokens: int, axes: str, dtype=torch.float64):
    generator = torch.Generator().manual_seed(tokens)
    sizes = {"": (), "[K]": (3,), "[V]": (5,)}[axes]
    lengths = {"q": (3,), "k": (3,), "v": (5,)}
    inputs = {n: torch.randn(1, tokens, 2, *s, generator=generator) for n, s in lengths.items()}
    inputs["a"] = torch.rand(1, tokens, 2, *sizes, generator=generator)
    return {name: x.to(dtype).requires_grad_() for name, x in inputs.items()}


def gradients(mixer, inputs, mode: str):
    o, _ = mixer(**inputs, mode=mode)
    return o, torch.autograd.grad(o.square().sum(), list(inputs.values()))


@pytest.mark.parametrize("name", LINEAR)
def test_lengths(name: str) -> None:
    of, random = subject(name), Random(0)
    for tokens in LENGTHS:
        case = random_case(of, random, tokens=tokens, batch=2)
        check(states_law(of, case))
        if tokens < 70:
            check(reference_law(of, case))


@pytest.mark.parametrize("mode", FAST)
@pytest.mark.parametrize("axes", ["", "[K]", "[V]"])
@pytest.mark.parametrize("edge", EDGES)
def test_decays_at_their_edges(edge: float, axes: str, mode: str) -> None:
    """Everywhere, and at single tokens: outputs and all gradients as the reference has them."""
    mixer = mixerc.compile(DECAYED.format(axes=axes), chunk=16)
    for places in (slice(None), slice(7, 30, 5)):
        inputs = drawn(37, axes)
        with torch.no_grad():
            inputs["a"][:, places] = edge
        o, found = gradients(mixer, inputs, mode)
        wanted_o, wanted = gradients(mixer, inputs, "reference")
        torch.testing.assert_close(o, wanted_o, rtol=1e-10, atol=1e-10)
        for got, want in zip(found, wanted, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("axes", ["", "[K]", "[V]"])
def test_a_hundred_thousand_tokens(axes: str) -> None:
    mixer = mixerc.compile(DECAYED.format(axes=axes))
    inputs = {name: x.detach() for name, x in drawn(100_000, axes, torch.float32).items()}
    o, state = mixer(**inputs)
    again, last = mixer(**inputs, mode="recurrent")
    for got, want in ((o, again), (state["S"], last["S"])):
        assert got.isfinite().all()
        assert (got - want).square().mean().sqrt() < 1e-5 * want.square().mean().sqrt()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_inputs_give_finite_gradients(dtype: torch.dtype) -> None:
    mixer = mixerc.compile(DECAYED.format(axes="[K]"))
    o, found = gradients(mixer, drawn(130, "[K]", dtype), "parallel")
    assert o.dtype == dtype
    assert all(x.isfinite().all() and x.dtype == dtype for x in found)


@pytest.mark.parametrize("name", LINEAR)
def test_rows_and_support(name: str) -> None:
    of, random = subject(name), Random(1)
    check(rows_law(of, random_case(of, random, tokens=40, batch=3)))
    check(support_law(of, random_case(of, random, tokens=9, batch=1), 5, FAST[0]))
