"""Kernels of a plan as views for their templates: names, parameters, one line a node."""

from dataclasses import dataclass

from mixerc.backends.module.layout import laid_out, tuple_text
from mixerc.backends.module.names import Names
from mixerc.backends.module.sizes import sizes_of
from mixerc.backends.torch.fused import inside
from mixerc.backends.torch.nodes import NodePrinter
from mixerc.backends.torch.order import growing_last, memory
from mixerc.plan import nodes as n
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


LIKE = "like"
"""A tensor of the dtype and device of accumulation, where a kernel has no other."""


class KernelPrinter:
    """Prints the body of one kernel."""

    def __init__(self, kernel: Kernel, names: Names, chunk: int, *, sweeps: bool = False) -> None:
        self.kernel = kernel
        self.names = names
        self.order = growing_last(kernel.body)
        self.inside = inside(kernel)
        self.texts = {x: names.of(x) for x in (*kernel.inputs, *_carried(kernel))}
        self.printer = NodePrinter(
            names=self.texts,
            chunk=chunk,
            lead=3 if kernel.schedule == Schedule.CHUNK_MAP else 2,
            like=_like(kernel, names) or LIKE,
            memory=memory(self.order, kernel, self.inside),
            inside=self.inside,
            sweeps=sweeps,
        )

    def lines(self, indent: int) -> tuple[str, ...]:
        """One assignment a node; a node that one other needs stands inside that one's line."""
        made: list[str] = []
        for node in self.order:
            if isinstance(node, n.Rename):
                self.texts[node] = self.texts[node.args[0]]
                continue
            if isinstance(node, n.Pick) and node not in self.kernel.stores:
                self.texts[node] = self.printer.text(node)
                continue
            text = self.printer.text(node)
            if node in self.inside:
                self.texts[node] = text
                continue
            name = self.names.of(node)
            self.texts[node] = name
            made += laid_out(f"{name} = {text}", indent, _shape(node))
        return tuple(made)

    def extras(self) -> tuple[str, ...]:
        """The sizes that the kernel speaks of, and the rows past the end, as parameters."""
        return (*sizes_of(self.kernel), *(("valid",) if _pads(self.kernel) else ()))


def _shape(node: n.Node) -> str:
    """The axes of a value as a comment: c rows, c' keys, p pairs of blocks of r rows."""
    return f"[{', '.join(axis.removeprefix('#') for axis in node.axes)}]"


def _carried(kernel: Kernel) -> tuple[n.Node, ...]:
    return tuple(carry for carry, _ in kernel.carries)


def _like(kernel: Kernel, names: Names) -> str:
    """Any tensor of the kernel: they all have the dtype and device of accumulation."""
    tensors = [x for x in (*kernel.inputs, *_carried(kernel)) if not isinstance(x, n.HeadIndex)]
    return names.of(tensors[0]) if tensors else ""


def _pads(kernel: Kernel) -> bool:
    return any(isinstance(node, n.Pad) for node in kernel.body)


def map_view(kernel: Kernel, name: str, names: Names, chunk: int) -> MapView:
    """The view of a parallel kernel."""
    printer = KernelPrinter(kernel, names, chunk)
    lines = printer.lines(4)
    parameters = (*map(names.of, kernel.inputs), *printer.extras())
    stores = tuple_text([printer.texts[node] for node in kernel.stores])
    return MapView(
        head=laid_out(f"def {name}({', '.join(parameters)}):", 0),
        summary=_summary(kernel),
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
        summary=_summary(kernel),
        loop=laid_out(f"for {_targets(inputs)} in {slices}:", 4),
        lines=lines,
        kept=kept,
        updates=laid_out(f"{', '.join(carries)} = {', '.join(after)}", 8),
        returns=laid_out(f"return {stores}, {tuple_text(list(carries))}", 4),
    )


def _summary(kernel: Kernel) -> str:
    match kernel.schedule:
        case Schedule.CHUNK_MAP:
            return "All chunks at once."
        case Schedule.CHUNK_SCAN:
            order = "last to first" if kernel.reverse else "first to last"
            return f"From chunk to chunk, {order}."
        case Schedule.TOKEN_SCAN:
            return "From token to token."


def _targets(items: tuple[str, ...]) -> str:
    return f"({items[0]},)" if len(items) == 1 else ", ".join(items)
