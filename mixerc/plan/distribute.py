"""Cuts a chunk function into kernels: what runs over all chunks at once, what runs in order.

A node stays sequential if it is reached from a carried state and reaches that state's next value;
everything else is parallel over chunks, before the scan or after it. Token by token (C = 1) the
reads of the state go into the scan as well, so that no state is ever written to memory.
"""

from dataclasses import dataclass
from enum import StrEnum

from mixerc.plan import nodes as n


class Schedule(StrEnum):
    """How a kernel walks over the chunks."""

    CHUNK_MAP = "chunk_map"
    CHUNK_SCAN = "chunk_scan"
    TOKEN_SCAN = "token_scan"
    ROW_MAP = "row_map"
    ROW_SCAN = "row_scan"
    AFFINE_SCAN = "affine_scan"
    PEAK_SCAN = "peak_scan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """Nodes that run together.

    `inputs` are values made outside: loads, carried states at chunk boundaries, and stores of
    earlier kernels. `body` holds the nodes computed here, arguments first; `stores` are handed
    on. A scan has `carries`; it runs from the last chunk to the first if `reverse`.

    A recurrence goes from row to row of a piece: a row map takes all rows at once, a row scan one
    after the other, and an affine scan has no body, but `factors` and `addends` (rows, or values
    that no row changes): next state = factor * state + addend, or of states that feed one another
    the sum over a row of their matrix of factors. A peak scan is the same with sums and maxima:
    next state = max(factor + state, addend).
    """

    schedule: Schedule
    reverse: bool
    inputs: tuple[n.Node, ...]
    body: tuple[n.Node, ...]
    stores: tuple[n.Node, ...]
    carries: tuple[tuple[n.Carry, n.Node], ...] = ()
    factors: tuple[n.Node, ...] = ()
    addends: tuple[n.Node, ...] = ()

    @property
    def forms(self) -> tuple[n.Node, ...]:
        """What an affine scan or a peak scan is made from."""
        return (*self.factors, *self.addends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The kernels of one direction of one mode, in order, and what comes out of them; `handed` are
    rows at which a backend may cut kernels."""

    chunk: int
    kernels: tuple[Kernel, ...]
    outputs: tuple[tuple[str, n.Node], ...]
    carries: tuple[tuple[n.Carry, n.Node], ...]
    boundaries: tuple[n.Carry, ...] = ()
    handed: tuple[n.Node, ...] = ()

    @property
    def row_by_row(self) -> bool:
        """Whether a scan of it has to take one row after the other."""
        return any(kernel.schedule == Schedule.ROW_SCAN for kernel in self.kernels)


SCALARS = (n.Number, n.Size)
SPREADING = (n.Place, n.Unpick, n.Spread, n.Rename)
"""Nodes that cost memory and no arithmetic: they are made where they are read."""


def is_scalar(node: n.Node) -> bool:
    """Whether a node is a plain number at the call: it is written out wherever it is used."""
    if isinstance(node, n.Map):
        return all(is_scalar(arg) for arg in node.args)
    return isinstance(node, SCALARS)


def distribute(
    function: n.ChunkFunction, *, reverse: bool = False, boundaries: bool = False
) -> Program:
    """The program of a chunk function; with `boundaries` the carried states are all kept."""
    cut = _Cut(function, boundaries)
    return Program(
        chunk=function.chunk,
        kernels=cut.kernels(reverse),
        outputs=function.outputs,
        carries=function.carries,
        boundaries=tuple(carry for carry, _ in function.carries) if boundaries else (),
        handed=function.handed,
    )


def states_only(function: n.ChunkFunction) -> n.ChunkFunction:
    """The part of a chunk function that carries the states on."""
    return n.ChunkFunction(
        nodes=function.nodes, outputs=(), carries=function.carries, chunk=function.chunk
    )


class _Cut:
    def __init__(self, function: n.ChunkFunction, boundaries: bool) -> None:
        self.function = function
        self.carries = tuple(carry for carry, _ in function.carries)
        self.roots = {node for _, node in function.outputs}
        self.nexts = {node for _, node in function.carries}
        self.needed = ancestors(function.nodes, self.roots | self.nexts)
        self.reached = descendants(function.nodes, set(self.carries))
        sequential = self.reached & ancestors(function.nodes, self.nexts) - set(self.carries)
        if function.chunk == 1:
            reads = {x for x in self.reached if set(x.args) & set(self.carries)}
            sequential |= reads & self.needed  # and what one read's query makes of another read
            sequential = self.reached & ancestors(function.nodes, sequential) - set(self.carries)
        self.scanned = sequential
        self.boundaries = boundaries

    def kernels(self, reverse: bool) -> tuple[Kernel, ...]:
        before = self.needed - self.reached
        before -= self._spreading(before)
        after = self.needed - before - self.scanned - set(self.carries)
        scan = self._kernel(self._scan_schedule(), self.scanned, after, reverse)
        first = self._kernel(Schedule.CHUNK_MAP, before, after | self.scanned, reverse=False)
        last = self._kernel(Schedule.CHUNK_MAP, after, set(), reverse=False)
        return tuple(k for k in (first, scan, last) if k.body or k.carries)

    def _spreading(self, before: set[n.Node]) -> set[n.Node]:
        """What only writes smaller values out for the kernel after the scan: done there."""
        readers: dict[n.Node, set[n.Node]] = {}
        for node in self.function.nodes:
            for arg in node.args if node in self.needed else ():
                readers.setdefault(arg, set()).add(node)
        kept = self.roots | self.nexts | self.scanned
        found: set[n.Node] = set()
        for node in reversed(self.function.nodes):
            late = readers.get(node, set()) <= (self.reached - self.scanned) | found
            if isinstance(node, SPREADING) and node in before - kept and late:
                found.add(node)
        return found

    def _scan_schedule(self) -> Schedule:
        return Schedule.TOKEN_SCAN if self.function.chunk == 1 else Schedule.CHUNK_SCAN

    def _kernel(
        self, schedule: Schedule, body: set[n.Node], later: set[n.Node], reverse: bool
    ) -> Kernel:
        """A kernel over `body`; it stores what the `later` nodes, or the caller, take from it."""
        scans = schedule != Schedule.CHUNK_MAP
        own = body | set(self.carries) if scans else body
        used = {arg for node in later for arg in node.args}
        wanted = (used | self.roots) & own
        if not scans:
            wanted |= self.nexts & body
        if scans and self.boundaries:
            wanted |= set(self.carries)
        inner = tuple(x for x in self.function.nodes if x in body and not is_given(x))
        inputs = {arg for node in inner for arg in _arguments(node)}
        if scans:
            inputs = (inputs | self.nexts) - set(self.carries)
        inputs -= set(inner)
        return Kernel(
            schedule=schedule,
            reverse=reverse and scans,
            inputs=tuple(x for x in self.function.nodes if x in inputs),
            body=inner,
            stores=tuple(
                x for x in self.function.nodes if x in wanted and _stored(x, self.carries)
            ),
            carries=self.function.carries if scans else (),
        )


def is_given(node: n.Node) -> bool:
    """Loads, states at chunk boundaries and numbers stand at every kernel's door."""
    return isinstance(node, n.Load | n.HeadIndex | n.Carry) or is_scalar(node)


def _stored(node: n.Node, carries: tuple[n.Carry, ...]) -> bool:
    """What is given need not be handed on, but for the states that a scan carries itself."""
    return node in carries or not is_given(node)


def _arguments(node: n.Node) -> tuple[n.Node, ...]:
    return tuple(arg for arg in node.args if not is_scalar(arg))


def ancestors(nodes: tuple[n.Node, ...], roots: set[n.Node]) -> set[n.Node]:
    found = set(roots)
    for node in reversed(nodes):
        if node in found:
            found.update(node.args)
    return found


def descendants(nodes: tuple[n.Node, ...], roots: set[n.Node]) -> set[n.Node]:
    found = set(roots)
    for node in nodes:
        if any(arg in found for arg in node.args):
            found.add(node)
    return found
