"""Kernels of a plan as views for their templates: names, parameters, one line a node."""

from dataclasses import dataclass

from mixerc.backends.module.bodies import KernelPrinter
from mixerc.backends.module.layout import laid_out, tuple_text
from mixerc.backends.module.names import Names
from mixerc.plan.distribute import Kernel, Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class MapView:
    """A kernel over all chunks of a piece at once."""

    head: tuple[str, ...]
    summary: str
    lines: tuple[str, ...]
    returns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanView:
    """A kernel that goes from chunk to chunk with states in hand."""

    head: tuple[str, ...]
    summary: str
    loop: tuple[str, ...]
    lines: tuple[str, ...]
    kept: tuple[tuple[str, str], ...]
    updates: tuple[str, ...]
    returns: tuple[str, ...]


def map_view(kernel: Kernel, name: str, names: Names, chunk: int) -> MapView:
    """The view of a parallel kernel."""
    printer = KernelPrinter(kernel, names, chunk)
    lines = printer.lines(4)
    parameters = (*map(names.of, kernel.inputs), *printer.extras())
    stores = tuple_text([printer.texts[node] for node in kernel.stores])
    return MapView(
        head=laid_out(f"def {name}({', '.join(parameters)}):", 0),
        summary=summary_of(kernel),
        lines=lines,
        returns=laid_out(f"return {stores}", 4),
    )


def scan_view(kernel: Kernel, name: str, names: Names, chunk: int) -> ScanView:
    """The view of a sequential kernel; what it stores is stacked over the chunks."""
    printer = KernelPrinter(kernel, names, chunk)
    lines = printer.lines(8)
    inputs = tuple(map(names.of, kernel.inputs))
    carries = tuple(names.of(carry) for carry, _ in kernel.carries)
    after = tuple(printer.printer.aligned(node, carry.axes) for carry, node in kernel.carries)
    kept = tuple((f"all_{names.of(node)}", names.of(node)) for node in kernel.stores)
    reverse = ", reverse=True" if kernel.reverse else ""
    stores = tuple_text([f"stacked({every}{reverse})" for every, _ in kept])
    parameters = ", ".join(("chunks", *inputs, *carries, *printer.extras()))
    slices = f"along({', '.join(('chunks', *inputs))}{reverse})"
    return ScanView(
        head=laid_out(f"def {name}({parameters}):", 0),
        summary=summary_of(kernel),
        loop=laid_out(f"for {_targets(inputs)} in {slices}:", 4),
        lines=lines,
        kept=kept,
        updates=laid_out(f"{', '.join(carries)} = {', '.join(after)}", 8),
        returns=laid_out(f"return {stores}, {tuple_text(list(carries))}", 4),
    )


def summary_of(kernel: Kernel) -> str:
    match kernel.schedule:
        case Schedule.CHUNK_MAP:
            return "All chunks at once."
        case Schedule.CHUNK_SCAN:
            order = "last to first" if kernel.reverse else "first to last"
            return f"From chunk to chunk, {order}."
        case Schedule.ROW_MAP:
            return "All rows at once."
        case _:
            order = ", last to first" if kernel.reverse else ""
            return f"From token to token{order}."


def _targets(items: tuple[str, ...]) -> str:
    return f"({items[0]},)" if len(items) == 1 else ", ".join(items)
