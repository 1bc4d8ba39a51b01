"""The benchmark of masked attention on a CPU: against the attentions that others offer, in turn.

Where this version has no parallel mode for the spec, the others are timed alone, and the report
says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Generator, Tensor

from mixerc.algebra.classify import classify
from mixerc.api import compile as compile_spec
from mixerc.bench.attentions import Attention, Comparison, compared
from mixerc.bench.calls import Call, Maker, usable
from mixerc.bench.clock import Run, interleaved
from mixerc.bench.device import Device
from mixerc.bench.host import LONGER, busy, growth_lines
from mixerc.bench.inputs import Setting
from mixerc.bench.report import BenchReport, Progress, dtype_name
from mixerc.explain import axes_of
from mixerc.ir.expr import Number, Read
from mixerc.ir.mixer import Input, Mixer, Param, Stack, Value
from mixerc.ir.walk import walk
from mixerc.reference.initial import Drawing, draw_param
from mixerc.reference.sizes import resolve

OURS = "mixer"
PAIRED = 8192
"""Tokens where all pairs of tokens are compared; the longer sequences begin at half of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedSubject:
    """`core` is the compiled mixer of these `sizes`; `reason` says why it has no parallel mode."""

    mixer: Mixer
    core: Any
    sizes: Mapping[str, float]
    comparison: Comparison
    reason: str


def is_masked(mixer: Mixer | Stack) -> TypeGuard[Mixer]:
    """Whether a spec is one sum over tokens that no state of a linear mixer replaces."""
    if isinstance(mixer, Stack) or classify(mixer).linear is not None:
        return False
    return len(mixer.core.branches) == 1


def masked_subject(spec: str | Path, mixer: Mixer, setting: Setting) -> MaskedSubject:
    """Compiles the spec; raises ValueError where it has inputs that this benchmark cannot draw."""
    own = [line.name for line in mixer.lines if isinstance(line, Input)]
    if own:
        raise ValueError(f"{mixer.name} has the input {own[0]}, which this benchmark does not draw")
    comparison = compared(mixer.name)
    sizes = _sizes(mixer, setting, comparison.sizes)
    core = compile_spec(spec, target="auto", **sizes)
    said = core.modes["parallel"]
    return MaskedSubject(
        mixer=mixer,
        core=core,
        sizes=sizes,
        comparison=comparison,
        reason="" if said == "legal" else said,
    )


def _sizes(mixer: Mixer, setting: Setting, given: Mapping[str, int]) -> dict[str, Any]:
    """Axes as long as the setting has them, as many groups as heads, other sizes as in the spec."""
    groups = {line.sort.heads.group for line in mixer.lines} - {""}
    sizes: dict[str, Any] = dict.fromkeys(sorted(axes_of(mixer)), setting.size)
    sizes |= dict.fromkeys(sorted(groups), setting.heads)
    for size in mixer.sizes:
        if size.name not in sizes and isinstance(size.default, Number):
            sizes[size.name] = float(size.default.value)
    return {**sizes, **given}


def on_host_masked(
    subject: MaskedSubject, setting: Setting, device: Device, told: Progress
) -> BenchReport:
    """Everything that is measured, and the table of it."""
    notes: list[str] = []
    if subject.reason:
        alone = "the others are timed alone"
        notes.append(f"{subject.mixer.name} has no parallel mode, {alone}: {subject.reason}")
    medians: dict[str, float] = {}
    if subject.comparison.grows and not subject.reason:
        medians |= _growth(subject, setting, device, told)
    calls = _calls(subject, setting)
    timed = _Timed(setting=setting, device=device, told=told, failed=notes.append)
    forward = {name: calls[name].forward for name in _names(subject, subject.comparison.forward)}
    both = {name: calls[name].backward for name in _names(subject, subject.comparison.both)}
    medians |= timed.medians("forward", forward)
    found = timed.medians("forward and backward", both)
    medians |= {f"{name} with backward": seconds for name, seconds in found.items()}
    notes += _differences(subject, calls, medians)
    return BenchReport(text=_table(subject, setting, medians, notes), medians=medians)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    setting: Setting
    device: Device
    told: Progress
    failed: Progress

    def medians(self, what: str, makers: Mapping[str, Maker]) -> dict[str, float]:
        """Medians in seconds of what can run, in turn."""
        self.told(f"{what}, first runs")
        clock = self.device.clock
        runs = usable(makers, clock, lambda why: self.failed(f"{what}, {why}"))
        told: Callable[[int], None] = lambda i: self.told(f"{what}, round {i}")  # noqa: E731
        return interleaved(runs, self.setting.repeats, told, clock)


def _names(subject: MaskedSubject, others: tuple[Attention, ...]) -> list[str]:
    """The mixer first, where it runs, then the others."""
    return ([] if subject.reason else [OURS]) + [one.name for one in others]


def _calls(subject: MaskedSubject, setting: Setting) -> dict[str, Call]:
    """All that take part, on the same numbers: the mixer's in rows [B, T, H, D]."""
    inputs = masked_inputs(subject, setting)
    tables = {name: x for name, x in inputs.items() if not x.is_floating_point()}
    streams = {name: x for name, x in inputs.items() if name not in tables}

    def ours(*values: Tensor) -> Tensor:
        given = dict(zip(streams, values, strict=True))
        output: Tensor = subject.core(**given, **tables)[0]
        return output

    calls = {OURS: Call(function=ours, values=tuple(streams.values()))}
    rows = tuple(inputs[name].transpose(1, 2).contiguous() for name in "qkv")
    for one in subject.comparison.others:
        made = one.made(setting, subject.sizes)
        calls[one.name] = Call(function=made, values=rows)
    return calls


def masked_inputs(subject: MaskedSubject, setting: Setting) -> dict[str, Tensor]:
    """Random inputs of the core by name; tables as a layer of this length would draw them."""
    mixer = subject.mixer
    known = {"d_model": setting.heads * setting.size, "heads": setting.heads}
    sizes = resolve(mixer.sizes, {**known, "length": setting.tokens, **subject.sizes})
    drawing = Drawing(sizes=sizes, values={}, generator=Generator().manual_seed(0))
    decay = mixer.core.branches[0].decay
    decays = {node.name for node in walk(decay) if isinstance(node, Read)} if decay else set()
    inputs = {}
    for line in mixer.lines:
        match line:
            case Param(name=name) if name in mixer.core.inputs:
                table: Tensor = draw_param(mixer, line, drawing).array
                inputs[name] = table.to(setting.dtype) if table.is_floating_point() else table
            case Value(name=name) if name in mixer.core.inputs:
                copies = () if line.sort.heads.shared else (setting.heads,)
                shape = (setting.batch, setting.tokens, *copies)
                shape += tuple(int(subject.sizes[axis]) for axis in line.sort.axes)
                drawn = setting.decays if name in decays else setting.draw
                inputs[name] = drawn(*shape).to(setting.dtype)
            case _:
                pass
    return inputs


def _growth(
    subject: MaskedSubject, setting: Setting, device: Device, progress: Progress
) -> dict[str, float]:
    """Forward for longer and longer sequences, in turn: `at T` is the median at T tokens."""
    runs: dict[str, Run] = {}
    for times in reversed(LONGER):
        longer = replace(setting, tokens=times * _shortest(setting).tokens)
        inputs = masked_inputs(subject, longer)
        run = lambda inputs=inputs: subject.core(**inputs)  # noqa: E731
        runs[f"at {longer.tokens}"] = torch.no_grad()(run)
    told: Callable[[int], None] = lambda i: progress(f"longer sequences, round {i}")  # noqa: E731
    return interleaved(runs, max(3, setting.repeats // 2), told, device.clock)


def _shortest(setting: Setting) -> Setting:
    return replace(setting, tokens=max(1, setting.tokens // 2))


def _differences(
    subject: MaskedSubject, calls: Mapping[str, Call], medians: Mapping[str, float]
) -> list[str]:
    """How far our output is from that of each of the others that should be the same and ran."""
    ran = {name.removesuffix(" with backward") for name in medians}
    same = [one.name for one in subject.comparison.others if one.same and one.name in ran]
    if OURS not in ran or not same:
        return []
    ours, found = calls[OURS].output().transpose(1, 2), []
    for name in same:
        theirs = calls[name].output()
        error = float((ours - theirs).norm() / theirs.norm())
        found.append(f"outputs of the mixer and of {name} differ by {error:.1e} (relative RMS)")
    return found


def _table(
    subject: MaskedSubject, setting: Setting, medians: Mapping[str, float], notes: list[str]
) -> str:
    sizes = ", ".join(f"{name}={value:g}" for name, value in subject.sizes.items())
    shape = f"B={setting.batch}, T={setting.tokens}, H={setting.heads}, {sizes}"
    threads = f"threads: {torch.get_num_threads()}"
    where = f"{dtype_name(setting.dtype)}, {threads}, torch {torch.__version__}"
    lines = [f"{subject.mixer.name}: {shape}, {where}", *busy(), ""]
    lines.append(f"  {'':<28}{'forward':>12}{'with backward':>16}")
    names = [OURS, *(one.name for one in subject.comparison.others)]
    lines += [_line(f"{name}, ms", _pair(medians, name), 1e3, "1f") for name in names]
    for name in names[1:]:
        ratios = tuple(
            theirs / ours if theirs and ours else None
            for theirs, ours in zip(_pair(medians, name), _pair(medians, OURS), strict=True)
        )
        lines.append(_line(f"{name} / mixer", ratios, 1, "2f"))
    if f"at {setting.tokens // 2}" in medians:
        lines += ["", *growth_lines(_shortest(setting), dict(medians))]
    return "\n".join([*lines, "", *notes] if notes else lines)


def _pair(medians: Mapping[str, float], name: str) -> tuple[float | None, float | None]:
    return medians.get(name), medians.get(f"{name} with backward")


def _line(title: str, numbers: tuple[float | None, ...], times: float, form: str) -> str:
    """One row; a dash for what was not timed."""
    cells = ["-" if number is None else f"{times * number:.{form}}" for number in numbers]
    return f"  {title:<28}{cells[0]:>12}{cells[1]:>16}"
