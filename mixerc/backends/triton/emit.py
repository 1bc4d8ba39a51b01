"""From a mixer and its plan to the text of one self-contained file of Triton kernels."""

from collections.abc import Iterator
from functools import partial

from mixerc.algebra.linear import Linear
from mixerc.artifact import GeneratedModule
from mixerc.backends.module.core import Core
from mixerc.backends.module.file import Target, module_file, render
from mixerc.backends.triton.programs import LaunchView, programs
from mixerc.backends.triton.tiling import FEWER, WORDS, tiling
from mixerc.ir.mixer import Mixer
from mixerc.plan import nodes as n
from mixerc.plan.plan import Plan

TRITON = Target(
    name="triton",
    needs="torch and triton",
    helpers=(("triton", "device.py"), ("triton", "run.py")),
    imports=("triton", "imports.py"),
)


def emit(mixer: Mixer, linear: Linear, plan: Plan, spec: str) -> GeneratedModule:
    """The generated file; `spec` is the text that it was made from."""
    if any(isinstance(x, n.Concat | n.Part) for x in _nodes(plan)):
        raise ValueError(
            f"{mixer.name}: the Triton target has no kernels yet for `concat` in a core"
        )
    core = Core(mixer, linear, plan, every_axis=True)
    views = programs(core)
    kernels = "\n\n".join((_tiles(views, plan.chunk), *map(_program, views)))
    return module_file(core, kernels, spec, TRITON)


def _nodes(plan: Plan) -> Iterator[n.Node]:
    for _, program in plan.programs:
        for kernel in program.kernels:
            yield from kernel.body


def _tiles(views: tuple[LaunchView, ...], chunk: int) -> str:
    """The table of tiles: places of an axis and warps, by kernel and hardware."""
    lines = []
    for view in views:
        for _, kernel in view.kernels:
            fewer = FEWER if kernel.doors.tokens else 1
            found = (
                tiling(partial(kernel.held, chunk), words // fewer) for words in WORDS.values()
            )
            lines.append(f'    "{kernel.name}": ({", ".join(map(str, found))}),')
    return "\n".join((f"HARDWARE = {tuple(WORDS)}", "TILES = {", *lines, "}"))


def _program(view: LaunchView) -> str:
    kernels = [render("triton", f"{template}.py.j2", kernel) for template, kernel in view.kernels]
    return "\n\n".join((*kernels, render("triton", "launch.py.j2", view)))
