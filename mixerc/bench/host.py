"""The benchmark of a CPU: against the loop and attention, decoding, and longer sequences."""

import os
from dataclasses import replace

import torch

from mixerc.bench.clock import Run, interleaved
from mixerc.bench.device import Device
from mixerc.bench.inputs import Setting, core_inputs, first_token
from mixerc.bench.opponents import backward_runs, forward_runs
from mixerc.bench.report import BenchReport, Progress, dtype_name
from mixerc.bench.subject import Subject
from mixerc.plan.floor import BOTH, FORWARD

LONGER = (1, 4, 16)
"""How many times the setting's tokens the longer sequences have: 4k, 16k and 64k by default."""


def on_host(subject: Subject, setting: Setting, device: Device, told: Progress) -> BenchReport:
    """Everything that is measured on a CPU."""
    inputs = core_inputs(subject.mixer, subject.linear, setting)
    # Longest first: after them the allocator keeps memory that it would give back each time.
    medians = growth(subject, setting, device, told)
    forward = forward_runs(subject.core, subject.linear, inputs, setting)
    repeats, clock = setting.repeats, device.clock
    medians |= interleaved(forward, repeats, lambda i: told(f"forward, round {i}"), clock)
    backward = backward_runs(subject.core, subject.linear, inputs, setting)
    both = interleaved(backward, repeats, lambda i: told(f"backward, round {i}"), clock)
    medians |= {f"{name} with backward": value for name, value in both.items()}
    told("decode")
    one = first_token(subject.mixer, inputs)
    medians["decode"] = decode(subject, one, device)
    return BenchReport(text=_table(subject, setting, medians), medians=medians)


@torch.no_grad()
def decode(subject: Subject, one: dict[str, torch.Tensor], device: Device) -> float:
    """Seconds for one token from a state."""
    _, state = subject.core(**one)
    run: Run = lambda: subject.core(**one, state=state, mode="recurrent")  # noqa: E731 - one of many runs
    return interleaved({"decode": run}, 20, lambda i: None, device.clock)["decode"]


@torch.no_grad()
def growth(
    subject: Subject, setting: Setting, device: Device, progress: Progress
) -> dict[str, float]:
    """Forward for longer and longer sequences, in turn: `at T` is the median at T tokens."""
    runs: dict[str, Run] = {}
    for times in LONGER:
        longer = replace(setting, tokens=times * setting.tokens)
        inputs = core_inputs(subject.mixer, subject.linear, longer)
        runs[f"at {longer.tokens}"] = lambda inputs=inputs: subject.core(**inputs)  # type: ignore[misc]
    told = lambda i: progress(f"longer sequences, round {i}")  # noqa: E731 - one of many
    return interleaved(runs, 3, told, device.clock)


def _table(subject: Subject, setting: Setting, medians: dict[str, float]) -> str:
    threads = f"threads: {torch.get_num_threads()}"
    where = f"{dtype_name(setting.dtype)}, {threads}, torch {torch.__version__}"
    shape = f"B={setting.batch}, T={setting.tokens}, H={setting.heads}, axes of {setting.size}"
    lines = [f"{subject.mixer.name}: {shape}, {where}", *busy(), ""]
    lines.append(f"  {'':<24}{'forward':>12}{'with backward':>16}")
    for name in ("mixer", "loop", "attention"):
        forward, both = medians[name], medians[f"{name} with backward"]
        lines.append(f"  {name + ', ms':<24}{1e3 * forward:>12.1f}{1e3 * both:>16.1f}")
    for name in ("loop", "attention"):
        forward = medians[name] / medians["mixer"]
        both = medians[f"{name} with backward"] / medians["mixer with backward"]
        lines.append(f"  {name + ' / mixer':<24}{forward:>12.2f}{both:>16.2f}")
    lines += _floor(subject, setting, medians)
    rate = setting.batch / medians["decode"]
    lines += ["", f"  decode: {rate:,.0f} tokens/s, one at a time", ""]
    return "\n".join([*lines, *growth_lines(setting, medians)])


def busy() -> list[str]:
    """A warning where more runs on this machine than it has cores for."""
    measure = getattr(os, "getloadavg", None)
    cores = os.cpu_count() or 1
    load = measure()[0] if measure is not None else 0.0
    if load <= cores:
        return []
    return [f"  the machine is busy (load {load:.1f} on {cores} cores): do not trust these times"]


def growth_lines(setting: Setting, medians: dict[str, float]) -> list[str]:
    """Time a token, against the shortest sequence: 1 where the cost is linear."""
    lines = [f"  {'tokens':<24}{'forward, ms':>12}{'a token, ratio':>16}"]
    first = medians[f"at {setting.tokens}"]
    for times in LONGER:
        tokens = times * setting.tokens
        found = medians[f"at {tokens}"]
        lines.append(f"  {tokens:<24,}{1e3 * found:>12.1f}{found / first / times:>16.2f}")
    return lines


def _floor(subject: Subject, setting: Setting, medians: dict[str, float]) -> list[str]:
    """The plan's own operations and least bytes, and the rates that the times amount to."""
    lines = {"plan, GFLOP": "", "plan, MB at least": "", "so GFLOP/s": "", "so GB/s at least": ""}
    for names, timed, width in ((FORWARD, "mixer", 12), (BOTH, "mixer with backward", 16)):
        work = subject.operations(names, setting) / 1e9
        moved = subject.floor(names, setting).moved / 1e9
        numbers = (work, 1e3 * moved, work / medians[timed], moved / medians[timed])
        for title, number in zip(lines, numbers, strict=True):
            lines[title] += f"{number:>{width}.2f}"
    return [f"  {title:<24}{columns}" for title, columns in lines.items()]
