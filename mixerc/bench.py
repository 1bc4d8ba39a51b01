"""`mixerc bench`: a core's time as ratios to what one would use instead, in one run.

Against a lean loop over tokens with the same transition (tensors unbound beforehand, no autograd
in forward), and causal softmax attention of the same batch, heads, length and head size. Runs
are interleaved and medians compared, since times on a shared machine drift by half.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
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
from mixerc.plan.plan import make_plan

Run: TypeAlias = Callable[[], Any]
Progress: TypeAlias = Callable[[str], None]


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
    repeats: int = 5,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Times the spec's core in fp32; raises ValueError where it has no fast form."""
    mixer = front(read_source(spec))
    linear = None if isinstance(mixer, Stack) else classify(mixer).linear
    if isinstance(mixer, Stack) or linear is None:
        raise ValueError(f"{mixer.name} has no fast form to time")
    setting = Setting(tokens=tokens, heads=heads, size=size, repeats=repeats)
    core = compile_spec(spec)
    torch.manual_seed(0)
    inputs = core_inputs(mixer, linear, setting)
    forward = forward_runs(core, linear, inputs, setting)
    medians = interleaved(forward, repeats, lambda i: progress(f"forward, round {i}"))
    backward = backward_runs(core, linear, inputs, setting)
    both = interleaved(backward, max(2, repeats // 2), lambda i: progress(f"backward, round {i}"))
    progress("decode and longer sequences")
    medians |= {f"{name} with backward": value for name, value in both.items()}
    medians |= decode_and_growth(core, mixer, linear, inputs, setting)
    return BenchReport(text=_table(mixer, linear, setting, medians), medians=medians)


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
    """S = decay · S + k vᵀ, o = q S, as one would write it by hand."""
    queries, keys, values = (x.unbind(1) for x in (q, k, v))
    kept = [decay.unbind(1) for decay in decays]
    state = q.new_zeros(*q.shape[:1], *q.shape[2:], v.shape[-1])
    outputs = []
    for t, (query, key, value) in enumerate(zip(queries, keys, values, strict=True)):
        for decay in kept:
            state = state * decay[t]
        state = state + key[..., None] * value[..., None, :]
        outputs.append((query[..., None, :] @ state).squeeze(-2))
    return torch.stack(outputs, 1)


def interleaved(
    runs: dict[str, Run], repeats: int, told: Callable[[int], None]
) -> dict[str, float]:
    """The median of each run, all of them in turn; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(repeats + 1):
        told(i)
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if i:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


@torch.no_grad()
def decode_and_growth(
    core: Any, mixer: Mixer, linear: Linear, inputs: dict[str, Tensor], setting: Setting
) -> dict[str, float]:
    """One token from a state, and 16 times as many tokens as the setting has."""
    over_time = {line.name for line in mixer.lines if line.sort.times}
    one = {name: x[:, :1] if name in over_time else x for name, x in inputs.items()}
    _, state = core(**one)
    longer = Setting(tokens=16 * setting.tokens, heads=setting.heads, size=setting.size, repeats=1)
    long = core_inputs(mixer, linear, longer)
    runs: dict[str, Run] = {
        "decode": lambda: core(**one, state=state, mode="recurrent"),
        "long": lambda: core(**long),
    }
    return interleaved(runs, 3, lambda i: None)


def _table(mixer: Mixer, linear: Linear, setting: Setting, medians: dict[str, float]) -> str:
    where = f"fp32, {torch.get_num_threads()} threads, torch {torch.__version__}"
    shape = f"B=1, T={setting.tokens}, H={setting.heads}, axes of {setting.size}"
    lines = [f"{mixer.name}: {shape}, {where}", ""]
    lines.append(f"  {'':<24}{'forward':>12}{'with backward':>16}")
    for name in ("mixer", "loop", "attention"):
        forward, both = medians[name], medians[f"{name} with backward"]
        lines.append(f"  {name + ', ms':<24}{1e3 * forward:>12.1f}{1e3 * both:>16.1f}")
    for name in ("loop", "attention"):
        forward = medians[name] / medians["mixer"]
        both = medians[f"{name} with backward"] / medians["mixer with backward"]
        lines.append(f"  {name + ' / mixer':<24}{forward:>12.2f}{both:>16.2f}")
    growth = medians["long"] / medians["mixer"] / 16
    lines += ["", f"  decode: {1 / medians['decode']:,.0f} tokens/s, one at a time"]
    lines.append(f"  {16 * setting.tokens} tokens cost {growth:.2f} times their share")
    return "\n".join([*lines, *_floor(mixer, linear, setting, medians["mixer"])])


def _floor(mixer: Mixer, linear: Linear, setting: Setting, seconds: float) -> list[str]:
    """The plan's own operations and bytes, and the rates that the time amounts to."""
    sizes = dict.fromkeys(numeric_sizes(mixer, {}), setting.size)
    found = cost(make_plan(linear, chunk=64, logarithms=frozenset()).forward, sizes)
    rows = setting.tokens * setting.heads
    operations, moved = found.operations * rows, found.floor_bytes * rows
    return [
        f"  plan, forward: {operations / 1e9:.2f} GFLOP and at least {moved / 1e6:.1f} MB, "
        f"so {operations / seconds / 1e9:.0f} GFLOP/s and {moved / seconds / 1e9:.1f} GB/s"
    ]
