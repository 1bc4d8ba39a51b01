"""Programs of a recurrence as kernels and the functions that launch them in order.

Where every state is a scan, a direction is one kernel over tiles of rows, which finds the states of
a tile again from those kept before it: no state of a row is ever in memory. Else see row_by_row.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from mixerc.backends.module.core import Core
from mixerc.backends.module.layout import laid_out, tuple_text
from mixerc.backends.triton.carried import state_dims, state_name
from mixerc.backends.triton.launches import LaunchView
from mixerc.backends.triton.row_by_row import RowByRow
from mixerc.backends.triton.row_kernel import RowView, Scan, row_kernel, scans_of
from mixerc.backends.triton.row_launches import RowLaunches
from mixerc.backends.triton.tiling import Hardware
from mixerc.plan import nodes as n
from mixerc.plan.distribute import Program
from mixerc.plan.newton import Newton
from mixerc.plan.pairs import Pairs
from mixerc.plan.recurrence import RecurrencePlan

_SUMMARIES = {
    "forward": "The parallel mode.",
    "peaks": "The running maximum before each token and after it.",
}


def peak_program(core: Core, program: Program, hardware: Hardware) -> LaunchView:
    """The program that finds a running maximum for programs over chunks."""
    pairs = Pairs()
    launches = _Tiles(
        name="peaks",
        program=program,
        inputs=core.loads,
        hardware=hardware,
        known={},
        pairs=pairs,
    )
    return launches.forward(scans_of(program.kernels, pairs))


def row_programs(core: Core, plan: RecurrencePlan, hardware: Hardware) -> tuple[LaunchView, ...]:
    """The programs, in the order of the file."""
    pairs, known = Pairs(), dict[str, str]()
    loads = core.loads
    tiles = partial(_Tiles, inputs=loads, hardware=hardware, known=known, pairs=pairs)
    rows = partial(RowByRow, inputs=loads, hardware=hardware, known=known, pairs=pairs)
    recurrent = rows(name="recurrent", program=plan.recurrent).recurrent()
    if plan.forward is None:
        states = rows(name="states", program=plan.states)
        found = states.states()
        views = [recurrent, found]
        if plan.newton is not None:
            views.append(tiles(name="newton", program=plan.newton.program).newton(plan.newton))
        if not plan.backward.row_by_row:  # adjoints, where no place of a state feeds another
            backward = tiles(name="backward", program=plan.backward)
            return *views, backward.of_rows(states.kept)
        by_rows = rows(name="backward", program=plan.backward)
        return *views, by_rows.backward(states.kept)
    scans = scans_of(plan.forward.kernels, pairs)
    kept = tuple(carry.state for carry, _ in plan.carries)
    return (
        tiles(name="states", program=plan.states).states(scans),
        tiles(name="forward", program=plan.forward).forward(scans),
        recurrent,
        tiles(name="backward", program=plan.backward).backward(scans, kept),
    )


@dataclass(slots=True)
class _Tiles(RowLaunches):
    """Writes the launches of a program whose kernel goes over tiles of rows."""

    def forward(self, scans: tuple[Scan, ...]) -> LaunchView:
        """The parallel mode: every output."""
        named = {f"out_{i}": node for i, (_, node) in enumerate(self.program.outputs)}
        view = row_kernel(f"{self.name}_1", scans, self.outs(named), self.doors())
        given = self.moved()
        self._blocks(view)
        self._filled(view, given, named)
        return self.view(_SUMMARIES[self.name], "size, outputs", self.lasts())

    def _filled(self, view: RowView, given: dict[str, str], outputs: dict[str, n.Node]) -> None:
        """The launch, into the outputs, or into parts of them that are added up behind it."""
        added = []
        for index, (name, node) in enumerate(outputs.items()):
            parts = tuple(axis for axis in view.parts if axis not in node.axes)
            given[f"{name}_at"] = f"outputs[{index}]"
            if parts:
                lengths = f"outputs[{index}].shape[2:]"
                memory = f"run.memory(True, {self._count(parts)}, run.acc, {lengths})"
                self.lines.append(f"made_{index} = {memory}")
                given[f"{name}_at"] = f"made_{index}"
                added.append(f"outputs[{index}].copy_(made_{index}.sum(0))")
        self._rows(view, given)
        self.lines += added

    def states(self, scans: tuple[Scan, ...]) -> LaunchView:
        """The states before each tile of rows."""
        view = row_kernel("states_1", scans, (), self.doors(), kept=True)
        given = self.moved()
        for index, (carry, _) in enumerate(self.program.carries):
            self.lines.append(f"kept_{index} = run.chunked({self.state_lengths(carry)})")
            given[f"kept_{state_name(carry)}_at"] = f"kept_{index}"
        self._blocks(view)
        self._rows(view, given)
        kept = ", ".join(f"kept_{index}" for index in range(len(self.program.carries)))
        summary = "The states before each tile of rows, and after the last."
        return self.view(summary, "size", f"({kept},), {self.lasts()}")

    def newton(self, plan: Newton) -> LaunchView:
        """A step of Newton's method: the output, and the states before all rows, from a guess."""
        guesses = [half for carry in plan.guesses for half in self.carried(carry)]
        self._given(guesses, "guess")
        outputs = {"out_0": self.program.outputs[0][1]}
        carries = [half for carry, _ in self.program.carries for half in self.carried(carry)]
        named = outputs | {f"row_{i}": carry for i, carry in enumerate(carries)}
        scans = scans_of(self.program.kernels, self.pairs)
        view = row_kernel("newton_1", scans, self.outs(named), self.doors())
        given = self.moved()
        for index, carry in enumerate(carries):
            lengths = ", ".join(("run.acc", *self.lengths(state_dims(carry))))
            self.lines += laid_out(f"row_{index} = run.rows({lengths})", 4)
            given[f"row_{index}_at"] = f"row_{index}"
        self._blocks(view)
        self._filled(view, given, outputs)
        rows = tuple_text([f"row_{index}" for index in range(len(carries))])
        summary = "A step of Newton's method: the output, and the states before all rows."
        return self.view(summary, "size, outputs, guess", f"{rows}, {self.lasts()}")

    def _given(self, carries: Iterable[n.Carry], where: str) -> None:
        """States before all rows that are in memory."""
        for index, carry in enumerate(carries):
            self.buffers[carry] = f"{where}[{index}]"
            self.by_rows[carry] = False

    def of_rows(self, kept: list[n.Carry]) -> LaunchView:
        """The adjoint, where the states before all rows were `kept`."""
        self._given(kept, "kept")
        return self.backward((), ())

    def backward(self, again: tuple[Scan, ...], kept: tuple[str, ...]) -> LaunchView:
        """The adjoint, from the last tile to the first; `kept` are all states, in order."""
        scans = scans_of(self.program.kernels, self.pairs)
        named = {f"d_{i}": node for i, (_, node) in enumerate(self.program.outputs)}
        loads = [name.removeprefix("d_") for name, _ in self.program.outputs]
        outs = self.outs(named, loads)
        view = row_kernel("backward_1", scans, outs, self.doors(), again=again)
        given = self.moved()
        for carry in (carry for scan in again for carry in scan.carries):
            given[f"kept_{state_name(carry)}_at"] = f"kept[{kept.index(carry.state)}]"
        self._blocks(view)
        results = []
        for (name, node), load in zip(named.items(), loads, strict=True):
            parts = tuple(axis for axis in view.parts if axis not in node.axes)
            memory = self.memory_of(node, load, self._count(parts))
            self.lines += laid_out(f"{name} = {memory}", 4)
            given[f"{name}_at"] = name
            results.append(f"{name}.sum(0)" if parts else name)
        self._rows(view, given)
        summary = "The cotangents of the inputs, and of the first states."
        return self.view(summary, "size, kept", f"({', '.join(results)},), {self.lasts()}")

    def _blocks(self, view: RowView) -> None:
        """The places of axes that the kernel's tiles hold."""
        split = self.quoted(view.kernel.split)
        self.lines.append(f"blocks = run.blocks({view.kernel.name}, size, {split})")

    def _count(self, parts: n.Axes) -> str:
        """How many programs have a part of a value; 0 where each has all of its own."""
        return f"run.parts(size, blocks, {self.quoted(parts)})" if parts else "0"

    def _rows(self, view: RowView, given: dict[str, str]) -> None:
        """The launch over rows."""
        if view.parts:
            given = given | {"tokens": "run.tokens_all", "sequences": "run.sequences"}
        self.launch("scan", "row_scan", view.kernel, given, "blocks")
