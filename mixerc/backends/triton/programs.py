"""Programs of a plan as kernels and the functions that launch them in order."""

from mixerc.backends.module.core import Core
from mixerc.backends.module.layout import tuple_text
from mixerc.backends.triton.cuts import only_multiplied
from mixerc.backends.triton.kernels import scan_kernel
from mixerc.backends.triton.launches import Launches, LaunchView
from mixerc.backends.triton.memory import Doors
from mixerc.backends.triton.seen import rows_seen, seen
from mixerc.backends.triton.tiling import Hardware
from mixerc.backends.triton.token_kernel import Out, token_kernel
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.distribute import Program
from mixerc.plan.plan import Plan


def programs(core: Core, plan: Plan, hardware: Hardware) -> tuple[LaunchView, ...]:
    """The four programs, in the order of the file."""
    known = dict[str, str]()
    return (
        _Linear("states", plan.forward, core.loads, hardware, known).states(),
        _Linear("forward", plan.forward, core.loads, hardware, known).forward(),
        _Linear("recurrent", plan.recurrent, core.loads, hardware, known).recurrent(),
        _Linear("backward", plan.backward, core.loads, hardware, known).backward(plan.forward),
    )


class _Linear(Launches):
    """Writes the launches of one program of a linear mixer."""

    def forward(self) -> LaunchView:
        """The states at chunk boundaries, then the output."""
        self.lines.append("kept, lasts = states_piece(run, streams, constants, states, size)")
        self._kept(self.program)
        (_, output), *_ = self.program.outputs
        self.cut([output])
        self.maps({"outputs[0]": output}, rows=True)
        return self.view("The parallel mode.", "size, outputs", "lasts")

    def states(self) -> LaunchView:
        """The states at chunk boundaries alone."""
        self._scans(reverse=False)
        count = len(self.program.carries) + len(rows_seen(self.program))
        kept = tuple_text([f"kept_{i}" for i in range(count)])
        return self.view(
            "The states before each chunk, and after the last.", "size", f"{kept}, {self.lasts()}"
        )

    def backward(self, forward: Program) -> LaunchView:
        """The cotangents of states, last chunk to first, then those of the inputs."""
        self._kept(forward)
        self._scans(reverse=True)
        self.cut([node for _, node in self.program.outputs])
        groups: dict[tuple[bool, n.Axes], dict[str, n.Node]] = {}
        for index, (name, node) in enumerate(self.program.outputs):
            rows = n.ROW in node.axes
            axes = tuple(a for a in node.axes if not is_tile(a))
            lengths = self.lengths(axes)
            load = name.removeprefix("d_")
            kind = "run.acc" if load in self.inputs.shared else f"{self.tensor(load)}.dtype"
            where = ", ".join([kind, *lengths] if rows else lengths)
            memory = f"run.{'rows' if rows else 'chunked'}({where})"
            self.lines.append(f"d_{index} = {memory}")
            groups.setdefault((rows, axes), {})[f"d_{index}"] = node
        for (rows, _), group in groups.items():
            self.maps(group, rows=rows)
        made = [f"d_{index}" for index in range(len(self.program.outputs))]
        return self.view(
            "The cotangents of the inputs, and of the first states.",
            "size, kept",
            f"{tuple_text(made)}, {self.lasts()}",
        )

    def recurrent(self) -> LaunchView:
        """Token by token, in one kernel."""
        (_, output), *_ = self.program.outputs
        outs = (Out(pointer="out_at", node=output),)
        doors = Doors(tokens=True, buffers={})
        view = token_kernel(f"{self.name}_1", outs, self.program.carries, doors)
        given = {"out_at": "outputs[0]"}
        # A state without an axis that programs split is read by several: not changed in place.
        names = [out.removeprefix("state_") for out in view.outs if out.startswith("state_")]
        for index, name in enumerate(names):
            own = set(view.split) <= set(self.program.carries[index][0].axes)
            memory = "run.after" if own else "torch.empty_like"
            self.lines.append(f"last_{index} = {memory}(states[{index}])")
            given |= {f"state_{name}": f"states[{index}]", f"last_{name}": f"last_{index}"}
        self.launch("scan", "token_scan", view, given)
        return self.view("The recurrent mode.", "size, outputs", self.lasts())

    def _kept(self, forward: Program) -> None:
        """The states before each chunk, which were found already, and the rows made of them."""
        carries = tuple(carry for carry, _ in forward.carries)
        for index, node in enumerate((*carries, *rows_seen(forward))):
            self.buffers[node] = f"before_{index}"
            self.lines.append(f"before_{index} = kept[{index}]")

    def _scans(self, *, reverse: bool) -> None:
        """What each chunk does to the states, and the states from chunk to chunk."""
        carries = tuple(carry for carry, _ in self.program.carries)
        self.cut([after for _, after in self.program.carries])
        every = [seen(self.program, carry, after) for carry, after in self.program.carries]
        early = dict.fromkeys(x for one in every for x in one.given if x not in self.buffers)
        roots = [after for _, after in self.program.carries]
        self.multiplied |= {x for x in early if only_multiplied(x, roots, self.buffers)}
        self.store(early)
        rows: dict[n.Node, str] = {}
        for index, (carry, after) in enumerate(self.program.carries):
            self.lines.append(f"kept_{index} = run.chunked({', '.join(self.lengths(carry.axes))})")
            self.lines.append(f"last_{index} = torch.empty_like(states[{index}])")
            given = {"state_at": f"states[{index}]", "last_at": f"last_{index}"}
            given["kept_at"] = f"kept_{index}"
            for place, node in enumerate(every[index].rows):
                rows[node] = f"kept_{len(carries) + len(rows)}"
                self.lines.append(f"{rows[node]} = run.chunked({self._memory(node)})")
                given[f"rows_{place}_at"] = rows[node]
            view = scan_kernel(
                self.next(),
                (carry, after),
                self.doors(),
                self.program.chunk,
                reverse=reverse,
                seen=every[index],
            )
            self.launch("scan", "scan", view, given)
        for index, carry in enumerate(carries):
            self.buffers[carry] = f"kept_{index}"
        self.buffers |= rows
