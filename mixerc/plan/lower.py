"""Expressions as nodes: over rows of a chunk, over keys where they read at `s`, or over both."""

from collections.abc import Iterable
from typing import assert_never

from mixerc.algebra.linear import Product
from mixerc.algebra.terms import Factor
from mixerc.ir import expr as e
from mixerc.ir.sorts import Axis, Kind, Sort, Time
from mixerc.plan import nodes as n
from mixerc.plan.build import Builder


def lower_product(b: Builder, product: Product) -> n.Node:
    """The product of the factors, axes renamed as they say; 1 for none."""
    total = b.node(1)
    for factor in product:
        total = b("mul", total, lower_factor(b, factor))
    return total


def lower_factor(b: Builder, factor: Factor) -> n.Node:
    """A factor, with its copies of axes under their new names."""
    node = lower(b, factor.expr)
    for old, new in factor.copies:
        node = b.rename(node, old, new)
    return node


def lower(b: Builder, expr: e.Expr) -> n.Node:
    """The expression; values of a token have the axis of rows first."""
    match expr:
        case e.Number(value=value):
            return b.node(value)
        case e.Size(name="head"):
            return b.intern(n.HeadIndex(axes=()))
        case e.Size(name="pi"):
            return b("pi")
        case e.Size(name=name):
            return b.size(name)
        case e.Position(time=time):
            return b.load(str(time), (n.KEY_ROW if time is Time.S else n.ROW,))
        case e.Read(name=name, sort=sort):
            axes = _rows(sort) + sort.axes
            if name in b.logarithms:
                return b("exp", b.load(f"log_{name}", axes))
            return b.load(name, axes, complex=sort.kind is Kind.COMPLEX)
        case e.Item(source=source, axis=axis, index=index, called=called, sort=sort):
            axes = _rows(sort) + sort.axes
            item = n.Item(name=source.name, axis=axis, index=index)
            return b.load(called, axes, complex=sort.kind is Kind.COMPLEX, item=item)
        case e.Apply(primitive=primitive, operands=operands):
            return b(primitive, *(lower(b, operand) for operand in operands))
        case e.Contract(left=left, right=right, left_axis=axis, right_axis=other):
            return _contract(b, lower(b, left), lower(b, right), axis, other)
        case e.Reduce(reduction=reduction, axis=axis, operand=operand):
            return _reduce(b, reduction, axis, lower(b, operand))
        case e.Arange(axis=axis):
            return b.intern(n.Arange(axes=(axis,)))
        case e.Concat(parts=parts, axis=axis):
            return _concat(b, parts, axis)
        case _:
            return _outside(expr)


def _rows(sort: Sort) -> n.Axes:
    """The rows that a value changes with: those of t, those of s seen as keys."""
    return tuple(row for time, row in ((Time.T, n.ROW), (Time.S, n.KEY_ROW)) if time in sort.times)


def _outside(expr: e.Expr) -> n.Node:
    """What the classifier keeps out of a core that is compiled."""
    match expr:
        case (
            e.Number()
            | e.Size()
            | e.Read()
            | e.Apply()
            | e.Contract()
            | e.Reduce()
            | e.Arange()
            | e.Concat()
            | e.Position()
            | e.TimeSum()
            | e.Fold()
            | e.Item()
            | e.Draw()
            | e.Linear()
            | e.Conv()
            | e.Norm()
            | e.Rope()
            | e.Glu()
            | e.FirstLayer()
            | e.UseBlock()
            | e.UseMixer()
            | e.Repeat()
        ):
            raise AssertionError(f"{type(expr).__name__} in a compiled core")
        case _:
            assert_never(expr)


def _contract(b: Builder, left: n.Node, right: n.Node, axis: Axis, other: Axis) -> n.Node:
    """`N` on one side may meet `N'` on the other; the copy that is left over becomes N."""
    if axis == other:
        return b.contract(left, right, (axis,))
    plain, copy = sorted((axis, other), key=len)
    turned = left if axis == plain else right
    meeting = f"{copy}'" if copy in turned.axes else copy
    summed = b.contract(b.rename(left, axis, meeting), b.rename(right, other, meeting), (meeting,))
    return b.rename(summed, copy, plain)


def _reduce(b: Builder, reduction: str, axis: Axis, operand: n.Node) -> n.Node:
    match reduction:
        case "sum":
            return b.sum(operand, (axis,))
        case "max":
            return b.max(operand, (axis,))
        case "softmax":
            raised = b("exp", b("sub", operand, b.max(operand, (axis,))))
            return b("div", raised, b.sum(raised, (axis,)))
        case _:
            raise AssertionError(reduction)


def _concat(b: Builder, parts: Iterable[e.Expr], axis: Axis) -> n.Node:
    """Each part keeps the name of its own axis; only rows and other axes are shared."""
    lowered = [lower(b, part) for part in parts]
    own = tuple(part.sort.axes[-1] if part.sort.axes else "" for part in parts)
    shared = tuple(
        dict.fromkeys(
            a for node, name in zip(lowered, own, strict=True) for a in node.axes if a != name
        )
    )
    spread = tuple(b.spread(node, shared) for node in lowered)
    return b.intern(n.Concat(axes=(*shared, axis), args=spread, over=axis, parts=own))
