"""Axes put together from others, and parts of such an axis: the same tile, other places.

Each part of a whole axis is computed at the whole's places less those of the parts before it, and
chosen where it has one.
"""

from dataclasses import replace
from typing import Protocol

from mixerc.backends.triton.scope import Scope
from mixerc.backends.triton.tiles import TilePrinter
from mixerc.backends.triton.values import Value, aligned, size_of
from mixerc.plan import nodes as n


class Writer(Protocol):
    """Writes a kernel's statements, and computes nodes at other places of an axis."""

    printer: TilePrinter
    axes: dict[str, None]

    def put_index(self, axis: str, places: str, within: str) -> str:
        """The variable with some places of an axis, and a mask of those that there are."""

    def inside(self, node: n.Node, scope: Scope, axis: str, outer: str, index: str = "") -> Value:
        """A value where an axis has the block of another, or the places of an index."""


def joined(body: Writer, node: n.Concat, scope: Scope) -> Value:
    """The parts one after the other along an axis."""
    found: list[tuple[str, Value]] = []
    here, before = scope.index(node.over), "0"
    for arg, axis in zip(node.args, node.parts, strict=True):
        exists = f"({{0}} >= 0) & ({{0}} < {size_of(axis)})"
        at = body.put_index(axis, f"{here} - ({before})", exists)
        value = body.inside(arg, scope, axis, node.over, at)
        dims = tuple(node.over if d == axis else d for d in value.dims)
        found.append((f"{at}_in", replace(value, dims=dims)))
        before = f"{before} + {size_of(axis)}"
    present = {node.over, *(d for _, value in found for d in value.dims)}
    dims = tuple(d for d in body.printer.dims(node) if d in present)
    text = "0.0"
    for mask, value in reversed(found):
        kept = aligned(Value(text=mask, dims=(node.over,)), dims)
        text = f"tl.where({kept}, {aligned(value, dims)}, {text})"
    return Value(text=text, dims=dims, zero=frozenset({node.over}))


def piece(body: Writer, node: n.Part, scope: Scope) -> Value:
    """What one part of a joined axis holds."""
    whole, *parts = node.args
    own = [next(a for a in part.axes if a not in whole.axes) for part in parts]
    body.axes |= dict.fromkeys(own)
    before, axis = " + ".join(map(size_of, own[: node.index])) or "0", own[node.index]
    here = scope.index(axis)
    at = body.put_index(node.over, f"{here} + {before}", f"{here}_in")
    value = body.inside(whole, scope, node.over, axis, at)
    return replace(value, dims=tuple(axis if d == node.over else d for d in value.dims))
