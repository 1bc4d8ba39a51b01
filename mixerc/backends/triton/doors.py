"""What a kernel of a tile sweep reads and writes, as parameters and as lines of its text.

Values of tokens are [B, G, r, T, axes…], of any strides but for their axes, which lie side by side:
G groups of heads that share keys, r heads in each. A value without one of these has the stride 0
there. Where a program's part begins is one 64-bit number; places within a tile have 32 bits.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mixerc.backends.module.identifiers import identifier
from mixerc.backends.triton.values import Value, aligned, block_of, size_of

HERE, THERE = "row", "column"
"""The dimensions of a tile: the block of tokens of a program, and those that it walks over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A value by its name, along which dimension of a tile its tokens lie ('' for none, as a
    constant of each head has), its axes, and whether it is a number to compute with. One that is
    only `multiplied` as a matrix stays in the dtype in which it came."""

    name: str
    side: str
    axes: tuple[str, ...] = ()
    real: bool = True
    multiplied: bool = False

    @property
    def tile(self) -> str:
        """The variable that holds a tile of it."""
        return identifier(self.name)

    @property
    def dims(self) -> tuple[str, ...]:
        """The dimensions of its tile."""
        return (*((self.side,) if self.side else ()), *self.axes)

    @property
    def strides(self) -> tuple[str, ...]:
        """The names of its strides: of a sequence, a group, a head of it, and a token."""
        last = ("row",) if self.side else ()
        return tuple(f"{self.tile}_{each}" for each in ("n", "g", "h", *last))

    @property
    def value(self) -> Value:
        """Its tile; there are zeros past the ends of its axes."""
        return Value(text=self.tile, dims=self.dims, zero=frozenset(self.axes))

    def start(self) -> str:
        """The line that finds where the value of a sequence and a head begins."""
        n, g, h, *_ = self.strides
        return f"{self.tile}_from = {self.tile}_at + n * {n} + g * {g} + r * {h}"

    def place(self, index: str, first: str) -> str:
        """The places of its tile, of which `index` are the tokens from `first` on."""
        terms = [f"{self.tile}_from"]
        if self.side:
            row = self.strides[3]
            terms.append(f"{first} * {row}")
            at = aligned(Value(text=index, dims=(self.side,)), self.dims)
            terms.append(f"{at} * {row}")
        for number, axis in enumerate(self.axes):
            at = aligned(Value(text=f"at_{size_of(axis)}", dims=(axis,)), self.dims)
            sizes = [size_of(each) for each in self.axes[number + 1 :]]
            terms.append(" * ".join((at, *sizes)))
        return " + ".join(terms)

    def mask(self, inside: str) -> str:
        """Which places of its tile there are; '' where all are."""
        masks = [aligned(Value(text=inside, dims=(self.side,)), self.dims)] if self.side else []
        for axis in self.axes:
            masks.append(aligned(Value(text=f"at_{size_of(axis)}_in", dims=(axis,)), self.dims))
        return " & ".join(masks)

    def load(self, index: str, first: str, inside: str) -> str:
        """The line that loads its tile."""
        mask = self.mask(inside)
        masked = f", mask={mask}, other={'0.0' if self.real else '0'}" if mask else ""
        cast = ".to(ACC)" if self.real and not self.multiplied else ""
        return f"{self.tile} = tl.load({self.place(index, first)}{masked}){cast}"

    def store(self, value: str, index: str, first: str, inside: str) -> str:
        """The line that stores a tile in its place."""
        mask = self.mask(inside)
        masked = f", mask={mask}" if mask else ""
        return (
            f"tl.store({self.place(index, first)}, "
            f"{value}.to({self.tile}_at.dtype.element_ty){masked})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of the mask over blocks of so many queries and keys, 0 for a time that it lacks."""

    name: str
    rows: int
    keys: int

    @property
    def tile(self) -> str:
        """The variable that holds a tile of it."""
        return identifier(self.name)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Its pointer, and how long a row of it is."""
        return (f"{self.tile}_at", *((f"{self.tile}_row",) if self.rows and self.keys else ()))

    def dims(self, *, turned: bool) -> tuple[str, ...]:
        """The dimensions of its tile, whose rows are keys where it is `turned`."""
        query, key = (THERE, HERE) if turned else (HERE, THERE)
        found = ((query,) if self.rows else ()) + ((key,) if self.keys else ())
        return tuple(sorted(found, key=lambda dim: dim != HERE))

    def load(self, *, turned: bool) -> str:
        """The line that looks up a tile."""
        dims = self.dims(turned=turned)
        query, key = (THERE, HERE) if turned else (HERE, THERE)
        terms, masks = [], []
        if self.rows:
            at = aligned(Value(text="t", dims=(query,)), dims)
            terms.append(f"{at} // {self.rows}" + (f" * {self.tile}_row" if self.keys else ""))
            masks.append(aligned(Value(text="t_in", dims=(query,)), dims))
        if self.keys:
            at = aligned(Value(text="s", dims=(key,)), dims)
            terms.append(f"{at} // {self.keys}")
            masks.append(aligned(Value(text="s_in", dims=(key,)), dims))
        mask = " & ".join(masks)
        return f"{self.tile} = tl.load({self.tile}_at + {' + '.join(terms)}, mask={mask}, other=0)"


def axes_lines(doors: Iterable[Door]) -> tuple[str, ...]:
    """The places along each axis of some values, and which of them there are."""
    axes = dict.fromkeys(axis for door in doors for axis in door.axes)
    sizes = {size_of(axis): block_of(size_of(axis)) for axis in axes}
    return tuple(
        line
        for size, block in sizes.items()
        for line in (f"at_{size} = tl.arange(0, {block})", f"at_{size}_in = at_{size} < {size}")
    )
