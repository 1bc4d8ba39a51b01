"""The body of one kernel of a plan as lines of plain torch: one assignment a node."""

from mixerc.backends.module.fused import inside
from mixerc.backends.module.layout import laid_out
from mixerc.backends.module.names import Names
from mixerc.backends.module.nodes import NodePrinter
from mixerc.backends.module.order import growing_last, memory
from mixerc.backends.module.sizes import sizes_of
from mixerc.plan import nodes as n
from mixerc.plan.distribute import Kernel, Schedule

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
            by_rows=kernel.schedule in (Schedule.ROW_MAP, Schedule.ROW_SCAN),
            one_row=kernel.schedule == Schedule.ROW_SCAN,
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
        rows = ("rows",) if speaks_of_rows(self.kernel) else ()
        return (*sizes_of(self.kernel), *rows, *(("valid",) if _pads(self.kernel) else ()))


def speaks_of_rows(kernel: Kernel) -> bool:
    """Whether a map over the rows of a recurrence has to know how many there are."""
    spread = (node for node in kernel.body if isinstance(node, n.Spread))
    return kernel.schedule == Schedule.ROW_MAP and any(_adds_rows(node) for node in spread)


def _adds_rows(node: n.Spread) -> bool:
    return n.ROW in node.axes and n.ROW not in node.args[0].axes


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
