"""The kernel that goes over a recurrence a tile of rows at a time: every scan of one direction, and
all that is made of its states, so that no state of a row is ever written to memory.

A program has a block of the axes that are not summed on the way. Where a value that is stored is
itself a sum over such an axis, each program stores its part of the sum, and the launch adds them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mixerc.backends.triton.body import Body
from mixerc.backends.triton.carried import fixed, state_before, state_dims, state_name
from mixerc.backends.triton.cuts import ancestors
from mixerc.backends.triton.kernel_view import CHUNK, KernelView, store, view
from mixerc.backends.triton.memory import CHUNKS, SEQUENCES, TOKENS, Doors, Held, Rows
from mixerc.backends.triton.partial import partial_sums
from mixerc.backends.triton.pressure import most_held
from mixerc.backends.triton.scope import Scope
from mixerc.backends.triton.tiles import TilePrinter
from mixerc.backends.triton.together import scan_name
from mixerc.backends.triton.token_kernel import Out, spec_axes
from mixerc.backends.triton.values import (
    ROW,
    Dims,
    Value,
    aligned,
    block_of,
    dims_of,
    first_of,
    places_of,
    shape_text,
    size_of,
)
from mixerc.plan import nodes as n
from mixerc.plan.distribute import Kernel, Schedule
from mixerc.plan.pairs import Numbers, Pairs

_ROWS, _BLOCK = 16, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A scan of the plan over real numbers: one of each, both halves of a complex one, or of states
    that feed one another all, with the matrix of their factors, row by row."""

    carries: tuple[n.Carry, ...]
    afters: tuple[n.Node, ...]
    factors: tuple[n.Node, ...]
    addends: tuple[n.Node, ...]
    peak: bool
    reverse: bool

    @property
    def states(self) -> tuple[n.Node, ...]:
        """Everything that the scan makes."""
        return (*self.carries, *self.afters)

    @property
    def names(self) -> tuple[str, ...]:
        """The states of the spec that it solves."""
        return tuple(dict.fromkeys(map(state_name, self.carries)))

    def function(self, *, both: bool) -> str:
        """The function that scans a tile; `both` gives the states before each row too."""
        if len(self.factors) > len(self.carries):
            return scan_name(len(self.carries), both=both)
        kind = "peaked" if self.peak else "scanned"
        return kind + "_pair" * (len(self.carries) == 2) + "_both" * both


def scans_of(kernels: Iterable[Kernel], pairs: Pairs) -> tuple[Scan, ...]:
    """The scans of a program, in order."""
    return tuple(_scan(x, pairs) for x in kernels if x.schedule != Schedule.ROW_MAP)


def _scan(kernel: Kernel, pairs: Pairs) -> Scan:
    halves = [[x for x in pairs.of(c) if isinstance(x, n.Carry)] for c, _ in kernel.carries]
    width = len(halves[0])
    afters = (x for _, after in kernel.carries for x in _as_many(pairs, after, width))
    factors = [_as_many(pairs, x, width) for x in kernel.factors]
    if len(kernel.carries) > 1 and width == 2:
        factors = _as_matrix(pairs, factors, len(kernel.carries))
    return Scan(
        carries=tuple(x for found in halves for x in found),
        afters=tuple(afters),
        factors=tuple(x for found in factors for x in found),
        addends=tuple(x for node in kernel.addends for x in _as_many(pairs, node, width)),
        peak=kernel.schedule == Schedule.PEAK_SCAN,
        reverse=kernel.reverse,
    )


def _as_matrix(pairs: Pairs, factors: list[Numbers], count: int) -> list[Numbers]:
    """The rows of a matrix of complex numbers as those of one of real numbers, twice as many."""
    rows = []
    for i in range(count):
        row = factors[i * count : (i + 1) * count]
        rows.append(tuple(x for re, im in row for x in (re, pairs.b("neg", im))))
        rows.append(tuple(x for re, im in row for x in (im, re)))
    return rows


def _as_many(pairs: Pairs, node: n.Node, count: int) -> Numbers:
    made = pairs.of(node)
    return (*made, pairs.b.node(0))[:count] if len(made) < count else made


@dataclass(frozen=True, slots=True, kw_only=True)
class RowView:
    """A kernel, and the axes over which its programs have parts of sums."""

    kernel: KernelView
    parts: n.Axes


def row_kernel(
    name: str,
    scans: tuple[Scan, ...],
    outs: tuple[Out, ...],
    doors: Doors,
    *,
    kept: bool = False,
    again: tuple[Scan, ...] = (),
) -> RowView:
    """The kernel of some scans. With `kept` it stores the states before each chunk; those of
    `again` start from where they were kept. `outs` without rows are summed over all of a sequence.
    """
    return _Writing(name, scans, outs, doors, again).view(kept)


class _Writing:
    """One kernel at work."""

    def __init__(
        self,
        name: str,
        scans: tuple[Scan, ...],
        outs: tuple[Out, ...],
        doors: Doors,
        again: tuple[Scan, ...],
    ) -> None:
        self.name, self.scans, self.outs, self.doors, self.again = name, scans, outs, doors, again
        every = (*again, *scans)
        self.known = frozenset(x for scan in every for x in scan.states)
        forms = tuple(x for scan in every for x in (*scan.factors, *scan.addends))
        self.roots = (*forms, *(out.node for out in outs))
        # A state that forgets all is its own addend: what that is made of is read.
        self.used = frozenset(ancestors(self.roots, self.known - set(forms)))
        carried = tuple(x for scan in every for x in scan.carries)
        self.axes = spec_axes((*carried, *self.roots), self.known)
        partial = partial_sums(tuple(out.node for out in outs), forms, self.known)
        self.split = tuple(a for a in self.axes if a not in partial.whole)
        self.parts = tuple(a for a in self.split if a in partial.parts)
        printer = TilePrinter(products=False)
        self.body = Body(printer, doors.leaf, doors.buffers, whole=frozenset(self.axes))
        self.scope = Scope()
        self.states: dict[n.Node, Value] = {}
        self.totals: dict[Out, Value] = {}
        self.widths: list[int] = []

    def view(self, kept: bool) -> RowView:
        """The view."""
        body = self.body
        for axis in self.axes:
            body.open_axis(self.scope, axis, first_of(axis) if axis in self.split else "0")
        body.lines.append("i = tl.arange(0, CHUNK)")
        for parts in dict.fromkeys(self._parts(out) for out in self.outs):
            if parts:
                body.put(f"{_part(parts)} = {_part_text(parts)}")
        places = body.taken()
        self._start()
        before = body.taken()
        self._steps(kept)
        lines = body.taken()
        self._finish()
        kernel = view(
            name=self.name,
            summary=self._summary(),
            doors=self.doors,
            outs=self._pointers(kept),
            split=self.split,
            given=("length", "bounds_at", "first_at", "count_at", "batch_at"),
            tiles=body.tiles,
            axes=tuple(body.axes),
            places=places,
            before=before,
            lines=lines,
            after=body.taken(),
            step=("n = stop - 1 - step" if self.reverse else "n = start + step", *CHUNK),
            steps="CHUNK",
            more=("tokens", "sequences") if self.parts else (),
        )
        kernel = replace(kernel, weight=self._weight(kernel), warps=self._warps())
        return RowView(kernel=kernel, parts=self.parts)

    def _warps(self) -> int:
        """Wider tiles make fewer programs, each of which stores its part of a sum over all of them;
        those of complex numbers have no registers left for it."""
        real = all(len(scan.carries) == 1 for scan in (*self.again, *self.scans))
        return 8 if self.parts and real else 4

    def _weight(self, kernel: KernelView) -> float:
        """How many tiles of a state's rows live at once: variables, what the widest scan goes over,
        and the addresses of complex numbers, of which every second word is theirs."""
        dims = max(kernel.tiles.values(), key=len, default=())
        loop = (f"    {line}" for line in kernel.lines)
        text = (*kernel.before, "for step:", *loop, *kernel.after)
        held = most_held(text, kernel.tiles, _ROWS, _BLOCK) / places_of(dims, _ROWS, _BLOCK)
        halves = sum(bool(out.half) for out in self.outs)
        return held + max(self.widths, default=0) + 5 * halves

    @property
    def reverse(self) -> bool:
        return any(scan.reverse for scan in self.scans)

    def _summary(self) -> str:
        return f"A tile of rows after the other{', last to first' if self.reverse else ''}."

    def _pointers(self, kept: bool) -> tuple[str, ...]:
        found = [out.pointer for out in self.outs]
        for scan in self.scans:
            ends = ("state", "last", *(("kept",) if kept else ()))
            found += [f"{end}_{name}_at" for name in scan.names for end in ends]
        found += [f"kept_{name}_at" for scan in self.again for name in scan.names]
        return tuple(dict.fromkeys(found))

    def _start(self) -> None:
        """Before the steps: first states, what no row changes, and sums of nothing."""
        body = self.body
        body.put("batch = s if first_at is None else s * 0")
        for scan in self.scans:
            for carry in scan.carries:
                self._load(carry, "state", SEQUENCES)
        given = (*self.known, *self.doors.buffers)
        body.compute(fixed(self.roots, given), self.scope)
        for out in self.outs:
            if n.ROW not in out.node.axes:
                dims = dims_of(out.node.axes)
                name = body.fresh(f"total_{out.pointer.removesuffix('_at')}")
                body.tiles[name] = dims
                shape = shape_text(dims, block_of) if dims else "[]"
                body.put(f"{name} = tl.zeros({shape}, ACC)")
                self.totals[out] = Value(text=name, dims=dims)

    def _load(self, carry: n.Carry, end: str, where: Held) -> None:
        pointer = f"{end}_{state_name(carry)}_at"
        self.states[carry] = state_before(self.body, self.doors, self.scope, carry, pointer, where)
        del self.scope.values[carry]

    def _steps(self, kept: bool) -> None:
        """One tile of rows: scans in order, then what is stored of it."""
        for scan in self.again:
            for carry in scan.carries:
                self._load(carry, "kept", CHUNKS)
        for scan in self.scans if kept else ():
            for carry in scan.carries:
                pointer = f"kept_{state_name(carry)}_at"
                self._store(pointer, CHUNKS, self.states[carry], state_dims(carry), carry.half)
        for scan in (*self.again, *self.scans):
            self._scan(scan)
        for out in self.outs:
            (value,) = self.body.compute((out.node,), self.scope)
            if out in self.totals:
                total = self.totals[out]
                self.body.put(f"{total.text} += {aligned(value, total.dims)}")
            else:
                parts = self._parts(out)
                rows = _PartRows("HEADS", _part(parts)) if parts else TOKENS
                self._store(out.pointer, rows, value, dims_of(out.node.axes), out.half)

    def _scan(self, scan: Scan) -> None:
        """The scan's line: from factors, addends and states to states before and after rows."""
        body = self.body
        dims = dims_of(scan.carries[0].axes)
        forms = body.compute((*scan.factors, *scan.addends), self.scope)
        both = any(carry in self.used for carry in scan.carries)
        shape = shape_text(dims, block_of)
        texts = [f"tl.broadcast_to({aligned(x, dims)}, {shape})" for x in forms]
        states = [self.states[carry] for carry in scan.carries]
        rows = [aligned(Value(text=text, dims=(ROW,)), dims) for text in ("i", "valid")]
        names = []
        for node in (*(scan.carries if both else ()), *scan.afters):
            end = "before" if node in scan.carries else "after"
            of = scan.carries[scan.states.index(node) % len(scan.carries)]
            names.append(body.fresh(f"{state_name(of)}_{end}"))
            body.tiles[names[-1]] = dims
            self.scope.values[node] = Value(text=names[-1], dims=dims)
        lasts = [state.text for state in states]
        arguments = ", ".join((*texts, *lasts, *rows, str(scan.reverse)))
        body.put(f"{', '.join((*names, *lasts))} = {scan.function(both=both)}({arguments})")
        self.widths.append(len(forms) * (1 + both))
        if scan.reverse:  # what arrives in rows that there are not counts in no sum over rows
            for name in names:
                body.put(f"{name} = tl.where({rows[1]}, {name}, 0.0)")

    def _finish(self) -> None:
        """After the steps: last states, and sums over all rows."""
        for scan in self.scans:
            for carry in scan.carries:
                pointer = f"last_{state_name(carry)}_at"
                self._store(pointer, SEQUENCES, self.states[carry], state_dims(carry), carry.half)
        for out, total in self.totals.items():
            parts = self._parts(out)
            which = f"({_part(parts)} * sequences + s)" if parts else "s"
            where = Held(which, "HEADS")
            self._store(out.pointer, where, total, total.dims, out.half)

    def _parts(self, out: Out) -> n.Axes:
        """The axes over which programs have parts of a value."""
        return tuple(axis for axis in self.parts if axis not in out.node.axes)

    def _store(
        self, pointer: str, where: Rows | Held, value: Value, dims: Dims, half: n.Half
    ) -> None:
        store(self.body, self.doors, self.scope, pointer, where, value, dims, half)


@dataclass(frozen=True, slots=True)
class _PartRows(Rows):
    """Rows of one part of a sum behind those of the others."""

    part: str

    def base(self, tokens: bool) -> str:
        """Where the part begins, counted in values of a head."""
        return f"({self.part} * tokens + first) * {self.heads} + h"


def _part(parts: n.Axes) -> str:
    """The variable that says which part of a sum a program has."""
    return "_".join(("part", *map(size_of, parts)))


def _part_text(parts: n.Axes) -> str:
    text = "tl.zeros([], tl.int64)"
    for axis in parts:
        size, block = size_of(axis), block_of(axis)
        text = f"({text}) * tl.cdiv({size}, {block}) + {first_of(axis)} // {block}"
    return text
