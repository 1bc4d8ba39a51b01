"""Where values stand in memory: the offsets of a tile, its mask, and what a kernel is given.

Streams are [tokens, heads, axes…] with all sequences in one row, constants [batch, heads, axes…],
and what one kernel hands to another [chunks, heads, axes…]; all of them are contiguous.
"""

from dataclasses import dataclass, field

from mixerc.backends.module.identifiers import identifier
from mixerc.backends.module.printer import NumberText, apply_text, number_text, within
from mixerc.backends.triton.body import Scope
from mixerc.backends.triton.values import ROW, Dims, Value, aligned, dims_of, size_of
from mixerc.plan import nodes as n
from mixerc.plan.distribute import is_scalar


@dataclass(slots=True)
class Doors:
    """What comes into a kernel from outside, in order of first use: arguments and their texts.

    `buffers` are values that other kernels made; `masked` are the loads that are 0 in rows past
    the end; the others repeat the last row there.
    """

    tokens: bool
    buffers: dict[n.Node, str]
    masked: frozenset[str] = frozenset()
    pointers: dict[str, str] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, None] = field(default_factory=dict)

    def leaf(self, scope: Scope, node: n.Node) -> Value:
        """The value of a node that is not computed here."""
        if is_scalar(node):
            name = self.numbers.setdefault(scalar_text(node), f"c{len(self.numbers)}")
            return Value(text=f"tl.full([], {name}, ACC)")
        dims = dims_of(node.axes, tokens=self.tokens)
        if node in self.buffers:
            self.pointers[self.buffers[node]] = self.buffers[node]
            base = "n * HEADS + h"
            return self._loaded(self.buffers[node], base, dims, scope, masked=False)
        match node:
            case n.Load(name=name):
                return self._load(name, node.axes, dims, scope)
            case n.HeadIndex():
                return Value(text="(h + tl.zeros([], ACC))")
            case n.Arange(axes=(axis,)):
                return Value(text=f"{scope.index(axis)}.to(ACC)", dims=dims)
            case _:
                raise AssertionError(type(node).__name__)

    def _load(self, name: str, axes: n.Axes, dims: Dims, scope: Scope) -> Value:
        pointer = f"{identifier(name)}_at"
        heads = f"{identifier(name)}_heads"
        self.pointers[pointer] = name
        self.heads[heads] = name
        row = "rows" if n.ROW in axes else "batch"
        base = f"{row} * {heads} + h % {heads}"
        return self._loaded(pointer, base, dims, scope, masked=name in self.masked)

    def _loaded(self, pointer: str, base: str, dims: Dims, scope: Scope, *, masked: bool) -> Value:
        offset, masks = self.place(base, dims, scope)
        if masked and not self.tokens:
            masks.append(aligned(Value(text="valid", dims=(ROW,)), dims))
        mask = f", mask={' & '.join(masks)}, other=0.0" if masks else ""
        spec = frozenset(d for d in dims if d != ROW)
        return Value(text=f"tl.load({pointer} + {offset}{mask}).to(ACC)", dims=dims, zero=spec)

    def place(self, base: str, dims: Dims, scope: Scope) -> tuple[str, list[str]]:
        """The offset of a tile, and the masks of its axes."""
        first = (ROW,) if ROW in dims else ()
        text, masks = aligned(Value(text=base, dims=first), dims) if first else base, []
        for axis in (d for d in dims if d != ROW):
            self.sizes[size_of(axis)] = None
            index = aligned(Value(text=scope.index(axis), dims=(axis,)), dims)
            text = f"{within(text)} * {size_of(axis)} + {index}"
            masks.append(aligned(Value(text=f"{scope.index(axis)}_in", dims=(axis,)), dims))
        return text, masks


def scalar_text(node: n.Node) -> str:
    """A plain number of the call, as a Python expression over sizes."""
    match node:
        case n.Number(value=value):
            return NumberText(number_text(value))
        case n.Size(name=name):
            return NumberText(f'size["{name}"]')
        case n.Map(primitive=primitive, args=args):
            return apply_text(primitive, tuple(NumberText(scalar_text(arg)) for arg in args))
        case _:
            raise AssertionError(type(node).__name__)
