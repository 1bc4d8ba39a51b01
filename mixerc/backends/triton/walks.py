"""Which tiles a kernel visits, as loops of its text: in closed form over bands, or over a table."""

from collections.abc import Iterator
from dataclasses import dataclass

from mixerc.algebra.masks.bands import Bands
from mixerc.algebra.masks.conditions import TRUE, Condition
from mixerc.algebra.masks.structure import structure
from mixerc.algebra.masks.turned import turned
from mixerc.backends.module.bounds import bounds_text
from mixerc.backends.module.layout import laid_out

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
    `always` no tile is taken to be full."""

    name: str
    carried: tuple[str, ...]
    passed: tuple[str, ...]
    constants: frozenset[str]
    always: bool

    @property
    def parameters(self) -> tuple[str, ...]:
        """Those of the function."""
        fixed = (f"{x}: tl.constexpr" if x in self.constants else x for x in self.passed)
        return (*self.carried, "first", "stop", "low", "partial", *fixed)

    def lines(self, first: str, stop: str, low: str, partial: str) -> tuple[str, ...]:
        """A call; `partial` says whether pairs have to be looked at."""
        looked = "True" if self.always else partial
        arguments = (*self.carried, first, stop, low, looked, *self.passed)
        carried = ", ".join(self.carried)
        return laid_out(f"{carried} = {self.name}_tile({', '.join(arguments)})", 12)


def bands_of(condition: Condition, *, keys: bool) -> Bands | None:
    """The bands of keys of a mask, or of queries, if kernels can walk over them in closed form."""
    found = structure(turned(condition) if keys else condition)
    return found if isinstance(found, Bands) and found.ordered else None


def closed(condition: Condition, call: Call, *, keys: bool) -> Iterator[Loop]:
    """Loops in closed form over the tiles of each band, from left to right."""
    found = bands_of(condition, keys=keys)
    if found is None:
        return
    texts = bounds_text(found, _NAMES)
    for number, (band, text) in enumerate(zip(found.bands, texts, strict=True)):
        ends = f"{text.begin}, {text.end}, {text.sure_begin}, {text.sure_end}"
        before = (
            *(("done = tl.maximum(done, end)",) if number else ()),
            *text.lines,
            f"begin, near, far, end = band_of({ends}, there_low, there_count, done, THERE)",
        )
        partial = "(place < near) | (place >= far)" if band.guard == TRUE else "True"
        body = call.lines("place", "there_count", "there_low", partial)
        yield Loop(before=before, over="for place in range(begin, end, THERE):", body=body)


def table(call: Call) -> Loop:
    """The loop over the tiles of a table, whose entries are twice a tile's number, and one more
    where it is not full."""
    body = (
        "entry = tl.load(tiles_at + step)",
        "first, stop, low = span_of(entry // 2, there_count, there_low, there_spans_at, THERE)",
        *call.lines("first", "stop", "low", "entry % 2 != 0"),
    )
    over = "for step in range(tl.load(starts_at + block), tl.load(starts_at + block + 1)):"
    return Loop(before=(), over=over, body=body)
