"""Backward of a chunk function: one rule a node, in the same nodes.

Cotangents flow from the outputs and from the carried states after the chunk to every load and
to the carried states before it. Nothing is divided by a decay. That of a complex value is the
slope by its real part plus i times the slope by its imaginary part, as in PyTorch: a product hands
on the conjugate of the other side, and a real value takes the real part of what reaches it.
"""

from collections.abc import Iterable

from mixerc.ir.primitives import PRIMITIVES
from mixerc.plan import nodes as n
from mixerc.plan.build import Builder, Term


def cotangent_name(name: str) -> str:
    """The name of the load or carry that holds the cotangent of a value."""
    return f"d_{name}"


def adjoint(function: n.ChunkFunction) -> n.ChunkFunction:
    """Outputs: the cotangent of each load, those of rows first; carries: cotangents of states.

    The carries run from the last chunk to the first.
    """
    b = Builder()
    for node in function.nodes:
        b.intern(node)
    moved = tuple((c, after) for c, after in function.carries if c.state not in function.still)
    fixed = {node for pair in function.carries if pair not in moved for node in pair}
    fixed |= {x for x in function.nodes if isinstance(x, n.Load) and x.name in function.still}
    sums = _Cotangents(b, fixed)
    for name, node in function.outputs:
        sums.add(node, b.load(cotangent_name(name), node.axes, complex=b.is_complex(node)))
    incoming = []
    for carry, after in moved:
        arriving = b.carry(cotangent_name(carry.state), carry.axes, complex=carry.complex)
        incoming.append(arriving)
        sums.add(after, arriving)
    for node in reversed(function.nodes):
        total = sums.total(node)
        if total is not None:
            for arg, part in _rule(b, node, total):
                sums.add(arg, part)
    outputs = tuple(
        (cotangent_name(node.name), total)
        for node in sorted(function.nodes, key=lambda x: n.ROW not in x.axes)
        if isinstance(node, n.Load) and (total := sums.total(node)) is not None
    )
    carries = tuple(
        (arriving, sums.total(carry) or b.spread(b.node(0), carry.axes))
        for arriving, (carry, _) in zip(incoming, moved, strict=True)
    )
    handed = (*function.handed, *_handed_back(b, function, sums))
    return n.ChunkFunction(
        nodes=b.nodes, outputs=outputs, carries=carries, chunk=function.chunk, handed=handed
    )


def _handed_back(b: Builder, function: n.ChunkFunction, sums: "_Cotangents") -> tuple[n.Node, ...]:
    """The cotangents of what is handed on, and of what rows are solved from."""
    solved = tuple(x for x in b.nodes if isinstance(x, n.Solve) and n.KEY_ROW not in x.axes)
    back = [x for x in solved if x.transposed]
    cut = (*reversed(function.handed), *(x.args[0] for x in solved if not x.transposed))
    totals = (total for x in cut if (total := sums.total(x)) is not None)
    return (*totals, *back)


class _Cotangents:
    """Adds up what reaches each node but those in `fixed`."""

    def __init__(self, b: Builder, fixed: set[n.Node]) -> None:
        self.b = b
        self.fixed = fixed
        self.parts: dict[n.Node, list[n.Node]] = {}

    def add(self, node: n.Node, part: n.Node) -> None:
        if node in self.fixed:
            return
        if self.b.is_complex(part) and not self.b.is_complex(node):
            part = self.b("real", part)
        assert set(part.axes) <= set(node.axes), f"{part} reaches {node}"
        self.parts.setdefault(node, []).append(part)

    def total(self, node: n.Node) -> n.Node | None:
        """The sum so far, with the axes of the node."""
        parts = self.parts.get(node)
        if parts is None:
            return None
        return self.b.spread(self.b.add_all(parts), node.axes)


def _rule(b: Builder, node: n.Node, g: n.Node) -> Iterable[tuple[n.Node, n.Node]]:
    """What a node passes on to each of its arguments, given its own cotangent."""
    match node:
        case n.Load() | n.Carry() | n.Number() | n.Size() | n.HeadIndex() | n.Arange():
            return ()
        case n.Map():
            return _map(b, node, g)
        case n.Contract(args=(left, right)):
            return (
                (left, _reduced(b, g, right, left.axes)),
                (right, _reduced(b, g, left, right.axes)),
            )
        case n.Sum(args=(arg,)):
            return ((arg, b.spread(g, arg.axes)),)
        case n.Max(args=(arg,), over=over):
            chosen = b("where", b("eq", arg, node), 1, 0)
            share = b("div", chosen, b.sum(chosen, over))
            return ((arg, b("mul", share, g)),)
        case n.Spread(args=(arg,)):
            return ((arg, b.sum(g, tuple(a for a in g.axes if a not in arg.axes))),)
        case n.Concat(args=args, over=over):
            return tuple((arg, _part(b, node, g, i)) for i, arg in enumerate(args) if over)
        case n.Rename(args=(arg,), old=old, new=new):
            return ((arg, b.rename(g, new, old)),)
        case n.Pad(args=(arg,)):
            return ((arg, b.pad(g, 0)),)
        case _:
            return _tile_rule(b, node, g)


def _tile_rule(b: Builder, node: n.Node, g: n.Node) -> Iterable[tuple[n.Node, n.Node]]:
    """The rules of the nodes that move rows about."""
    match node:
        case n.Halves(args=(arg,), width=width, side=side):
            return ((arg, b.place(g, width, side)),)
        case n.Place(args=(arg,), width=width, side=side):
            return ((arg, b.halves(g, width, side)),)
        case n.Pick(args=(arg,), width=width, side=side):
            return ((arg, b.unpick(g, width, side)),)
        case n.Unpick(args=(arg,), width=width, side=side):
            return ((arg, b.pick(g, width, side)),)
        case n.Grow(args=(arg, factor), width=width, side=side):
            moved = b.halves(g, width, side)
            rows = b.halves(arg, width, side)
            return (
                (arg, b.grow(g, factor, width, side)),
                (factor, _reduced(b, moved, rows, factor.axes)),
            )
        case n.Blocks(args=args, widths=levels, diagonal=diagonal):
            parts = [b.diagonal(g)] if diagonal else []
            parts += [b.block(g, width) for width in levels]
            return tuple(zip(args, parts, strict=True))
        case n.Block(args=(arg,), width=width):
            return ((arg, b.blocks(None, ((width, g),))),)
        case n.Diagonal(args=(arg,)):
            return ((arg, b.blocks(g, ())),)
        case n.Triangle(args=(arg,), strict=strict):
            return ((arg, b.triangle(g, strict=strict)),)
        case n.Solve(args=(lower, rows), transposed=False):
            back = b.solve(lower, g, transposed=True)
            return ((rows, back), (lower, _of_pairs(b, back, node)))
        case _:
            raise AssertionError(f"no adjoint of {type(node).__name__}")


def _of_pairs(b: Builder, back: n.Node, found: n.Node) -> n.Node:
    """The cotangent of a strictly lower tile by which rows were found."""
    own = n.MID_ROW if n.KEY_ROW in found.axes else n.KEY_ROW
    over = tuple(axis for axis in found.axes if axis != n.ROW)
    pairs = b.contract(back, b.rename(found, n.ROW, own), over)
    return b.triangle(b.rename(pairs, own, n.KEY_ROW), strict=True)


def _map(b: Builder, node: n.Map, g: n.Node) -> Iterable[tuple[n.Node, n.Node]]:
    match node:
        case n.Map(primitive="real", args=(arg,)):
            return ((arg, g),)
        case n.Map(primitive="imag", args=(arg,)):
            return ((arg, b("complex", 0, g)),)
        case n.Map(primitive="conj", args=(arg,)):
            return ((arg, _conjugate(b, g)),)
        case n.Map(primitive="complex", args=(real, imaginary)):
            if not b.is_complex(g):
                return ((real, _onto(b, g, real)),)
            sides = ((real, b("real", g)), (imaginary, b("imag", g)))
            return tuple((arg, _onto(b, part, arg)) for arg, part in sides)
        case n.Map(primitive="abs", args=(arg,)) if b.is_complex(arg):
            length = b("where", b("eq", node, 0), 1, node)
            return ((arg, b("mul", b("div", arg, length), g)),)
        case _:
            return _by_partials(b, node, g)


def _onto(b: Builder, part: n.Node, arg: n.Node) -> n.Node:
    """What reaches an argument, summed over the axes that it lacks."""
    return b.sum(part, tuple(axis for axis in part.axes if axis not in arg.axes))


def _conjugate(b: Builder, node: n.Node) -> n.Node:
    return b("conj", node) if b.is_complex(node) else node


def _by_partials(b: Builder, node: n.Map, g: n.Node) -> Iterable[tuple[n.Node, n.Node]]:
    rule = PRIMITIVES[node.primitive].partials
    if rule is None:
        if PRIMITIVES[node.primitive].result == "bool":
            return ()
        raise AssertionError(f"no derivative of {node.primitive}")
    partials: tuple[Term | None, ...] = rule(b, *node.args)
    return tuple(
        (arg, _reduced(b, g, b.node(partial), arg.axes))
        for arg, partial in zip(node.args, partials, strict=True)
        if partial is not None and not isinstance(arg, n.Number)
    )


def _reduced(b: Builder, g: n.Node, other: n.Node, axes: n.Axes) -> n.Node:
    """g · other, summed over the axes that are not wanted; in the order of `axes` if it can be."""
    over = tuple(a for a in dict.fromkeys(g.axes + other.axes) if a not in axes)
    other = _conjugate(b, other)
    made = b.contract(g, other, over)
    turned = b.contract(other, g, over)
    return turned if turned.axes == axes != made.axes else made


def _part(b: Builder, node: n.Concat, g: n.Node, index: int) -> n.Node:
    arg = node.args[index]
    return b.intern(n.Part(axes=arg.axes, args=(g, *node.args), over=node.over, index=index))
