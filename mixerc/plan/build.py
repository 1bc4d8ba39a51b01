"""Makes nodes: equal nodes once, trivial ones not at all, axes computed from the arguments."""

from dataclasses import fields, replace
from fractions import Fraction
from typing import Any, TypeAlias

from mixerc.ir.primitives import PRIMITIVES
from mixerc.plan import nodes as n

Term: TypeAlias = n.Node | int | Fraction


class Builder:
    """Keeps the nodes of one chunk function in the order in which they were made.

    Inputs named in `logarithms` are given as `log_<name>`, wherever they are read.
    """

    def __init__(self, logarithms: frozenset[str] = frozenset()) -> None:
        self.logarithms = logarithms
        self._table: dict[tuple[Any, ...], n.Node] = {}
        self._complex: dict[n.Node, bool] = {}

    @property
    def nodes(self) -> tuple[n.Node, ...]:
        """Every node made so far, arguments first."""
        return tuple(self._table.values())

    def intern(self, node: n.Node) -> n.Node:
        """The node itself, or the equal one made before."""
        key = (type(node), *(_key(getattr(node, f.name)) for f in fields(node)))
        return self._table.setdefault(key, node)

    def node(self, value: Term) -> n.Node:
        """A node as it is, or a number as a node."""
        if isinstance(value, n.Node):
            return value
        return self.intern(n.Number(axes=(), value=Fraction(value)))

    def __call__(self, primitive: str, *operands: Term) -> n.Node:
        """The primitive applied; broadcast by name, in the axis order of the widest operand."""
        args = tuple(self.node(operand) for operand in operands)
        simple = self._simplified(primitive, args)
        if simple is not None:
            return simple
        return self.intern(n.Map(axes=_join(args), args=args, primitive=primitive))

    def _simplified(self, primitive: str, args: tuple[n.Node, ...]) -> n.Node | None:
        match primitive, args:
            case "mul", (n.Number(value=x), n.Number(value=y)):
                return self.node(x * y)
            case "mul", (n.Number(value=1), other) | (other, n.Number(value=1)):
                return other
            case "mul", (n.Number(value=-1), other) | (other, n.Number(value=-1)):
                return self("neg", other)
            case "add", (n.Number(value=0), other) | (other, n.Number(value=0)):
                return other
            case "add", (n.Number(value=x), n.Number(value=y)):
                return self.node(x + y)
            case "sub", (n.Number(value=x), n.Number(value=y)):
                return self.node(x - y)
            case ("sub", (other, n.Number(value=0))) | ("div", (other, n.Number(value=1))):
                return other
            case "pow", (other, n.Number(value=1)):
                return other
            case "neg", (n.Map(primitive="neg", args=(inner,)),):
                return inner
            case "log", (n.Map(primitive="exp", args=(inner,)),) if not self.is_complex(inner):
                return inner
        return None

    def is_complex(self, node: n.Node) -> bool:
        """Whether a value is one of complex numbers."""
        if node not in self._complex:
            self._complex[node] = self._of_kind(node)
        return self._complex[node]

    def _of_kind(self, node: n.Node) -> bool:
        match node:
            case n.Load(complex=found) | n.Carry(complex=found):
                return found
            case n.Map(primitive=primitive, args=args):
                result = PRIMITIVES[primitive].result
                return result == "complex" or (result == "same" and any(map(self.is_complex, args)))
            case _:
                return any(map(self.is_complex, node.args))

    def rebuild(self, node: n.Node, args: tuple[n.Node, ...]) -> n.Node:
        """The same node over other arguments of the same axes."""
        return self.intern(replace(node, args=args))

    def load(
        self, name: str, axes: n.Axes, *, complex: bool = False, item: n.Item | None = None
    ) -> n.Node:
        return self.intern(n.Load(axes=axes, name=name, complex=complex, item=item))

    def carry(self, state: str, axes: n.Axes, *, complex: bool = False) -> n.Carry:
        made = self.intern(n.Carry(axes=axes, state=state, complex=complex))
        assert isinstance(made, n.Carry)
        return made

    def size(self, name: str) -> n.Node:
        return self.intern(n.Size(axes=(), name=name))

    def add_all(self, terms: list[n.Node]) -> n.Node:
        """The sum of the terms, 0 for none."""
        total: n.Node = self.node(0)
        for term in terms:
            total = self("add", total, term)
        return total

    def contract(self, left: Term, right: Term, over: n.Axes) -> n.Node:
        """The sum over `over` of left · right, where either may lack an axis of `over`."""
        first, second = self.node(left), self.node(right)
        shared = tuple(a for a in over if a in first.axes and a in second.axes)
        first = self.sum(first, tuple(a for a in over if a not in second.axes))
        second = self.sum(second, tuple(a for a in over if a not in first.axes))
        if not shared:
            return self("mul", first, second)
        axes = tuple(a for a in _join((first, second)) if a not in shared)
        if self.is_complex(first) != self.is_complex(second):  # products of matrices are of a kind
            first, second = (
                x if self.is_complex(x) else self("complex", x, 0) for x in (first, second)
            )
        return self.intern(n.Contract(axes=axes, args=(first, second), over=shared))

    def sum(self, arg: n.Node, over: n.Axes) -> n.Node:
        over = tuple(a for a in over if a in arg.axes)
        if not over:
            return arg
        axes = tuple(a for a in arg.axes if a not in over)
        return self.intern(n.Sum(axes=axes, args=(arg,), over=over))

    def max(self, arg: n.Node, over: n.Axes) -> n.Node:
        axes = tuple(a for a in arg.axes if a not in over)
        return self.intern(n.Max(axes=axes, args=(arg,), over=over))

    def rename(self, arg: n.Node, old: str, new: str) -> n.Node:
        if old == new or old not in arg.axes:
            return arg
        axes = tuple(new if a == old else a for a in arg.axes)
        return self.intern(n.Rename(axes=axes, args=(arg,), old=old, new=new))

    def spread(self, arg: n.Node, axes: n.Axes) -> n.Node:
        """The argument with at least `axes`; those that it lacks come first."""
        lacking = tuple(a for a in axes if a not in arg.axes)
        return self.intern(n.Spread(axes=lacking + arg.axes, args=(arg,))) if lacking else arg

    def laid_as(self, arg: n.Node, axes: n.Axes) -> n.Node:
        """The argument with exactly these axes, in this order."""
        if arg.axes == axes:
            return arg
        return self.intern(n.Spread(axes=axes, args=(arg,)))

    def pad(self, arg: n.Node, fill: int) -> n.Node:
        """Only rows can lie past the end; a value that no row changes becomes one of rows."""
        rows = self.spread(arg, (n.ROW,))
        return self.intern(n.Pad(axes=rows.axes, args=(rows,), fill=fill))

    def halves(self, arg: n.Node, width: int, side: n.Side) -> n.Node:
        axes = _replace(arg.axes, n.ROW, (n.pair_axis(width), n.row_axis(width)))
        return self.intern(n.Halves(axes=axes, args=(arg,), width=width, side=side))

    def place(self, arg: n.Node, width: int, side: n.Side) -> n.Node:
        rest = tuple(a for a in arg.axes if a not in (n.pair_axis(width), n.row_axis(width)))
        return self.intern(n.Place(axes=(n.ROW, *rest), args=(arg,), width=width, side=side))

    def pick(self, arg: n.Node, width: int, side: n.Side) -> n.Node:
        axes = _replace(arg.axes, block_axis(width), (n.pair_axis(width),))
        return self.intern(n.Pick(axes=axes, args=(arg,), width=width, side=side))

    def unpick(self, arg: n.Node, width: int, side: n.Side) -> n.Node:
        axes = _replace(arg.axes, n.pair_axis(width), (block_axis(width),))
        return self.intern(n.Unpick(axes=axes, args=(arg,), width=width, side=side))

    def grow(self, arg: n.Node, factor: n.Node, width: int, side: n.Side) -> n.Node:
        return self.intern(n.Grow(axes=arg.axes, args=(arg, factor), width=width, side=side))

    def blocks(self, diagonal: n.Node | None, parts: tuple[tuple[int, n.Node], ...]) -> n.Node:
        args = ((diagonal,) if diagonal is not None else ()) + tuple(part for _, part in parts)
        return self.intern(
            n.Blocks(
                axes=(n.ROW, n.KEY_ROW),
                args=args,
                widths=tuple(width for width, _ in parts),
                diagonal=diagonal is not None,
            )
        )

    def block(self, arg: n.Node, width: int) -> n.Node:
        axes = (n.pair_axis(width), n.row_axis(width), n.key_axis(width))
        return self.intern(n.Block(axes=axes, args=(arg,), width=width))

    def diagonal(self, arg: n.Node) -> n.Node:
        return self.intern(n.Diagonal(axes=(n.ROW,), args=(arg,)))

    def triangle(self, arg: n.Node, *, strict: bool) -> n.Node:
        return self.intern(n.Triangle(axes=arg.axes, args=(arg,), strict=strict))

    def solve(self, lower: n.Node, rows: n.Node, *, transposed: bool = False) -> n.Node:
        """The rows x with x = rows + lower x, for a strictly lower pair tile."""
        return self.intern(n.Solve(axes=rows.axes, args=(lower, rows), transposed=transposed))

    def inverse(self, lower: n.Node) -> n.Node:
        return self.intern(n.Inverse(axes=lower.axes, args=(lower,)))


def block_axis(width: int) -> str:
    """The axis that counts blocks of `width` rows: the rows themselves, or pairs of half of it."""
    return n.ROW if width == 1 else n.pair_axis(width // 2)


def _replace(axes: n.Axes, old: str, new: n.Axes) -> n.Axes:
    at = axes.index(old)
    return axes[:at] + new + axes[at + 1 :]


def _join(args: tuple[n.Node, ...]) -> n.Axes:
    """The axes of an elementwise result.

    Tile axes (rows, pairs, blocks) come before the spec's axes, each in order of appearance.
    """
    seen = dict.fromkeys(axis for arg in args for axis in arg.axes)
    tile = sorted((a for a in seen if is_tile(a)), key=_tile_rank)
    return (*tile, *(a for a in seen if not is_tile(a)))


def is_tile(axis: str) -> bool:
    """Whether an axis belongs to the chunk and not to the spec."""
    return axis.startswith("#")


def _tile_rank(axis: str) -> tuple[int, bool]:
    """Pairs of blocks first, then rows, then rows seen as keys."""
    return (0 if axis.startswith("#p") else 1), axis.endswith("'")


def _key(value: Any) -> Any:
    if isinstance(value, n.Node):
        return id(value)
    if isinstance(value, tuple):
        return tuple(_key(item) for item in value)
    return value
