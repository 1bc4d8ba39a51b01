"""The benchmark of a GPU: each length against fla, attention and the floor; then decoding.

All inputs are drawn on the device beforehand; decays are given as logarithms, to fla as to the
mixer. Nothing here but the clock needs a GPU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor

from mixerc.algebra.linear import decay_names
from mixerc.bench.calls import Call, Maker, usable
from mixerc.bench.clock import Run, interleaved
from mixerc.bench.device import Device
from mixerc.bench.inputs import Setting, attention_inputs, core_inputs
from mixerc.bench.measured import ATTENTION, FLA, OURS, Decoding, Measured, Row
from mixerc.bench.opponents import attention
from mixerc.bench.peers import Loaded, loaded, peer_of
from mixerc.bench.rates import Amounts, measured_rates
from mixerc.bench.report import BenchReport, Progress, dtype_name
from mixerc.bench.subject import Subject
from mixerc.bench.table import table
from mixerc.plan.floor import BOTH, FORWARD


@dataclass(frozen=True, slots=True, kw_only=True)
class Bed:
    """What every measurement needs; `peer` is fla's kernel, or why there is none.

    `told` hears what runs, `failed` what could not run and why.
    """

    subject: Subject
    device: Device
    peer: Loaded | str
    amounts: Amounts
    told: Progress
    failed: Progress


def on_gpu(
    subject: Subject,
    settings: Sequence[Setting],
    device: Device,
    told: Progress,
    amounts: Amounts = Amounts(),  # noqa: B008 - frozen
) -> BenchReport:
    """Everything that is measured on a GPU, a row for each setting."""
    notes: list[str] = []
    peer = peer_for(subject, settings[0].size)
    bed = Bed(
        subject=subject, device=device, peer=peer, amounts=amounts, told=told, failed=notes.append
    )
    told("bandwidth and matrix rate")
    rates = measured_rates(device, amounts)
    pairs = [_rows(bed, setting) for setting in settings]
    found = Measured(
        about=about(bed, settings[0]),
        rates=rates,
        forward=tuple(forward for forward, _ in pairs),
        both=tuple(both for _, both in pairs),
        decoding=decoding(bed, settings[0]),
        difference=difference(bed, settings[0]),
        notes=tuple(notes),
    )
    return BenchReport(text=table(found), medians=found.medians)


def peer_for(subject: Subject, size: int) -> Loaded | str:
    """fla's kernel for the mixer, or in a few words why there is none."""
    decays = decay_names(subject.linear) if subject.logarithms else ()
    names = [f"log_{name}" if name in decays else name for name in subject.mixer.core.inputs]
    peer = peer_of(subject.mixer.name, names, size)
    return "no kernel known for this mixer" if peer is None else loaded(peer)


def _rows(bed: Bed, setting: Setting) -> tuple[Row, Row]:
    """Forward, and forward with backward, at one length."""
    calls = _calls(bed, setting)
    forward = {name: call.forward for name, call in calls.items()}
    backward = {name: call.backward for name, call in calls.items()}
    at = f"at {setting.tokens:,} tokens"
    return (
        _row(bed, setting, forward, FORWARD, f"forward {at}"),
        _row(bed, setting, backward, BOTH, f"forward and backward {at}"),
    )


def _calls(bed: Bed, setting: Setting) -> dict[str, Call]:
    """The mixer, fla where it has the mixer, and attention, each with its tensors."""
    inputs = _inputs(bed.subject, setting)
    names, values = tuple(inputs), tuple(inputs.values())
    core, peer = bed.subject.core, bed.peer

    def ours(*values: Tensor) -> Tensor:
        output: Tensor = core(**dict(zip(names, values, strict=True)))[0]
        return output

    def theirs(*values: Tensor) -> Tensor:
        assert isinstance(peer, Loaded)
        return peer.forward(dict(zip(names, values, strict=True)))

    calls = {OURS: Call(function=ours, values=values)}
    if isinstance(peer, Loaded):
        calls[FLA] = Call(function=theirs, values=values)
    rows = tuple(x.transpose(1, 2).contiguous() for x in attention_inputs(setting))
    return {**calls, ATTENTION: Call(function=attention, values=rows)}


def _inputs(subject: Subject, setting: Setting) -> dict[str, Tensor]:
    logarithms = subject.logarithms
    return core_inputs(subject.mixer, subject.linear, setting, logarithms=logarithms)


def _row(
    bed: Bed, setting: Setting, makers: Mapping[str, Maker], names: tuple[str, ...], what: str
) -> Row:
    return Row(
        tokens=setting.tokens,
        batch=setting.batch,
        seconds=_timed(bed, makers, setting.repeats, what),
        floor=bed.subject.floor(names, setting),
    )


def _timed(bed: Bed, makers: Mapping[str, Maker], repeats: int, what: str) -> dict[str, float]:
    """Medians in seconds of what can run, in turn."""
    clock = bed.device.clock
    runs = usable(makers, clock, lambda why: bed.failed(f"{what}, {why}"))
    return interleaved(runs, repeats, lambda i: bed.told(f"{what}, round {i}"), clock)


@torch.no_grad()
def decoding(bed: Bed, setting: Setting) -> Decoding:
    """One token from a state, for enough sequences that the states are what takes time."""
    subject, peer = bed.subject, bed.peer
    kept = setting.heads * subject.state_bytes(setting)
    setting = replace(setting, tokens=1, batch=max(1, -(-bed.amounts.held // kept)))
    inputs = _inputs(subject, setting)
    makers: dict[str, Maker] = {OURS: lambda: _ours_decoding(subject.core, inputs)}
    if isinstance(peer, Loaded) and peer.recurrent is not None:
        makers[FLA] = lambda: _theirs_decoding(subject.core, peer, inputs)
    return Decoding(
        batch=setting.batch,
        moved=2 * setting.batch * kept + subject.floor(("recurrent",), setting).moved,
        seconds=_timed(bed, makers, setting.repeats, "decoding"),
    )


def _ours_decoding(core: Any, inputs: Mapping[str, Tensor]) -> Run:
    _, state = core(**inputs)
    return lambda: core(**inputs, state=state, mode="recurrent")


def _theirs_decoding(core: Any, peer: Loaded, inputs: Mapping[str, Tensor]) -> Run:
    """From the same state, as fla lays it out."""
    initial = peer.peer.initial(core(**inputs)[1])
    return lambda: peer.decode(inputs, initial)


def difference(bed: Bed, setting: Setting) -> float | None:
    """Relative RMS between our output and fla's of the same inputs; None where one cannot run."""
    makers = {name: call.forward for name, call in _calls(bed, setting).items()}
    runs = usable(makers, bed.device.clock, lambda why: None)
    if not runs.keys() >= {OURS, FLA}:
        return None
    ours, theirs = runs[OURS]().float(), runs[FLA]().float()
    return float((ours - theirs).norm() / theirs.norm())


PACKAGES = {
    "triton": ("triton", "pytorch-triton-rocm"),
    "fla": ("fla-core", "flash-linear-attention"),
}


def about(bed: Bed, setting: Setting) -> tuple[str, ...]:
    """What is timed, on which hardware, with which versions."""
    name = torch.cuda.get_device_name() if bed.device.name == "cuda" else bed.device.name
    shape = f"H={setting.heads}, axes of {setting.size}, {dtype_name(setting.dtype)}"
    versions = [f"torch {torch.__version__}"]
    versions += [f"{name} {_version(names)}" for name, names in PACKAGES.items()]
    peer = bed.peer
    said = peer if isinstance(peer, str) else "; ".join(filter(None, (peer.name, peer.peer.said)))
    return (
        f"{bed.subject.mixer.name} on {name}: {shape}",
        f"target {bed.device.target}, chunks of {bed.subject.plan.chunk}",
        ", ".join(versions),
        f"fla: {said}",
    )


def _version(names: tuple[str, ...]) -> str:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "not installed"
