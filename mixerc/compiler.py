"""The pipeline, one function an arrow:

Source -parse-> syntax.Spec -resolve-> syntax.Spec -check-> ir.Mixer -classify-> algebra.Algebra
       -plan-> plan.Plan -emit-> artifact.GeneratedModule -load-> module
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from mixerc import resources
from mixerc.algebra.attention import Attention
from mixerc.algebra.classify import ONE_BY_ONE, Algebra
from mixerc.algebra.classify import classify as classify
from mixerc.algebra.linear import Linear
from mixerc.algebra.stages import Recurrence
from mixerc.artifact import GeneratedModule
from mixerc.backends.torch.emit import emit as emit_torch
from mixerc.backends.torch.emit import emit_attention as emit_torch_attention
from mixerc.backends.torch.emit import emit_landmarks as emit_landmarks
from mixerc.backends.torch.emit import emit_recurrence as emit_torch_recurrence
from mixerc.backends.triton.emit import BUNDLE, refuse_attention
from mixerc.backends.triton.emit import emit as emit_triton
from mixerc.backends.triton.emit import emit_attention as emit_triton_attention
from mixerc.backends.triton.emit import emit_recurrence as emit_triton_recurrence
from mixerc.backends.triton.tiling import HARDWARE
from mixerc.frontend import syntax
from mixerc.frontend.check import check as check_spec
from mixerc.frontend.parser import parse as parse
from mixerc.frontend.resolve import resolve as resolve
from mixerc.ir.mixer import Mixer, Stack
from mixerc.plan.plan import CHUNKS, Plan, longest_chunk, make_plan
from mixerc.plan.recurrence import RecurrencePlan, recurrence_plan
from mixerc.plan.sweep import SweepPlan, sweep_plan
from mixerc.source import Source, read_source


def front(source: Source) -> Mixer | Stack:
    """Text to a checked mixer or stack; raises SpecError with everything that is wrong."""
    return check_spec(resolve(parse(source.text, source.file), neighbours(source.folder)))


def neighbours(folder: Path | None) -> Callable[[str], syntax.Spec | None]:
    """Finds a mixer that a stack uses: beside the stack, or among the shipped specs."""

    def load(name: str) -> syntax.Spec | None:
        beside = folder / f"{name}.mix" if folder is not None else None
        if beside is not None and beside.is_file():
            return parse(beside.read_text(encoding="utf-8"), str(beside))
        try:
            return parse(resources.read("specs", f"{name}.mix"), f"{name}.mix")
        except (FileNotFoundError, ValueError):
            return None

    return load


def plan(linear: Linear, *, chunk: int | None, logarithms: frozenset[str]) -> Plan:
    """The kernels of a linear mixer as data; `chunk` is a power of two."""
    return make_plan(linear, chunk=chunk or longest_chunk(linear), logarithms=logarithms)


def chunks(linear: Linear) -> tuple[int, ...]:
    """Tokens a chunk, the best choice first."""
    longest = longest_chunk(linear)
    return tuple(length for length in CHUNKS if length <= longest)


EMITTERS: dict[str, Callable[[Mixer, Linear, Plan, str], GeneratedModule]] = {
    "torch": emit_torch,
    "auto": partial(emit_torch, devices=True),
    "triton": partial(emit_triton, HARDWARE["sm_90"]),
    **{f"triton:{name}": partial(emit_triton, one) for name, one in HARDWARE.items()},
    **{
        f"bundle:{name}": partial(emit_triton, one, target=BUNDLE) for name, one in HARDWARE.items()
    },
}
"""The targets, each with its arrow; kernels are made for the hardware that is named. A file for
`auto` is that of `torch`, and hands tensors on a GPU to one of `triton`; one for `bundle` stands
beside binaries."""


def emit(target: str, mixer: Mixer, linear: Linear, plan: Plan, spec: str) -> GeneratedModule:
    """The generated file of a target; raises ValueError for what it has no kernels for."""
    return EMITTERS[target](mixer, linear, plan, spec)


ATTENTION_EMITTERS: dict[str, Callable[[Mixer, SweepPlan, str], GeneratedModule]] = {
    "torch": emit_torch_attention,
    "auto": partial(emit_torch_attention, devices=True),
    "triton": partial(emit_triton_attention, HARDWARE["sm_90"]),
    **{f"triton:{name}": partial(emit_triton_attention, one) for name, one in HARDWARE.items()},
    **{f"bundle:{name}": refuse_attention for name in HARDWARE},
}
"""The same for masked attention."""


def lowered_attention(
    target: str, mixer: Mixer, attention: Attention, spec: str, logarithms: frozenset[str]
) -> tuple[SweepPlan, GeneratedModule]:
    """The plan of masked attention and its file."""
    kernels = not target.startswith(("torch", "auto"))  # they scale scores that they do not store
    made = sweep_plan(attention, logarithms=logarithms, scaled_queries=not kernels)
    return made, ATTENTION_EMITTERS[target](mixer, made, spec)


RECURRENCE_EMITTERS: dict[str, Callable[..., GeneratedModule]] = {
    "torch": emit_torch_recurrence,
    "auto": partial(emit_torch_recurrence, devices=True),
    "triton": partial(emit_triton_recurrence, HARDWARE["sm_90"]),
    **{f"triton:{name}": partial(emit_triton_recurrence, one) for name, one in HARDWARE.items()},
    **{
        f"bundle:{name}": partial(emit_triton_recurrence, one, target=BUNDLE)
        for name, one in HARDWARE.items()
    },
}
"""The same for recurrences."""


def lowered_recurrence(
    target: str, mixer: Mixer, recurrence: Recurrence, spec: str
) -> tuple[RecurrencePlan, GeneratedModule]:
    """The plan of a recurrence and its file; raises ValueError for a target without kernels."""
    made, obstacle = recurrence_plan(recurrence), recurrence.obstacle
    sequential = "" if obstacle is None else f"{obstacle.reason}; {ONE_BY_ONE}"
    wide = "" if recurrence.wide is None else recurrence.wide.reason
    return made, RECURRENCE_EMITTERS[target](mixer, made, spec, sequential=sequential, wide=wide)


def lowered(
    target: str,
    mixer: Mixer,
    linear: Linear,
    spec: str,
    *,
    chunk: int | None,
    logarithms: frozenset[str],
) -> tuple[Plan, GeneratedModule]:
    """A plan and its file: for the chunk given, or the longest one at which every kernel fits."""
    for length in (chunk,) if chunk else chunks(linear):
        made = plan(linear, chunk=length, logarithms=logarithms)
        module = emit(target, mixer, linear, made, spec)
        if module.fits:
            break
    return made, module


__all__ = [
    "Algebra",
    "GeneratedModule",
    "Source",
    "classify",
    "emit",
    "emit_landmarks",
    "front",
    "lowered",
    "parse",
    "plan",
    "read_source",
    "resolve",
]
