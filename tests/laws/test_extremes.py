"""Where others break, over every spec: decays at their extremes, resets, narrow dtypes."""

import math

import pytest
import torch

from mixerc.algebra.classify import classify
from mixerc.algebra.unfold import folded_steps
from mixerc.compiler import front
from mixerc.ir.mixer import Mixer
from mixerc.source import read_source
from mixerc.verify.cases import Case, draw
from mixerc.verify.causality import finite_law
from mixerc.verify.outcome import by_equations, differences, in_mode, outcome
from mixerc.verify.subject import FAST, Subject, told_sizes
from tests.laws.subjects import (
    BY_NEWTON,
    BY_TOKEN,
    LINEAR,
    MASKED,
    SCANS,
    SPECS,
    check,
    every_fast,
    subject,
)

DECAYING = (
    *("gla", "hgrn2", "mamba2", "rwkv5", "rwkv6", "mlstm"),
    *("gated_deltanet", "kda", "rwkv7", "deltaproduct"),
)
EXTREMES = (0.0, 1e-30, 1 - 1e-7, 1.0, -0.5, -1.0)


def case(of: Subject, tokens: int, **options) -> Case:
    """Sizes that are told apart, groups of two heads."""
    axes = dict(zip(told_sizes(of.mixer), (3, 5, 2, 4), strict=False)) | folded_steps(of.mixer)
    if "G" in axes:
        axes["G"] = 2
    return Case(tokens=tokens, heads=2, axes=axes, **options)


# A negative decay under mlstm's normaliser is no mixer: its denominator may vanish.
PAIRS = [(n, d) for n in DECAYING for d in EXTREMES if d >= 0 or n != "mlstm"]


@pytest.mark.parametrize(("name", "decay"), PAIRS)
def test_every_decay_is_extreme(name: str, decay: float) -> None:
    every_decay_is(subject(name), decay, tokens=70)


# Kernels are interpreted there, slowly.
SLOW = ("gated_deltanet", "rwkv7", "deltaproduct")
FEW = [(n, d) for n, d in PAIRS if d in (0.0, -0.5) and n not in SLOW]


@pytest.mark.parametrize(("name", "decay"), FEW)
def test_every_decay_is_extreme_in_triton(name: str, decay: float) -> None:
    every_decay_is(subject(name, "triton"), decay, tokens=21)


def every_decay_is(of: Subject, decay: float, tokens: int) -> None:
    """All decays at once have the value, in two tokens of three."""
    inputs = draw(of, case(of, tokens, mild=True))
    for gate in of.decays:
        x = inputs[gate]
        inputs[gate] = torch.where(torch.arange(x.numel()).view(x.shape) % 3 > 0, decay, x)
    finals = tuple(state.name for state in of.linear.states)
    want = outcome(by_equations(of), inputs, finals=finals)
    for mode in FAST:
        got = outcome(in_mode(of, mode), inputs, finals=finals)
        assert max(differences(got, want).values()) < 1e-10


# rwkv5's decay does not change from token to token; mlstm's exponential gates overflow on what
# lies behind the reset, for want of a running maximum; rwkv7 erases from the undecayed state.
@pytest.mark.parametrize("target", ["torch", "triton"])
@pytest.mark.parametrize("name", ["gla", "hgrn2", "mamba2", "rwkv6", "kda"])
def test_a_reset_forgets_everything(name: str, target: str) -> None:
    """Behind a decay of 0 the past may be anything finite."""
    of = subject(name, target)
    inputs = draw(of, case(of, 40, mild=True))
    others = draw(of, case(of, 40, mild=True, seed=9))
    cut = 17
    for gate in of.decays:
        inputs[gate][:, cut] = 0
    changed = {
        n: torch.cat((others[n][:, :cut] * 3, x[:, cut:]), 1) if n in of.streams else x
        for n, x in inputs.items()
    }
    for mode in FAST:
        o, _ = in_mode(of, mode)(inputs, None)
        other, _ = in_mode(of, mode)(changed, None)
        start = cut + 1 if name == "rwkv6" else cut
        torch.testing.assert_close(o[:, start:], other[:, start:], rtol=1e-12, atol=1e-12)


@every_fast
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_inputs_stay_finite(name: str, dtype: torch.dtype) -> None:
    for seed in range(3):
        check(finite_law(subject(name), case(subject(name), 150, seed=seed), dtype))


def test_strong_decays_over_a_whole_chunk() -> None:
    """The divided form (q·G)(k/G) would overflow float32 at e^-4 a step and 64 tokens."""
    of = subject("gla")
    inputs = draw(of, case(of, 128))
    inputs["a"] = torch.full_like(inputs["a"], math.exp(-4))
    narrow = {n: x.float() for n, x in inputs.items()}
    want = outcome(by_equations(of), inputs)
    got = outcome(in_mode(of, "parallel"), narrow)
    for name, gradient in want.gradients.items():
        error = (got.gradients[name].double() - gradient).norm() / gradient.norm()
        assert error < 1e-5, name


def test_every_spec_with_a_fast_form_is_on_trial() -> None:
    assert set(DECAYING) <= set(LINEAR)
    assert all(subject(name).is_linear for name in LINEAR)
    assert all(subject(name).fast and not subject(name).is_linear for name in MASKED)
    written = {path.stem for path in SPECS.glob("*.mix")}
    fast = {name for name in written if _is_fast(name)}
    assert fast == {*LINEAR, *MASKED, *SCANS, *BY_TOKEN, *BY_NEWTON}


def _is_fast(name: str) -> bool:
    spec = front(read_source(SPECS / f"{name}.mix"))
    return isinstance(spec, Mixer) and classify(spec).fast
