"""The chunk algebra is the recurrence, as polynomials: decays and states are plain symbols.

With a symbolic start state, one proved chunk gives every length and every split by induction.
The adjoint is checked against the polynomials' own derivatives.
"""

from fractions import Fraction

import numpy as np
import pytest
from sympy import QQ, ring

from mixerc.plan.adjoint import adjoint
from mixerc.plan.chunk_function import chunk_function
from mixerc.plan.evaluate import RING, evaluate
from tests.unit.plan.linears import DECAYS, linear, recurrence, shapes

SMALL = {"chunk": 4, "k": 2, "v": 2}


def symbols(shaped):
    """A polynomial ring with a symbol for every entry, and the entries as arrays."""
    names = [f"{n}_{'_'.join(map(str, i))}" for n, s in shaped.items() for i in np.ndindex(*s)]
    polynomials, *generators = ring(names, QQ)
    entries = dict(zip(names, generators, strict=True))
    arrays = {}
    for name, shape in shaped.items():
        array = np.empty(shape, dtype=object)
        for index in np.ndindex(*shape):
            array[index] = entries[f"{name}_{'_'.join(map(str, index))}"]
        arrays[name] = array
    return polynomials, arrays


def functions(polynomials):
    """The ring's operations; a number becomes one of its constants."""

    def number(value):
        fraction = Fraction(value)
        return polynomials(QQ(fraction.numerator, fraction.denominator))

    return RING, number


def case(kind: str, *, before: bool, bonus: bool = False):
    decays = DECAYS[kind]
    shaped = shapes(decays, SMALL["chunk"], SMALL["k"], SMALL["v"], bonus=bonus)
    shaped = {**shaped, "S": (SMALL["k"], SMALL["v"])}
    function = chunk_function(
        linear(decays, before=before, bonus=bonus), SMALL["chunk"], frozenset()
    )
    return decays, shaped, function


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("kind", DECAYS)
def test_a_chunk_is_the_recurrence(kind: str, before: bool) -> None:
    decays, shaped, function = case(kind, before=before)
    polynomials, arrays = symbols(shaped)
    state = arrays.pop("S")
    outputs, states = evaluate(function, arrays, {"S": state}, *functions(polynomials))
    wanted, last = recurrence(arrays, state, decays, before=before)
    for t, j in np.ndindex(*outputs["o"].shape):
        assert outputs["o"][t, j] - wanted[t][j] == 0
    for i, j in np.ndindex(*state.shape):
        assert states["S"][i, j] - last[i][j] == 0


def test_the_bonus_of_the_current_token() -> None:
    decays, shaped, function = case("keys", before=True, bonus=True)
    polynomials, arrays = symbols(shaped)
    state = arrays.pop("S")
    outputs, _ = evaluate(function, arrays, {"S": state}, *functions(polynomials))
    wanted, _ = recurrence(arrays, state, decays, before=True, bonus=True)
    assert all(outputs["o"][t, j] - wanted[t][j] == 0 for t, j in np.ndindex(*outputs["o"].shape))


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("kind", DECAYS)
def test_the_adjoint_is_the_derivative(kind: str, before: bool) -> None:
    decays, shaped, function = case(kind, before=before)
    cotangents = {"d_o": (SMALL["chunk"], SMALL["v"]), "d_S": (SMALL["k"], SMALL["v"])}
    polynomials, arrays = symbols({**shaped, **cotangents})
    state, d_state = arrays.pop("S"), arrays.pop("d_S")
    streams = {name: value for name, value in arrays.items() if name != "d_o"}
    outputs, last = recurrence(streams, state, decays, before=before)
    total = sum(arrays["d_o"][t, j] * outputs[t][j] for t, j in np.ndindex(*arrays["d_o"].shape))
    total += sum(d_state[i, j] * last[i][j] for i, j in np.ndindex(*d_state.shape))
    found, carried = evaluate(
        adjoint(function), arrays, {"S": state, "d_S": d_state}, *functions(polynomials)
    )
    assert set(found) == {f"d_{name}" for name in streams}
    for name, value in streams.items():
        for index in np.ndindex(*value.shape):
            assert found[f"d_{name}"][index] == total.diff(value[index]), (name, index)
    for index in np.ndindex(*state.shape):
        assert carried["d_S"][index] == total.diff(state[index])


def test_a_wrong_formula_is_seen() -> None:
    """The check itself can fail: reading before the update is not reading after it."""
    decays, shaped, function = case("keys", before=False)
    polynomials, arrays = symbols(shaped)
    state = arrays.pop("S")
    outputs, _ = evaluate(function, arrays, {"S": state}, *functions(polynomials))
    wanted, _ = recurrence(arrays, state, decays, before=True)
    assert any(outputs["o"][t, j] != wanted[t][j] for t, j in np.ndindex(*outputs["o"].shape))
