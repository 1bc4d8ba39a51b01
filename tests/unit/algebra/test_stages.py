"""What the classifier says of recurrences, and SymPy's word on whether it is so."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import sympy

from mixerc.algebra.classify import classify
from mixerc.algebra.stages import Recurrence
from mixerc.algebra.together import Together
from mixerc.compiler import front, read_source
from mixerc.ir.mixer import Mixer
from mixerc.reference.exact import EXACT
from mixerc.reference.interpret import run_core
from mixerc.source import Source
from tests.laws.recurrent_specs import TOGETHER

SPECS = Path(__file__).parents[3] / "specs"
SIZES = {"d_model": 2, "heads": 1, "layer": 0, "layers": 2, "G": 1}
SIZES |= dict.fromkeys(("E", "N", "K", "V", "M"), 2)
SCANS = {
    "s4d": ["h"],
    "lru": ["h"],
    "mamba": ["h"],
    "rglru": ["h"],
    "mingru": ["h"],
    "minlstm": ["h"],
    "hgrn": ["h"],
    "gateloop": ["S"],
}
BY_TOKEN = {
    "rnn": ("h",),
    "gru": ("h",),
    "lstm": ("c", "h"),
}


def mixer_of(name: str) -> Mixer:
    mixer = front(read_source(SPECS / f"{name}.mix"))
    assert isinstance(mixer, Mixer)
    return mixer


def stages_of(mixer: Mixer) -> Recurrence:
    found = classify(mixer).recurrence
    assert found is not None
    return found


def a_step(mixer: Mixer) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each state before a token, as symbols, and after it, as expressions of these."""
    given = {}
    for place, line in enumerate(mixer.lines):
        if line.name in mixer.core.inputs:
            given[line.name] = _numbers(line.sort, place)
    if "x" in mixer.core.inputs:
        given["x"] = _filled((1, 1, 2), 5)
    before = {}
    for state in mixer.core.states:
        heads = () if state.sort.heads.shared else (1,)
        shape = (1, *heads, *(SIZES[axis] for axis in state.sort.axes))
        symbols = [sympy.Symbol(f"{state.name}{i}") for i in range(int(np.prod(shape)))]
        before[state.name] = np.array(symbols, dtype=object).reshape(shape)
    _, after = run_core(mixer, given, SIZES, state=before, domain=EXACT)
    return {name: (before[name].ravel(), after[name].ravel()) for name in before}


def _numbers(sort, seed: int) -> np.ndarray:
    heads = () if sort.heads.shared else (1,)
    own = (*heads, *(SIZES[axis.rstrip("'")] for axis in sort.axes))
    return _filled((1, 1, *own) if sort.times else own, seed)


def _filled(shape: tuple[int, ...], seed: int) -> np.ndarray:
    count = int(np.prod(shape))
    values = [sympy.Rational(1 + (3 * i + seed) % 5, 7 + i) for i in range(count)]
    return np.array(values, dtype=object).reshape(shape)


def _is_elementwise_affine(before: np.ndarray, after: np.ndarray) -> bool:
    for i, value in enumerate(after):
        for j, symbol in enumerate(before):
            slope = sympy.diff(value, symbol)
            if (i != j and slope != 0) or sympy.diff(slope, symbol) != 0:
                return False
    return True


@pytest.mark.parametrize("name", SCANS)
def test_a_scan_is_affine_in_each_number_of_its_state(name: str) -> None:
    mixer = mixer_of(name)
    found = stages_of(mixer)
    assert [s.name for stage in found.stages for s in stage.states] == SCANS[name]
    assert found.obstacle is None
    for before, after in a_step(mixer).values():
        assert _is_elementwise_affine(before, after)


@pytest.mark.parametrize("text", TOGETHER.values(), ids=TOGETHER)
def test_states_that_feed_one_another_are_affine_in_all_of_them(text: str) -> None:
    """Each place of each by the same place of all: the matrix has no other slope, and no curve."""
    mixer = front(Source(text=text, file="m", folder=None))
    assert isinstance(mixer, Mixer)
    (stage,) = stages_of(mixer).stages
    assert isinstance(stage.scan, Together)
    step = a_step(mixer)
    feeds = {name: set[str]() for name in step}
    for name, (_, after) in step.items():
        for other, (before, _) in step.items():
            for (i, value), (j, symbol) in product(enumerate(after), enumerate(before)):
                slope = sympy.simplify(sympy.diff(value, symbol))
                assert not slope.free_symbols
                assert i == j or slope == 0
                feeds[name] |= {other} if slope != 0 else set()
    names = tuple(step)
    for name, row in zip(names, stage.scan.coefficients, strict=True):
        told = {other for other, x in zip(names, row, strict=True) if x is not None}
        assert feeds[name] <= told


@pytest.mark.parametrize("name", BY_TOKEN)
def test_what_is_taken_token_by_token_is_no_scan(name: str) -> None:
    mixer = mixer_of(name)
    obstacle = stages_of(mixer).obstacle
    assert obstacle is not None
    assert tuple(state.name for state in obstacle.states) == BY_TOKEN[name]
    step = a_step(mixer)
    before = np.concatenate([step[n][0] for n in BY_TOKEN[name]])
    after = np.concatenate([step[n][1] for n in BY_TOKEN[name]])
    assert not _is_elementwise_affine(before, after)


CASCADE = """mixer m(E)
a[E], u[E] = x | linear
state f[E], g[E], h[E]
f[t] = a * f[t-1] + {into_f}
g[t] = a * g[t-1] + tanh(f[{at}])
h[t] = u * h[t-1] + g[t] * f[t-1]
o[E] = h[t]
"""


def cascade(into_f: str, at: str) -> Recurrence:
    spec = front(Source(text=CASCADE.format(into_f=into_f, at=at), file="m", folder=None))
    assert isinstance(spec, Mixer)
    return stages_of(spec)


@pytest.mark.parametrize("at", ["t", "t-1"])
def test_a_cascade_is_solved_in_order(at: str) -> None:
    found = cascade("u", at)
    assert [tuple(s.name for s in stage.states) for stage in found.stages] == [
        ("f",),
        ("g",),
        ("h",),
    ]
    assert found.obstacle is None


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ("a * g[t-1] * f[t-1]", "what multiplies f reads one of them too"),
        ("(g[t-1] @ g[t-1]) * u", "contracts the state g"),
    ],
)
def test_what_is_affine_in_each_alone_is_not_so_together(update: str, reason: str) -> None:
    found = cascade(update, "t").obstacle
    assert found is not None
    assert reason in found.reason


def test_states_that_feed_one_another_are_one_stage_and_the_reason_names_the_read() -> None:
    found = cascade("sin(g[t-1])", "t")
    assert [tuple(s.name for s in stage.states) for stage in found.stages] == [("f", "g"), ("h",)]
    assert found.obstacle is not None
    reason = "f and g feed one another, and the update is not linear in g (`sin(g[t-1])`)"
    assert found.obstacle.reason == reason
    assert found.obstacle.span.line == 4
