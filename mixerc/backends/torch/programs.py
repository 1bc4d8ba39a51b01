"""Programs of a plan as views: their kernels, and the function that calls these in order."""

from dataclasses import dataclass
from typing import Any

from mixerc.backends.module.core import Core, Inputs
from mixerc.backends.module.layout import laid_out
from mixerc.backends.module.names import Names
from mixerc.backends.module.nodes import NodePrinter
from mixerc.backends.module.sizes import sizes_of
from mixerc.backends.torch.kernels import MapView, ScanView, map_view, scan_view
from mixerc.plan import nodes as n
from mixerc.plan.distribute import Kernel, Program, Schedule
from mixerc.plan.plan import Plan, loads


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramView:
    """A function over one piece; `kernels` are (template, view) pairs."""

    name: str
    summary: str
    parameters: str
    unpacking: tuple[str, ...]
    calls: tuple[str, ...]
    returns: tuple[str, ...]
    kernels: tuple[tuple[str, Any], ...]


SUMMARIES = {
    "forward": "The parallel mode: tiles and states in, output and states after the piece.",
    "recurrent": "The recurrent mode: the same, a token at a time.",
    "states": "The states before each chunk of the piece, and after it.",
    "backward": "The adjoint of the piece, given the states before its chunks.",
}


def programs(core: Core, plan: Plan) -> tuple[ProgramView, ...]:
    """The four programs, in the order of the file."""
    return tuple(
        program_view(name, program, core.loads, plan.states if name == "backward" else None)
        for name, program in plan.programs
    )


def program_view(name: str, program: Program, inputs: Inputs, given: Program | None) -> ProgramView:
    """The view of a program; `given` is the one whose boundary states it receives."""
    names = Names()
    for load in loads(program):
        names.of(load)
    boundaries = given.boundaries if given is not None else ()
    for carry in boundaries:
        names.of(carry)
    kernels = []
    calls: list[str] = []
    for index, kernel in enumerate(program.kernels, 1):
        kernels.append(_kernel_view(kernel, f"{name}_{index}", names, program.chunk))
        calls += laid_out(_call(kernel, f"{name}_{index}", names), 4)
    return ProgramView(
        name=f"{name}_piece",
        summary=SUMMARIES[name],
        parameters="piece, streams, constants, states, size" + (", boundaries" if given else ""),
        unpacking=unpacking(program, names, inputs, boundaries),
        calls=tuple(calls),
        returns=(
            *laid_out(f"made = {_results(program, names)}", 4),
            "return made, states",
        ),
        kernels=tuple(kernels),
    )


def _kernel_view(
    kernel: Kernel, name: str, names: Names, chunk: int
) -> tuple[str, MapView | ScanView]:
    if kernel.schedule == Schedule.CHUNK_MAP:
        return "chunk_map", map_view(kernel, name, names, chunk)
    return "scan", scan_view(kernel, name, names, chunk)


def _call(kernel: Kernel, name: str, names: Names) -> str:
    made = ", ".join(names.of(node) for node in kernel.stores)
    sizes = [f'size["{size}"]' for size in sizes_of(kernel)]
    arguments = [names.of(node) for node in kernel.inputs]
    if kernel.schedule == Schedule.CHUNK_MAP:
        valid = ["piece.valid"] if any(isinstance(x, n.Pad) for x in kernel.body) else []
        return f"({made},) = {name}({', '.join(arguments + sizes + valid)})"
    stores = f"({made},)" if made else "_"
    tail = f", ({', '.join(sizes)},)" if sizes else ""
    tail += ", reverse=True" if kernel.reverse else ""
    given = f"({', '.join(arguments)},)"
    return f"{stores}, states = by_runs({name}, piece, states, {given}{tail})"


def unpacking(
    program: Program,
    names: Names,
    inputs: Inputs,
    boundaries: tuple[n.Carry, ...],
    head_axes: str = "None, :, None",
) -> tuple[str, ...]:
    """The lines that name a program's loads, the states that it is given, and heads by number."""
    found = loads(program)
    lines = []
    if found:
        targets = ", ".join(names.of(load) for load in found)
        lines.append(f"{targets} = {', '.join(inputs.place(load) for load in found)}")
    if boundaries:
        lines.append(f"({', '.join(names.of(carry) for carry in boundaries)},) = boundaries")
    heads = [x for k in program.kernels for x in k.inputs if isinstance(x, n.HeadIndex)]
    if heads:
        like = names.of(found[0]) if found else "states[0]"
        like += ".real" if not found or found[0].complex else ""
        count = f'size["heads"], device={like}.device, dtype={like}.dtype'
        lines.append(f"{names.of(heads[0])} = torch.arange({count})[{head_axes}]")
    return tuple(part for line in lines for part in laid_out(line, 4))


def _results(program: Program, names: Names) -> str:
    """Outputs with their axes as the op has them, or the states at chunk boundaries."""
    if program.boundaries:
        return f"({', '.join(names.of(carry) for carry in program.boundaries)},)"
    held = {node: names.of(node) for _, node in program.outputs}
    printer = NodePrinter(names=held, chunk=program.chunk, lead=3, like="")
    texts = [
        printer.aligned(node, wanted_axes(name, node, program)) for name, node in program.outputs
    ]
    return f"({', '.join(texts)},)"


def wanted_axes(name: str, node: n.Node, program: Program) -> n.Axes:
    """The axes of the load whose cotangent this is; an output keeps its own."""
    for kernel in program.kernels:
        for load in kernel.inputs:
            if isinstance(load, n.Load) and f"d_{load.name}" == name:
                return load.axes
    return node.axes
