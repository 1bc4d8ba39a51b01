"""From a mixer and its plan to the text of one self-contained file of Triton kernels."""

from functools import partial

from mixerc.algebra.linear import Linear, decay_names
from mixerc.artifact import GeneratedModule
from mixerc.backends.module.attention import AttentionCore
from mixerc.backends.module.core import BY_CHUNKS, Core, Runs, over_peaks
from mixerc.backends.module.file import Target, module_file, render
from mixerc.backends.triton.attention import kernels_text
from mixerc.backends.triton.launches import LaunchView
from mixerc.backends.triton.programs import programs
from mixerc.backends.triton.row_programs import peak_program, row_programs
from mixerc.backends.triton.row_runs import (
    over_rows,
    row_backward_lines,
    row_forward_lines,
    row_tiles,
)
from mixerc.backends.triton.tiling import Hardware
from mixerc.backends.triton.together import together_views
from mixerc.ir.mixer import Mixer
from mixerc.plan.plan import Plan
from mixerc.plan.recurrence import RecurrencePlan
from mixerc.plan.sweep import SweepPlan

TRITON = Target(
    name="triton",
    needs="torch and triton",
    helpers=(
        *(("triton", "device.py"), ("triton", "scans.py"), ("triton", "start.py")),
        *(("triton", "run.py"), ("triton", "rows.py"), ("triton", "peaks.py")),
        *(("triton", "newton.py"), ("module", "newton.py")),
    ),
    imports=("triton", "imports.py"),
)
SWEEPS = Target(
    name="triton",
    needs="torch and triton",
    helpers=(
        *(("triton", "device.py"), ("triton", "start.py"), ("triton", "run.py")),
        *(("module", "ranges.py"), ("module", "visits.py"), ("module", "cache.py")),
        *(("triton", "visiting.py"), ("triton", "sweep.py"), ("triton", "splits.py")),
        *(("module", "lanes.py"), ("module", "attend.py")),
    ),
    imports=("triton", "imports.py"),
)
BUNDLE = Target(
    name="bundle",
    needs="torch and the binaries of its kernels, which lie beside it",
    helpers=(
        *(("triton", "device.py"), ("triton", "scans.py"), ("triton", "binary.py")),
        *(("triton", "run.py"), ("triton", "rows.py"), ("triton", "peaks.py")),
        *(("triton", "newton.py"), ("module", "newton.py")),
    ),
    imports=("triton", "imports.py"),
)


def emit(
    hardware: Hardware,
    mixer: Mixer,
    linear: Linear,
    plan: Plan,
    spec: str,
    *,
    target: Target = TRITON,
) -> GeneratedModule:
    """The generated file for some hardware; `spec` is the text that it was made from."""
    runs = BY_CHUNKS if linear.scaled is None else over_peaks(linear.scaled.peak)
    core = Core(mixer, plan, runs, decays=decay_names(linear), every_axis=True)
    hardware = hardware.of_chunk(plan.chunk)
    views = programs(core, plan, hardware)
    tiles = _tiles(views, hardware, plan.chunk)
    rows = () if plan.peak is None else (peak_program(core, plan.peak.program, hardware),)
    if rows:
        tiles = "\n".join((tiles, *over_rows(rows, hardware)))
    kernels = "\n\n".join((tiles, *map(_program, (*rows, *views))))
    every = (kernel for view in views for _, kernel in view.kernels)
    least = (hardware.least(partial(x.held, plan.chunk)) for x in every if not x.doors.tokens)
    fits = all(words <= hardware.limit for words in least)
    return module_file(core, kernels, spec, target, fits=fits)


def emit_attention(hardware: Hardware, mixer: Mixer, plan: SweepPlan, spec: str) -> GeneratedModule:
    """The same for masked attention."""
    return module_file(
        AttentionCore(mixer, plan, every_axis=True), kernels_text(plan, hardware), spec, SWEEPS
    )


def emit_recurrence(
    hardware: Hardware,
    mixer: Mixer,
    plan: RecurrencePlan,
    spec: str,
    *,
    sequential: str = "",
    wide: str = "",
    target: Target = TRITON,
) -> GeneratedModule:
    """The same for a recurrence; `sequential` says why it has no parallel mode, and `wide` why
    Newton's method does not give one."""
    runs = Runs(
        forward=row_forward_lines(plan),
        backward=row_backward_lines(plan),
        sequential=sequential,
        peak=plan.peak,
        newton=plan.newton is not None,
        wide=wide,
    )
    core = Core(mixer, plan, runs, every_axis=True)
    views = row_programs(core, plan, hardware)
    kernels = "\n\n".join(map(_program, views))
    together = (render("triton", "together.py.j2", x) for x in together_views(kernels))
    kernels = "\n\n".join((row_tiles(views, hardware), *together, kernels))
    return module_file(core, kernels, spec, target)


def refuse_attention(mixer: Mixer, plan: SweepPlan, spec: str) -> GeneratedModule:
    """Raises ValueError: the launches of a sweep are not made beforehand yet."""
    raise ValueError(f"{mixer.name} is masked attention, of which there are no bundles yet")


def _tiles(views: tuple[LaunchView, ...], hardware: Hardware, chunk: int) -> str:
    """The table of tiles (places of an axis and warps, by kernel), and what a thread may use."""
    lines = []
    for view in views:
        for _, kernel in view.kernels:
            found = hardware.tiling(partial(kernel.held, chunk), tokens=kernel.doors.tokens)
            lines.append(f'    "{kernel.name}": {found},')
    registers = {"maxnreg": hardware.registers} if hardware.registers else {}
    return "\n".join((f"REGISTERS = {registers}".replace("'", '"'), "TILES = {", *lines, "}"))


def _program(view: LaunchView) -> str:
    kernels = [render("triton", f"{template}.py.j2", kernel) for template, kernel in view.kernels]
    return "\n\n".join((*kernels, render("triton", "launch.py.j2", view)))
