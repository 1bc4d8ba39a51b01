"""Over which axes a program must have every place, and over which it may have a part of a sum.

A value that is stored can be a sum over an axis of which programs have blocks: each then stores a
part. All that goes on with a sum, but by factors and further sums, needs all of it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mixerc.plan import nodes as n
from mixerc.plan.distribute import is_scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """`whole` are the axes to have every place of, `parts` those of which a part is enough."""

    whole: frozenset[str]
    parts: frozenset[str]


def partial_sums(
    roots: Iterable[n.Node], others: Iterable[n.Node], given: Collection[n.Node]
) -> Partial:
    """The axes of what is made for `roots`, which are stored, and `others`, which are used."""
    whole: set[str] = set()
    parts: set[str] = set()

    def visit(node: n.Node, free: frozenset[str]) -> None:
        if node in given or is_scalar(node):
            return
        match node:
            case n.Contract(over=over) | n.Sum(over=over):
                parts.update(free & set(over))
                whole.update(set(over) - free)
            case n.Max(over=over):
                whole.update(over)
            case n.Rename(old=old, new=new):
                whole.update((old, new))
        for arg in node.args:
            visit(arg, free & _sums(arg, given))

    for root in roots:
        visit(root, _sums(root, given))
    for node in others:
        visit(node, frozenset())
    return Partial(whole=frozenset(whole), parts=frozenset(parts - whole))


def _sums(node: n.Node, given: Collection[n.Node]) -> frozenset[str]:
    """The axes that a value is a sum over, and nothing else."""
    if node in given or is_scalar(node):
        return frozenset()
    inner = tuple(_sums(arg, given) for arg in node.args)
    match node:
        case n.Contract(over=over):
            return frozenset(over) | _of_product(node, inner)
        case n.Sum(over=over):
            return frozenset(over) | inner[0]
        case n.Map(primitive="neg" | "real" | "imag" | "conj") | n.Spread():
            return inner[0]
        case n.Map(primitive="add" | "sub" | "complex"):
            return inner[0] & inner[1]
        case n.Map(primitive="mul"):
            return _of_product(node, inner)
        case n.Map(primitive="div"):
            return inner[0] - set(node.args[1].axes) - inner[1]
        case _:
            return frozenset()


def _of_product(node: n.Node, inner: tuple[frozenset[str], ...]) -> frozenset[str]:
    """A product is a sum where one side is, and the other is the same for every term."""
    (left, right), (first, second) = node.args, inner
    one = (first - set(right.axes)) | (second - set(left.axes))
    return one - (first & second)
