"""Where values stand in memory: the offsets of a tile, its mask, and what a kernel is given.

Streams are [tokens, heads, axes…] with all sequences in one row, constants [batch, heads, axes…],
and what one kernel hands to another [chunks, heads, axes…] or, row by row, like a stream; all of
them are contiguous, and of a complex number both halves stand side by side. Where a program's part
of a tensor begins is one 64-bit number; places within the part are 32 bits, which `Run` proves to
be enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mixerc.backends.module.identifiers import identifier
from mixerc.backends.module.printer import NumberText, apply_text, number_text, within
from mixerc.backends.triton.scope import Scope
from mixerc.backends.triton.values import ROW, ROWS, Dims, Value, aligned, dims_of, size_of
from mixerc.plan import nodes as n
from mixerc.plan.distribute import is_scalar


@dataclass(slots=True)
class Doors:
    """What comes into a kernel from outside, in order of first use: arguments and their texts.

    `buffers` are values that other kernels made, and `held` the pointers to those that are read;
    `masked` are the loads that are 0 in rows past the end: the others repeat the last row there.
    Buffers in `by_rows` lie as streams do, and are 0 past the end where it says so.
    """

    tokens: bool
    buffers: dict[n.Node, str]
    masked: frozenset[str] = frozenset()
    by_rows: Mapping[n.Node, bool] = field(default_factory=dict)
    pointers: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)

    def leaf(self, scope: Scope, node: n.Node) -> Value:
        """The value of a node that is not computed here."""
        if is_scalar(node):
            name = self.numbers.setdefault(scalar_text(node), f"c{len(self.numbers)}")
            return Value(text=f"tl.full([], {name}, ACC)")
        dims = dims_of(node.axes, tokens=self.tokens)
        if node in self.buffers:
            pointer = f"held_{len(self.held)}_at"
            self.held[pointer] = self.buffers[node]
            place = self.place(TOKENS if node in self.by_rows else CHUNKS, dims, scope)
            return self._loaded(pointer, place, dims, masked=self.by_rows.get(node, False))
        match node:
            case n.Load():
                return self._load(node, dims, scope)
            case n.HeadIndex():
                return Value(text="(h + tl.zeros([], ACC))")
            case n.Arange(axes=(axis,)):
                return Value(text=f"{scope.index(axis)}.to(ACC)", dims=dims)
            case _:
                raise AssertionError(type(node).__name__)

    def _load(self, node: n.Load, dims: Dims, scope: Scope) -> Value:
        name = node.name
        pointer = f"{identifier(name)}_at"
        heads = f"{identifier(name)}_heads"
        self.pointers[pointer] = name
        self.heads[heads] = name
        where = Rows(heads) if n.ROW in node.axes else Held("batch", heads)
        place = halved(self.place(where, dims, scope), node.half)
        return self._loaded(pointer, place, dims, masked=name in self.masked)

    def _loaded(self, pointer: str, place: "Place", dims: Dims, *, masked: bool) -> Value:
        masks = list(place.masks)
        if masked and not self.tokens:
            masks.append(aligned(Value(text="valid", dims=(ROW,)), dims))
        mask = f", mask={' & '.join(masks)}, other=0.0" if masks else ""
        spec = frozenset(d for d in dims if d not in ROWS)
        text = f"tl.load({pointer} + {place.text}{mask}).to(ACC)"
        return Value(text=text, dims=dims, zero=spec)

    def place(self, where: "Rows | Held", dims: Dims, scope: Scope) -> "Place":
        """The offset of a tile, and the masks of its axes."""
        token = isinstance(where, Rows) and not self.tokens
        axes = tuple(d for d in dims if not (token and d == ROW))
        sizes = ["CHUNK" if d in ROWS else size_of(d) for d in axes]
        terms = [" * ".join((within(where.base(self.tokens)), *sizes))]
        masks = []
        if token:
            row = aligned(Value(text=f"(at * {where.heads})", dims=(ROW,)), dims)
            terms.append(" * ".join((row, *sizes)))
        for index, axis in enumerate(axes):
            name = "i" if axis in ROWS else scope.index(axis)
            at = aligned(Value(text=name, dims=(axis,)), dims)
            terms.append(" * ".join((at, *sizes[index + 1 :])))
            if axis not in ROWS:
                masks.append(aligned(Value(text=f"{name}_in", dims=(axis,)), dims))
        return Place(text=" + ".join(terms), masks=tuple(masks))


@dataclass(frozen=True, slots=True)
class Rows:
    """A tensor with a row a token: the part of a program is the rows of its chunk."""

    heads: str

    def base(self, tokens: bool) -> str:
        """Where the part begins, counted in values of a head."""
        first = "row" if tokens else "first"
        return f"{first} * {self.heads} + {_head(self.heads)}"


@dataclass(frozen=True, slots=True)
class Held:
    """A tensor with one value (or tile) for each of something: chunks, sequences, batch rows."""

    which: str
    heads: str

    def base(self, tokens: bool) -> str:
        """Where the value begins, counted in values."""
        return f"{self.which} * {self.heads} + {_head(self.heads)}"


def _head(heads: str) -> str:
    return "h" if heads == "HEADS" else f"h % {heads}"


CHUNKS = Held("n", "HEADS")
SEQUENCES = Held("s", "HEADS")
TOKENS = Rows("HEADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a tile stands behind a pointer, and which of its places exist."""

    text: str
    masks: tuple[str, ...]


def halved(place: Place, half: n.Half) -> Place:
    """The place of one half of a complex number."""
    if not half:
        return place
    return Place(text=f"2 * ({place.text}) + {int(half == 'im')}", masks=place.masks)


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
