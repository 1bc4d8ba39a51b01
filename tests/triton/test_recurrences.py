"""Scans and token loops in Triton's interpreter, in float64: no wrong formula agrees to 1e-10."""

from random import Random

import pytest
import torch

from mixerc.verify.carry import carry_law, packed_law
from mixerc.verify.cases import Case, random_case
from mixerc.verify.causality import rows_law
from mixerc.verify.modes import reference_law, states_law
from mixerc.verify.precision import precision_law
from tests.laws.recurrent_specs import BEHIND, TOGETHER, WILD
from tests.laws.subjects import BY_NEWTON, BY_TOKEN, SCANS, check, subject, subject_of_text

every_recurrence = pytest.mark.parametrize("name", [*SCANS, *BY_TOKEN, *BY_NEWTON])

COUPLED = """mixer coupled(E)
z[E], w[E] = x | linear
state g[E] complex
state h[E]
g[t] = complex(0.5, w) * conj(g[t-1]) + tanh(h[t-1]) * z
h[t] = real(g[t]) * h[t-1] + z
o[E] = h[t] + abs(g[t])
"""
CASCADE = """mixer cascade(E, N)
a[E], u[E] = x | linear | sigmoid
b[N], c[N] = x | linear
state m[E], h[E, N], r
m[t] = a * m[t-1] + u
r[t] = 0.9 * r[t-1] + sum[E](m[t-1] * u)
h[t] = a * h[t-1] + m[t] * b * exp(-r[t] * r[t])
o[E] = (h[t-1] * h[t]) @ c
"""

FOLDED = """mixer folded(E, J = 2)
input z[J, E] complex
state h[E] complex
h[t] = fold[J](U = h[t-1], U * z / (1 + abs(z)) + z)
o[E] = real(h[t])
"""


def a_case(name: str, tokens: int, batch: int = 1) -> Case:
    return random_case(subject(name, "triton"), Random(tokens), tokens=tokens, batch=batch)


@every_recurrence
def test_modes_agree_with_the_equations(name: str) -> None:
    check(reference_law(subject(name, "triton"), a_case(name, 21, batch=2)))


@pytest.mark.parametrize("name", ["mamba", "s5", "rwkv4", "rglru", "lstm", "paralstm"])
def test_states_go_in_and_come_out(name: str) -> None:
    check(states_law(subject(name, "triton"), a_case(name, 40)))


@pytest.mark.parametrize("text", TOGETHER.values(), ids=TOGETHER)
def test_states_that_are_solved_together(text: str) -> None:
    of = subject_of_text(text, "triton")
    check(states_law(of, Case(tokens=41, batch=2, axes={"E": 3})))
    check(packed_law(of, Case(tokens=23, axes={"E": 3}), (0, 4, 4, 23), "parallel"))


@pytest.mark.parametrize("name", BY_NEWTON)
def test_newton_settles(name: str) -> None:
    """What the laws see of the mode are its steps, and not the loop that takes what is left."""
    of = subject(name, "triton")
    shapes = dict.fromkeys(of.run.streams, (1, 30, 1, 5)) | dict.fromkeys(of.run.params, (1, 5))
    generator = torch.Generator().manual_seed(1)
    inputs = {n: torch.rand(shape, generator=generator) for n, shape in shapes.items()}
    _, state = of.run(**inputs, mode="newton")
    assert state.newton.left == 0
    assert 2 < state.newton.steps < 12


def test_newton_solves_scans_before_and_behind_in_the_same_step() -> None:
    """The states that it kept come in halves, where they are complex."""
    of = subject_of_text(BEHIND, "triton")
    check(states_law(of, Case(tokens=41, batch=2, axes={"E": 3})))
    check(packed_law(of, Case(tokens=23, axes={"E": 3}), (0, 4, 4, 20), "newton"))


READ = """mixer read(E, N)
u[E] = x | linear
b[N] = x | linear
state h[E, N]
h[t] = tanh(h[t-1] * b + u)
o[E] = {output}
"""


@pytest.mark.parametrize("output", ["h[t] @ b", "sum[N](h[t-1])", "max[N](h[t-1])"])
@pytest.mark.parametrize("places", [5, 70])
def test_what_is_summed_over_a_state(output: str, places: int) -> None:
    """Places of a tile past the end of an axis are in no sum; programs add up their parts."""
    of = subject_of_text(READ.format(output=output), "triton")
    check(states_law(of, Case(tokens=5, batch=1, heads=1, axes={"E": 3, "N": places})))


@pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")  # numpy, interpreting
def test_what_does_not_settle_is_taken_in_turn() -> None:
    of = subject_of_text(WILD, "triton")
    u = torch.randn(2, 60, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with pytest.warns(RuntimeWarning, match="are taken one by one"):
        o, state = of.run(u=u, mode="newton")
    want, last = of.run(u=u, mode="recurrent")
    assert torch.equal(o[:, -1], want[:, -1])
    assert torch.equal(state["h"], last["h"])
    assert 0 < state.newton.left < 120


@pytest.mark.parametrize("name", ["mamba", "lru", "rwkv4", "slstm", "paragru"])
def test_packed_sequences_are_apart(name: str) -> None:
    of = subject(name, "triton")
    check(packed_law(of, a_case(name, 20), (0, 3, 3, 20), of.modes[0]))


@pytest.mark.parametrize("name", ["mingru", "gru"])
def test_a_run_in_two_parts(name: str) -> None:
    of = subject(name, "triton")
    for first in of.modes:
        for second in of.modes:
            check(carry_law(of, a_case(name, 20), 9, first, second))


@pytest.mark.parametrize("name", ["rglru", "gru"])
def test_a_nan_stays_in_its_row(name: str) -> None:
    check(rows_law(subject(name, "triton"), a_case(name, 20, batch=3)))


@pytest.mark.parametrize("text", [COUPLED, CASCADE])
def test_states_that_feed_one_another(text: str) -> None:
    of = subject_of_text(text, "triton")
    axes = {"E": 3, "N": 2}
    check(states_law(of, Case(tokens=19, batch=2, axes=axes)))
    check(packed_law(of, Case(tokens=19, axes=axes), (0, 1, 17, 19), of.modes[0]))


@pytest.mark.parametrize("target", ["torch", "triton"])
def test_steps_of_complex_numbers(target: str) -> None:
    of = subject_of_text(FOLDED, target)
    check(states_law(of, Case(tokens=19, batch=2, axes={"E": 3, "J": 2})))


@pytest.mark.parametrize("name", ["mamba", "s5", "rwkv4", "gru"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_rounding(name: str, dtype: torch.dtype) -> None:
    """At most twice the error of the token recurrence with states in fp32."""
    of = subject(name, "triton")
    check(precision_law(of, a_case(name, 33), dtype, draws=3))


def test_several_blocks_of_an_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs have a part of what is summed over channels, and none has all of them."""
    of = subject("mamba", "triton")
    tiles = of.run.module.__dict__["TILES"]
    monkeypatch.setitem(tiles, "forward_1", (64, 4))
    monkeypatch.setitem(tiles, "backward_1", (64, 4))
    check(states_law(of, Case(tokens=37, axes={"E": 5, "N": 2, "d_model": 3})))
