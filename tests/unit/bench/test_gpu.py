"""The benchmark of a GPU, on a CPU: everything but the device's clock, with kernels of a loop."""

import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor

from mixerc.bench.clock import HostClock
from mixerc.bench.device import Device
from mixerc.bench.gpu import on_gpu, peer_for
from mixerc.bench.inputs import Setting
from mixerc.bench.peers import PEERS, loaded, peer_of
from mixerc.bench.rates import Amounts
from mixerc.bench.report import BenchReport
from mixerc.bench.subject import Subject, subject_of
from mixerc.plan.floor import BOTH, FORWARD

CPU = Device(name="cpu", target="torch", dtype=torch.float32, clock=HostClock())
SMALL = Amounts(copied=2**16, side=32, held=2**12)
SETTING = Setting(batch=2, tokens=8, heads=2, size=4, repeats=1, dtype=torch.float32, device="cpu")


def by_tokens(q, k, v, g, scale, initial_state=None) -> tuple[Tensor, None]:
    """S = exp(g) S + k vᵀ, o = scale q S."""
    state = 0 if initial_state is None else initial_state
    outputs = []
    for t in range(q.shape[1]):
        state = state * g[:, t, :, :, None].exp() + k[:, t, :, :, None] * v[:, t, :, None]
        outputs.append((scale * q[:, t, :, None] @ state).squeeze(-2))
    return torch.stack(outputs, 1), None


def decoded(q, k, v, gk, scale, initial_state, output_final_state) -> tuple[Tensor, None]:
    assert output_final_state
    assert initial_state.shape == (*q.shape[:1], *q.shape[2:], v.shape[-1])
    return by_tokens(q, k, v, gk, scale, initial_state)


@pytest.fixture
def fla(monkeypatch) -> ModuleType:
    """A package of that name with the two functions of gla."""
    module = ModuleType("fla.ops.gla")
    module.chunk_gla, module.fused_recurrent_gla = by_tokens, decoded
    for name in ("fla", "fla.ops"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "fla.ops.gla", module)
    return module


def subject(name: str) -> Subject:
    return subject_of(name, target="torch", logarithms=True)


def measured(name: str) -> BenchReport:
    longer = Setting(
        batch=1, tokens=16, heads=2, size=4, repeats=1, dtype=torch.float32, device="cpu"
    )
    return on_gpu(subject(name), (SETTING, longer), CPU, lambda text: None, SMALL)


def test_against_fla_and_attention(fla) -> None:
    report = measured("gla")
    for who in ("mixer", "fla", "attention"):
        assert report.medians[f"{who} at 8"] > 0
        assert report.medians[f"{who} at 16 with backward"] > 0
    assert report.medians["fla decode"] > 0
    assert "fla: fla.ops.gla.chunk_gla" in report.text
    difference = next(x for x in report.text.splitlines() if x.startswith("outputs of the mixer"))
    assert float(difference.split()[-3]) < 1e-5


def test_a_kernel_that_fails_costs_its_cells_alone(fla) -> None:
    def fails(**_: object) -> None:
        raise RuntimeError("no room")

    fla.chunk_gla = fails
    report = measured("gla")
    assert report.medians["mixer at 8"] > 0
    assert "fla at 8" not in report.medians
    assert "forward at 8 tokens, fla: RuntimeError: no room" in report.text


@pytest.mark.parametrize("name", ["mamba2", "performer"])
def test_without_fla(name: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "fla", None)
    report = measured(name)
    said = {"mamba2": "not installed", "performer": "no kernel known for this mixer"}
    assert f"fla: {said[name]}" in report.text
    assert not any(who.startswith("fla") for who in report.medians)


def test_the_floor_is_the_plan_for_all_tokens_and_heads() -> None:
    found = subject("gla").floor(FORWARD, SETTING)
    tokens = SETTING.batch * SETTING.tokens * SETTING.heads
    assert found.moved == tokens * 4 * (4 + 4 + 4 + 4 + 4), "q, k, v, a and o of four numbers"
    assert subject("gla").floor(BOTH, SETTING).moved > 2 * found.moved


def test_what_heads_share_is_moved_once() -> None:
    found = subject("mamba2").floor(FORWARD, SETTING)
    rows = SETTING.batch * SETTING.tokens
    assert found.moved == rows * 4 * (4 + 4 + 2 * (4 + 1 + 1 + 4)), "B, C; u, dt, a, o a head"


def test_the_states_are_counted_in_fp32() -> None:
    assert subject("gla").state_bytes(SETTING) == 4 * 4 * 4


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_takes_what_the_core_of_that_name_takes(name: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "fla", None)
    assert peer_for(subject(name), 16) == "not installed"


def test_a_peer_for_each_width_and_none_for_other_inputs() -> None:
    names = ("q", "k", "v")
    narrow, wide = (peer_of("based", names, size) for size in (16, 64))
    assert (narrow.chunked, wide.chunked) == ("fused_chunk_based", "parallel_based")
    assert peer_of("based", names, 256) is None
    assert peer_of("gla", names, 64) is None


def test_a_version_without_the_function(fla) -> None:
    del fla.chunk_gla
    assert loaded(PEERS["gla"][0]) == "this version has no chunk_gla"
