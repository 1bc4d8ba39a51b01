"""Transitions of low rank as the classifier reads them off, and whether SymPy finds that rank."""

import numpy as np
import pytest
import sympy

from mixerc.algebra.classify import Algebra, classify
from mixerc.compiler import front
from mixerc.ir.mixer import Mixer
from mixerc.source import Source
from tests.unit.algebra.test_stages import SIZES, a_step

STREAMS = {
    **{name: f"{name}[K] = x | linear" for name in ("k", "e", "c")},
    **{name: f"{name}[V] = x | linear" for name in ("v", "g")},
    **{name: f"{name} = x | linear | sigmoid" for name in ("a", "beta")},
    "w": "w[K] = x | linear | sigmoid",
    "ks": "ks[J, K] = x | linear",
    "vs": "vs[J, V] = x | linear",
}
# Updates with what the diagonal is, and for each of the others whether it asks the decayed state.
RULES = {
    "S[t] = S[t-1] - k * (k @ S[t-1]) + k * v": ("identity", [False]),
    "S[t] = a * (S[t-1] - beta * k * (k @ S[t-1])) + beta * k * v": ("scalar", [True]),
    "S[t] = w * S[t-1] - k * (k @ (w * S[t-1])) + k * v": ("diagonal along K", [True]),
    "S[t] = w * S[t-1] - k * (k @ S[t-1]) + k * v": ("diagonal along K", [False]),
    "S[t] = S[t-1] + e * (c @ S[t-1]) + k * v": ("identity", [False]),
    "S[t] = S[t-1] + e * sum[K](c * S[t-1]) + k * (k @ S[t-1])": ("identity", [False, False]),
    "S[t] = S[t-1] + k * (beta * (v - k @ S[t-1]) + a * (c @ S[t-1]))": ("identity", [False]),
    "S[t] = S[t-1] / 2 - k * (e @ S[t-1]) / 2 - (k @ S[t-1]) * e": ("scalar", [True, False]),
    "U[K, V] = S[t-1] - k * (k @ S[t-1])\nS[t] = U - e * (e @ U)": ("identity", [False, False]),
    "S[t] = fold[J](U = a * S[t-1], U - ks * (ks @ U) + ks * vs)": ("scalar", [True, True]),
    "S[t] = fold[J](U = S[t-1], U + k * (ks @ U))": ("identity", [False]),
}
WITHOUT = {
    "S[t] = S[t-1] - k * g * (k @ S[t-1])": "`g` scales what is read from the state along V",
    "S[t] = g * S[t-1] - k * (k @ S[t-1])": "each value would have a transition of its own",
    "S[t] = S[t-1] + k * (k @ S[t-1]) * (e @ S[t-1])": "not linear in S",
    "S[t] = S[t-1] + k * (v - tanh(k @ S[t-1]))": "not linear in S",
    "S[t] = S[t-1] + (S[t-1] @ g) * v": "sums over V and its reads over K",
}


def algebra_of(update: str) -> tuple[Mixer, Algebra]:
    words = "".join(c if c.isalnum() else " " for c in update).split()
    lines = [line for name, line in STREAMS.items() if name in words]
    sizes = "K, V, J = 2" if "fold" in update else "K, V"
    head = (f"mixer m({sizes})", "q[K] = x | linear", *lines, "state S[K, V]")
    text = "\n".join((*head, update, "o[V] = q @ S[t]")) + "\n"
    mixer = front(Source(text=text, file="m", folder=None))
    assert isinstance(mixer, Mixer)
    return mixer, classify(mixer)


@pytest.mark.parametrize("update", RULES)
def test_the_rank_is_read_off(update: str) -> None:
    diagonal, decayed = RULES[update]
    _, algebra = algebra_of(update)
    assert algebra.linear is not None
    assert algebra.family == f"linear, {diagonal} plus rank {len(decayed)} transition"
    (state,) = algebra.linear.states
    assert [write.decayed for write in state.writes if write.query is not None] == decayed


@pytest.mark.parametrize("update", RULES)
def test_the_transition_has_that_rank(update: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and columns that share no index see nothing of the diagonal: of rank r, every minor of
    r + 1 of them vanishes, and here none of r. All values have the same transition."""
    rank = len(RULES[update][1])
    keys, values = 2 * rank + 2, 2
    monkeypatch.setitem(SIZES, "K", keys)
    monkeypatch.setitem(SIZES, "J", 2)
    before, after = (x.reshape(keys, values) for x in a_step(algebra_of(update)[0])["S"])
    moved = np.array(
        [[sympy.diff(after[i, 0], before[j, 0]) for j in range(keys)] for i in range(keys)]
    )
    for i, j in np.ndindex(keys, keys):
        assert sympy.diff(after[i, 1], before[j, 1]) == moved[i, j]
        assert sympy.diff(after[i, 1], before[j, 0]) == 0
    assert not any(sympy.diff(x, s) for x in moved.ravel() for s in before.ravel())
    corner = sympy.Matrix(moved[: rank + 1, rank + 1 :])
    assert corner.det() == 0
    assert corner[:rank, :rank].det() != 0


@pytest.mark.parametrize("update", WITHOUT)
def test_what_has_no_low_rank_says_why(update: str) -> None:
    _, algebra = algebra_of(update)
    assert algebra.linear is None
    modes = {mode.name: mode for mode in algebra.modes}
    assert not modes["parallel"].legal
    assert WITHOUT[update] in modes["parallel"].reason
    assert modes["parallel"].span.line > 0
    assert modes["recurrent"].legal
    assert not modes["newton"].legal  # a full matrix of slopes


def test_a_fold_of_unknown_length_says_so() -> None:
    text = """mixer m(K, V, J)
q[K] = x | linear
ks[J, K] = x | linear
state S[K, V]
S[t] = fold[J](U = S[t-1], U - ks * (ks @ U))
o[V] = q @ S[t]
"""
    mixer = front(Source(text=text, file="m", folder=None))
    assert isinstance(mixer, Mixer)
    assert "the length of J" in classify(mixer).modes[0].reason
