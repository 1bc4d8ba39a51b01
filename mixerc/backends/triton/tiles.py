"""Nodes of a plan as Triton expressions over tiles, one at a time."""

from dataclasses import dataclass, replace

from mixerc.backends.triton.contraction import contraction, sibling_width
from mixerc.backends.triton.primitives import CALM, KEEPS_ZERO, TEXTS
from mixerc.backends.triton.values import (
    COLUMN,
    ROW,
    ROWS,
    Dims,
    Value,
    aligned,
    block_of,
    dims_of,
    mask_of,
    role,
    size_of,
)
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.distribute import is_scalar

_EYE = "(i[:, None] == i[None, :])"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Siblings(n.Node):
    """The total of a block in the rows of its sibling, whence both sides of a pair are picked."""

    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePrinter:
    """Prints nodes from the values of their arguments; `tokens`: without rows, for C = 1.

    Without `products` no contraction is a matrix product: tiles are too small in some dimension.
    `turned` are axes that go by another's name where the printer is at work; `blocks` are names of
    numbers of places that are not those of every kernel.
    """

    tokens: bool = False
    products: bool = True
    turned: tuple[tuple[str, str], ...] = ()
    blocks: tuple[tuple[str, str], ...] = ()

    def block(self, axis: str) -> str:
        """The name of the number of places that a tile holds of an axis here."""
        return dict(self.blocks).get(axis) or block_of(self.name(axis))

    def name(self, axis: str) -> str:
        """The name that an axis goes by here."""
        return dict(self.turned).get(axis, axis)

    def within(self, old: str, new: str) -> "TilePrinter":
        """The printer where one axis goes by another's name."""
        return self._named(old, self.name(new))

    def narrowed(self, axis: str) -> "TilePrinter":
        """The printer where a tile holds one place of an axis."""
        return self._named(axis, f"{size_of(axis)}'")

    def _named(self, axis: str, name: str) -> "TilePrinter":
        return replace(self, turned=tuple({**dict(self.turned), axis: name}.items()))

    def dims(self, node: n.Node) -> Dims:
        """All dimensions of the node's tile."""
        return dims_of(node.axes, tokens=self.tokens)

    def value(self, node: n.Node, args: tuple[Value, ...]) -> Value:
        """The expression, over only those dimensions along which it differs."""
        match node:
            case n.Map():
                return self._map(node, args)
            case n.Contract():
                return self._contract(node, args)
            case n.Sum() | n.Max():
                return self._reduced(node, args[0])
            case Siblings(width=width):
                return self._rows(args[0], f"swapped({{}}, {width})")
            case n.Spread():
                return args[0]
            case n.Rename(old=old, new=new):
                return self._renamed(args[0], old, new)
            case _ if self.tokens:
                return self._token(node, args)
            case _:
                return self._tile(node, args)

    def _map(self, node: n.Map, args: tuple[Value, ...]) -> Value:
        dims = tuple(d for d in self.dims(node) if any(d in arg.dims for arg in args))
        if node.primitive in ("div", "log"):  # what lies past the end of an axis is often 0
            args = (*args[:-1], self._apart_from_zero(args[-1]))
        texts = tuple(
            f"({aligned(arg, dims)} != 0)" if _is_number(node, i) else aligned(arg, dims)
            for i, arg in enumerate(args)
        )
        wide = [i for i, arg in enumerate(args) if not is_scalar(node.args[i])]
        zero = frozenset[str]()
        if node.primitive == "mul" and all(arg.calm for arg in args):
            zero = frozenset().union(*(arg.zero for arg in args))
        elif node.primitive in KEEPS_ZERO or (node.primitive == "div" and wide == [0]):
            zero = args[0].zero
        elif node.primitive in ("add", "sub", "max", "min") and len(wide) == len(args):
            zero = args[0].zero & args[1].zero
        sides = [arg.side for arg in args if arg.side is not None]
        value = Value(
            text=_applied(node, texts),
            dims=dims,
            side=sides[0] if sides else None,
            zero=zero,
            calm=node.primitive in CALM and all(arg.calm for arg in args),
        )
        return self._siblings(node, value)

    def _contract(self, node: n.Contract, args: tuple[Value, ...]) -> Value:
        lacking = tuple(a for a in node.over if not any(a in arg.dims for arg in args))
        left, right = (self._finite(arg, node.over) for arg in args)
        left = self._along(left, lacking)
        dims = self.dims(node)
        present = tuple(d for d in dims if d in left.dims or d in right.dims)
        block = self.block if self.products else None
        text = contraction(node, left, right, present, block, tokens=self.tokens)
        side = left.side or right.side
        if COLUMN in (*left.dims, *right.dims):
            paired = any(a.startswith("#p") for a in node.axes)
            side = ("right" if ROW in dims else "left") if paired else None
        value = Value(text=text, dims=present, side=side, zero=left.zero | right.zero)
        return self._siblings(node, value)

    def _siblings(self, node: n.Node, value: Value) -> Value:
        """A level of a pair tile has 0 wherever row and key are not in the same pair."""
        width = 0 if self.tokens else sibling_width(node)
        if not width:
            return value
        kept = f"siblings(i[:, None], i[None, :], {width})"
        return replace(self._chosen(value, kept, "0.0", (ROW, COLUMN)), side=None)

    def _finite(self, value: Value, over: n.Axes, other: str = "0.0") -> Value:
        """The value with zeros (or another number) past the ends of the axes that are summed."""
        text = value.text
        for axis in over:
            known = axis in value.zero and other == "0.0"
            if not is_tile(axis) and axis in value.dims and not known:
                kept = aligned(Value(text=mask_of(axis), dims=(axis,)), value.dims)
                text = f"tl.where({kept}, {text}, {other})"
        return Value(text=text, dims=value.dims, side=value.side, zero=value.zero | set(over))

    def _apart_from_zero(self, value: Value) -> Value:
        """The value with 1 past the ends of axes."""
        text = self._finite(value, tuple(d for d in value.dims if d not in ROWS), "1.0")
        return replace(value, text=text.text, zero=frozenset())

    def _along(self, value: Value, axes: n.Axes) -> Value:
        """The value at each place of some axes that it does not have."""
        for axis in (a for a in axes if not is_tile(a) and a not in value.dims):
            dims = (*value.dims, axis)
            kept = aligned(Value(text=mask_of(axis), dims=(axis,)), dims)
            text = f"tl.where({kept}, {aligned(value, dims)}, 0.0)"
            value = replace(value, text=text, dims=dims, zero=value.zero | {axis})
        return value

    def _reduced(self, node: n.Sum | n.Max, arg: Value) -> Value:
        arg = arg if isinstance(node, n.Max) else self._along(arg, node.over)
        over = [a for a in node.over if not is_tile(a)]
        maximum = isinstance(node, n.Max)
        text = self._finite(arg, node.over, "float('-inf')" if maximum else "0.0").text
        rows = [a for a in node.over if is_tile(a) and a != n.KEY_ROW and not self.tokens]
        if rows:
            text = self._rows_once(text, arg, rows)
        summed = [ROW] * bool(rows) + [COLUMN] * (n.KEY_ROW in node.over) + over
        dims = tuple(d for d in arg.dims if d not in summed)
        for place in sorted((arg.dims.index(d) for d in summed if d in arg.dims), reverse=True):
            text = f"{'tl.max' if maximum else 'tl.sum'}({text}, axis={place})"
        return Value(text=text, dims=dims, zero=arg.zero, calm=arg.calm)

    def _rows_once(self, text: str, arg: Value, axes: list[str]) -> str:
        """Rows that repeat another's value, or hold none, count nothing."""
        if ROW not in arg.dims:
            raise AssertionError("a sum over rows of a value without them")
        if axes == [n.ROW]:
            return text
        width = int(axes[0][2:])
        kept = f"i % {2 * width} == 0"
        if any(a.startswith("#r") for a in axes):
            kept = f"on_side(i, {width}, {int(arg.side == 'right')})"
        mask = aligned(Value(text=kept, dims=(ROW,)), arg.dims)
        return f"tl.where({mask}, {text}, 0.0)"

    def _renamed(self, arg: Value, old: str, new: str) -> Value:
        if is_tile(old):
            dims = tuple(role(new) if d == role(old) else d for d in arg.dims)
        else:
            dims = tuple(new if d == old else d for d in arg.dims)
        zero = frozenset(new if a == old else a for a in arg.zero)
        return Value(text=arg.text, dims=dims, side=arg.side, zero=zero, calm=arg.calm)

    def _token(self, node: n.Node, args: tuple[Value, ...]) -> Value:
        """With one row nothing lies between rows, and no row lies past the end."""
        match node:
            case n.Pad() | n.Blocks() | n.Diagonal():
                return args[0]
            case n.Triangle(strict=False):
                return args[0]
            case n.Triangle():
                return Value(text=f"{args[0].text} * 0", dims=args[0].dims)
            case _:
                raise AssertionError(type(node).__name__)

    def _tile(self, node: n.Node, args: tuple[Value, ...]) -> Value:
        first = args[0]
        match node:
            case n.Pad(fill=fill):
                return self._chosen(first, "valid", f"{fill}.0", (ROW,))
            case n.Halves(side=side):
                return Value(text=first.text, dims=first.dims, side=side, zero=first.zero)
            case n.Place(width=width, side=side) | n.Unpick(width=width, side=side):
                kept = f"on_side(i, {width}, {int(side == 'right')})"
                return self._chosen(first, kept, "0.0", (ROW,))
            case n.Pick(width=width, side=side):
                own = Value(text=f"on_side(i, {width}, {int(side == 'right')})", dims=(ROW,))
                return self._picked(first, args[1], own)
            case n.Grow(width=width, side=side):
                return self._grown(node, first, args[1], f"{width}, {int(side == 'right')}")
            case n.Block(width=width):
                kept = f"siblings(i[:, None], i[None, :], {width})"
                return self._chosen(first, kept, "0.0", (ROW, COLUMN))
            case n.Diagonal():
                text = f"tl.sum(tl.where({_EYE}, {first.text}, 0.0), axis=1)"
                return Value(text=text, dims=(ROW,))
            case n.Triangle(strict=strict):
                kept = f"i[:, None] {'>' if strict else '>='} i[None, :]"
                return self._chosen(first, kept, "0.0", (ROW, COLUMN))
            case n.Inverse():
                tile = aligned(first, (ROW, COLUMN))
                return Value(text=f"inverted({tile}, i, ACC, DOT, PREC)", dims=(ROW, COLUMN))
            case _:
                raise AssertionError(type(node).__name__)

    def _chosen(self, value: Value, kept: str, other: str, at: Dims) -> Value:
        """The value where `kept` holds (over the dimensions `at`), another elsewhere."""
        dims = (*at, *(d for d in value.dims if d not in at))
        mask = aligned(Value(text=kept, dims=at), dims)
        return Value(
            text=f"tl.where({mask}, {aligned(value, dims)}, {other})",
            dims=dims,
            zero=value.zero if other == "0.0" else frozenset(),
            calm=value.calm,
        )

    def _picked(self, own: Value, other: Value, kept: Value) -> Value:
        """In the rows that `kept` holds of, a block's own total; in the others its sibling's."""
        if ROW not in own.dims:
            return own
        mask, total = aligned(kept, own.dims), aligned(other, own.dims)
        return self._with(own, f"tl.where({mask}, {own.text}, {total})")

    def _rows(self, value: Value, text: str) -> Value:
        """A function of all the rows of a value."""
        dims = (ROW, *(d for d in value.dims if d != ROW))
        if ROW not in value.dims:
            return value
        return replace(value, text=text.format(aligned(value, dims)), dims=dims)

    def _with(self, value: Value, text: str) -> Value:
        return Value(text=text, dims=value.dims, zero=value.zero, calm=value.calm)

    def _grown(self, node: n.Grow, rows: Value, factor: Value, where: str) -> Value:
        dims = tuple(d for d in self.dims(node) if d in rows.dims or d in factor.dims or d == ROW)
        held, by = aligned(rows, dims), aligned(factor, dims)
        side = aligned(Value(text=f"on_side(i, {where})", dims=(ROW,)), dims)
        calm = rows.calm and factor.calm
        text = f"tl.where({side}, {held} * {by}, {held})"
        return Value(text=text, dims=dims, zero=rows.zero if calm else frozenset(), calm=calm)

    def term(self, node: n.Node, index: int, value: Value) -> Value:
        """One of the values that a node adds up, where it stands in the sum: levels of a triangle
        do not overlap."""
        if self.tokens or index or not (isinstance(node, n.Blocks) and node.diagonal):
            return value
        return self._chosen(value, _EYE, "0.0", (ROW, COLUMN))


_CONDITIONS = {"where": (0,), "not": (0,), "and": (0, 1), "or": (0, 1)}
_WRITTEN_OUT = 8
"""The largest power that is written as a product."""
_TRUTHS = frozenset(("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not"))


def _is_number(node: n.Map, index: int) -> bool:
    """Whether an operand is a condition that was loaded, as 0 or 1."""
    arg = node.args[index]
    truth = isinstance(arg, n.Map) and arg.primitive in _TRUTHS
    return index in _CONDITIONS.get(node.primitive, ()) and not truth


def _applied(node: n.Map, texts: tuple[str, ...]) -> str:
    """A primitive's text; whole powers are products, which have a sign."""
    match node:
        case n.Map(primitive="pow", args=(_, n.Number(value=value))) if value.denominator == 1:
            return _whole_power(texts, int(value))
        case _:
            return TEXTS[node.primitive](*texts)


def _whole_power(texts: tuple[str, ...], power: int) -> str:
    base, exponent = texts
    if not 0 < abs(power) <= _WRITTEN_OUT:
        sign = f"tl.where({base} < 0, -1.0, 1.0) * " if power % 2 else ""
        return f"{sign}power(tl.abs({base}), {exponent})"
    product = " * ".join([base] * abs(power))
    return product if power > 0 else f"1 / ({product})"
