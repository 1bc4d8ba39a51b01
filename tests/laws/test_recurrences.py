"""Every law over recurrences: each shipped spec, random ones, and scans that are cut in blocks."""

import dataclasses

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mixerc.diagnostics.diagnostic import SpecError
from mixerc.verify.carry import carry_law, packed_law
from mixerc.verify.cases import Case
from mixerc.verify.emission import emission_law, language_law
from mixerc.verify.modes import reference_law, states_law
from tests.laws.recurrent_specs import TOGETHER, recurrent_specs
from tests.laws.subjects import (
    BY_NEWTON,
    BY_TOKEN,
    SCANS,
    cases,
    check,
    every_law,
    subject,
    subject_of_text,
)


@pytest.mark.parametrize("name", [*SCANS, *BY_TOKEN, *BY_NEWTON])
def test_every_law(name: str) -> None:
    """The suite of `mixerc verify --quick`: modes, states, splits, packing, gradients, layers."""
    tried = every_law(name)
    assert {"modes", "states", "support", "precision", "layer", "packed"} <= tried


@pytest.mark.parametrize("name", SCANS)
def test_scans_have_a_parallel_mode(name: str) -> None:
    assert subject(name).modes == ("parallel", "recurrent")


@pytest.mark.parametrize("name", BY_TOKEN)
def test_what_is_no_scan_says_why(name: str) -> None:
    of = subject(name)
    assert of.modes == ("recurrent",)
    with pytest.raises(ValueError, match="tokens are taken one after the other"):
        of.run(mode="parallel")


# Drawn as they come: shrinking a spec takes minutes.
some = settings(
    max_examples=16,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
UNFIT = {"unused-name"}


@some
@given(text=recurrent_specs(), seed=st.integers(0, 2**16), data=st.data())
def test_random_specs(text: str, seed: int, data) -> None:
    """Cascades, states that feed one another, real and complex, affine and not."""
    try:
        of = subject_of_text(text)
    except SpecError as error:
        if {found.slug for found in error.diagnostics} <= UNFIT:
            return
        raise
    check(language_law(of))
    case = dataclasses.replace(data.draw(cases(of, 20)), seed=seed)
    check(reference_law(of, case))
    check(states_law(of, case))
    check(packed_law(of, dataclasses.replace(case, tokens=9), (0, 4, 4, 9), of.modes[0]))
    first, second = data.draw(st.sampled_from(of.modes)), data.draw(st.sampled_from(of.modes))
    check(carry_law(of, case, seed % (case.tokens + 1), first, second))


@pytest.mark.parametrize("tokens", [31, 389])
@pytest.mark.parametrize("name", ["lru", "mamba", "gateloop", "rwkv4"])
def test_blocks_side_by_side(name: str, tokens: int) -> None:
    """Narrow states: blocks of rows side by side, both ways, and the rows that no block holds."""
    axes = {"d_model": 2, "E": 2, "N": 2, "K": 2, "V": 2, "M": 2}
    check(states_law(subject(name), Case(tokens=tokens, batch=1, heads=1, axes=axes)))


@pytest.mark.parametrize("tokens", [1, 31, 389])
@pytest.mark.parametrize("text", TOGETHER.values(), ids=TOGETHER)
def test_states_that_are_solved_together(text: str, tokens: int) -> None:
    """Affine in one another: a scan whose steps are small matrices, in blocks and behind them."""
    of = subject_of_text(text)
    assert of.modes == ("parallel", "recurrent")
    check(states_law(of, Case(tokens=tokens, batch=2, axes={"E": 3})))
    check(packed_law(of, Case(tokens=tokens + 9, axes={"E": 3}), (0, 4, 4, tokens + 9), "parallel"))
    check(carry_law(of, Case(tokens=tokens, axes={"E": 3}), tokens // 2, "parallel", "recurrent"))


@pytest.mark.parametrize("name", ["mingru", "rnn", "longformer", "linformer", "deltanet"])
def test_every_class_is_emitted_alike_in_other_processes(name: str) -> None:
    check(emission_law(subject(name)))


@pytest.mark.parametrize("name", ["mingru", "rnn", "s5"])
def test_several_pieces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """States so wide that a piece has 16 rows: they are carried, and found again going back."""
    of = subject(name)
    axes = dict.fromkeys(("E", "N", "d_model"), 3 if name == "rnn" else 33)
    monkeypatch.setitem(of.run.module.__dict__, "ELEMENTS", 1)
    check(states_law(of, Case(tokens=70, batch=2, heads=1, axes=axes)))


def test_streams_called_as_the_generated_code_calls_its_own() -> None:
    """Names of helpers and of its variables are no names of streams."""
    text = """mixer m(E)
rows_of[E], scanned[E], last_h[E], all_g[E], by_rows[E] = x | linear
state h[E], g[E]
h[t] = sigmoid(rows_of) * h[t-1] + scanned * by_rows
g[t] = tanh(g[t-1] + all_g) + last_h * h[t-1]
o[E] = h[t] * last_h + g[t] * all_g
"""
    check(states_law(subject_of_text(text), Case(tokens=9, axes={"E": 3})))


def test_states_declared_in_another_order_than_they_are_solved() -> None:
    text = """mixer m(E)
a[E], u[E] = x | linear
state h[E], g[E]
g[t] = a * g[t-1] + u
h[t] = a * h[t-1] + g[t]
o[E] = h[t]
"""
    check(states_law(subject_of_text(text), Case(tokens=9, axes={"E": 3})))
