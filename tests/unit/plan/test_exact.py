"""The plan of each shipped spec against its recurrence, in SymPy: equal at rational inputs.

The reference knows nothing of chunks. What is rational is compared exactly, roots and
exponentials to 60 digits.
"""

from pathlib import Path

import numpy as np
import pytest
import sympy

from mixerc.algebra.classify import classify
from mixerc.compiler import front, read_source
from mixerc.ir.mixer import Mixer
from mixerc.plan.chunk_function import chunk_function
from mixerc.plan.evaluate import evaluate
from mixerc.reference.exact import EXACT
from mixerc.reference.interpret import run_core

SPECS = Path(__file__).parents[3] / "specs"
CHUNK = 4
SIZES = {"K": 2, "V": 2, "N": 2, "P": 2, "M": 2, "J": 2, "G": 1, "heads": 1, "layer": 0}
SIZES["layers"] = 2
LINEAR = (
    *("linear_attention", "performer", "based", "retnet", "lightning"),
    *("gla", "hgrn2", "mamba2", "rwkv5", "rwkv6"),
    *("deltanet", "gated_deltanet", "kda", "rwkv7", "deltaproduct"),
)


def rationals(shape: tuple[int, ...], seed: int):
    """Small fractions, the fifth of them 0: as decays they are resets."""
    rng = np.random.default_rng(seed)
    values = np.empty(shape, dtype=object)
    for place, index in enumerate(np.ndindex(*shape)):
        top = 0 if place % 5 == 4 else int(rng.integers(-6, 7))
        values[index] = sympy.Rational(top, 7)
    return values


def drawn(mixer: Mixer):
    """Each input of the core as a tile without batch and heads, and as the reference has it."""
    tiles, given = {}, {}
    for place, line in enumerate(mixer.lines):
        if line.name in mixer.core.inputs:
            axes = tuple(SIZES[axis] for axis in line.sort.axes)
            shape = (CHUNK, *axes) if line.sort.times else axes
            tile = rationals(shape, place)
            tiles[line.name] = tile
            if line.sort.axes[:1] == ("J",):  # a fold is written out
                tiles |= {f"{line.name}_{step}": tile[:, step] for step in range(SIZES["J"])}
            given[line.name] = tile[None, :, None] if line.sort.times else tile[None]
    return tiles, given


@pytest.mark.parametrize("name", LINEAR)
def test_a_chunk_equals_the_recurrence(name: str) -> None:
    mixer = front(read_source(SPECS / f"{name}.mix"))
    assert isinstance(mixer, Mixer)
    linear = classify(mixer).linear
    assert linear is not None
    tiles, given = drawn(mixer)
    wanted, _ = run_core(mixer, given, SIZES, domain=EXACT)
    zero = {
        state.name: np.full([SIZES[a.rstrip("'")] for a in state.axes], sympy.Integer(0))
        for state in linear.states
    }
    outputs, _ = evaluate(
        chunk_function(linear, CHUNK, frozenset()),
        tiles,
        zero,
        EXACT.primitives,
        lambda value: EXACT.number(value)[()],
        SIZES,
    )
    for found, want in zip(outputs["o"].ravel(), wanted[0, :, 0].ravel(), strict=True):
        difference = sympy.N(found - want, 60, chop=False)
        assert abs(difference) < sympy.Float(10) ** -50, (found, want)
