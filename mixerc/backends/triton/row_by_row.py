"""The backward of what goes row by row only: states before all rows are kept, and what needs no
order is made for all rows at once, before the scan from last to first and behind it.

The scan itself is one kernel for each group of states, with what is constant in registers.
"""

from dataclasses import dataclass, field, replace

from mixerc.backends.module.layout import laid_out
from mixerc.backends.triton.cuts import ancestors
from mixerc.backends.triton.launches import LaunchView
from mixerc.backends.triton.row_launches import RowLaunches
from mixerc.backends.triton.token_kernel import Carries, Out, token_kernel
from mixerc.plan import nodes as n
from mixerc.plan.build import Builder, is_tile
from mixerc.plan.distribute import Kernel, Schedule, is_given
from mixerc.plan.node_affine import updates_of

ROWS = 64
"""Rows that a kernel over all of them takes at once."""
_MOVES = (n.Rename, n.Spread)


@dataclass(slots=True)
class RowByRow(RowLaunches):
    """Writes the launches of a program that goes row by row; `kept` are halves of states, in the
    order in which one program hands them to another."""

    kept: list[n.Carry] = field(default_factory=list)

    def states(self) -> LaunchView:
        """The states before each row, in memory."""
        carries = self.halves_of(self.program.carries)
        given = self.moved()
        self.kept = [carry for carry, _ in carries]
        names = self._scan("states_1", carries, tuple(self.kept), given, reverse=False)
        summary = "The states before each row, and after the last."
        return self.view(summary, "size", f"({', '.join(names)},), {self.lasts()}")

    def backward(self, kept: list[n.Carry]) -> LaunchView:
        """The cotangents of states, last row to first, then those of the inputs."""
        self.program = replace(self.program, chunk=ROWS)
        for index, carry in enumerate(kept):
            self.buffers[carry] = f"kept[{index}]"
            self.by_rows[carry] = False
        ends = self.moved()
        for index, kernel in enumerate(self.program.kernels):
            later = self.program.kernels[index + 1 :]
            if kernel.schedule == Schedule.ROW_MAP:
                self._handed_on(kernel, later)
            else:
                self._reversed(kernel, ends)
        results = self._results()
        summary = "The cotangents of the inputs, and of the first states."
        return self.view(summary, "size, kept", f"({', '.join(results)},), {self.lasts()}")

    def _handed_on(self, kernel: Kernel, later: tuple[Kernel, ...]) -> None:
        """What a map over all rows makes for later kernels; what only moves, they make."""
        read = {x for other in later for x in (*other.inputs, *other.forms)}
        halves = (x for node in kernel.stores if node in read for x in self.pairs.of(node))
        wanted = [
            x for x in halves if n.ROW in x.axes and not isinstance(x, _MOVES) and not is_given(x)
        ]
        groups: dict[n.Axes, dict[str, n.Node]] = {}
        for node in wanted:
            name = self._row_memory(node)
            groups.setdefault(node.axes, {})[name] = node
        for group in groups.values():
            self.maps(group, rows=True)
            for name, node in group.items():
                self._in_rows(node, name)

    def _reversed(self, kernel: Kernel, ends: dict[str, str]) -> None:
        """A scan of cotangents, each of which is kept before it meets a row's own."""
        carries = self.halves_of(updates_of(Builder(), kernel))
        made = tuple(carry for carry, _ in carries)
        name = self.next()
        self._scan(name, carries, made, ends, reverse=kernel.reverse)

    def _scan(
        self,
        name: str,
        carries: Carries,
        made: tuple[n.Carry, ...],
        ends: dict[str, str],
        *,
        reverse: bool,
    ) -> list[str]:
        """The launch of a scan, and the memory of what its states were before each row."""
        names = [self._row_memory(carry) for carry in made]
        outs = tuple(
            Out(pointer=f"rows_{index}_at", node=carry) for index, carry in enumerate(made)
        )
        view = token_kernel(name, outs, carries, self.doors(tokens=True), reverse=reverse)
        given = {f"rows_{index}_at": found for index, found in enumerate(names)}
        given |= {pointer: ends[pointer] for pointer in view.outs if pointer in ends}
        self.launch("scan", "token_scan", view, given)
        for carry, found in zip(made, names, strict=True):
            self._in_rows(carry, found)
        return names

    def _row_memory(self, node: n.Node) -> str:
        """A variable with memory for a value of each row."""
        name = f"row_{len(self.lines)}"
        axes = tuple(axis for axis in node.axes if not is_tile(axis))
        lengths = ", ".join(("run.acc", *self.lengths(axes)))
        self.lines += laid_out(f"{name} = run.rows({lengths})", 4)
        return name

    def _in_rows(self, node: n.Node, name: str) -> None:
        """Has a value come from memory from now on. What is linear in cotangents is 0 past the
        end, so that it counts in no sum over rows."""
        known = {x.name for x in (*self.inputs.streams, *self.inputs.constants)}
        moved = {carry for carry, _ in self.halves_of(self.program.carries)}
        outside = self.buffers.keys() - {node}
        linear = any(
            x in moved or (isinstance(x, n.Load) and x.name not in known) or self.by_rows.get(x)
            for x in ancestors((node,), outside)
        )
        self.buffers[node] = name
        self.by_rows[node] = linear

    def _results(self) -> list[str]:
        """The cotangents of all inputs; those of constants a chunk of rows, to be added up."""
        results = []
        groups: dict[tuple[bool, n.Axes], dict[str, n.Node]] = {}
        for index, (of, node) in enumerate(self.program.outputs):
            rows, load = n.ROW in node.axes, of.removeprefix("d_")
            made = self.pairs.of(node)
            names = [f"d_{index}_{half}" for half in ("re", "im")[: len(made)]]
            names = names if self.is_complex(load) else [f"d_{index}"]
            axes = tuple(a for a in node.axes if not is_tile(a))
            for name, half in zip(names, made, strict=False):
                lengths = ", ".join(self.lengths(axes))
                memory = f"run.rows(run.acc, {lengths})" if rows else f"run.chunked({lengths})"
                self.lines.append(f"{name} = {memory}")
                groups.setdefault((rows, axes), {})[name] = half
            whole = names[0]
            if self.is_complex(load):
                other = names[1] if len(made) == 2 else f"torch.zeros_like({names[0]})"
                whole = f"torch.stack(({names[0]}, {other}), -1)"
            results.append(whole if rows else f"run.there({whole})")
        for (rows, _), group in groups.items():
            self.maps(group, rows=rows)
        return results
