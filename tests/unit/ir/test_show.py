"""Showing a checked spec and checking that text gives the same spec."""

from pathlib import Path

import pytest

from mixerc.compiler import Source, front
from mixerc.ir.mixer import Mixer
from mixerc.ir.show import show

SPECS = sorted((Path(__file__).parents[3] / "specs").glob("*.mix"))


JOINED = """mixer joined(K = 4, V = 3, M = 2 * K, N = M + K)

q[K], k[K] = x | linear
v[V] = x | linear
joined1 = x | linear
feature phi(z)[M] = concat(relu(z), relu(-z))
feature psi(z)[N] = concat(phi(z), z)
u[M] = concat(q, k)
w[N] = concat(2 * phi(k), k)
{core}
y = concat(o, sum[M](phi(q)) * v) | linear
"""
SUM = """
mask causal
weight psi(q[t]) @ psi(k[s]) + u[t] @ phi(k[s]) * joined1[s]
value w[s]
state cache
"""
RECURRENCE = """
state S[M, V]
S[t] = joined1 * S[t-1] + phi(k) * v
o[V] = phi(q) @ S[t] + (u @ S[t]) * (w @ psi(k))
"""


@pytest.mark.parametrize("core", [SUM.replace("w[s]", "v[s] * (w[s] @ psi(k[s]))"), RECURRENCE])
def test_a_concat_keeps_the_axis_that_it_lands_on(core: str) -> None:
    source = Source(text=JOINED.format(core=core), file="joined.mix", folder=None)
    checked = front(source)
    text = show(checked)
    assert front(Source(text=text, file="joined.mix", folder=None)) == checked, text
    assert "u[M] = concat(q, k)" in text
    assert "feature joined2(part1, part2)[M] = concat(part1, part2)" in text


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_shown_spec_is_the_same_spec(path: Path) -> None:
    source = Source(text=path.read_text(), file=path.name, folder=path.parent)
    checked = front(source)
    text = show(checked)
    again = front(Source(text=text, file=path.name, folder=path.parent))
    assert again == checked, text
    assert show(again) == text
    assert isinstance(checked, Mixer) or checked.mixers
