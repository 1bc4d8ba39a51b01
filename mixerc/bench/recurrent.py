"""The benchmark of a recurrence on a CPU: its scan against the same mixer token by token."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixerc.bench.clock import Run, interleaved
from mixerc.bench.device import Device
from mixerc.bench.host import LONGER, busy, growth_lines
from mixerc.bench.inputs import Setting
from mixerc.bench.report import BenchReport, Progress, dtype_name
from mixerc.explain_recurrence import floor_bytes
from mixerc.ir.mixer import Mixer
from mixerc.source import read_source
from mixerc.verify.cases import Case, draw
from mixerc.verify.subject import Subject, fixed_heads, subject_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrent:
    """A compiled recurrence, and the lengths of its axes."""

    subject: Subject
    axes: Mapping[str, int]

    def inputs(self, setting: Setting) -> dict[str, Tensor]:
        """Random inputs of the core, within the ranges that its equations ask for."""
        heads = self.heads(setting)
        case = Case(tokens=setting.tokens, batch=setting.batch, heads=heads, axes=self.axes)
        drawn = draw(self.subject, case)
        return {name: _narrow(x, setting.dtype) for name, x in drawn.items()}

    def heads(self, setting: Setting) -> int:
        """Heads of the streams: those of the setting, unless the header says how many there are."""
        return fixed_heads(self.subject.mixer) or setting.heads


def _narrow(x: Tensor, dtype: torch.dtype) -> Tensor:
    if x.is_complex():
        return x.to(dtype.to_complex())
    return x.to(dtype) if x.is_floating_point() else x


def recurrent_subject(spec: str | Path, mixer: Mixer, setting: Setting) -> Recurrent:
    """Compiles the spec; every axis of the core has the setting's size, unless the header says."""
    found = subject_of(read_source(spec), "torch")
    assert isinstance(found, Subject)
    lines = (*mixer.lines, *mixer.core.states, mixer.core.output)
    axes = {axis.rstrip("'") for line in lines for axis in line.sort.axes}
    return Recurrent(subject=found, axes=dict.fromkeys(sorted(axes), setting.size))


def on_host_recurrent(
    found: Recurrent, setting: Setting, device: Device, told: Progress
) -> BenchReport:
    """Everything that is measured."""
    medians = _growth(found, setting, device, told)
    inputs, modes = found.inputs(setting), found.subject.modes
    forward = {mode: _forward(found, inputs, mode) for mode in modes}
    repeats, clock = setting.repeats, device.clock
    medians |= interleaved(forward, repeats, lambda i: told(f"forward, round {i}"), clock)
    both = {f"{mode} with backward": _both(found, inputs, mode) for mode in modes}
    medians |= interleaved(both, repeats, lambda i: told(f"backward, round {i}"), clock)
    return BenchReport(text=_table(found, setting, medians), medians=medians)


def _forward(found: Recurrent, inputs: dict[str, Tensor], mode: str) -> Run:
    core: Any = found.subject.run
    return torch.no_grad()(lambda: core(**inputs, mode=mode))


def _both(found: Recurrent, inputs: dict[str, Tensor], mode: str) -> Run:
    core: Any = found.subject.run

    def run() -> None:
        leaves = {
            n: x.detach().clone().requires_grad_(x.is_floating_point() or x.is_complex())
            for n, x in inputs.items()
        }
        o, _ = core(**leaves, mode=mode)
        o.abs().sum().backward()

    return run


def _growth(found: Recurrent, setting: Setting, device: Device, told: Progress) -> dict[str, float]:
    """The first mode for longer and longer sequences, in turn."""
    runs: dict[str, Run] = {}
    for times in LONGER:
        longer = replace(setting, tokens=times * setting.tokens)
        runs[f"at {longer.tokens}"] = _forward(found, found.inputs(longer), found.subject.modes[0])
    return interleaved(runs, 3, lambda i: told(f"longer sequences, round {i}"), device.clock)


def _table(found: Recurrent, setting: Setting, medians: dict[str, float]) -> str:
    mixer, modes = found.subject.mixer, found.subject.modes
    where = f"{dtype_name(setting.dtype)}, threads: {torch.get_num_threads()}"
    heads = found.heads(setting)
    shape = f"B={setting.batch}, T={setting.tokens}, H={heads}, axes of {setting.size}"
    lines = [f"{mixer.name}: {shape}, {where}, torch {torch.__version__}", *busy(), ""]
    lines.append(f"  {'':<24}{'forward':>12}{'with backward':>16}")
    for mode in modes:
        forward, both = medians[mode], medians[f"{mode} with backward"]
        lines.append(f"  {mode + ', ms':<24}{1e3 * forward:>12.1f}{1e3 * both:>16.1f}")
    if len(modes) == 2:
        first, second = modes
        ratios = (
            medians[second] / medians[first],
            medians[f"{second} with backward"] / medians[f"{first} with backward"],
        )
        lines.append(f"  {f'{second} / {first}':<24}{ratios[0]:>12.2f}{ratios[1]:>16.2f}")
    lines += [*_floor(found, setting, medians), ""]
    return "\n".join([*lines, *growth_lines(setting, medians)])


def _floor(found: Recurrent, setting: Setting, medians: dict[str, float]) -> list[str]:
    """Inputs and outputs in bytes, and the rates that the times amount to."""
    algebra, mode = found.subject.algebra, found.subject.modes[0]
    assert algebra.recurrence is not None
    tokens = setting.batch * setting.tokens * found.heads(setting)
    forward, backward = (tokens * x for x in floor_bytes(algebra.recurrence, found.axes))
    both = forward + backward
    rates = (forward / medians[mode], both / medians[f"{mode} with backward"])
    return [
        f"  {'in and out, MB':<24}{forward / 1e6:>12.1f}{both / 1e6:>16.1f}",
        f"  {'so GB/s at least':<24}{rates[0] / 1e9:>12.2f}{rates[1] / 1e9:>16.2f}",
    ]
