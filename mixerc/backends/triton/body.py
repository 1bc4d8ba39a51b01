"""The body of a kernel: its nodes in order, in loops over the axes that are summed away.

A tile holds a block of each axis of the spec. A sum over such an axis is a loop over its blocks;
sums that do not wait for each other share one. What does not depend on the block stands before
the loop; what depends on it, further sums too, inside.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace

from mixerc.backends.module.identifiers import identifier
from mixerc.backends.module.layout import laid_out
from mixerc.backends.module.names import stem
from mixerc.backends.triton.joins import joined, piece
from mixerc.backends.triton.scope import Scope
from mixerc.backends.triton.tiles import Siblings, TilePrinter
from mixerc.backends.triton.values import (
    Dims,
    Value,
    aligned,
    is_other,
    shape_text,
    size_of,
    with_masks,
)
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.distribute import is_scalar

Leaf = Callable[[Scope, n.Node], Value]
"""Prints what comes from outside: a load, a carried state, a number."""


class Body:
    """Writes lines; `given` are the nodes that other kernels made, and `whole` the axes of which
    a tile holds every place. `tiles` are the dimensions of each variable."""

    def __init__(
        self,
        printer: TilePrinter,
        leaf: Leaf,
        given: Container[n.Node] = (),
        whole: frozenset[str] = frozenset(),
    ) -> None:
        self.printer = printer
        self.leaf = leaf
        self.given = given
        self.whole = whole
        self.lines: list[str] = []
        self.tiles: dict[str, Dims] = {}
        self.axes: dict[str, None] = {}
        self.exchanged: dict[tuple[n.Node, int], n.Node] = {}
        self.depth = 0
        self._taken = dict.fromkeys(_RESERVED, 1)

    def put(self, text: str) -> None:
        """One statement at the present depth."""
        room = 4 * (self.depth + 2)
        self.lines += ["    " * self.depth + line for line in laid_out(text, room)]

    def taken(self) -> tuple[str, ...]:
        """The lines written since the last time: a part of the kernel."""
        lines, self.lines = tuple(self.lines), []
        return lines

    def fresh(self, called: str) -> str:
        """A name that no other variable has."""
        count = self._taken.get(called, 0)
        self._taken[called] = count + 1
        return called if count == 0 else f"{called}_{count + 1}"

    def open_axis(self, scope: Scope, axis: str, start: str) -> None:
        """The places of the block of an axis that begins at `start`."""
        self.axes[self.printer.name(axis)] = None
        index = self.fresh(f"at_{size_of(axis)}")
        self.put(f"{index} = {start} + tl.arange(0, {self.printer.block(axis)})")
        self.put(f"{index}_in = {index} < {size_of(axis)}")
        scope.indices[axis] = index

    def compute(self, targets: Iterable[n.Node], scope: Scope) -> tuple[Value, ...]:
        """The values of some nodes at this place."""
        wanted = tuple(targets)
        self.open_sums(wanted, scope)
        return tuple(self.need(node, scope) for node in wanted)

    def need(self, node: n.Node, scope: Scope) -> Value:
        """A node's value; all sums that it waits for are known."""
        known = scope.find(node)
        if known is not None:
            return known
        if self._comes(node):
            return self._keep(node, self.leaf(scope, node), scope)
        if self._apart(node):
            return self._keep(node, self._elsewhere(node, scope), scope)
        if isinstance(node, n.Blocks) and not self.printer.tokens:
            return self._triangle(node, scope)
        args = tuple(self.need(arg, scope) for arg in self._read(node))
        return self._keep(node, self.printer.value(node, args), scope)

    def _read(self, node: n.Node) -> tuple[n.Node, ...]:
        """What a node's text is made from: its arguments, but for totals of pairs of blocks.

        Of these there is one exchange between siblings a level, which serves both sides: the
        rows that grow read their sibling's total, and a pair's total is own times sibling's.
        """
        match node:
            case n.Pick(args=(total,), width=width):
                return total, self._siblings(total, width)
            case n.Grow(args=(rows, n.Pick(args=(total,), width=w))) if w == node.width:
                return rows, self._siblings(total, w)
            case n.Map(primitive="mul" | "add", args=(n.Pick() as one, n.Pick() as two)):
                if (one.args, one.width) == (two.args, two.width) and one.side != two.side:
                    return one.args[0], self._siblings(one.args[0], one.width)
        return node.args

    def _triangle(self, node: n.Blocks, scope: Scope) -> Value:
        """A triangle put together level by level, so that no two of them are held at once."""
        name = self.fresh(_called(node))
        dims = self.tiles[name] = self.printer.dims(node)
        for index, arg in enumerate(node.args):
            term = self.printer.term(node, index, self.need(arg, scope))
            text = with_masks(aligned(term, dims), scope.index)
            self.put(f"{name} {'+=' if index else '='} {text}")
        scope.values[node] = value = Value(text=name, dims=dims)
        return value

    def _siblings(self, total: n.Node, width: int) -> n.Node:
        made = Siblings(axes=total.axes, args=(total,), width=width)
        return self.exchanged.setdefault((total, width), made)

    def _elsewhere(self, node: n.Node, scope: Scope) -> Value:
        """A value whose axis goes by another name inside, or has other places there."""
        match node:
            case n.Rename(old=old, new=new, args=(arg,)):
                return self.printer.value(node, (self.inside(arg, scope, old, new),))
            case n.Concat():
                return joined(self, node, scope)
            case n.Part():
                return piece(self, node, scope)
            case _:
                raise AssertionError(type(node).__name__)

    def inside(self, node: n.Node, scope: Scope, axis: str, outer: str, index: str = "") -> Value:
        """A value where an axis has the block of another, or the places of an index."""
        inner = Scope(parent=scope, indices={axis: index or scope.index(outer)})
        before, self.printer = self.printer, self.printer.within(axis, outer)
        (value,) = self.compute((node,), inner)
        self.printer = before
        return value

    def put_index(self, axis: str, places: str, within: str) -> str:
        """The variable with some places of an axis, and a mask of those that there are."""
        self.axes[axis] = None
        index = self.fresh(f"at_{size_of(axis)}")
        self.put(f"{index} = {places}")
        self.put(f"{index}_in = {within.format(index)}")
        return index

    def _comes(self, node: n.Node) -> bool:
        """Whether a node comes from outside."""
        return node in self.given or not node.args or is_scalar(node)

    def _keep(self, node: n.Node, value: Value, scope: Scope) -> Value:
        """The value in a variable, unless it is another name of one, or a choice of its parts."""
        text = with_masks(value.text, scope.index)
        if not text.isidentifier() and not isinstance(node, n.Block):
            name = self.fresh(_called(node))
            self.put(f"{name} = {text}")
            text = name
            self.tiles[name] = value.dims
        scope.values[node] = made = replace(value, text=text)
        return made

    def open_sums(self, targets: tuple[n.Node, ...], scope: Scope) -> None:
        """Writes the loops that the targets wait for, in the order in which they wait."""
        levels: dict[n.Node, int] = {}
        groups: dict[tuple[int, n.Axes], list[n.Node]] = {}

        def visit(node: n.Node) -> int:
            if scope.find(node) is not None or self._comes(node):
                return 0
            if node not in levels:
                over = self.summed(node)
                before = self._outside(node, over) if over else self._args(node)
                levels[node] = max(map(visit, before), default=0) + bool(over)
                if over:
                    groups.setdefault((levels[node], over), []).append(node)
            return levels[node]

        for target in targets:
            visit(target)
        for level, over in sorted(groups):
            self._loop(groups[level, over], over, scope)

    def summed(self, node: n.Node) -> n.Axes:
        """The axes over whose blocks a node is a sum: its own, or those of what it adds up."""
        match node:
            case n.Contract(over=over) | n.Sum(over=over) | n.Max(over=over):
                return tuple(sorted(a for a in over if not is_tile(a) and a not in self.whole))
            case n.Blocks() | n.Map(primitive="add"):
                inner = {self.summed(arg) for arg in node.args}
                maxima = any(isinstance(arg, n.Max) for arg in node.args)
                return inner.pop() if len(inner) == 1 and not maxima else ()
            case _:
                return ()

    def _terms(self, node: n.Node) -> tuple[n.Node, ...]:
        """The sums that a node adds up."""
        if isinstance(node, n.Contract | n.Sum | n.Max):
            return (node,)
        return tuple(term for arg in node.args for term in self._terms(arg))

    def _outside(self, node: n.Node, over: n.Axes) -> tuple[n.Node, ...]:
        """What stands before the loop of a sum: what is used inside and the same in each block."""
        found: dict[n.Node, None] = {}
        seen: set[tuple[n.Node, frozenset[str]]] = set()

        def visit(node: n.Node, moving: frozenset[str]) -> None:
            if (node, moving) in seen or is_scalar(node):
                return
            seen.add((node, moving))
            if not set(node.axes) & moving:
                found[node] = None
                return
            for arg in self._args(node):
                visit(arg, moving | set(self.summed(node)))

        for term in self._terms(node):
            for arg in term.args:
                visit(arg, frozenset(over))
        return tuple(found)

    def _args(self, node: n.Node) -> tuple[n.Node, ...]:
        """What is computed in the same place as a node."""
        return () if self._comes(node) or self._apart(node) else node.args

    def _apart(self, node: n.Node) -> bool:
        """Whether a node's arguments are computed with other places of an axis than the node; a
        tile with every place of both axes is the same by either name."""
        match node:
            case n.Rename(old=old, new=new):
                return not is_tile(old) and not {old, new} <= self.whole
            case _:
                return isinstance(node, n.Concat | n.Part)

    def _loop(self, sums: list[n.Node], over: n.Axes, scope: Scope) -> None:
        """One loop for some sums over the same axes."""
        for node in sums:
            for outside in self._outside(node, over):
                self.need(outside, scope)
        totals = {node: self._total(node) for node in sums}
        inner, outer = Scope(parent=scope), self.printer
        for axis in over:
            self._narrow(axis, scope)
            start = self.fresh(f"from_{size_of(axis)}")
            self.put(f"for {start} in range(0, {size_of(axis)}, {self.printer.block(axis)}):")
            self.depth += 1
            self.open_axis(inner, axis, start)
        self.open_sums(
            tuple(arg for node in sums for t in self._terms(node) for arg in t.args), inner
        )
        for node, total in totals.items():
            self._add(node, total, inner, isinstance(node, n.Max))
        self.depth -= len(over)
        self.printer = outer
        scope.values |= totals

    def _narrow(self, axis: str, scope: Scope) -> None:
        """Beside a block of an axis of the same size, a loop goes over single places."""
        beside = (a for a in (size_of(axis), f"{size_of(axis)}'") if a != axis and scope.has(a))
        if any(not is_other(self.printer.name(a)) for a in beside):
            self.printer = self.printer.narrowed(axis)

    def _total(self, node: n.Node) -> Value:
        """The variable that a sum is added up in."""
        dims = self.printer.dims(node)
        name = self.fresh(_called(node))
        self.tiles[name] = dims
        if isinstance(node, n.Max):
            self.put(
                f"{name} = tl.full({shape_text(dims, self.printer.block)}, float('-inf'), ACC)"
            )
        else:
            self.put(
                f"{name} = tl.zeros({shape_text(dims, self.printer.block) if dims else '[]'}, ACC)"
            )
        return Value(text=name, dims=dims)

    def _add(self, node: n.Node, total: Value, scope: Scope, largest: bool) -> None:
        """Adds to a total what the present blocks bring, one term after the other."""
        for part in self._parts(node, scope):
            name = self.fresh("part")
            self.put(f"{name} = {with_masks(part.text, scope.index)}")
            self.tiles[name] = part.dims
            text = aligned(replace(part, text=name), total.dims)
            more = f"= tl.maximum({total.text}, {text})" if largest else f"+= {text}"
            self.put(f"{total.text} {more}")

    def _parts(self, node: n.Node, scope: Scope) -> Iterator[Value]:
        """The present blocks' part of a sum, or of each of the sums that a node adds up."""
        if isinstance(node, n.Contract | n.Sum | n.Max):
            yield self.printer.value(node, tuple(self.need(arg, scope) for arg in node.args))
            return
        for index, arg in enumerate(node.args):
            for part in self._parts(arg, scope):
                yield self.printer.term(node, index, part)


def _called(node: n.Node) -> str:
    match node:
        case n.Load(name=name):
            return f"{identifier(name)}_tile"
        case n.Carry(state=name):
            return f"{identifier(name)}_before"
        case _:
            return stem(node)


_RESERVED = (
    *("pid", "h", "n", "s", "i", "first", "count", "batch", "valid", "rows", "start", "stop"),
    *("step", "length", "tl", "triton", "matmul", "expm1", "sigmoid", "softplus", "logsigmoid"),
    *("tanh", "silu", "relu", "elu", "sign", "negated", "gelu", "gelu_tanh", "power", "on_side"),
    *("siblings", "pair_sum", "swapped", "inverted"),
)
