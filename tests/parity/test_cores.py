"""Cores against implementations that others wrote: outputs, states, gradients, continuation."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mixerc
from tests.parity.cases import ATTENTION, CASES, MODES, Case, Run, draw, with_resets
from tests.parity.harness import relative_rms

SPECS = Path(__file__).parents[2] / "specs"
EXACT = 1e-10


def compiled(case: Case) -> Any:
    """The case's spec for the torch target, with the case's sizes."""
    return mixerc.compile(str(SPECS / f"{case.spec}.mix"), target="torch", **case.sizes)


def has(case: Case, mode: str) -> bool:
    """Whether this version runs the case in a mode; the reference runs all."""
    return mode in case.modes and compiled(case).modes.get(mode) == "legal"


def runs(mode: str, *, resets: bool = False) -> list[Any]:
    """Every case that has the mode, as parameters of a test; those with resets alone if asked."""
    return [
        pytest.param(case, id=case.spec)
        for case in CASES
        if has(case, mode) and (case.has_resets or not resets)
    ]


def every_oracle() -> list[Any]:
    """Each oracle of each case, in each mode of the case."""
    return [
        pytest.param(case, oracle, mode, id=f"{case.spec}-{index}-{mode}")
        for case in CASES
        for index, oracle in enumerate(case.oracles)
        for mode in MODES
        if has(case, mode)
    ]


@pytest.mark.parametrize(("case", "oracle", "mode"), every_oracle())
def test_core(case: Case, oracle: Run, mode: str) -> None:
    """Outputs, and the final state where the oracle gives it and the mode has one: the state of
    a sum in the reference is the past of its streams."""
    inputs = draw(case)
    want, want_state = oracle(**inputs)
    got, state = compiled(case)(**inputs, mode=mode, state=None)
    assert relative_rms(got, want) < EXACT
    if want_state is not None and case.state in state:
        if case.scaled and "peak" in state and mode != "reference":
            state = {case.state: state[case.state] * state["peak"].exp()}
        assert relative_rms(state[case.state], want_state) < EXACT


@pytest.mark.parametrize("case", runs("parallel", resets=True))
@pytest.mark.parametrize("mode", ["parallel", "recurrent"])
def test_resets(case: Case, mode: str) -> None:
    """A decay of exactly 0."""
    inputs = with_resets(case, draw(case))
    got, _ = compiled(case)(**inputs, mode=mode, state=None)
    assert relative_rms(got, case.oracles[0](**inputs)[0]) < EXACT


def every_pair() -> list[Any]:
    """Each mode after each mode, of the cases that go on from a state."""
    return [
        pytest.param(case, first, second, id=f"{case.spec}-{first}-{second}")
        for case in CASES
        for first in MODES[1:]
        for second in MODES[1:]
        if has(case, "recurrent") and has(case, first) and has(case, second)
    ]


@pytest.mark.parametrize(("case", "first", "second"), every_pair())
def test_continuation(case: Case, first: str, second: str) -> None:
    """A part in one mode and the rest in another, from its state, against one whole run."""
    inputs, mixer = draw(case), compiled(case)
    want, _ = case.oracles[0](**inputs)
    head, state = mixer(**_part(case, inputs, slice(0, 9)), mode=first, state=None)
    tail, _ = mixer(**_part(case, inputs, slice(9, None)), mode=second, state=state)
    assert relative_rms(torch.cat([head, tail], dim=1), want) < EXACT


def _part(case: Case, inputs: dict[str, Tensor], time: slice) -> dict[str, Tensor]:
    """The tokens of a slice; parameters and derived constants are left whole."""
    return {name: x[:, time] if case.over_time(name) else x for name, x in inputs.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.spec)
def test_gradients(case: Case) -> None:
    """Gradients of a random sum of the output, against autograd through the plain loop."""
    mixer = compiled(case)
    mode = next(m for m in ("parallel", "newton", "recurrent", "reference") if has(case, m))
    weight = torch.randn_like(case.loop(**draw(case))[0])
    got = _gradients(draw(case), partial(mixer, mode=mode, state=None), weight)
    want = _gradients(draw(case), case.loop, weight)
    assert got.keys() == want.keys()
    for name, gradient in got.items():
        assert relative_rms(gradient, want[name]) < 1e-8, name


def _gradients(inputs: dict[str, Tensor], run: Any, weight: Tensor) -> dict[str, Tensor]:
    """The gradient of every input that has one."""
    real = {name: x for name, x in inputs.items() if x.dtype != torch.bool}
    for x in real.values():
        x.requires_grad_()
    output, _ = run(**inputs)
    (output * weight.conj()).sum().real.backward()
    return {name: x.grad for name, x in real.items() if x.grad is not None}


LINEAR = (
    *("linear_attention", "performer", "based", "retnet", "lightning"),
    *("gla", "hgrn2", "mamba2", "rwkv5", "rwkv6", "mlstm", "gsa"),
    *("deltanet", "gated_deltanet", "kda", "rwkv7", "deltaproduct"),
)
SCANS = (
    *("s5", "lru", "mamba", "rglru", "rwkv4", "mingru", "minlstm", "hgrn"),
    "gateloop",
)
BY_TOKEN = ("rnn", "gru", "lstm", "slstm")
BY_NEWTON = ("paragru", "paralstm")


def test_what_is_compiled_is_compared_in_its_fast_modes() -> None:
    """None of them may fall out of the comparison by losing a mode."""
    fast = {case.spec for case in CASES if has(case, "parallel")}
    assert fast == {*LINEAR, *SCANS, *(case.spec for case in ATTENTION)}
    assert {case.spec for case in CASES if has(case, "newton")} == {*BY_NEWTON}
    stepping = {case.spec for case in CASES if has(case, "recurrent")}
    assert stepping >= {*LINEAR, *SCANS, *BY_TOKEN, *BY_NEWTON}
