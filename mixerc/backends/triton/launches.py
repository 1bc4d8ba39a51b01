"""The launches of a program: kernels over all chunks, shared values, and calls with arguments."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from mixerc.backends.module.core import Inputs
from mixerc.backends.module.layout import laid_out, tuple_text
from mixerc.backends.triton.cuts import ancestors, cuts, only_multiplied
from mixerc.backends.triton.halving import edges
from mixerc.backends.triton.kernel_view import KernelView
from mixerc.backends.triton.kernels import map_kernel
from mixerc.backends.triton.memory import Doors
from mixerc.backends.triton.ordering import statements_of
from mixerc.backends.triton.pressure import NAME
from mixerc.backends.triton.tiling import Hardware
from mixerc.backends.triton.values import ROWS, Dims, dims_of, size_of
from mixerc.plan import nodes as n
from mixerc.plan.distribute import Program

_MEMORY = re.compile(r"(\w+) = run\.chunked\(")


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchView:
    """A function over a whole batch; `kernels` are (template, view) pairs."""

    name: str
    summary: str
    parameters: str
    lines: tuple[str, ...]
    returns: str
    kernels: tuple[tuple[str, KernelView], ...]


@dataclass(slots=True)
class Launches:
    """Writes the launches of one program: kernels over all chunks, and what they hand on.

    `buffers` are values in memory, those in `by_rows` like a stream (and 0 past the end, if it says
    so); `multiplied` are stored values that are only operands of contractions.
    """

    name: str
    program: Program
    inputs: Inputs
    hardware: Hardware
    known: dict[str, str]
    lines: list[str] = field(default_factory=list)
    kernels: list[tuple[str, KernelView]] = field(default_factory=list)
    buffers: dict[n.Node, str] = field(default_factory=dict)
    by_rows: dict[n.Node, bool] = field(default_factory=dict)
    multiplied: set[n.Node] = field(default_factory=set)

    def cut(self, roots: list[n.Node]) -> None:
        """What the kernels of the roots share, and the rows at which the plan says to cut."""
        every = set(ancestors(roots, self.buffers))
        for node in (x for x in self.program.handed if x in every and x not in self.buffers):
            if self._in_order(node):
                continue
            self.cut_one([node])
            if only_multiplied(node, roots, self.buffers):
                self.multiplied.add(node)
            self.store([node])
        self.cut_one(roots)

    def _in_order(self, node: n.Node) -> bool:
        """Whether a value is made of a state that no kernel has found yet."""
        return any(
            isinstance(x, n.Carry) and x not in self.buffers
            for x in ancestors((node,), self.buffers)
        )

    def cut_one(self, roots: list[n.Node]) -> None:
        """What the kernels of one set of roots share."""
        waiting = tuple(x for x in cuts(roots, self.buffers) if not self._in_order(x))
        self.multiplied |= {x for x in waiting if only_multiplied(x, roots, self.buffers)}
        while waiting:
            others = {x: set(ancestors((x,), self.buffers)) - {x} for x in waiting}
            ready = [x for x in waiting if not others[x] & set(waiting)]
            self.store(ready)
            waiting = tuple(x for x in waiting if x not in ready)

    def maps(self, group: dict[str, n.Node], *, rows: bool) -> None:
        """Values with the same axes, from one kernel if its tiles are as large as those of the
        kernels that make one each: what they share is then made once. A kernel that holds too
        much even with the smallest tiles is cut in two, and its halves again, or makes one
        value."""
        nodes = tuple(group.values())
        view = self._map(nodes, rows=rows)
        edge = () if self._fits(view) else self._best_edge(nodes, view, rows=rows)
        if len(nodes) > 1 and self._apart(nodes, view, rows=rows, cut=bool(edge)):
            for name, node in group.items():
                self.maps({name: node}, rows=rows)
        elif edge:
            self.store(edge)
            self.maps(group, rows=rows)
        else:
            given = {f"out_{index}_at": name for index, name in enumerate(group)}
            self.launch("map", "map", view, given)

    def _apart(self, nodes: tuple[n.Node, ...], view: KernelView, *, rows: bool, cut: bool) -> bool:
        """Whether values are better made by a kernel each."""
        if not cut and (not self._fits(view) or (rows and self._long(view))):
            return True
        smallest = min(self._block(self._map((node,), rows=rows)) for node in nodes)
        return self._block(view) < smallest

    def _long(self, view: KernelView) -> bool:
        """Whether a kernel has one program a chunk, with every loop in it, and holds too much to
        make several values."""
        return not view.split and self._held(view) > self.hardware.several

    def _best_edge(
        self, nodes: tuple[n.Node, ...], view: KernelView, *, rows: bool
    ) -> tuple[n.Node, ...]:
        """Where a kernel is best cut: its halves hold least, or no more with half of its products;
        nowhere if they hold as much."""
        best: tuple[n.Node, ...] = ()
        least = self._held(view), view.products // 2 + 1 if view.products > 1 else 0
        for edge in edges(nodes, self.buffers):
            # A kernel that would make several of them at once makes one, where it is too large.
            halves = [self._map((x,), rows=False) for x in edge]
            if max(map(self._held, halves)) > least[0]:
                continue
            known = dict(self.buffers)
            self.buffers |= {node: f"half_{index}" for index, node in enumerate(edge)}
            halves.append(self._map(nodes, rows=rows))
            self.buffers = known
            found = max(map(self._held, halves)), max(x.products for x in halves)
            if found < least:
                best, least = edge, found
        return best

    def store(self, nodes: Iterable[n.Node]) -> None:
        """Memory for values of each chunk, and the kernels that fill it."""
        for alike in _alike(nodes):
            names = {}
            for node in (x for x in alike if x not in self.buffers):  # else a cut has stored it
                name = f"shared_{len(self.lines)}"
                self.lines.append(f"{name} = run.chunked({self._memory(node)})")
                names[name] = node
            if names:
                self.maps(names, rows=False)
            self.buffers |= {node: name for name, node in names.items()}

    def _memory(self, node: n.Node) -> str:
        """The lengths of a stored value, and its dtype."""
        dims = dims_of(node.axes)
        lengths = ["run.chunk" if d in ROWS else self.length(size_of(d)) for d in dims]
        dtype = "run.dot" if node in self.multiplied else "run.acc"
        return ", ".join((*lengths, f"dtype={dtype}"))

    def _fits(self, view: KernelView) -> bool:
        return self._held(view) <= self.hardware.most

    def _held(self, view: KernelView) -> float:
        return self.hardware.least(partial(view.held, self.program.chunk))

    def _map(self, nodes: tuple[n.Node, ...], *, rows: bool) -> KernelView:
        return map_kernel(self.next(), nodes, self.doors(), self.program.chunk, rows=rows)

    def _block(self, view: KernelView) -> int:
        return self.hardware.tiling(partial(view.held, self.program.chunk))[0]

    def next(self) -> str:
        return f"{self.name}_{len(self.kernels) + 1}"

    def doors(self, *, tokens: bool = False) -> Doors:
        """What the next kernel may read."""
        known = {load.name for load in (*self.inputs.streams, *self.inputs.constants)}
        loads = (x.name for x in ancestors(self._roots()) if isinstance(x, n.Load))
        return Doors(
            tokens=tokens,
            buffers=dict(self.buffers),
            masked=frozenset(name for name in loads if name not in known),
            by_rows=self.by_rows,
        )

    def _roots(self) -> tuple[n.Node, ...]:
        nexts = (after for _, after in self.program.carries)
        return (*(node for _, node in self.program.outputs), *nexts)

    def launch(
        self, template: str, how: str, view: KernelView, given: dict[str, str], blocks: str = ""
    ) -> None:
        """The call of a kernel with all that it takes; `blocks` says how large its tiles are, where
        the launch does not find that itself."""
        kernel = self.kernel_name(template, view)
        arguments = [f"{name}={text}" for name, text in given.items()]
        doors = view.doors
        for pointer, name in doors.pointers.items():
            arguments.append(f"{pointer}={self.tensor(name)}")
        arguments += [f"{pointer}={name}" for pointer, name in doors.held.items()]
        arguments += [f"{heads}={self.tensor(x)}.shape[1]" for heads, x in doors.heads.items()]
        arguments += [f"{name}={text}" for text, name in doors.numbers.items()]
        tiles, split = blocks or tuple_text(quoted(view.axes)), tuple_text(quoted(view.split))
        if view.whole:
            arguments.insert(0, f"whole={tuple_text(quoted(view.whole))}")
        text = f"run.{how}({kernel}, size, {tiles}, {split}, {', '.join(arguments)})"
        self.lines += laid_out(text, 4)

    def kernel_name(self, template: str, view: KernelView) -> str:
        """The name of a kernel in the file: one that several programs run is there once."""
        if view.body not in self.known:
            self.known[view.body] = view.name
            self.kernels.append((template, view))
        return self.known[view.body]

    def tensor(self, name: str) -> str:
        """The variable of a load."""
        for which, loads in (
            ("streams", self.inputs.streams),
            ("constants", self.inputs.constants),
        ):
            for index, load in enumerate(loads):
                if load.name == name:
                    return f"{which}[{index}]"
        return f"streams[{len(self.inputs.streams)}]"

    def lengths(self, axes: n.Axes) -> list[str]:
        return [self.length(size_of(axis)) for axis in axes]

    def length(self, size: str) -> str:
        return f'size["{size}"]'

    def lasts(self) -> str:
        return f"[{', '.join(f'last_{i}' for i in range(len(self.program.carries)))}]"

    def view(self, summary: str, more: str, returns: str) -> LaunchView:
        return LaunchView(
            name=f"{self.name}_piece",
            summary=summary,
            parameters=f"run, streams, constants, states, {more}",
            lines=tuple(freed(self.lines, returns)),
            returns=returns,
            kernels=tuple(self.kernels),
        )


def freed(lines: Sequence[str], returns: str) -> Iterator[str]:
    """The lines, and behind the last launch that names memory of this piece its end, if it is not
    returned: launches run in order, so the memory may be that of the next value."""
    statements = tuple(statements_of(lines))
    made = {match[1] for line in lines if (match := _MEMORY.match(line))}
    last: dict[str, int] = {}
    for place, statement in enumerate(statements):
        last |= dict.fromkeys(made & set(NAME.findall("\n".join(statement))), place)
    ends = {name: place for name, place in last.items() if name not in NAME.findall(returns)}
    for place, statement in enumerate(statements):
        yield from statement
        yield from (f"del {name}" for name in sorted(ends) if ends[name] == place)


def quoted(names: Iterable[str]) -> list[str]:
    return [f'"{name}"' for name in names]


def _alike(nodes: Iterable[n.Node]) -> list[tuple[n.Node, ...]]:
    """The nodes that one kernel can make: those with the same dimensions."""
    groups: dict[Dims, list[n.Node]] = {}
    for node in nodes:
        groups.setdefault(dims_of(node.axes), []).append(node)
    return [tuple(group) for group in groups.values()]
