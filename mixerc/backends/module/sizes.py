"""Which sizes the text of a kernel speaks of."""

from collections.abc import Iterable

from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.distribute import Kernel, is_scalar


def sizes_of(kernel: Kernel) -> tuple[str, ...]:
    """The names of sizes that stand in the kernel's text."""
    return sizes_in(kernel.body)


def sizes_in(nodes: Iterable[n.Node]) -> tuple[str, ...]:
    """The names of sizes that stand in the text of some nodes."""
    found: dict[str, None] = {}
    for node in nodes:
        for arg in node.args:
            if is_scalar(arg):
                found.update(dict.fromkeys(_sizes(arg)))
        match node:
            case n.Spread(axes=axes) | n.Arange(axes=axes):
                found.update(dict.fromkeys(a.rstrip("'") for a in axes if not is_tile(a)))
            case n.Part(args=(_, *parts)):
                named = (a.rstrip("'") for p in parts for a in p.axes if not is_tile(a))
                found.update(dict.fromkeys(named))
    return tuple(found)


def _sizes(node: n.Node) -> tuple[str, ...]:
    match node:
        case n.Size(name=name):
            return (name,)
        case _:
            return tuple(name for arg in node.args for name in _sizes(arg))
