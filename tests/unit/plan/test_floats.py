"""Chunk functions in float64: several chunks equal the loop, as logarithms too."""

import numpy as np
import pytest

from mixerc.plan.chunk_function import chunk_function
from mixerc.plan.evaluate import RING, evaluate
from tests.unit.plan.linears import DECAYS, linear, recurrence, shapes

FUNCTIONS = {**RING, "exp": np.exp}


@pytest.mark.parametrize("logarithms", [False, True])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("kind", DECAYS)
def test_chunks_equal_the_loop(kind: str, before: bool, logarithms: bool) -> None:
    chunk, count, decays = 32, 3, DECAYS[kind]
    rng = np.random.default_rng(5)
    inputs = {}
    for name, shape in shapes(decays, chunk * count, 5, 3).items():
        gate = name in {decay.name for decay in decays}
        inputs[name] = rng.uniform(0, 1, shape) if gate else rng.normal(size=shape)
    names = frozenset(d.name for d in decays) if logarithms else frozenset()
    start = state = rng.normal(size=(5, 3))
    function = chunk_function(linear(decays, before=before), chunk, names)
    tiles = {
        f"log_{name}" if name in names else name: np.log(x) if name in names else x
        for name, x in inputs.items()
    }
    found = []
    for i in range(count):
        part = {name: x[i * chunk : (i + 1) * chunk] for name, x in tiles.items()}
        outputs, states = evaluate(function, part, {"S": state}, FUNCTIONS)
        state = states["S"]
        found.append(outputs["o"])
    wanted, last = recurrence(inputs, start, decays, before=before)
    np.testing.assert_allclose(np.concatenate(found), np.array(wanted), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(state, np.array(last), rtol=1e-11, atol=1e-12)
