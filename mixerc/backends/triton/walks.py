"""Which tiles a kernel visits, as loops of its text: in closed form over bands, or over a table."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mixerc.algebra.masks.bands import Band, Bands
from mixerc.algebra.masks.conditions import TRUE, Condition
from mixerc.algebra.masks.structure import structure
from mixerc.algebra.masks.turned import turned
from mixerc.backends.module.bounds import BandText, bounds_text
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
    `always` every tile is taken for one that is not full."""

    name: str
    carried: tuple[str, ...]
    passed: tuple[str, ...]
    constants: frozenset[str]
    always: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        """Those of the function."""
        fixed = [f"{x}: tl.constexpr" if x in self.constants else x for x in self.passed]
        return (*self.carried, "first", "stop", "low", *fixed, "MASKED: tl.constexpr")

    def lines(self, first: str, stop: str, low: str, *, masked: bool) -> tuple[str, ...]:
        """A call."""
        arguments = (*self.carried, first, stop, low, *self.passed, str(masked or self.always))
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
        head = (
            *(("done = tl.maximum(done, end)",) if number else ()),
            *text.lines,
            f"begin, near, far, end = band_of({ends}, there_low, there_count, done, THERE)",
        )
        for index, (low, high, masked) in enumerate(_spans(band, text, call)):
            body = call.lines("place", "there_count", "there_low", masked=masked)
            over = f"for place in range({low}, {high}, THERE):"
            yield Loop(before=() if index else head, over=over, body=body)


def _spans(band: Band, text: BandText, call: Call) -> list[tuple[str, str, bool]]:
    """The parts of a band, and in which of them pairs have to be looked at."""
    spans = [("begin", "near", True), ("near", "far", False), ("far", "end", True)]
    if band.guard != TRUE or call.always:
        return [("begin", "end", True)]
    return spans[1:] if _same(text.lines, text.begin, text.sure_begin) else spans


def table(call: Call) -> Iterator[Loop]:
    """Loops over the tiles of a table: those with a pair that is not allowed, and the full."""
    for index, masked in enumerate((True, False)):
        start, stop = (f"tl.load(starts_at + 2 * block + {index + i})" for i in (0, 1))
        body = (
            "tile = tl.load(tiles_at + step)",
            "first, stop, low = span_of(tile, there_count, there_low, there_spans_at, THERE)",
            *call.lines("first", "stop", "low", masked=masked),
        )
        yield Loop(before=(), over=f"for step in range({start}, {stop}):", body=body)


def _same(lines: Iterable[str], one: str, other: str) -> bool:
    """Whether two variables are given the same text."""
    texts = dict(line.split(" = ", 1) for line in lines)
    return texts[one] == texts[other]
