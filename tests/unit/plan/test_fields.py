"""Larger chunks at random points of a prime field: a wrong polynomial survives with odds 2^-50.

The primes' field has no rounding, so equality is exact (Schwartz and Zippel).
"""

import random

import numpy as np
import pytest

from mixerc.plan.adjoint import adjoint
from mixerc.plan.chunk_function import chunk_function
from mixerc.plan.evaluate import RING, evaluate
from tests.unit.plan.linears import DECAYS, linear, recurrence, shapes

PRIME = (1 << 61) - 1


class Residue:
    """A number modulo the prime 2^61 - 1."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = int(value) % PRIME

    def __add__(self, other):
        return Residue(self.value + _value(other))

    def __sub__(self, other):
        return Residue(self.value - _value(other))

    def __mul__(self, other):
        return Residue(self.value * _value(other))

    def __neg__(self):
        return Residue(-self.value)

    def __eq__(self, other):
        return self.value == _value(other) % PRIME

    def __hash__(self):
        return hash(self.value)

    __radd__, __rmul__ = __add__, __mul__


def _value(other) -> int:
    return other.value if isinstance(other, Residue) else int(other)


def drawn(rng: random.Random, shape: tuple[int, ...]):
    array = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        array[index] = Residue(rng.randrange(PRIME))
    return array


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("kind", ["scalar", "keys", "values", "both"])
def test_four_chunks_in_a_row(kind: str, before: bool) -> None:
    chunk, count, k, v = 16, 4, 5, 3
    decays = DECAYS[kind]
    rng = random.Random(7)
    inputs = {
        name: drawn(rng, shape) for name, shape in shapes(decays, chunk * count, k, v).items()
    }
    for name in ("g", "a", "b"):
        if name in inputs:
            inputs[name][20] = inputs[name][20] * 0  # a reset within a chunk
    start = state = drawn(rng, (k, v))
    function = chunk_function(linear(decays, before=before), chunk, frozenset())
    found = []
    for i in range(count):
        tile = {name: value[i * chunk : (i + 1) * chunk] for name, value in inputs.items()}
        outputs, states = evaluate(function, tile, {"S": state}, RING, Residue)
        state = states["S"]
        found.append(outputs["o"])
    wanted, last = recurrence(inputs, start, decays, before=before)
    assert np.array_equal(np.concatenate(found), np.array(wanted))
    assert np.array_equal(state, np.array(last))


@pytest.mark.parametrize("kind", ["identity", "scalar", "keys", "both"])
def test_the_adjoint_is_linear_in_the_right_place(kind: str) -> None:
    """<d_o, o> + <d_S, S'> is bilinear in v and the state, so it equals <v, d_v> + <S, d_S>."""
    chunk, k, v = 16, 4, 3
    decays = DECAYS[kind]
    rng = random.Random(11)
    inputs = {name: drawn(rng, shape) for name, shape in shapes(decays, chunk, k, v).items()}
    state, d_state, d_o = drawn(rng, (k, v)), drawn(rng, (k, v)), drawn(rng, (chunk, v))
    function = chunk_function(linear(decays, before=False), chunk, frozenset())
    outputs, states = evaluate(function, inputs, {"S": state}, RING, Residue)
    found, carried = evaluate(
        adjoint(function), {**inputs, "d_o": d_o}, {"S": state, "d_S": d_state}, RING, Residue
    )
    left = (d_o * outputs["o"]).sum() + (d_state * states["S"]).sum()
    right = (inputs["v"] * found["d_v"]).sum() + (state * carried["d_S"]).sum()
    assert left == right
