"""From a mixer and its plan to the text of one self-contained file of plain PyTorch."""

from mixerc.algebra.landmarks import Landmarks
from mixerc.algebra.linear import Linear, decay_names
from mixerc.artifact import GeneratedModule
from mixerc.backends.module.attention import AttentionCore
from mixerc.backends.module.core import BY_CHUNKS, Core, Runs, over_peaks
from mixerc.backends.module.file import Target, module_file, render
from mixerc.backends.module.landmarks import LandmarkCore
from mixerc.backends.module.layout import tuple_text
from mixerc.backends.torch.attention import kernels_text
from mixerc.backends.torch.programs import ProgramView, programs
from mixerc.backends.torch.row_programs import peak_program, row_programs
from mixerc.ir.mixer import Mixer
from mixerc.plan.plan import Plan
from mixerc.plan.recurrence import RecurrencePlan
from mixerc.plan.sweep import SweepPlan

TORCH = Target(
    name="torch",
    needs="torch",
    helpers=(
        *(("torch", "chunks.py"), ("torch", "run.py"), ("torch", "rows.py")),
        *(("torch", "together.py"), ("torch", "newton.py"), ("module", "newton.py")),
        ("torch", "peaks.py"),
        *(("module", "ranges.py"), ("module", "visits.py"), ("module", "cache.py")),
        *(
            ("torch", "decays.py"),
            ("torch", "sweep.py"),
            ("torch", "strips.py"),
            ("torch", "sums.py"),
        ),
        *(("module", "lanes.py"), ("module", "attend.py"), ("module", "engine.py")),
        ("module", "whole.py"),
    ),
)


def emit(
    mixer: Mixer, linear: Linear, plan: Plan, spec: str, *, devices: bool = False
) -> GeneratedModule:
    """The generated file; `spec` is the text that it was made from. With `devices`, whoever loads
    the file may have other files serve other devices."""
    runs = BY_CHUNKS if linear.scaled is None else over_peaks(linear.scaled.peak)
    core = Core(mixer, plan, runs, decays=decay_names(linear), devices=devices)
    views = programs(core, plan)
    if plan.peak is not None:
        views = (peak_program(core, plan.peak.program), *views)
    kernels = "\n\n".join(map(_program, views))
    return module_file(core, kernels, spec, TORCH)


def emit_attention(
    mixer: Mixer, plan: SweepPlan, spec: str, *, devices: bool = False
) -> GeneratedModule:
    """The same for masked attention."""
    core = AttentionCore(mixer, plan, devices=devices)
    return module_file(core, kernels_text(plan), spec, TORCH)


def emit_recurrence(
    mixer: Mixer,
    plan: RecurrencePlan,
    spec: str,
    *,
    sequential: str = "",
    wide: str = "",
    devices: bool = False,
) -> GeneratedModule:
    """The same for a recurrence; `sequential` says why it has no parallel mode, and `wide` why
    Newton's method does not give one."""
    of_states = tuple_text([*map(str, plan.moved)])
    program = "recurrent_piece" if sequential else "recurrent_piece if recurrent else forward_piece"
    kept = ", kept" if plan.newton is not None else ""
    runs = Runs(
        forward=(
            *_newton_lines(plan),
            f"program = {program}",
            "run = (program, streams, constants, states, size, outputs, cu_seqlens)",
            "return [*outputs, *rows_forward(*run)]",
        ),
        backward=(f"return rows_backward(programs, {of_states}, *run{kept})",),
        sequential=sequential,
        peak=plan.peak,
        newton=plan.newton is not None,
        wide=wide,
    )
    core = Core(mixer, plan, runs, devices=devices)
    kernels = "\n\n".join(_program(view) for view in row_programs(core, plan))
    return module_file(core, kernels, spec, TORCH)


def _newton_lines(plan: RecurrencePlan) -> tuple[str, ...]:
    """The forward by Newton's method, where there is no other over all rows."""
    if plan.newton is None:
        return ()
    guessed = tuple_text([*map(str, plan.guessed)])
    return (
        "if not recurrent:",
        f"    programs = (newton_piece, {guessed}, states_piece, recurrent_piece)",
        "    run = (programs, streams, constants, states, size, outputs, cu_seqlens)",
        "    return [*outputs, *newton_forward(*run)]",
    )


def emit_landmarks(mixer: Mixer, landmarks: Landmarks, spec: str) -> GeneratedModule:
    """The same for landmark projections, whose dense products torch has on every device."""
    return module_file(LandmarkCore(mixer, landmarks), "", spec, TORCH)


def _program(view: ProgramView) -> str:
    kernels = [render("torch", f"{template}.py.j2", kernel) for template, kernel in view.kernels]
    return "\n\n".join((*kernels, render("torch", "program.py.j2", view)))
