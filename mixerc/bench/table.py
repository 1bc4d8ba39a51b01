"""The report of a GPU as text: ratios, with the plan's floor beside them."""

from collections.abc import Iterable, Mapping

from mixerc.bench.measured import ATTENTION, FLA, OURS, Decoding, Measured, Row
from mixerc.plan.floor import Rates

COLUMNS = ("tokens", "batch", "mixer, ms", "floor, ms", "set by", "of floor")
RATIOS = (FLA, ATTENTION)
WIDTHS = (9, 8, 12, 12, 10, 10, 13, 19)
NONE = "-"


def table(found: Measured) -> str:
    """The whole report."""
    copy, products = found.rates.bandwidth / 1e9, found.rates.products / 1e12
    lines = [
        *found.about,
        f"measured: copy {copy:,.0f} GB/s (read and written), products {products:,.1f} TFLOP/s",
        "",
        *_block("forward", found.forward, found.rates),
        "",
        *_block("forward and backward", found.both, found.rates),
        "",
        *_decoding(found.decoding, found.rates),
    ]
    if found.difference is not None:
        said = f"outputs of the mixer and of fla differ by {found.difference:.1e} (relative RMS)"
        lines += ["", said]
    return "\n".join([*lines, *_notes(found.notes)])


def _block(title: str, rows: Iterable[Row], rates: Rates) -> Iterable[str]:
    yield title
    yield _line((*COLUMNS, *(f"{name} / mixer" for name in RATIOS)))
    for row in rows:
        yield _line(_cells(row, rates))


def _cells(row: Row, rates: Rates) -> Iterable[str]:
    ours, least = row.seconds.get(OURS), row.floor.seconds(rates)
    yield from (f"{row.tokens:,}", f"{row.batch:,}")
    yield NONE if ours is None else f"{1e3 * ours:.3f}"
    yield from (f"{1e3 * least:.3f}", row.floor.bound(rates))
    yield NONE if ours is None else f"{least / ours:.0%}"
    yield from (_ratio(row.seconds, name) for name in RATIOS)


def _ratio(seconds: Mapping[str, float], name: str) -> str:
    """How many times as long as the mixer it takes: above 1 the mixer is faster."""
    if name not in seconds or OURS not in seconds:
        return NONE
    return f"{seconds[name] / seconds[OURS]:.2f}"


def _decoding(found: Decoding, rates: Rates) -> Iterable[str]:
    yield f"decoding a token for each of {found.batch:,} sequences"
    yield f"  moved at least{found.moved / 1e6:>18,.1f} MB, states read and written, and streams"
    ours = found.seconds.get(OURS)
    if ours is not None:
        rate = found.moved / ours
        share = f"{rate / 1e9:,.0f} GB/s, {rate / rates.bandwidth:.0%} of the copy"
        yield f"  mixer{1e3 * ours:>27.3f} ms, {share}"
    yield f"  fla / mixer{_ratio(found.seconds, FLA):>21}"


def _notes(notes: tuple[str, ...]) -> list[str]:
    return ["", *notes] if notes else []


def _line(cells: Iterable[str]) -> str:
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True))
