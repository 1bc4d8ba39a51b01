"""The oracles agree with one another and with plain loops, before anything is measured by them."""

import pytest
import torch

from tests.parity.cases import CASES, Case, draw, with_resets
from tests.parity.harness import relative_rms


def by_spec(case: Case) -> str:
    """The name of a case in a test's name."""
    return case.spec


@pytest.mark.parametrize("case", CASES, ids=by_spec)
@pytest.mark.parametrize("time", [1, 7, 21])
def test_outputs_and_states_agree(case: Case, time: int) -> None:
    """Every two of a case's implementations, in outputs and in final states."""
    inputs = draw(case, time=time)
    results = [run(**inputs) for run in (*case.oracles, case.loop)]
    outputs = [output for output, _ in results]
    states = [state for _, state in results if state is not None]
    assert outputs[0].dtype in (torch.float64, torch.complex128)
    for values in (outputs, states):
        for value in values[1:]:
            assert relative_rms(value, values[0]) < 1e-12


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.has_resets],
    ids=by_spec,
)
def test_a_decay_of_zero_is_a_reset(case: Case) -> None:
    """The oracles that are used with resets give finite and equal values there."""
    inputs = with_resets(case, draw(case))
    first, *others = [run(**inputs)[0] for run in (*case.oracles, case.loop)]
    assert first.isfinite().all()
    for output in others:
        assert relative_rms(output, first) < 1e-12


@pytest.mark.parametrize("case", [case for case in CASES if case.spec != "prefix_lm"], ids=by_spec)
def test_causal(case: Case) -> None:
    """No oracle lets a token see a later one."""
    inputs = draw(case)
    changed = dict(inputs)
    for name in inputs:
        if case.over_time(name):
            changed[name] = inputs[name].clone()
            changed[name][:, 15:] = inputs[name][:, :6]
    for run in (*case.oracles, case.loop):
        assert relative_rms(run(**changed)[0][:, :15], run(**inputs)[0][:, :15]) < 1e-12
