"""Nodes of a plan as torch expressions over tiles [B, H, N, axes…] (in a scan [B, H, axes…]).

Only the dimensions of a node's own axes are spoken of, counted from the end; batch, heads and
chunks in front of them broadcast.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mixerc.backends.module.fused import added_product, added_rows, grown_rows, sides
from mixerc.backends.module.order import NOTHING_SHARED, Memory
from mixerc.backends.module.printer import NumberText, apply_text, number_text, within
from mixerc.plan import nodes as n
from mixerc.plan.build import block_axis
from mixerc.plan.distribute import is_scalar

_CONDITIONS = {"where": (0,), "not": (0,), "and": (0, 1), "or": (0, 1)}
_SIDES = {"left": 0, "right": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePrinter:
    """Prints one node at a time; `names` are the variables that hold the others.

    `lead` counts the dimensions in front, `like` names a tensor of the right dtype and device;
    the nodes `inside` have no line of their own, but stand in the line of their one reader. In a
    tile sweep, a block has any number of `rows` and of `keys`, and heads of a group share keys;
    so has a piece of a recurrence any number of `rows`.
    """

    names: Mapping[n.Node, str]
    chunk: int
    lead: int
    like: str
    memory: Memory = NOTHING_SHARED
    inside: frozenset[n.Node] = frozenset()
    sweeps: bool = False
    by_rows: bool = False
    one_row: bool = False

    def text(self, node: n.Node) -> str:
        """The expression that computes a node."""
        match node:
            case n.Map() if (fused := self._fused(node)) is not None:
                return fused
            case n.Map(primitive=primitive, args=args):
                operands = self._operands(node, args, primitive)
                if primitive == "where" and is_scalar(args[1]) and is_scalar(args[2]):
                    # A choice between two literals alone is one of integers, or of float32.
                    test, first, second = operands
                    operands = (test, f"{self.like}.new_full((), {first})", second)
                return apply_text(primitive, operands)
            case n.Contract():
                return self._contract(node)
            case n.Sum(args=(arg,), over=over):
                return f"{within(self.held(arg))}.sum({_dims(arg.axes, over)})"
            case n.Max(args=(arg,), over=over):
                return f"{within(self.held(arg))}.amax({_dims(arg.axes, over)})"
            case n.Rename(args=(arg,)):
                return self.held(arg)
            case n.Spread(args=(arg,)):
                return self._spread(node, arg)
            case n.Arange(axes=(axis,)):
                return self._arange(axis)
            case n.Concat():
                return self._concat(node)
            case n.Part():
                return self._part(node)
            case _:
                return self._tile(node)

    def _arange(self, axis: str) -> str:
        """Counted along the axis, one for all rows of the batch, heads and chunks."""
        places = f"device={self.like}.device, dtype={self.like}.dtype"
        lead = ", ".join(["None"] * self.lead)
        return f"torch.arange({self._length(axis)}, {places})[{lead}]"

    def _operands(self, node: n.Node, args: tuple[n.Node, ...], primitive: str) -> tuple[str, ...]:
        """The arguments, side by side; tiles hold a condition that is loaded as 0 or 1."""
        texts = [self.aligned(arg, node.axes) for arg in args]
        for i in _CONDITIONS.get(primitive, ()):
            if isinstance(args[i], n.Load):
                texts[i] = f"{texts[i]} != 0"
        return tuple(texts)

    def scalar(self, node: n.Node) -> str:
        """A plain number, written out."""
        match node:
            case n.Number(value=value):
                return number_text(value)
            case n.Size(name=name):
                return name
            case n.Map(primitive=primitive, args=args):
                operands = tuple(NumberText(self.scalar(arg)) for arg in args)
                return apply_text(primitive, operands)
            case _:
                raise AssertionError(type(node).__name__)

    def held(self, node: n.Node) -> str:
        """The variable that holds a node, or a number written out."""
        return NumberText(self.scalar(node)) if is_scalar(node) else self.names[node]

    def aligned(self, node: n.Node, axes: n.Axes) -> str:
        """The node with its axes in the places that `axes` give them."""
        text = self.held(node)
        return text if is_scalar(node) or not axes else _arranged(text, node.axes, axes)

    def _length(self, axis: str) -> str:
        """The length of an axis, as a number or the name of a size."""
        if (self.sweeps or self.by_rows) and axis in (n.ROW, n.KEY_ROW):
            return "rows" if axis == n.ROW else "keys"
        if axis in n.ROWS:
            return str(self.chunk)
        if axis.startswith("#p"):
            return str(self.chunk // (2 * int(axis[2:])))
        if axis.startswith("#r"):
            return axis[2:].rstrip("'")
        return axis.rstrip("'")

    def _spread_to(self, axis: str) -> str:
        """The length of a new axis; a scan from row to row has one row at a time."""
        return "1" if self.one_row and axis == n.ROW else self._length(axis)

    def _spread(self, node: n.Node, arg: n.Node) -> str:
        """A value that no row changes over rows, or a cotangent over what was summed."""
        lengths = ", ".join(self._spread_to(axis) for axis in node.axes)
        if is_scalar(arg):
            return f"filled({self.scalar(arg)}, ({lengths},), {self.like}, {self.lead})"
        own = ", ".join("-1" if a in arg.axes else self._spread_to(a) for a in node.axes)
        view = self.aligned(arg, node.axes)
        if not arg.axes:
            view = f"{self.held(arg)}[{', '.join(['...'] + ['None'] * len(node.axes))}]"
        return f"{view}.expand({', '.join(['-1'] * self.lead)}, {own})"

    def _contract(self, node: n.Contract) -> str:
        left, right = node.args
        batch = tuple(a for a in left.axes if a in right.axes and a not in node.over)
        rows = tuple(a for a in left.axes if a not in right.axes)
        columns = tuple(a for a in right.axes if a not in left.axes)
        if all(self._length(a) == "1" for a in rows + columns):
            return self._dot(node, left, right)
        if len(node.over) != 1 or len(rows) > 1 or len(columns) > 1:
            return self._einsum(node, left, right)
        if self._length(node.over[0]) == "1":
            return self._outer(node, left, right)
        if self._length(node.over[0]) == "2":
            return self._two_outer(node)
        return self._matmul(node, batch, rows, columns)

    def _dot(self, node: n.Contract, left: n.Node, right: n.Node) -> str:
        """Nothing but sums of products row by row."""
        axes = left.axes if self._in_order(node, left) else node.axes + node.over
        product = f"{self.aligned(left, axes)} * {self.aligned(right, axes)}"
        reduce = "squeeze" if all(self._length(a) == "1" for a in node.over) else "sum"
        return f"({product}).{reduce}({_dims(axes, node.over)})"

    def _in_order(self, node: n.Contract, arg: n.Node) -> bool:
        """Whether the contraction only leaves out axes of the argument."""
        return tuple(a for a in arg.axes if a not in node.over) == node.axes

    def _outer(self, node: n.Contract, left: n.Node, right: n.Node) -> str:
        """A sum over one row is a product."""
        axes = node.axes + node.over
        product = f"{self.aligned(left, axes)} * {self.aligned(right, axes)}"
        return f"({product}).squeeze(-1)"

    def _two_outer(self, node: n.Contract) -> str:
        """A sum over two rows: a library's product of so small matrices takes longer."""
        products = []
        for i in (0, 1):
            for arg in node.args:
                taken = f"{self.held(arg)}.select({_dim(arg.axes, node.over[0])}, {i})"
                left = tuple(a for a in arg.axes if a not in node.over)
                products.append(_arranged(taken, left, node.axes))
        return f"torch.addcmul({products[0]} * {products[1]}, {products[2]}, {products[3]})"

    def _matmul(self, node: n.Contract, batch: n.Axes, rows: n.Axes, columns: n.Axes) -> str:
        """torch.matmul; a side without an axis of its own gets one of length 1 for the time."""
        left, right = node.args
        if rows + columns and node.axes[-1:] == rows and columns:
            left, right, rows, columns = right, left, columns, rows
        first = self._matrix(left, batch, rows, node.over, transposed=False)
        second = self._matrix(right, batch, columns, node.over, transposed=True)
        text = f"meet({first}, {second})" if self.sweeps else f"{first} @ {second}"
        if not rows:
            text = f"({text}).squeeze(-2)"
        if not columns:
            text = f"({text}).squeeze(-1)"
        made = batch + rows + columns
        if made != node.axes:
            text = f"({text}){_permuted(made, node.axes)}"
        return text

    def _matrix(
        self, arg: n.Node, batch: n.Axes, own: n.Axes, over: n.Axes, *, transposed: bool
    ) -> str:
        """A side as [batch, own, over], or as [batch, over, own]; own may be missing."""
        missing = own or ("",)
        wanted = batch + (over + missing if transposed else missing + over)
        have = arg.axes
        if own and have == batch + (own + over if transposed else over + own):
            return f"{self.held(arg)}.mT"
        return self.aligned(arg, wanted)

    def _einsum(self, node: n.Contract, left: n.Node, right: n.Node) -> str:
        axes = dict.fromkeys(left.axes + right.axes)
        letters = dict(zip(axes, "abcdefghijklmnop", strict=False))
        terms = ["..." + "".join(letters[a] for a in x) for x in (left.axes, right.axes, node.axes)]
        pattern = f"{terms[0]},{terms[1]}->{terms[2]}"
        return f'torch.einsum("{pattern}", {self.held(left)}, {self.held(right)})'

    def _concat(self, node: n.Concat) -> str:
        shared = tuple(a for a in node.axes if a != node.over)
        views = [
            self.aligned(arg, (*shared, own or ""))
            for arg, own in zip(node.args, node.parts, strict=True)
        ]
        return f"join({', '.join(views)})"

    def _part(self, node: n.Part) -> str:
        whole, *parts = node.args
        own = [next((a for a in p.axes if a not in whole.axes), "") for p in parts]
        lengths = [self._length(a) if a else "1" for a in own]
        shared = tuple(a for a in node.axes if a != own[node.index])
        view = self.aligned(whole, (*shared, node.over))
        start = " + ".join(lengths[: node.index]) or "0"
        piece = f"{view}.narrow(-1, {start}, {lengths[node.index]})"
        return piece if own[node.index] else f"{piece}.squeeze(-1)"

    def _fused(self, node: n.Map) -> str | None:
        """One call for several nodes, where those before this one stand inside it."""
        pair, both, product = added_rows(node), sides(node), added_product(node)
        if pair is not None and pair[1] in self.inside:
            return self._added(node, *pair)
        if both is not None and self.inside.issuperset(both):
            held = ", ".join(self.held(side.args[0]) for side in both)
            return f"interleave({held}, {_dim(node.axes, block_axis(both[0].width))})"
        if product is not None and product[1] in self.inside:
            tiles = (product[0], *product[1].args)
            minus = ", value=-1" if node.primitive == "sub" else ""
            texts = ", ".join(self.aligned(tile, node.axes) for tile in tiles)
            return f"torch.addcmul({texts}{minus})"
        return None

    def _added(self, node: n.Node, other: n.Node, rows: n.Place) -> str:
        """Blocks added to the rows of one side of each pair, which may have to grow first."""
        where = f"{rows.width}, {_SIDES[rows.side]}, {_dim(rows.axes, n.ROW)}"
        wanted = (n.pair_axis(rows.width), n.row_axis(rows.width), *rows.axes[1:])
        blocks = self.aligned(rows.args[0], wanted)
        grown = grown_rows(node)
        if grown is not None and grown in self.inside & self.memory.in_place:
            return f"grow_add_({self._growing(grown)}, {blocks}, {where})"
        add = "add_rows_" if node in self.memory.in_place else "add_rows"
        return f"{add}({self.held(other)}, {blocks}, {where})"

    def _growing(self, node: n.Grow) -> str:
        """The rows and the factor of each pair of blocks."""
        rows, factor = node.args
        return f"{self.held(rows)}, {self.aligned(factor, _with_pairs(rows.axes, node.width))}"

    def _tile(self, node: n.Node) -> str:
        arg = self.held(node.args[0]) if node.args else ""
        match node:
            case n.Pad(args=(rows,), fill=fill):
                return f"pad({arg}, valid, {fill}, {_dim(rows.axes, n.ROW)})"
            case n.Halves(args=(rows,), width=width, side=side):
                copy = ".clone()" if node in self.memory.copied else ""
                return f"halves({arg}, {width}, {_SIDES[side]}, {_dim(rows.axes, n.ROW)}){copy}"
            case n.Place(args=(parts,), width=width, side=side):
                dim = _dim(parts.axes, n.row_axis(width))
                return f"place({arg}, {width}, {_SIDES[side]}, {dim})"
            case n.Pick(width=width, side=side):
                behind = ", :" * (-1 - _dim(node.axes, n.pair_axis(width)))
                return f"{arg}[..., {_SIDES[side]}::2{behind}]"
            case n.Unpick(width=width, side=side):
                dim = _dim(node.args[0].axes, n.pair_axis(width))
                return f"unpick({arg}, {_SIDES[side]}, {dim})"
            case n.Grow(args=(rows, _), width=width, side=side):
                grow = "grow_" if node in self.memory.in_place else "grow"
                where = f"{width}, {_SIDES[side]}, {_dim(rows.axes, n.ROW)}"
                return f"{grow}({self._growing(node)}, {where})"
            case n.Blocks(args=args, diagonal=diagonal):
                held = ["" if diagonal else "None, ", ", ".join(self.held(a) for a in args)]
                return f"blocks({self.chunk}, {''.join(held)})"
            case n.Block(width=width):
                return f"level({arg}, {width}).contiguous()"
            case n.Diagonal():
                return f"{arg}.diagonal(dim1=-2, dim2=-1)"
            case n.Triangle(strict=strict):
                return f"{arg}.tril({-1 if strict else 0})"
            case n.Inverse():
                return f"inverted({arg})"
            case _:
                raise AssertionError(type(node).__name__)


def _with_pairs(axes: n.Axes, width: int) -> n.Axes:
    return tuple(n.pair_axis(width) if axis == n.ROW else axis for axis in axes)


def _arranged(text: str, have: n.Axes, axes: n.Axes) -> str:
    """A value with its axes in the places that `axes` give them."""
    kept = tuple(axis for axis in axes if axis in have)
    if kept != have:
        text = f"{text}{_permuted(have, kept)}"
    if kept == axes:
        return text
    index = ", ".join(":" if axis in kept else "None" for axis in axes)
    return f"{text}[..., {index}]"


def _dim(axes: n.Axes, axis: str) -> int:
    return axes.index(axis) - len(axes)


def _dims(axes: n.Axes, over: n.Axes) -> str:
    dims = [str(_dim(axes, axis)) for axis in over]
    return dims[0] if len(dims) == 1 else f"({', '.join(dims)})"


def _permuted(have: n.Axes, want: n.Axes) -> str:
    """The view that brings axes into another order."""
    if len(have) == 2:
        return ".mT"
    moved = [str(axis - len(have)) for axis in (have.index(a) for a in want)]
    places = [str(i - len(want)) for i in range(len(want))]
    return f".movedim(({', '.join(moved)}), ({', '.join(places)}))"
