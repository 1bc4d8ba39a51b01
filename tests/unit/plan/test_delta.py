"""Transitions of low rank: chunks, and their adjoint, are the recurrence, over three rings.

S[t] = decay ∘ S[t-1] + sum of k_i (v_i + c_i · S[t-1])',   with queries c_i of their own
"""

import random
from dataclasses import replace

import numpy as np
import pytest

from mixerc.algebra.linear import Linear, Write
from mixerc.plan import nodes as n
from mixerc.plan.adjoint import adjoint
from mixerc.plan.build import Builder
from mixerc.plan.chunk_function import chunk_function
from mixerc.plan.evaluate import RING, evaluate
from mixerc.plan.solve import by_inverses
from tests.unit.plan.linears import DECAYS, linear, product, shapes, stream
from tests.unit.plan.test_fields import Residue, drawn
from tests.unit.plan.test_identities import functions, symbols

KINDS = ("identity", "scalar", "keys", "scalar and keys")
RANKS = (1, 2, 3)


def delta(kind: str, rank: int, *, before: bool = False, plain: bool = True) -> Linear:
    """The mixer with `rank` writes that read the state, beside the plain one of `linear`."""
    made = linear(DECAYS[kind], before=before)
    (state,) = made.states
    asking = tuple(
        Write(
            key=product(stream(f"k{i}", "K")),
            value=product(stream(f"v{i}", "V")),
            query=stream(f"c{i}", "K"),
        )
        for i in range(rank)
    )
    writes = (*state.writes, *asking) if plain else asking
    return replace(made, states=(replace(state, writes=writes),))


def sized(kind: str, rank: int, tokens: int, k: int, v: int) -> dict[str, tuple[int, ...]]:
    found = shapes(DECAYS[kind], tokens, k, v)
    for i in range(rank):
        found |= {f"k{i}": (tokens, k), f"c{i}": (tokens, k), f"v{i}": (tokens, v)}
    return found


def by_token(inputs, state, kind: str, rank: int, *, before: bool = False, plain: bool = True):
    """The recurrence as it is written: outputs, and the last state."""
    outputs = []
    for t in range(len(inputs["q"])):
        old, new = state, state
        for decay in DECAYS[kind]:
            value = inputs[decay.name][t]
            new = new * (value[:, None] if decay.sort.axes else value)
        if plain:
            new = new + inputs["k"][t][:, None] * inputs["v"][t][None]
        for i in range(rank):
            value = inputs[f"v{i}"][t] + (inputs[f"c{i}"][t][:, None] * old).sum(axis=0)
            new = new + inputs[f"k{i}"][t][:, None] * value[None]
        state = new
        read = old if before else new
        outputs.append((inputs["q"][t][:, None] * read).sum(axis=0))
    return np.array(outputs), state


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("kind", ["identity", "scalar", "keys"])
def test_a_chunk_and_its_adjoint_are_the_recurrence_as_polynomials(kind: str, rank: int) -> None:
    chunk, k, v = (4, 1, 1) if rank == 2 else (2, 2, 2)
    cotangents = {"d_o": (chunk, v), "d_S": (k, v)}
    shaped = {**sized(kind, rank, chunk, k, v), "S": (k, v), **cotangents}
    polynomials, arrays = symbols(shaped)
    state, d_state = arrays.pop("S"), arrays.pop("d_S")
    whole = chunk_function(delta(kind, rank), chunk, frozenset())
    ring = functions(polynomials)
    outputs, states = evaluate(whole, arrays, {"S": state}, *ring)
    wanted, last = by_token(arrays, state, kind, rank)
    assert all(a - b == 0 for a, b in zip(outputs["o"].ravel(), wanted.ravel(), strict=True))
    assert all(a - b == 0 for a, b in zip(states["S"].ravel(), last.ravel(), strict=True))
    total = (arrays["d_o"] * wanted).sum() + (d_state * last).sum()
    back, carried = evaluate(adjoint(whole), arrays, {"S": state, "d_S": d_state}, *ring)
    for name, found in back.items():
        value = arrays[name.removeprefix("d_")]
        for index in np.ndindex(*value.shape):
            assert found[index] == total.diff(value[index]), (name, index)
    for index in np.ndindex(*state.shape):
        assert carried["d_S"][index] == total.diff(state[index])


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("kind", KINDS)
def test_chunks_in_a_prime_field(kind: str, rank: int, before: bool, plain: bool) -> None:
    """Larger chunks, with products for solutions, as backends have them."""
    chunk, k, v = 16, 5, 3
    rng = random.Random(3)
    inputs = {x: drawn(rng, shape) for x, shape in sized(kind, rank, 2 * chunk, k, v).items()}
    for name in ("g", "a"):
        if name in inputs:
            inputs[name][20] = inputs[name][20] * 0
    start = state = drawn(rng, (k, v))
    whole = chunk_function(delta(kind, rank, before=before, plain=plain), chunk, frozenset())
    function = by_inverses(Builder(), whole)
    assert not any(isinstance(node, n.Solve) for node in function.nodes)
    found = []
    for i in range(2):
        tile = {name: value[i * chunk : (i + 1) * chunk] for name, value in inputs.items()}
        outputs, states = evaluate(function, tile, {"S": state}, RING, Residue)
        state = states["S"]
        found.append(outputs["o"])
    wanted, last = by_token(inputs, start, kind, rank, before=before, plain=plain)
    assert np.array_equal(np.concatenate(found), wanted)
    assert np.array_equal(state, last)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("kind", KINDS)
def test_products_for_solutions_have_the_same_adjoint(kind: str, rank: int) -> None:
    chunk, k, v = 8, 3, 2
    rng = random.Random(5)
    inputs = {x: drawn(rng, shape) for x, shape in sized(kind, rank, chunk, k, v).items()}
    inputs["d_o"] = drawn(rng, (chunk, v))
    states = {"S": drawn(rng, (k, v)), "d_S": drawn(rng, (k, v))}
    back = adjoint(chunk_function(delta(kind, rank), chunk, frozenset()))
    solved, carried = evaluate(back, inputs, states, RING, Residue)
    inverted, again = evaluate(by_inverses(Builder(), back), inputs, states, RING, Residue)
    assert np.array_equal(carried["d_S"], again["d_S"])
    for name, value in solved.items():
        assert np.array_equal(value, inverted[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_an_eraser_of_nothing_is_none(kind: str) -> None:
    """The order of transitions: rank 1 with a query of 0 is rank 0."""
    chunk, k, v = 16, 4, 3
    rng = random.Random(9)
    inputs = {x: drawn(rng, shape) for x, shape in sized(kind, 1, chunk, k, v).items()}
    for name in ("c0", "v0"):
        inputs[name] = inputs[name] * 0
    state = {"S": drawn(rng, (k, v))}
    low = by_inverses(Builder(), chunk_function(delta(kind, 1), chunk, frozenset()))
    plain = chunk_function(linear(DECAYS[kind], before=False), chunk, frozenset())
    (found, after), (wanted, last) = (
        evaluate(f, inputs, state, RING, Residue) for f in (low, plain)
    )
    assert np.array_equal(found["o"], wanted["o"])
    assert np.array_equal(after["S"], last["S"])


def test_a_scalar_is_a_diagonal_of_equal_decays() -> None:
    chunk, k, v = 16, 4, 3
    rng = random.Random(13)
    inputs = {x: drawn(rng, shape) for x, shape in sized("scalar", 1, chunk, k, v).items()}
    state = {"S": drawn(rng, (k, v))}
    spread = {**inputs, "a": np.repeat(inputs["g"][:, None], k, axis=1)}
    scalar = by_inverses(Builder(), chunk_function(delta("scalar", 1), chunk, frozenset()))
    keys = by_inverses(Builder(), chunk_function(delta("keys", 1), chunk, frozenset()))
    found, after = evaluate(scalar, inputs, state, RING, Residue)
    wanted, last = evaluate(keys, spread, state, RING, Residue)
    assert np.array_equal(found["o"], wanted["o"])
    assert np.array_equal(after["S"], last["S"])
