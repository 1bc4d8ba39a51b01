"""`mixerc bench`: a core's time as ratios to what one would use instead, in one run.

Against a lean loop over tokens with the same transition (tensors unbound beforehand, no autograd
in forward), and causal softmax attention of the same batch, heads, length and head size. Runs
are interleaved and medians compared, since times on a shared machine drift by half.
"""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from mixerc.algebra.classify import classify
from mixerc.algebra.linear import Linear, LinearState, decay_names
from mixerc.api import compile as compile_spec
from mixerc.compiler import front, read_source
from mixerc.explain import numeric_sizes
from mixerc.ir.mixer import Input, Mixer, Param, Stack, Value
from mixerc.plan.cost import cost
from mixerc.plan.plan import CHUNK, make_plan

Run: TypeAlias = Callable[[], Any]
Progress: TypeAlias = Callable[[str], None]

LONGER = (1, 4, 16)
"""How many times the setting's tokens the longer sequences have: 4k, 16k and 64k by default."""


WARMING = 2
"""Rounds that are not counted: the allocator and the threads settle in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """What was measured, as text; `medians` are seconds by name."""

    text: str
    medians: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Batch 1; every axis of the core has the same length."""

    tokens: int
    heads: int
    size: int
    repeats: int


def bench(
    spec: str | Path,
    *,
    tokens: int = 4096,
    heads: int = 4,
    size: int = 64,
    repeats: int = 9,
    progress: Progress | None = None,
) -> BenchReport:
    """Times the spec's core in fp32; raises ValueError where it has no fast form."""
    told = progress or (lambda text: None)
    mixer, linear = _timed(spec)
    setting = Setting(tokens=tokens, heads=heads, size=size, repeats=repeats)
    core = compile_spec(spec)
    torch.manual_seed(0)
    inputs = core_inputs(mixer, linear, setting)
    # Longest first: after them the allocator keeps memory that it would give back each time.
    medians = growth(core, mixer, linear, setting, told)
    forward = forward_runs(core, linear, inputs, setting)
    medians |= interleaved(forward, repeats, lambda i: told(f"forward, round {i}"))
    backward = backward_runs(core, linear, inputs, setting)
    both = interleaved(backward, repeats, lambda i: told(f"backward, round {i}"))
    medians |= {f"{name} with backward": value for name, value in both.items()}
    told("decode")
    medians["decode"] = decode(core, mixer, inputs)
    return BenchReport(text=_table(mixer, linear, setting, medians), medians=medians)


def _timed(spec: str | Path) -> tuple[Mixer, Linear]:
    """The mixer and its linear form."""
    mixer = front(read_source(spec))
    linear = None if isinstance(mixer, Stack) else classify(mixer).linear
    if isinstance(mixer, Stack) or linear is None:
        raise ValueError(f"{mixer.name} has no fast form to time")
    return mixer, linear


def core_inputs(mixer: Mixer, linear: Linear, setting: Setting) -> dict[str, Tensor]:
    """Random inputs of a core; decays near 1, as gates begin."""
    decays = decay_names(linear)
    inputs = {}
    for line in mixer.lines:
        if line.name in mixer.core.inputs:
            shape = _shape(line, setting)
            draw = torch.rand(shape) * 0.1 + 0.9 if line.name in decays else torch.randn(shape)
            inputs[line.name] = draw if line.name in decays else draw / setting.size**0.5
    return inputs


def _shape(line: Input | Param | Value, setting: Setting) -> tuple[int, ...]:
    copies = () if line.sort.heads.shared else (1 if line.sort.heads.group else setting.heads,)
    rows = (1, setting.tokens) if line.sort.times else ()
    return (*rows, *copies, *(setting.size for _ in line.sort.axes))


def forward_runs(
    core: Any, linear: Linear, inputs: dict[str, Tensor], setting: Setting
) -> dict[str, Run]:
    """Forward alone, without autograd."""
    q, k, v, decays = loop_inputs(linear.states[0], setting)
    query, key, value = (x.transpose(1, 2).contiguous() for x in (q, k, v))
    runs: dict[str, Run] = {
        "mixer": lambda: core(**inputs),
        "loop": lambda: token_loop(q, k, v, decays),
        "attention": lambda: functional.scaled_dot_product_attention(
            query, key, value, is_causal=True
        ),
    }
    return {name: torch.no_grad()(run) for name, run in runs.items()}


def backward_runs(
    core: Any, linear: Linear, inputs: dict[str, Tensor], setting: Setting
) -> dict[str, Run]:
    """Forward and backward of the sum of the output."""
    q, k, v, decays = loop_inputs(linear.states[0], setting)

    def attention(*rows: Tensor) -> Tensor:
        query, key, value = (x.transpose(1, 2) for x in rows)
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)

    def looped(q: Tensor, k: Tensor, v: Tensor, *decays: Tensor) -> Tensor:
        return token_loop(q, k, v, decays)

    def mixed(*values: Tensor) -> Tensor:
        output: Tensor = core(**dict(zip(inputs, values, strict=True)))[0]
        return output

    return {
        "mixer": lambda: _differentiated(mixed, *inputs.values()),
        "loop": lambda: _differentiated(looped, q, k, v, *decays),
        "attention": lambda: _differentiated(attention, q, k, v),
    }


def _differentiated(run: Callable[..., Tensor], *values: Tensor) -> None:
    leaves = [value.detach().clone().requires_grad_() for value in values]
    run(*leaves).sum().backward()  # type: ignore[no-untyped-call]


def loop_inputs(
    state: LinearState, setting: Setting
) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
    """Queries, keys and values [1, T, H, size], and decays shaped to multiply [H, K, V]."""
    rows = (1, setting.tokens, setting.heads)
    q, k, v = (torch.randn(*rows, setting.size) / setting.size**0.5 for _ in range(3))
    decays = []
    for decay in state.decays:
        axes = set(decay.sort.axes)
        keys = setting.size if axes & set(state.key_axes) else 1
        values = setting.size if axes & set(state.value_axes) else 1
        decays.append(torch.rand(*rows, keys, values) * 0.1 + 0.9)
    return q, k, v, tuple(decays)


def token_loop(q: Tensor, k: Tensor, v: Tensor, decays: tuple[Tensor, ...]) -> Tensor:
    """S = decay · S + k vᵀ, o = q S: shapes made outside the loop, as few calls as there can be."""
    queries, keys, values = q[..., None, :].unbind(1), k[..., None].unbind(1), v[..., None, :]
    kept = [decay.unbind(1) for decay in decays]
    state = q.new_zeros(*q.shape[:1], *q.shape[2:], v.shape[-1])
    outputs = []
    for t, (query, key, value) in enumerate(zip(queries, keys, values.unbind(1), strict=True)):
        for decay in kept:
            state = state * decay[t]
        state = torch.addcmul(state, key, value)
        outputs.append(query @ state)
    return torch.stack(outputs, 1).squeeze(-2)


def interleaved(
    runs: dict[str, Run], repeats: int, told: Callable[[int], None]
) -> dict[str, float]:
    """The median of each run, all of them in turn, after rounds that warm up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(repeats + WARMING):
        told(i)
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if i >= WARMING:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


@torch.no_grad()
def decode(core: Any, mixer: Mixer, inputs: dict[str, Tensor]) -> float:
    """Seconds for one token from a state."""
    over_time = {line.name for line in mixer.lines if line.sort.times}
    one = {name: x[:, :1] if name in over_time else x for name, x in inputs.items()}
    _, state = core(**one)
    run: Run = lambda: core(**one, state=state, mode="recurrent")  # noqa: E731 - one of many runs
    return interleaved({"decode": run}, 20, lambda i: None)["decode"]


@torch.no_grad()
def growth(
    core: Any, mixer: Mixer, linear: Linear, setting: Setting, progress: Progress
) -> dict[str, float]:
    """Forward for longer and longer sequences, in turn: `at T` is the median at T tokens."""
    runs: dict[str, Run] = {}
    for times in LONGER:
        longer = replace(setting, tokens=times * setting.tokens)
        inputs = core_inputs(mixer, linear, longer)
        runs[f"at {longer.tokens}"] = lambda inputs=inputs: core(**inputs)  # type: ignore[misc]
    return interleaved(runs, 3, lambda i: progress(f"longer sequences, round {i}"))


def _table(mixer: Mixer, linear: Linear, setting: Setting, medians: dict[str, float]) -> str:
    where = f"fp32, threads: {torch.get_num_threads()}, torch {torch.__version__}"
    shape = f"B=1, T={setting.tokens}, H={setting.heads}, axes of {setting.size}"
    lines = [f"{mixer.name}: {shape}, {where}", *_busy(), ""]
    lines.append(f"  {'':<24}{'forward':>12}{'with backward':>16}")
    for name in ("mixer", "loop", "attention"):
        forward, both = medians[name], medians[f"{name} with backward"]
        lines.append(f"  {name + ', ms':<24}{1e3 * forward:>12.1f}{1e3 * both:>16.1f}")
    for name in ("loop", "attention"):
        forward = medians[name] / medians["mixer"]
        both = medians[f"{name} with backward"] / medians["mixer with backward"]
        lines.append(f"  {name + ' / mixer':<24}{forward:>12.2f}{both:>16.2f}")
    lines += _floor(mixer, linear, setting, medians)
    lines += ["", f"  decode: {1 / medians['decode']:,.0f} tokens/s, one at a time", ""]
    return "\n".join([*lines, *_growth(setting, medians)])


def _busy() -> list[str]:
    """A warning where more runs on this machine than it has cores for."""
    measure = getattr(os, "getloadavg", None)
    cores = os.cpu_count() or 1
    load = measure()[0] if measure is not None else 0.0
    if load <= cores:
        return []
    return [f"  the machine is busy (load {load:.1f} on {cores} cores): do not trust these times"]


def _growth(setting: Setting, medians: dict[str, float]) -> list[str]:
    """Time a token, against the shortest sequence: 1 where the cost is linear."""
    lines = [f"  {'tokens':<24}{'forward, ms':>12}{'a token, ratio':>16}"]
    first = medians[f"at {setting.tokens}"]
    for times in LONGER:
        tokens = times * setting.tokens
        found = medians[f"at {tokens}"]
        lines.append(f"  {tokens:<24,}{1e3 * found:>12.1f}{found / first / times:>16.2f}")
    return lines


def _floor(mixer: Mixer, linear: Linear, setting: Setting, medians: dict[str, float]) -> list[str]:
    """The plan's own operations and least bytes, and the rates that the times amount to."""
    sizes = dict.fromkeys(numeric_sizes(mixer, {}), setting.size)
    programs = dict(make_plan(linear, chunk=CHUNK, logarithms=frozenset()).programs)
    rows = setting.tokens * setting.heads
    lines = {"plan, GFLOP": "", "plan, MB at least": "", "so GFLOP/s": "", "so GB/s at least": ""}
    for names, timed in ((("forward",), "mixer"), (("forward", "backward"), "mixer with backward")):
        costs = [cost(programs[name], sizes) for name in names]
        work = rows * sum(found.operations for found in costs) / 1e9
        moved = rows * sum(found.floor_bytes for found in costs) / 1e9
        numbers = (work, 1e3 * moved, work / medians[timed], moved / medians[timed])
        width = 16 if "backward" in names else 12
        for title, number in zip(lines, numbers, strict=True):
            lines[title] += f"{number:>{width}.2f}"
    return [f"  {title:<24}{columns}" for title, columns in lines.items()]
