"""Programs of a recurrence as views: maps over all rows of a piece, and scans from row to row."""

from dataclasses import dataclass

from mixerc.backends.module.bodies import KernelPrinter, speaks_of_rows
from mixerc.backends.module.core import Core, Inputs
from mixerc.backends.module.layout import laid_out, tuple_text
from mixerc.backends.module.names import Names
from mixerc.backends.module.nodes import NodePrinter
from mixerc.backends.module.sizes import sizes_of
from mixerc.backends.torch.kernels import MapView, ScanView, map_view, summary_of
from mixerc.backends.torch.programs import SUMMARIES, ProgramView, unpacking, wanted_axes
from mixerc.plan import nodes as n
from mixerc.plan.distribute import Kernel, Program, Schedule
from mixerc.plan.plan import loads
from mixerc.plan.recurrence import RecurrencePlan

ROWS = "rows"
_SUMMARIES = SUMMARIES | {
    "states": "The states before each row of the piece, and after it.",
    "backward": "The adjoint of the piece, given the states before its rows.",
    "newton": "A step of Newton's method: from states before rows to better ones, and the output.",
    "peaks": "The running maximum before each row of the piece, and after it.",
}


_WRITTEN = ("forward", "recurrent", "peaks")
"""Programs that are told where their outputs go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowScanView:
    """A scan row by row: `states` are the carried states, `kept` lists of what they were."""

    head: tuple[str, ...]
    summary: str
    states: tuple[tuple[str, str], ...]
    loop: tuple[str, ...]
    lines: tuple[str, ...]
    updates: tuple[str, ...]
    returns: tuple[str, ...]


def row_programs(core: Core, plan: RecurrencePlan) -> tuple[ProgramView, ...]:
    """Every program, in the order of the file."""
    given = {"backward": plan.states.boundaries}
    if plan.newton is not None:
        given["newton"] = plan.newton.guesses
    return tuple(
        _program(name, program, core.loads, given.get(name, ())) for name, program in plan.programs
    )


def peak_program(core: Core, program: Program) -> ProgramView:
    """The program that finds a running maximum for programs over chunks."""
    return _program("peaks", program, core.loads, ())


def _program(
    name: str, program: Program, inputs: Inputs, given: tuple[n.Carry, ...]
) -> ProgramView:
    names = Names()
    for load in loads(program):
        names.of(load)
    for carry in given:
        names.of(carry)
    states = {carry: f"states[{i}]" for i, (carry, _) in enumerate(program.carries)}
    more = ", into" if name in _WRITTEN else ", boundaries" if given else ""
    into = _straight(program) if name in _WRITTEN else {}
    kernels: list[tuple[str, MapView | ScanView | RowScanView]] = []
    calls: list[str] = []
    for index, kernel in enumerate(program.kernels, 1):
        called = f"{name}_{index}"
        kernels += _kernel(kernel, called, names)
        calls += [
            part
            for line in _call(kernel, called, names, states, into)
            for part in laid_out(line, 4)
        ]
    lasts = ", ".join(names.beside("last", carry) for carry in states)
    return ProgramView(
        name=f"{name}_piece",
        summary=_SUMMARIES[name],
        parameters=f"{ROWS}, streams, constants, states, size{more}",
        unpacking=unpacking(program, names, inputs, given, "None, :"),
        calls=tuple(calls),
        returns=(
            *laid_out(f"made = {_results(program, names)}", 4),
            *laid_out(f"return made, ({lasts},)", 4),
        ),
        kernels=tuple(kernels),
    )


def _kernel(
    kernel: Kernel, name: str, names: Names
) -> list[tuple[str, MapView | ScanView | RowScanView]]:
    match kernel.schedule:
        case Schedule.ROW_MAP:
            return [("chunk_map", map_view(kernel, name, names, 1))]
        case Schedule.ROW_SCAN:
            return [("row_scan", _scan_view(kernel, name, names))]
        case _:
            return []


def _scan_view(kernel: Kernel, name: str, names: Names) -> RowScanView:
    printer = KernelPrinter(kernel, names, 1)
    lines = printer.lines(8)
    inputs = [names.of(node) for node in kernel.inputs]
    carries = [names.of(carry) for carry, _ in kernel.carries]
    of_rows = tuple(names.of(x) for x in kernel.inputs if n.ROW in x.axes)
    after = [printer.printer.aligned(node, carry.axes) for carry, node in kernel.carries]
    reverse = ", reverse=True" if kernel.reverse else ""
    every = [names.beside("all", carry) for carry, _ in kernel.carries]
    kept = [f"rows_of({name}{reverse})" for name in every]
    parameters = ", ".join((ROWS, *inputs, *carries, *sizes_of(kernel)))
    each = laid_out(f"({', '.join(of_rows)},) = row", 8) if of_rows else ()
    return RowScanView(
        head=laid_out(f"def {name}({parameters}):", 0),
        summary=summary_of(kernel),
        states=tuple(zip(carries, every, strict=True)),
        loop=laid_out(
            f"for {'row' if of_rows else '_'} in by_rows({', '.join((ROWS, *of_rows))}{reverse}):",
            4,
        ),
        lines=(*each, *lines),
        updates=laid_out(f"{', '.join(carries)} = {', '.join(after)}", 8),
        returns=laid_out(f"return {tuple_text(kept)}", 4),
    )


def _straight(program: Program) -> dict[n.Node, str]:
    """Outputs that a scan makes, and where it can write them: nothing reads the states before."""
    read = {x for kernel in program.kernels for x in (*kernel.inputs, *kernel.stores)}
    single = (k for k in program.kernels if k.addends and len(k.carries) == 1)
    afters = {y: x for kernel in single for x, y in kernel.carries}
    return {
        node: f"into[{index}]"
        for index, (_, node) in enumerate(program.outputs)
        if node in afters and afters[node] not in read
    }


def _call(
    kernel: Kernel,
    name: str,
    names: Names,
    states: dict[n.Carry, str],
    into: dict[n.Node, str],
) -> tuple[str, ...]:
    sizes = [_size(size) for size in sizes_of(kernel)]
    arguments = [names.of(node) for node in kernel.inputs]
    if kernel.schedule == Schedule.ROW_MAP:
        made = ", ".join(names.of(node) for node in kernel.stores)
        rows = [ROWS] if speaks_of_rows(kernel) else []
        return (f"({made},) = {name}({', '.join(arguments + sizes + rows)})",)
    if kernel.addends:
        return (_solving(kernel, names, states, into),)
    held = [states[carry] for carry, _ in kernel.carries]
    call = f"{name}({', '.join((ROWS, *arguments, *held, *sizes))})"
    return (f"{', '.join(_triples(kernel, names))}, = {call}",)


def _solving(
    kernel: Kernel, names: Names, states: dict[n.Carry, str], into: dict[n.Node, str]
) -> str:
    """The call of a scan that has no body."""
    like = kernel.carries[0][0].axes
    printer = NodePrinter(names={x: names.of(x) for x in kernel.inputs}, chunk=1, lead=2, like="")
    factors, addends = (
        [printer.aligned(x, like) for x in side] for side in (kernel.factors, kernel.addends)
    )
    tail = ", reverse=True" if kernel.reverse else ""
    triples = _triples(kernel, names)
    if len(triples) > 1:
        held = tuple_text([states[carry] for carry, _ in kernel.carries])
        forms = f"{tuple_text(factors)}, {tuple_text(addends)}"
        return f"{', '.join(triples)} = scanned_together({ROWS}, {held}, {forms}{tail})"
    ((carry, after),) = kernel.carries
    scan = "scanned" if kernel.schedule == Schedule.AFFINE_SCAN else "peaked"
    tail += f", out={into[after]}" if after in into else ""
    forms = f"{factors[0]}, {addends[0]}"
    return f"{triples[0].strip('()')} = {scan}({ROWS}, {states[carry]}, {forms}{tail})"


def _triples(kernel: Kernel, names: Names) -> list[str]:
    """What a scan gives of each state: before rows, after them, the last."""
    return [
        f"({names.of(carry)}, {names.of(after)}, {names.beside('last', carry)})"
        for carry, after in kernel.carries
    ]


def _size(size: str) -> str:
    return f'size["{size}"]'


def _results(program: Program, names: Names) -> str:
    """Outputs with their axes as the op has them, or the states before each row."""
    if program.boundaries:
        return f"({', '.join(names.of(carry) for carry in program.boundaries)},)"
    held = {node: names.of(node) for _, node in program.outputs}
    printer = NodePrinter(names=held, chunk=1, lead=2, like="states[0]", by_rows=True)
    texts = [
        printer.aligned(node, wanted_axes(name, node, program)) for name, node in program.outputs
    ]
    return tuple_text(texts)
