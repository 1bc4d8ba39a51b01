"""Which tiles a kernel visits, as loops of its text: in closed form over bands, or over a table."""

from collections.abc import Iterator
from dataclasses import dataclass

from mixerc.algebra.masks.bands import Bands
from mixerc.algebra.masks.conditions import TRUE, Condition
from mixerc.algebra.masks.structure import Documents, structure
from mixerc.algebra.masks.turned import turned
from mixerc.backends.module.bounds import bounds_text
from mixerc.backends.module.layout import packed

_NAMES = {"t0": "t0", "t1": "t1", "T": "length", "maximum": "tl.maximum", "minimum": "tl.minimum"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A loop over tiles: `before` it, its range, and its body."""

    before: tuple[str, ...]
    over: str
    body: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The function of a tile: what it carries from tile to tile, and what it is passed. With
    `always` no tile is taken to be full; where they are `numbered`, it is told its number."""

    name: str
    carried: tuple[str, ...]
    passed: tuple[str, ...]
    constants: frozenset[str]
    always: bool
    numbered: bool

    @property
    def parameters(self) -> tuple[str, ...]:
        """Those of the function."""
        fixed = (f"{x}: tl.constexpr" if x in self.constants else x for x in self.passed)
        number = ("number",) if self.numbered else ()
        return (*self.carried, "first", "stop", "low", "partial", *number, *fixed)

    def lines(self, first: str, stop: str, low: str, partial: str, number: str) -> tuple[str, ...]:
        """A call; `partial` says whether pairs have to be looked at."""
        tile = (first, stop, low, "True" if self.always else partial)
        numbers = (number,) if self.numbered else ()
        arguments = (*self.carried, *tile, *numbers, *self.passed)
        carried = ", ".join(self.carried)
        return packed(f"{carried} = {self.name}_tile(", arguments, ")", 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Tiles in closed form: bands in order, within the intervals of the documents in these
    streams, if there are any."""

    bands: Bands
    documents: tuple[str, ...]


def walk_of(condition: Condition, *, keys: bool, in_turn: bool) -> Walk | None:
    """The walk over keys under a mask, or over queries, if there is a closed form.

    A walk that adds up what lies between its tiles has to take them `in_turn`, which over a block
    of queries only the tiles of a single band are sure to be.
    """
    match structure(turned(condition) if keys else condition):
        case Bands(ordered=True) as bands:
            found = Walk(bands=bands, documents=())
        case Documents(streams=streams, inner=Bands(ordered=True) as bands):
            found = Walk(bands=bands, documents=streams)
        case _:
            return None
    return None if in_turn and len(found.bands.bands) > 1 else found


def closed(walk: Walk | None, call: Call, *, leftwards: bool) -> Iterator[Loop]:
    """Loops in closed form over the tiles of each band, from left to right or `leftwards`."""
    if walk is None:
        return
    text = bounds_text(walk.bands, _NAMES)
    place = "begin + end - THERE - step" if leftwards else "step"
    for number, (band, names) in enumerate(zip(walk.bands.bands, text.bands, strict=True)):
        ends = f"{names.begin}, {names.end}, {names.sure_begin}, {names.sure_end}"
        before = ["done = tl.maximum(done, end)"] if number else [*text.lines]
        before.append(
            f"begin, near_full, far_full, end = "
            f"band_of({ends}, there_low, there_count, done, THERE)"
        )
        if walk.documents:
            ends = "begin, near_full, far_full, end"
            before.append(f"{ends} = in_documents({ends}, documents_at, block, THERE)")
        partial = "(place < near_full) | (place >= far_full)" if band.guard == TRUE else "True"
        body = call.lines("place", "there_count", "there_low", partial, "place // THERE")
        over = "for step in range(begin, end, THERE):"
        yield Loop(before=tuple(before), over=over, body=(f"place = {place}", *body))


def table(call: Call, *, leftwards: bool) -> Loop:
    """The loop over the tiles of a table, whose entries are twice a tile's number, and one more
    where it is not full."""
    start, stop = "tl.load(starts_at + block)", "tl.load(starts_at + block + 1)"
    entry = f"{start} + {stop} - 1 - step" if leftwards else "step"
    body = (
        f"entry = tl.load(tiles_at + {entry})",
        "first, stop, low = span_of(entry // 2, there_count, there_low, there_spans_at, THERE)",
        *call.lines("first", "stop", "low", "entry % 2 != 0", "entry // 2"),
    )
    return Loop(before=(), over=f"for step in range({start}, {stop}):", body=body)
