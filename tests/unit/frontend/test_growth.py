"""Which recurrences are said to grow, and what is shown of it."""

from pathlib import Path

import pytest

from mixerc.frontend.check import check
from mixerc.frontend.growth import growing
from mixerc.frontend.parser import parse
from mixerc.frontend.resolve import resolve
from mixerc.ir.mixer import Mixer, Stack

SPECS = sorted((Path(__file__).parents[3] / "specs").glob("*.mix"))
TEXT = """mixer m(K = 4, V = 3)
{lines}
q[K], k[K] = x | linear
v[V] = x | linear
z = x | linear
state S[K, V]
S[t] = {update} + k * v * z
o[V] = q @ S[t]
y = o | linear
"""


def notes(update: str, lines: str = ""):
    mixer = check(parse(TEXT.format(update=update, lines=lines), "test.mix"))
    assert isinstance(mixer, Mixer)
    return growing(mixer)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_no_shipped_spec_grows(path: Path) -> None:
    def load(name: str):
        beside = path.with_name(f"{name}.mix")
        return parse(beside.read_text(encoding="utf-8"), beside.name) if beside.exists() else None

    checked = check(resolve(parse(path.read_text(encoding="utf-8"), path.name), load))
    for mixer in checked.mixers if isinstance(checked, Stack) else (checked,):
        assert growing(mixer) == ()


@pytest.mark.parametrize(
    ("update", "lines"),
    [
        ("S[t-1]", ""),
        ("sigmoid(z) * S[t-1]", ""),
        ("lerp(S[t-1], k * v, sigmoid(z))", ""),
        ("a * S[t-1]", "input a in (0, 1]"),
        ("a * a * S[t-1]", "input a[K] in [-1, 1]"),
        ("-S[t-1]", ""),
        ("(S[t-1] - sigmoid(z) * S[t-1])", ""),
        ("0.5 * S[t-1] + 0.5 * S[t-1]", ""),
        ("z / max(abs(z), 1) * S[t-1]", ""),  # neither proven nor refuted
        ("(S[t-1] - k * (k @ S[t-1]))", ""),  # no factor: the transition is not diagonal
        ("tanh(2 * S[t-1])", ""),
    ],
)
def test_a_state_that_does_not_grow(update: str, lines: str) -> None:
    assert notes(update, lines) == ()


@pytest.mark.parametrize(
    ("update", "lines", "example", "marked"),
    [
        ("2 * S[t-1]", "", "2", "2"),
        ("a * S[t-1]", "input a", "1.5, where a = 1.5", "a"),
        ("sigmoid(z) * a * S[t-1]", "input a in [0, 4]", "1.226, where a = 1.5", "a"),
        ("a * S[t-1]", "input a[K] in (0, 1.25]", "1.25, where a = 1.25", "a"),
        ("exp(z) * S[t-1]", "", "4.482", "exp(z)"),
        ("-(1 + exp(z)) * S[t-1]", "", "-5.482", "1 + exp(z)"),
        ("S[t-1] + 0.1 * S[t-1]", "", "1.1", ""),
    ],
)
def test_a_state_that_grows(update: str, lines: str, example: str, marked: str) -> None:
    (note,) = notes(update, lines)
    assert note.severity == "note"
    assert note.slug == "decay-exceeds-one"
    assert note.message == f"this decay can be {example}"
    line = f"S[t] = {update} + k * v * z"
    assert note.span.line == 7
    assert line[note.span.column - 1 : note.span.end_column - 1] == (marked or line[7:])


def test_an_elementwise_state_and_a_value_between() -> None:
    text = """mixer m(E = 4)
u[E] = x | linear
state h[E]
g[E] = exp(u) * h[t-1]
h[t] = g + u
o[E] = h[t]
y = o | linear
"""
    checked = check(parse(text, "test.mix"))
    assert isinstance(checked, Mixer)
    (note,) = growing(checked)
    assert note.span.line == 4
