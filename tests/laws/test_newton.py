"""Newton's method over a whole sequence: that it settles, what it says, and what it does else."""

import warnings

import pytest
import torch

from mixerc.runtime.mixer import ModeError
from mixerc.verify.carry import packed_law
from mixerc.verify.cases import Case
from mixerc.verify.causality import causality_law
from mixerc.verify.modes import states_law
from tests.laws.recurrent_specs import BEHIND, WILD
from tests.laws.subjects import BY_NEWTON, check, subject, subject_of_text

STEEP = """mixer steep(E)
u[E] = x | linear
state h[E]
h[t] = 0.9 * h[t-1] / (1 + h[t-1] ^ 2) + exp(u - h[t-1])
o[E] = h[t]
"""


def drawn(name: str, tokens: int, channels: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Streams and parameters of unit size."""
    generator = torch.Generator().manual_seed(tokens)
    of = subject(name).run
    shapes = dict.fromkeys(of.streams, (2, tokens, 1, channels))
    shapes |= dict.fromkeys(of.params, (1, channels))
    made = {n: torch.randn(shape, generator=generator) for n, shape in shapes.items()}
    return {n: x.to(dtype) for n, x in made.items()}


@pytest.mark.parametrize("name", BY_NEWTON)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_settles_in_few_steps(name: str, dtype: torch.dtype) -> None:
    run, inputs = subject(name).run, drawn(name, 700, 24, dtype)
    with warnings.catch_warnings(action="error"):
        o, state = run(**inputs, mode="newton")
    want, _ = run(**inputs, mode="recurrent")
    torch.testing.assert_close(o, want, rtol=1e-4, atol=64 * torch.finfo(dtype).eps)
    assert 3 <= state.newton.steps <= 16
    assert 0 < state.newton.residual < 1e-5
    assert state.newton.left == 0
    assert "left=0" in repr(state.newton)


ROOT = """mixer root(E)
u[E] = x | linear
state h[E]
h[t] = sqrt(abs(h[t-1])) + u
o[E] = h[t]
"""
"""A slope that is infinite where the state starts."""


@pytest.mark.parametrize("tokens", [1, 30])
def test_an_infinite_slope_is_not_taken_for_settled(tokens: int) -> None:
    of, u = subject_of_text(ROOT), torch.rand(2, tokens, 1, 3, dtype=torch.float64)
    with pytest.warns(RuntimeWarning, match="are taken one by one"):
        o, state = of.run(u=u, mode="newton")
    want, _ = of.run(u=u, mode="recurrent")
    assert torch.equal(o, want)
    assert state.newton.left == 2 * tokens


def test_what_is_long_past_is_no_measure() -> None:
    """A first state of 1e4: what is near 1 afterwards is still right to rounding."""
    text = WILD.replace("1 - 1.9 * h[t-1] * h[t-1] + u / 1000", "(h[t-1] + sin(h[t-1])) / 2 + u")
    of = subject_of_text(text)
    u = torch.randn(1, 300, 2, 3, generator=torch.Generator().manual_seed(1))
    first = {"h": torch.full((1, 2, 3), 1e4)}
    o, state = of.run(u=u, state=first, mode="newton")
    want, _ = of.run(u=u, state=first, mode="recurrent")
    assert state.newton.left == 0
    torch.testing.assert_close(o[:, -100:], want[:, -100:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("update", ["max(h[t-1] - 0.1, u)", "max(h[t-1] / 2, u) + h[t-1] / 4"])
def test_a_maximum_has_a_slope(update: str) -> None:
    of = subject_of_text(WILD.replace("1 - 1.9 * h[t-1] * h[t-1] + u / 1000", update))
    assert of.modes == ("newton", "recurrent")
    check(states_law(of, Case(tokens=30, batch=2, axes={"E": 3})))


def test_what_was_said_is_of_the_call_and_of_no_copy() -> None:
    _, state = subject("paragru").run(**drawn("paragru", 5, 3, torch.float32), mode="newton")
    assert state.newton.steps > 0
    assert state.detach().newton is None


def test_without_it_a_state_says_nothing_of_it() -> None:
    _, state = subject("paragru").run(**drawn("paragru", 5, 3, torch.float32), mode="recurrent")
    assert state.newton is None


def test_nothing_is_solved_for_in_no_tokens() -> None:
    inputs = drawn("paralstm", 0, 3, torch.float32)
    o, state = subject("paralstm").run(**inputs, mode="newton")
    assert o.shape[1] == 0
    assert not state["h"].any()


@pytest.mark.parametrize("tokens", [1, 40])
def test_scans_before_and_behind_are_solved_in_the_same_step(tokens: int) -> None:
    of = subject_of_text(BEHIND)
    assert of.modes == ("newton", "recurrent")
    check(states_law(of, Case(tokens=tokens, batch=2, axes={"E": 3})))
    check(packed_law(of, Case(tokens=tokens + 9, axes={"E": 3}), (0, 4, 4, tokens + 9), "newton"))


@pytest.mark.parametrize("tokens", [1, 2, 40])
def test_it_starts_anew_where_a_step_overflows(tokens: int) -> None:
    """Tangents of an exponential lead anywhere; the way goes on from the rows that are known."""
    check(states_law(subject_of_text(STEEP), Case(tokens=tokens, batch=2, axes={"E": 3})))


def test_what_does_not_settle_is_taken_in_turn_loudly() -> None:
    of = subject_of_text(WILD)
    u = torch.randn(2, 200, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with pytest.warns(RuntimeWarning, match=r"did not settle over 200 rows: step 24 .* one by one"):
        o, state = of.run(u=u, mode="newton")
    want, last = of.run(u=u, mode="recurrent")
    left = state.newton.left
    assert 100 < left < 400
    assert torch.equal(o[:, -1], want[:, -1])
    assert torch.equal(state["h"], last["h"])
    torch.testing.assert_close(o[:, :20], want[:, :20], rtol=1e-7, atol=1e-9)


def test_later_tokens_change_no_bit_of_earlier_ones() -> None:
    """Also where they make it take more steps."""
    of = subject("paralstm")
    for seed in range(4):
        case = Case(tokens=50, batch=2, heads=1, axes={"E": 3, "d_model": 3}, seed=seed)
        check(causality_law(of, case, 20, "newton"))


def test_pieces_are_solved_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    of = subject("paralstm")
    monkeypatch.setitem(of.run.module.__dict__, "ELEMENTS", 1)
    check(states_law(of, Case(tokens=70, batch=2, heads=1, axes={"E": 33, "d_model": 33})))


def test_a_full_matrix_of_slopes_is_refused() -> None:
    with pytest.raises(ModeError, match=r"no newton mode: .* its slope is a full matrix"):
        subject("rnn").run(mode="newton")


def test_a_scan_has_no_need_of_it() -> None:
    with pytest.raises(ModeError, match="there are parallel, recurrent, reference"):
        subject("mingru").run(mode="newton")
