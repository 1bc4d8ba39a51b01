"""Programs of a plan as kernels and the functions that launch them in order."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from mixerc.backends.module.core import Core, Inputs
from mixerc.backends.module.layout import laid_out, tuple_text
from mixerc.backends.triton.cuts import ancestors, cuts, only_multiplied
from mixerc.backends.triton.halving import edges
from mixerc.backends.triton.kernel_view import KernelView
from mixerc.backends.triton.kernels import map_kernel, scan_kernel
from mixerc.backends.triton.memory import Doors
from mixerc.backends.triton.tiling import Hardware
from mixerc.backends.triton.token_kernel import Out, token_kernel
from mixerc.backends.triton.values import COLUMN, ROW, Dims, dims_of, size_of
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.distribute import Program
from mixerc.plan.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchView:
    """A function over a whole batch; `kernels` are (template, view) pairs."""

    name: str
    summary: str
    parameters: str
    lines: tuple[str, ...]
    returns: str
    kernels: tuple[tuple[str, KernelView], ...]


def programs(core: Core, plan: Plan, hardware: Hardware) -> tuple[LaunchView, ...]:
    """The four programs, in the order of the file."""
    known = dict[str, str]()
    return (
        _Launches("states", plan.forward, core.loads, hardware, known).states(),
        _Launches("forward", plan.forward, core.loads, hardware, known).forward(),
        _Launches("recurrent", plan.recurrent, core.loads, hardware, known).recurrent(),
        _Launches("backward", plan.backward, core.loads, hardware, known).backward(plan.forward),
    )


@dataclass(slots=True)
class _Launches:
    """Writes the launches of one program; `multiplied` are stored values that are only operands of
    contractions."""

    name: str
    program: Program
    inputs: Inputs
    hardware: Hardware
    known: dict[str, str]
    lines: list[str] = field(default_factory=list)
    kernels: list[tuple[str, KernelView]] = field(default_factory=list)
    buffers: dict[n.Node, str] = field(default_factory=dict)
    multiplied: set[n.Node] = field(default_factory=set)

    def forward(self) -> LaunchView:
        """The states at chunk boundaries, then the output."""
        self.lines.append("kept, lasts = states_piece(run, streams, constants, states, size)")
        self._kept(self.program.carries)
        (_, output), *_ = self.program.outputs
        self._cut([output])
        self._maps({"outputs[0]": output}, rows=True)
        return self._view("The parallel mode.", "size, outputs", "lasts")

    def states(self) -> LaunchView:
        """The states at chunk boundaries alone."""
        self._scans(reverse=False)
        kept = tuple_text([f"kept_{i}" for i in range(len(self.program.carries))])
        return self._view(
            "The states before each chunk, and after the last.", "size", f"{kept}, {self._lasts()}"
        )

    def backward(self, forward: Program) -> LaunchView:
        """The cotangents of states, last chunk to first, then those of the inputs."""
        self._kept(forward.carries)
        self._scans(reverse=True)
        self._cut([node for _, node in self.program.outputs])
        groups: dict[tuple[bool, n.Axes], dict[str, n.Node]] = {}
        for index, (name, node) in enumerate(self.program.outputs):
            rows = n.ROW in node.axes
            axes = tuple(a for a in node.axes if not is_tile(a))
            lengths = self._lengths(axes)
            load = name.removeprefix("d_")
            kind = "run.acc" if load in self.inputs.shared else f"{self._tensor(load)}.dtype"
            where = ", ".join([kind, *lengths] if rows else lengths)
            memory = f"run.{'rows' if rows else 'chunked'}({where})"
            self.lines.append(f"d_{index} = {memory}")
            groups.setdefault((rows, axes), {})[f"d_{index}"] = node
        for (rows, _), group in groups.items():
            self._maps(group, rows=rows)
        made = [f"d_{index}" for index in range(len(self.program.outputs))]
        return self._view(
            "The cotangents of the inputs, and of the first states.",
            "size, kept",
            f"{tuple_text(made)}, {self._lasts()}",
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
        self._launch("scan", "token_scan", view, given)
        return self._view("The recurrent mode.", "size, outputs", self._lasts())

    def _kept(self, carries: tuple[tuple[n.Carry, n.Node], ...]) -> None:
        """The states before each chunk, which were found already."""
        for index, (carry, _) in enumerate(carries):
            self.buffers[carry] = f"before_{index}"
            self.lines.append(f"before_{index} = kept[{index}]")

    def _scans(self, *, reverse: bool) -> None:
        """What each chunk does to the states, and the states from chunk to chunk."""
        carries = tuple(carry for carry, _ in self.program.carries)
        self._cut([after for _, after in self.program.carries])
        for index, (carry, after) in enumerate(self.program.carries):
            self.lines.append(f"kept_{index} = run.chunked({', '.join(self._lengths(carry.axes))})")
            self.lines.append(f"last_{index} = torch.empty_like(states[{index}])")
            view = scan_kernel(
                self._next(), carry, after, self._doors(), self.program.chunk, reverse=reverse
            )
            given = {"state_at": f"states[{index}]", "last_at": f"last_{index}"}
            self._launch("scan", "scan", view, given | {"kept_at": f"kept_{index}"})
        for index, carry in enumerate(carries):
            self.buffers[carry] = f"kept_{index}"

    def _cut(self, roots: list[n.Node]) -> None:
        """What the kernels of the roots share."""
        waiting = cuts(roots, self.buffers)
        self.multiplied |= {x for x in waiting if only_multiplied(x, roots, self.buffers)}
        while waiting:
            others = {x: set(ancestors((x,), self.buffers)) - {x} for x in waiting}
            ready = [x for x in waiting if not others[x] & set(waiting)]
            self._store(ready)
            waiting = tuple(x for x in waiting if x not in ready)

    def _maps(self, group: dict[str, n.Node], *, rows: bool) -> None:
        """Values with the same axes, from one kernel if its tiles are as large as those of the
        kernels that make one each: what they share is then made once. A kernel that holds too
        much even with the smallest tiles is cut in two, or makes one value."""
        nodes = tuple(group.values())
        view = self._map(nodes, rows=rows)
        smallest = min(self._block(self._map((node,), rows=rows)) for node in nodes)
        edge = () if self._fits(view) else self._best_edge(nodes, self._held(view), rows=rows)
        alone = self._block(view) < smallest or not (edge or self._fits(view))
        if alone and len(nodes) > 1:
            for name, node in group.items():
                self._maps({name: node}, rows=rows)
            return
        if edge:
            self._store(edge)
            view = self._map(nodes, rows=rows)
        given = {f"out_{index}_at": name for index, name in enumerate(group)}
        self._launch("map", "map", view, given)

    def _best_edge(
        self, nodes: tuple[n.Node, ...], whole: float, *, rows: bool
    ) -> tuple[n.Node, ...]:
        """Where a kernel is best cut: its halves hold least; nowhere if they hold no less."""
        best: tuple[n.Node, ...] = ()
        for edge in edges(nodes, self.buffers):
            first = [self._held(self._map(x, rows=False)) for x in _alike(edge)]
            known = dict(self.buffers)
            self.buffers |= {node: f"half_{index}" for index, node in enumerate(edge)}
            second = self._held(self._map(nodes, rows=rows))
            self.buffers = known
            if max(*first, second) < whole:
                best, whole = edge, max(*first, second)
        return best

    def _store(self, nodes: Iterable[n.Node]) -> None:
        """Memory for values of each chunk, and the kernels that fill it."""
        for alike in _alike(nodes):
            names = {}
            for node in alike:
                name = f"shared_{len(self.lines)}"
                self.lines.append(f"{name} = run.chunked({self._memory(node)})")
                names[name] = node
            self._maps(names, rows=False)
            self.buffers |= {node: name for name, node in names.items()}

    def _memory(self, node: n.Node) -> str:
        """The lengths of a stored value, and its dtype."""
        dims = dims_of(node.axes)
        lengths = ["run.chunk" if d in (ROW, COLUMN) else self._length(size_of(d)) for d in dims]
        dtype = "run.dot" if node in self.multiplied else "run.acc"
        return ", ".join((*lengths, f"dtype={dtype}"))

    def _fits(self, view: KernelView) -> bool:
        return self._held(view) <= self.hardware.most

    def _held(self, view: KernelView) -> float:
        return self.hardware.least(partial(view.held, self.program.chunk))

    def _map(self, nodes: tuple[n.Node, ...], *, rows: bool) -> KernelView:
        return map_kernel(self._next(), nodes, self._doors(), self.program.chunk, rows=rows)

    def _block(self, view: KernelView) -> int:
        return self.hardware.tiling(partial(view.held, self.program.chunk))[0]

    def _next(self) -> str:
        return f"{self.name}_{len(self.kernels) + 1}"

    def _doors(self) -> Doors:
        known = {load.name for load in (*self.inputs.streams, *self.inputs.constants)}
        loads = (x.name for x in ancestors(self._roots()) if isinstance(x, n.Load))
        return Doors(
            tokens=False,
            buffers=dict(self.buffers),
            masked=frozenset(name for name in loads if name not in known),
        )

    def _roots(self) -> tuple[n.Node, ...]:
        nexts = (after for _, after in self.program.carries)
        return (*(node for _, node in self.program.outputs), *nexts)

    def _launch(self, template: str, how: str, view: KernelView, given: dict[str, str]) -> None:
        """The call of a kernel with all that it takes."""
        kernel = self._name(template, view)
        arguments = [f"{name}={text}" for name, text in given.items()]
        doors = view.doors
        for pointer, name in doors.pointers.items():
            arguments.append(f"{pointer}={self._tensor(name)}")
        arguments += [f"{pointer}={name}" for pointer, name in doors.held.items()]
        arguments += [f"{heads}={self._tensor(x)}.shape[1]" for heads, x in doors.heads.items()]
        arguments += [f"{name}={text}" for text, name in doors.numbers.items()]
        axes, split = tuple_text(_quoted(view.axes)), tuple_text(_quoted(view.split))
        text = f"run.{how}({kernel}, size, {axes}, {split}, {', '.join(arguments)})"
        self.lines += laid_out(text, 4)

    def _name(self, template: str, view: KernelView) -> str:
        """The name of a kernel in the file: one that several programs run is there once."""
        if view.body not in self.known:
            self.known[view.body] = view.name
            self.kernels.append((template, view))
        return self.known[view.body]

    def _tensor(self, name: str) -> str:
        """The variable of a load."""
        for which, loads in (
            ("streams", self.inputs.streams),
            ("constants", self.inputs.constants),
        ):
            for index, load in enumerate(loads):
                if load.name == name:
                    return f"{which}[{index}]"
        return f"streams[{len(self.inputs.streams)}]"

    def _lengths(self, axes: n.Axes) -> list[str]:
        return [self._length(size_of(axis)) for axis in axes]

    def _length(self, size: str) -> str:
        return f'size["{size}"]'

    def _lasts(self) -> str:
        return f"[{', '.join(f'last_{i}' for i in range(len(self.program.carries)))}]"

    def _view(self, summary: str, more: str, returns: str) -> LaunchView:
        return LaunchView(
            name=f"{self.name}_piece",
            summary=summary,
            parameters=f"run, streams, constants, states, {more}",
            lines=tuple(self.lines),
            returns=returns,
            kernels=tuple(self.kernels),
        )


def _quoted(names: Iterable[str]) -> list[str]:
    return [f'"{name}"' for name in names]


def _alike(nodes: Iterable[n.Node]) -> list[tuple[n.Node, ...]]:
    """The nodes that one kernel can make: those with the same dimensions."""
    groups: dict[Dims, list[n.Node]] = {}
    for node in nodes:
        groups.setdefault(dims_of(node.axes), []).append(node)
    return [tuple(group) for group in groups.values()]
