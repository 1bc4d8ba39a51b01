"""A kernel as the view of its templates, and how a tile is written to memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mixerc.backends.module.layout import laid_out
from mixerc.backends.triton.body import Body
from mixerc.backends.triton.memory import Doors, Held, Rows, halved
from mixerc.backends.triton.pressure import CALL, most_held
from mixerc.backends.triton.scope import Scope
from mixerc.backends.triton.values import (
    ROW,
    Dims,
    Value,
    aligned,
    block_of,
    first_of,
    shape_text,
    size_of,
)
from mixerc.plan import nodes as n

CHUNK = (
    "first, count, batch = chunk_of(n, length, first_at, count_at, batch_at, CHUNK)",
    "at, valid = rows_of(i, count)",
)
"""Which tokens a chunk has, and its row of the batch."""
_PRODUCT, _IN_CALL = "matmul(", 6
"""A product in a kernel's text, and those of the function that inverts a tile (device.py)."""
_ROWS_OF_WARP = 8
"""Of 64 rows, with eight warps: what the numbers of hardware are calibrated for."""

Block = tuple[str, str, str]
"""A block of an axis: the variable with its first place, the axis's length, the block's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelView:
    """A kernel's text, and what its launch has to give: pointers, heads, numbers and axes.

    `before` and `after` stand around the loop of a scan, `step` are the loop's first lines, and
    `steps` is the number of tokens of a step; tiles hold every place of the axes in `whole`;
    `more` are numbers that only some kernels take, and `weight` is how many whole tiles one over
    rows holds at once, which `warps` share.
    """

    name: str
    summary: str
    head: tuple[str, ...]
    blocks: tuple[Block, ...]
    places: tuple[str, ...]
    lines: tuple[str, ...]
    doors: Doors
    outs: tuple[str, ...]
    axes: tuple[str, ...]
    split: tuple[str, ...]
    whole: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    step: tuple[str, ...] = ()
    steps: str = ""
    tiles: Mapping[str, Dims] = field(default_factory=dict)
    more: tuple[str, ...] = ()
    weight: float = 0.0
    warps: int = 4

    @property
    def body(self) -> str:
        """All of the text but the name."""
        head = "\n".join(self.head).replace(self.name, "", 1)
        parts = (self.places, self.before, self.step, self.lines, self.after)
        return "\n".join((head, self.steps, str(self.blocks), *(x for part in parts for x in part)))

    @property
    def decorator(self) -> tuple[str, ...]:
        """What compiles it: not for the numbers that differ from call to call."""
        numbers = ", ".join(f'"{x}"' for x in ("length", "HEADS", *self.doors.heads, *self.more))
        first, *rest = laid_out(f"triton.jit(do_not_specialize=[{numbers}])", 1)
        return (f"@{first}", *rest)

    @property
    def products(self) -> int:
        """How many matrix products its text has."""
        lines = (*self.before, *self.lines, *self.after)
        return sum(x.count(_PRODUCT) + _IN_CALL * x.count(CALL) for x in lines)

    def held(self, chunk: int, block: int, warps: int) -> float:
        """The most places of tiles that a thread holds at once, with `block` places of each axis.

        A warp's part of a matrix product gives each of its threads four places at least. Where
        there are several products, warps share the rows of their tiles alone: those beyond one
        for 8 rows hold what others do.
        """
        loop = (f"    {line}" for line in self.lines)
        lines = ("for step:", *loop) if self.step else self.lines
        text, threads = (*self.before, *lines, *self.after), 32 * warps
        shared = min(warps, max(chunk // _ROWS_OF_WARP, 1)) if self.products > 1 else warps
        least, copies = 4 * threads, warps // shared
        return most_held(text, self.tiles, chunk, block, least, self.whole, copies) / threads


def store(
    body: Body,
    doors: Doors,
    scope: Scope,
    pointer: str,
    where: Rows | Held,
    value: Value,
    dims: Dims,
    half: n.Half = "",
) -> None:
    """Writes a tile to its place, and repeats it along the dimensions that it lacks."""
    place = halved(doors.place(where, dims, scope), half)
    masks = list(place.masks)
    if ROW in dims and isinstance(where, Rows):
        masks.append(aligned(Value(text="valid", dims=(ROW,)), dims))
    text = f"{aligned(value, dims)}.to({pointer}.dtype.element_ty)"
    mask = f", mask={' & '.join(masks)}" if masks else ""
    if set(dims) - set(value.dims):
        text = f"tl.broadcast_to({text}, {shape_text(dims, block_of)})"
    body.put(f"tl.store({pointer} + {place.text}, {text}{mask})")


def view(
    *,
    name: str,
    summary: str,
    doors: Doors,
    outs: tuple[str, ...],
    split: tuple[str, ...],
    whole: tuple[str, ...] = (),
    given: tuple[str, ...],
    tiles: Mapping[str, Dims],
    axes: tuple[str, ...],
    places: tuple[str, ...],
    lines: tuple[str, ...],
    before: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
    step: tuple[str, ...] = (),
    steps: str = "",
    more: tuple[str, ...] = (),
) -> KernelView:
    parameters = _parameters(given, outs, doors, axes, more)
    return KernelView(
        name=name,
        summary=summary,
        head=laid_out(f"def {name}({', '.join(parameters)}):", 0),
        blocks=tuple((first_of(a), size_of(a), block_of(a)) for a in split),
        places=places,
        lines=lines,
        doors=doors,
        outs=outs,
        axes=axes,
        split=split,
        whole=whole,
        before=before,
        after=after,
        step=step,
        steps=steps,
        tiles=tiles,
        more=more,
    )


def _parameters(
    given: tuple[str, ...],
    outs: tuple[str, ...],
    doors: Doors,
    axes: tuple[str, ...],
    more: tuple[str, ...],
) -> tuple[str, ...]:
    """Everything that a kernel takes, in order."""
    sizes = dict.fromkeys(map(size_of, axes))
    constants = [f"{x}: tl.constexpr" for x in ("CHUNK", *sizes, *map(block_of, axes))]
    constants += [f"{x}: tl.constexpr" for x in doors.numbers.values()]
    constants += [f"{x}: tl.constexpr" for x in ("ACC", "DOT", "WIDE", "PREC")]
    heads = ("HEADS", *doors.heads, *more)
    return (*given, *outs, *doors.pointers, *doors.held, *heads, *constants)
