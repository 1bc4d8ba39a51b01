"""The benchmark of masked attention: who takes part and what is said; times are not tested."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from typer.testing import CliRunner

from mixerc.bench import bench
from mixerc.bench.attentions import COMPARISONS, Attention, Comparison
from mixerc.bench.clock import HostClock
from mixerc.bench.device import Device
from mixerc.bench.inputs import Setting
from mixerc.bench.masked import (
    MaskedSubject,
    is_masked,
    masked_inputs,
    masked_subject,
    on_host_masked,
)
from mixerc.bench.report import BenchReport
from mixerc.cli import app
from mixerc.compiler import front, read_source

SPECS = Path(__file__).parents[3] / "specs"
CPU = Device(name="cpu", target="torch", dtype=torch.float32, clock=HostClock())
SETTING = Setting(batch=1, tokens=64, heads=2, size=8, repeats=1, dtype=torch.float32, device="cpu")

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch) -> None:
    """FlexAttention without a C++ compiler: the same numbers."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)


def subject(name: str, core: Callable[..., Any], comparison: Comparison) -> MaskedSubject:
    """The spec's subject with another function for the compiled mixer."""
    mixer = front(read_source(SPECS / f"{name}.mix"))
    assert is_masked(mixer)
    found = masked_subject(SPECS / f"{name}.mix", mixer, SETTING)
    return MaskedSubject(
        mixer=mixer, core=core, sizes=found.sizes, comparison=comparison, reason=""
    )


def windowed(width: int) -> Callable[..., tuple[Tensor, None]]:
    """What a compiled mistral would give."""

    def core(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, None]:
        back = torch.arange(q.shape[1])[:, None] - torch.arange(q.shape[1])
        rows = [x.transpose(1, 2) for x in (q, k, v)]
        mask = (back >= 0) & (back < width)
        o = functional.scaled_dot_product_attention(*rows, attn_mask=mask)
        return o.transpose(1, 2), None

    return core


NARROW = Comparison(
    sizes={"W": 5},
    forward=COMPARISONS["mistral"].forward,
    both=COMPARISONS["mistral"].both,
    grows=True,
)


def measured(width: int) -> BenchReport:
    """mistral's table, where the spec's window is 5 and the mixer's `width`."""
    found = subject("mistral", windowed(width), NARROW)
    found = MaskedSubject(
        mixer=found.mixer,
        core=found.core,
        sizes={**found.sizes, "W": 5},
        comparison=NARROW,
        reason="",
    )
    return on_host_masked(found, SETTING, CPU, lambda text: None)


def differences(report: BenchReport) -> dict[str, float]:
    """What is said of the outputs, by the name of the other."""
    lines = [line for line in report.text.splitlines() if line.startswith("outputs")]
    return {
        line.split(" of ")[2].split(" differ")[0]: float(line.split(" by ")[1].split()[0])
        for line in lines
    }


def test_against_the_others_and_longer_sequences() -> None:
    report = measured(5)
    assert set(report.medians) == {
        *("mixer", "causal attention", "FlexAttention"),
        *("mixer with backward", "attention, mask with backward"),
        *("at 32", "at 128", "at 512"),
    }
    assert all(seconds > 0 for seconds in report.medians.values())
    assert "mistral: B=1, T=64, H=2, D=8, G=2, W=5, fp32" in report.text
    ratio = report.medians["FlexAttention"] / report.medians["mixer"]
    row = next(x for x in report.text.splitlines() if x.startswith("  FlexAttention / mixer"))
    assert row.split()[-2:] == [f"{ratio:.2f}", "-"]


def test_what_should_be_the_same_is() -> None:
    assert max(differences(measured(5)).values()) < 1e-6


def test_another_mixer_is_found_out() -> None:
    found = differences(measured(6))
    assert found.keys() == {"FlexAttention", "attention, mask"}
    assert min(found.values()) > 1e-2


def test_one_that_fails_costs_its_cells_alone() -> None:
    def fails(*_: Tensor) -> Tensor:
        raise RuntimeError("no compiler here")

    broken = Attention(name="broken", made=lambda setting, sizes: fails, same=True)
    comparison = Comparison(forward=(broken,), both=())
    report = on_host_masked(
        subject("attention", windowed(10**6), comparison), SETTING, CPU, lambda text: None
    )
    assert set(report.medians) == {"mixer", "mixer with backward"}
    assert report.text.endswith("forward, broken: RuntimeError: no compiler here")


def test_without_a_parallel_mode_the_others_are_timed_alone() -> None:
    found = subject("mistral", windowed(5), COMPARISONS["attention"])
    alone = MaskedSubject(
        mixer=found.mixer,
        core=found.core,
        sizes=found.sizes,
        comparison=found.comparison,
        reason="not built yet",
    )
    report = on_host_masked(alone, SETTING, CPU, lambda text: None)
    assert set(report.medians) == {"causal attention", "causal attention with backward"}
    said = "mistral has no parallel mode, the others are timed alone: not built yet"
    assert report.text.endswith(said)


@pytest.mark.parametrize("name", ["alibi", "attention", "bigbird", "forgetting_attention"])
def test_a_report_of_a_spec(name: str) -> None:
    report = bench(SPECS / f"{name}.mix", tokens=64, heads=2, size=8, repeats=1, device="cpu")
    others = {one.name for one in COMPARISONS.get(name, COMPARISONS["attention"]).others}
    assert {x.removesuffix(" with backward") for x in report.medians} >= others
    assert f"{name}: B=1, T=64, H=2, D=8" in report.text


def test_inputs_are_what_the_core_takes() -> None:
    """A table of blocks for each head, and decays within their range."""
    mixer = front(read_source(SPECS / "bigbird.mix"))
    assert is_masked(mixer)
    found = masked_inputs(masked_subject(SPECS / "bigbird.mix", mixer, SETTING), SETTING)
    assert found["link"].shape == (2, 1, 1)
    assert found["link"].dtype == torch.bool
    mixer = front(read_source(SPECS / "forgetting_attention.mix"))
    assert is_masked(mixer)
    made = masked_subject(SPECS / "forgetting_attention.mix", mixer, SETTING)
    gates = masked_inputs(made, SETTING)["f"]
    assert gates.shape == (1, 64, 2)
    assert ((gates > 0) & (gates <= 1)).all()


def test_inputs_of_the_spec_are_refused_in_a_sentence() -> None:
    result = CliRunner().invoke(app, ["bench", str(SPECS / "documents.mix"), "--device", "cpu"])
    said = "mixerc: documents has the input doc, which this benchmark does not draw\n"
    assert (result.exit_code, result.stderr) == (1, said)


def test_a_gpu_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("mixerc.bench.run.device_of", lambda *_: GPU)
    with pytest.raises(ValueError, match="attention can be timed on a CPU only yet"):
        bench(SPECS / "attention.mix", device="cuda")


GPU = Device(name="cuda", target="torch", dtype=torch.bfloat16, clock=HostClock())
