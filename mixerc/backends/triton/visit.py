"""One tile of a sweep as lines of a Triton kernel: its scores, its mask, and the adjoint.

The tokens of a program lie along a tile's rows, here called HERE, those that it walks over along
its columns, THERE. A kernel over blocks of keys prints the same functions with the two exchanged,
and in one that decodes the rows are the heads of a group, whose constants differ from row to row.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from mixerc.algebra.attention import UNIT
from mixerc.backends.module.printer import NumberText, apply_text, number_text
from mixerc.backends.triton.body import Body
from mixerc.backends.triton.doors import HERE, THERE, Door, Table
from mixerc.backends.triton.memory import scalar_text
from mixerc.backends.triton.scope import Scope
from mixerc.backends.triton.tiles import TilePrinter
from mixerc.backends.triton.values import COLUMN, ROW, Value, aligned, size_of
from mixerc.plan import nodes as n
from mixerc.plan.adjoint import cotangent_name
from mixerc.plan.build import is_tile
from mixerc.plan.distribute import is_scalar
from mixerc.plan.sweep import POSITIONS, SCORE, SUM, Sweep

HEAD = "head_t"
"""The number of a row's head, where the rows of a tile are heads."""
VALUE_AXIS = "VALUE"
"""What kernels call the axis of the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orientation:
    """Which side of the sum a program's own tokens are."""

    turned: bool = False
    heads: bool = False

    def axes(self, axes: n.Axes) -> n.Axes:
        """The axes of a value as this kernel has them."""
        swap = {n.ROW: n.KEY_ROW, n.KEY_ROW: n.ROW} if self.turned else {}
        return tuple(swap.get(axis, axis) for axis in axes)

    def function(self, function: n.ChunkFunction) -> n.ChunkFunction:
        """The function as this kernel has it."""
        made: dict[n.Node, n.Node] = {}
        for node in function.nodes:
            made[node] = self._node(node, tuple(made[arg] for arg in node.args))
        outputs = tuple((name, made[node]) for name, node in function.outputs)
        return replace(function, nodes=tuple(made.values()), outputs=outputs)

    def _node(self, node: n.Node, args: tuple[n.Node, ...]) -> n.Node:
        axes = self.axes(node.axes)
        if self.heads and _of_head(node):
            axes = (n.ROW, *axes)
        elif self.heads and isinstance(node, n.Map | n.Contract | n.Sum | n.Max):
            of_rows = any(n.ROW in arg.axes for arg in args) and n.ROW not in axes
            axes = (n.ROW, *axes) if of_rows else axes
        match node:
            case n.Contract(over=over) | n.Sum(over=over) | n.Max(over=over):
                return replace(node, axes=axes, args=args, over=self.axes(over))
            case n.Map(primitive="div", args=(_, divisor)) if is_scalar(divisor) and axes:
                one = n.Number(axes=(), value=Fraction(1))
                factor = n.Map(axes=(), args=(one, args[1]), primitive="div")
                return replace(node, axes=axes, args=(args[0], factor), primitive="mul")
            case _:
                return replace(node, axes=axes, args=args)


def _of_head(node: n.Node) -> bool:
    """Whether a node is a constant of a head, or the head's number."""
    constant = isinstance(node, n.Load) and not any(is_tile(axis) for axis in node.axes)
    return constant or isinstance(node, n.HeadIndex)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """The text of a tile: `scores` give `score`, `mask` gives `allowed`, and `adjoint` what is
    added to each of `gives` (names and their tiles). Doors are what it reads beside."""

    scores: tuple[str, ...]
    score: str
    mask: tuple[str, ...]
    allowed: str
    adjoint: tuple[str, ...]
    gives: tuple[tuple[Door, str], ...]
    here: tuple[Door, ...]
    there: tuple[Door, ...]
    constants: tuple[Door, ...]
    tables: tuple[Table, ...]
    head: bool


class VisitPrinter:
    """Prints the tile of one kernel; `numbers` are those of the sum, and `sizes` those of masks."""

    def __init__(
        self,
        sweep: Sweep,
        orientation: Orientation,
        numbers: dict[str, str],
        sizes: Mapping[str, float],
    ) -> None:
        self.sweep, self.orientation = sweep, orientation
        self.numbers, self.sizes = numbers, sizes
        self.doors: dict[str, Door] = {}
        self.tables = tuple(
            Table(name=name, rows=rows, keys=keys) for name, rows, keys in sweep.tables
        )
        self.head = False
        self.multiplied = _multiplied(sweep)
        self.body = Body(_PRINTER, self._of_scores, whole=frozenset(self._axes()))
        for name in _TAKEN:
            self.body.fresh(name)
        self.scope = Scope(indices={axis: f"at_{size_of(axis)}" for axis in self._axes()})

    def _axes(self) -> Iterable[str]:
        parts = (self.sweep.scores, self.sweep.allowed)
        functions = (f for part in parts for f in (part.function, part.backward) if f is not None)
        return {a for f in functions for node in f.nodes for a in node.axes if not is_tile(a)}

    def visit(self, wanted: Callable[[n.Axes], bool] | None = None) -> Visit:
        """The text; with `wanted`, the cotangents of the loads whose axes these are."""
        (_, score) = self.orientation.function(self.sweep.scores.function).outputs[0]
        back = self.sweep.scores.backward
        found: list[tuple[Door, str]] = []
        scores: tuple[str, ...] = ()
        if wanted is None or back is None:
            (value,) = self.body.compute((score,), self.scope)
            scores = self.body.taken()
        else:
            whole = self._joined(back)
            (_, score), *outputs = whole.outputs
            (value,) = self.body.compute((score,), self.scope)
            scores = self.body.taken()
            self._give(whole)
            found = [
                (self._cotangent(name), self._part(node))
                for name, node in outputs
                if wanted(self._load_axes(name))
            ]
        adjoint = self.body.taken()
        mask, allowed = self._mask()
        own, others = self._sides()
        return Visit(
            scores=scores,
            score=_full(value),
            mask=mask,
            allowed=allowed,
            adjoint=adjoint,
            gives=tuple(found),
            here=own,
            there=others,
            constants=tuple(door for door in self.doors.values() if not door.side),
            tables=self.tables,
            head=self.head,
        )

    def _joined(self, back: n.ChunkFunction) -> n.ChunkFunction:
        """The scores and their adjoint as one function, so that nothing is printed twice."""
        forward = self.sweep.scores.function
        nodes = tuple(dict.fromkeys((*forward.nodes, *back.nodes)))
        both = replace(back, nodes=nodes, outputs=(*forward.outputs, *back.outputs))
        return self.orientation.function(both)

    def _give(self, function: n.ChunkFunction) -> None:
        """The cotangent of the scores is in a variable."""
        for node in function.nodes:
            if isinstance(node, n.Load) and node.name == cotangent_name(SCORE):
                self.scope.values[node] = Value(text="d_score", dims=(HERE, THERE))

    def _load_axes(self, name: str) -> n.Axes:
        """The axes of the value that a cotangent belongs to."""
        loads = self.sweep.scores.loads
        axes = next(x.axes for x in loads if cotangent_name(x.name) == name)
        return self.orientation.axes(axes)

    def _cotangent(self, name: str) -> Door:
        axes = self._load_axes(name)
        own = tuple(a for a in axes if not is_tile(a))
        return Door(name=name, side=HERE if n.ROW in axes else "", axes=own)

    def _part(self, node: n.Node) -> str:
        """What a tile adds to a cotangent."""
        (value,) = self.body.compute((node,), self.scope)
        axes = tuple(a for a in node.axes if not is_tile(a))
        return aligned(value, (*((HERE,) if n.ROW in node.axes else ()), *axes))

    def _of_scores(self, scope: Scope, node: n.Node) -> Value:
        """What scores read: numbers, positions as numbers, tiles."""
        match node:
            case _ if is_scalar(node):
                name = self.numbers.setdefault(scalar_text(node), f"c{len(self.numbers)}")
                return Value(text=f"tl.full([], {name}, ACC)")
            case n.HeadIndex():
                self.head = True
                first = self.numbers.setdefault('size["first_head"]', f"c{len(self.numbers)}")
                number = HEAD if self.orientation.heads else "h"
                text = f"({number} + tl.full([], {first}, ACC))"
                return Value(text=text, dims=(HERE,) if self.orientation.heads else ())
            case n.Arange(axes=(axis,)):
                return Value(text=f"{scope.index(axis)}.to(ACC)", dims=(axis,))
            case n.Load(name=name) if name in POSITIONS:
                return Value(text=f"{name}.to(ACC)", dims=(_side(node.axes),))
            case n.Load(name=name):
                return self._door(name, node.axes, real=True).value
            case _:
                raise AssertionError(type(node).__name__)

    def _door(self, name: str, axes: n.Axes, *, real: bool) -> Door:
        own = tuple(a for a in axes if not is_tile(a))
        multiplied = name in self.multiplied
        door = Door(name=name, side=_side(axes), axes=own, real=real, multiplied=multiplied)
        self.body.fresh(door.tile)
        return self.doors.setdefault(name, door)

    def _mask(self) -> tuple[tuple[str, ...], str]:
        """The lines of the mask, and its value."""
        function = self.orientation.function(self.sweep.allowed.function)
        ((_, node),) = function.outputs
        self.body.leaf = self._of_mask
        (value,) = self.body.compute((node,), Scope())
        lines = self.body.taken()
        return lines, aligned(value, (HERE, THERE)) if value.dims else ""

    def divisor(self) -> tuple[tuple[str, ...], str, tuple[Door, ...]]:
        """Lines for what the sum of a row is divided by, its value, and what they read."""
        if self.sweep.divisor is None:
            return (), "", ()
        before = dict(self.doors)
        function = self.orientation.function(self.sweep.divisor.function)
        ((_, node),) = function.outputs
        self.body.leaf = self._of_divisor
        (value,) = self.body.compute((node,), Scope(indices=self.scope.indices))
        more = tuple(door for name, door in self.doors.items() if name not in before)
        return self.body.taken(), aligned(value, (HERE,)), more

    def _of_divisor(self, scope: Scope, node: n.Node) -> Value:
        match node:
            case n.Load(name=name) if name == SUM:
                return Value(text="weight", dims=(HERE,))
            case n.Load(name=name) if name == UNIT:
                return Value(text="tl.exp(-top)", dims=(HERE,))
            case n.Load(name=name) if n.ROW in node.axes and name not in POSITIONS:
                return self._door(f"{name}_t", node.axes, real=True).value
            case _:
                return self._of_scores(scope, node)

    def _of_mask(self, scope: Scope, node: n.Node) -> Value:
        """What the mask reads: whole numbers, positions, tables, streams."""
        match node:
            case _ if is_scalar(node):
                return Value(text=self._number(node))
            case n.Load(name=name) if name in POSITIONS:
                return Value(text=name, dims=(_side(node.axes),))
            case n.Load(name=name):
                for table in self.tables:
                    if table.name == name:
                        dims = table.dims(turned=self.orientation.turned)
                        return Value(text=table.tile, dims=dims)
                query = n.ROW in self.orientation.axes(node.axes)
                return self._door(f"{name}_{'t' if query else 's'}", node.axes, real=False).value
            case _:
                raise AssertionError(type(node).__name__)

    def _number(self, node: n.Node) -> str:
        """A whole number as text: a literal, but for the length of the sequence."""
        match node:
            case n.Number(value=value):
                return NumberText(number_text(value))
            case n.Size(name="T"):
                return NumberText("length")
            case n.Size(name=name):
                return NumberText(number_text(self.sizes[name]))
            case n.Map(primitive=primitive, args=args):
                return apply_text(primitive, tuple(NumberText(self._number(x)) for x in args))
            case _:
                raise AssertionError(type(node).__name__)

    def _sides(self) -> tuple[tuple[Door, ...], tuple[Door, ...]]:
        doors = self.doors.values()
        return (
            tuple(door for door in doors if door.side == HERE),
            tuple(door for door in doors if door.side == THERE),
        )


_PRINTER = TilePrinter(blocks=((ROW, "HERE"), (COLUMN, "THERE")))
_TAKEN = (
    *("total", "top", "weight", "high", "scale", "w", "value", "score", "allowed", "inside"),
    *("j", "t", "s", "t_in", "s_in", "n", "g", "r", "first", "there", "d_score", "d_weight"),
    *("cotangent", "shift", "part", "begin", "end", "near", "far", "done", "place", "pid"),
    *("number", "decay", "between", "edge", "runs", "d", "d_far", "d_near", "d_before", "tops"),
    *("low", "stop", "partial", "here", "here_first", "here_stop", "here_low", "here_in", "own"),
    *("block", "blocks", "each", "head", "documents", "slots", "seen", "out", "weights"),
)
"""Variables of the templates."""


def _side(axes: n.Axes) -> str:
    """Along which dimension of a tile the tokens of a value lie."""
    return HERE if n.ROW in axes else THERE if n.KEY_ROW in axes else ""


def _full(value: Value) -> str:
    """A value with both dimensions of a tile."""
    text = aligned(value, (HERE, THERE))
    if value.dims == (HERE, THERE):
        return text
    return f"{text} + tl.zeros((HERE, THERE), ACC)" if value.dims else text


def _multiplied(sweep: Sweep) -> frozenset[str]:
    """The loads of scores that are operands of matrix products and nothing else."""
    functions = (sweep.scores.function, sweep.scores.backward)
    nodes = dict.fromkeys(node for f in functions if f is not None for node in f.nodes)
    loads = {arg.name for node in nodes for arg in node.args if isinstance(arg, n.Load)}
    other = {
        arg.name
        for node in nodes
        for arg in node.args
        if isinstance(arg, n.Load) and not _is_matrix_product(node)
    }
    return frozenset(loads - other)


def _is_matrix_product(node: n.Node) -> bool:
    """Whether rows of one operand meet keys of the other, or are summed over with a pair tile."""
    match node:
        case n.Contract(args=(left, right), over=over):
            sides = [{a for a in arg.axes if is_tile(a)} for arg in (left, right)]
            shared = (sides[0] & sides[1]) - set(over)
            return not shared and all(sides) and len(left.axes) == len(right.axes) == 2
        case _:
            return False
