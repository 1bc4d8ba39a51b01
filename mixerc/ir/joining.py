"""Features for the text of a mixer whose `concat` stands where no line gives it an axis."""

from collections.abc import Iterator
from itertools import count
from typing import assert_never

from mixerc.ir.expr import Concat, Expr
from mixerc.ir.mixer import Input, Mixer, Param, Update, Value
from mixerc.ir.sorts import FEATURES, Axis
from mixerc.ir.walk import children, walk


def joining(mixer: Mixer) -> dict[tuple[Axis, int], str]:
    """A free name for each axis and number of parts of such a `concat`."""
    found = dict.fromkeys(
        (node.axis, len(node.parts))
        for expr in _places(mixer)
        for node in walk(expr)
        if isinstance(node, Concat) and node.axis != FEATURES
    )
    taken = _names(mixer)
    free = (name for name in map("joined{}".format, count(1)) if name not in taken)
    return dict(zip(found, free, strict=False))


def lands(value: Value) -> bool:
    """Whether the line is a `concat` along its one axis."""
    return isinstance(value.expr, Concat) and value.sort.axes == (value.expr.axis,)


def _places(mixer: Mixer) -> Iterator[Expr]:
    """Every expression of the mixer, but for a `concat` that is all of its line."""
    core = mixer.core
    for line in (*mixer.lines, *core.lines, core.output):
        match line:
            case Value(expr=expr) if lands(line):
                yield from children(expr)
            case Value(expr=expr) | Update(expr=expr) | Param(init=expr):
                yield expr
            case Input():
                pass
            case _:
                assert_never(line)
    for branch in core.branches:
        parts = (branch.mask, branch.weight, branch.value, branch.decay, branch.normalize)
        yield from (part for part in parts if part is not None)
    if mixer.y is not None:
        yield mixer.y


def _names(mixer: Mixer) -> set[str]:
    core = mixer.core
    values = [line for line in core.lines if isinstance(line, Value)]
    named = (*mixer.sizes, *mixer.lines, *core.branches, *core.states, *values)
    return {each.name for each in named}
