"""How much a mask allows and how many tiles that takes, in a sequence of a given length."""

from dataclasses import dataclass

import numpy as np

from mixerc.algebra.masks import forms
from mixerc.algebra.masks.bands import Band, Bands
from mixerc.algebra.masks.boxes import Array, Boxes, evaluate
from mixerc.algebra.masks.conditions import (
    TRUE,
    Condition,
    substituted,
    times_of,
)
from mixerc.algebra.masks.flags import MAY_FAIL, MAY_HOLD
from mixerc.algebra.masks.forms import Form, Variable
from mixerc.algebra.masks.structure import structure
from mixerc.algebra.masks.table import TileTable, tile_table
from mixerc.algebra.masks.values import NOTHING_KNOWN, Values

PAIRS_AT_ONCE = 2**21


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Visited tiles, those of them that are full, and allowed pairs.

    `pairs` is at most so many where the mask hangs on values that are not known (`exact` is False).
    """

    tiles: int
    full: int
    pairs: int
    exact: bool


def cost(
    condition: Condition,
    length: int,
    queries: int = 64,
    keys: int = 64,
    values: Values = NOTHING_KNOWN,
) -> Cost:
    """Counted, not estimated: pairs from the ends of runs of keys, or else from the tiles."""
    table = tile_table(condition, length, queries, keys, values)
    shape = structure(condition)
    found = band_pairs(shape, length) if isinstance(shape, Bands) else None
    pairs, exact = (found, True) if found is not None else _tile_pairs(condition, table, values)
    return Cost(tiles=table.visited, full=int(table.full.sum()), pairs=pairs, exact=exact)


def band_pairs(bands: Bands, length: int) -> int | None:
    """The pairs of bands, in time and memory that go with the length; None where a guard needs
    more than that."""
    counts = [_pairs_of(band, length) for band in bands.bands]
    return None if None in counts else sum(count for count in counts if count is not None)


def _pairs_of(band: Band, length: int) -> int | None:
    t = np.arange(length)
    first, last = _end(band.first, t, length, low=True), _end(band.last, t, length, low=False)
    lower, upper = _end(band.lower, t, length, low=True), _end(band.upper, t, length, low=False)
    upper = np.where((t >= first) & (t < last), np.maximum(lower, upper), lower)
    if band.guard == TRUE:
        return int((upper - lower).sum())
    if times_of(band.guard) == {Variable.S}:
        sums = _running(_holding(band.guard, Variable.S, np.arange(length), length))
        return int((sums[upper] - sums[lower]).sum())
    distance = _of_distance(band.guard, length)
    if distance is None:
        return None
    places = np.arange(2 * length + 1)
    sums = _running(_holding(distance, Variable.T, places, len(places)))
    # Keys lower <= s < upper have the distances t - upper < t - s <= t - lower.
    return int((sums[t - lower + length + 1] - sums[t - upper + length + 1]).sum())


def _end(forms_: tuple[Form, ...], t: Array, length: int, *, low: bool) -> Array:
    """The ends of all queries [T], within the sequence."""
    found = np.full_like(t, 0 if low else length)
    for form in forms_:
        end = np.clip(_values(form, t, length), 0, length)
        found = np.maximum(found, end) if low else np.minimum(found, end)
    return found


def _values(form: Form, t: Array, length: int) -> Array:
    """A form of t and T at each t."""
    total = np.full_like(t, int(form.constant))
    for atom, coefficient in form.terms:
        match atom:
            case Variable.T:
                part = t
            case Variable():
                part = np.full_like(t, length)
            case forms.Quotient(form=inner, divisor=divisor):
                part = _values(inner, t, length) // divisor
            case _:
                raise AssertionError(f"{forms.show(form)} is no end of a band")
        total = total + int(coefficient) * part
    return total


def _of_distance(guard: Condition, length: int) -> Condition | None:
    """The guard with t for t - s + length, if it hangs on t - s alone."""
    known = substituted(guard, Variable.LENGTH, forms.number(length))
    t, s = forms.single(Variable.T), forms.single(Variable.S)
    moved = forms.plus(forms.plus(t, s), forms.number(-length))
    found = substituted(known, Variable.T, moved)
    return found if Variable.S not in times_of(found) else None


def _holding(condition: Condition, variable: Variable, places: Array, length: int) -> Array:
    zero = np.zeros_like(places)
    t, s = (places, zero) if variable == Variable.T else (zero, places)
    boxes = Boxes(t=(t, t), s=(s, s), length=length)
    found: Array = (evaluate(condition, boxes, NOTHING_KNOWN) & MAY_HOLD) != 0
    return found


def _running(holding: Array) -> Array:
    return np.concatenate([[0], np.cumsum(holding, dtype=np.int64)])


def _tile_pairs(condition: Condition, table: TileTable, values: Values) -> tuple[int, bool]:
    """Full tiles by their sides, the others pair by pair, some of them at a time."""
    rows, columns = table.rows().astype(np.int64), table.blocks.astype(np.int64)
    heights = np.minimum(table.queries, table.length - rows * table.queries)
    widths = np.minimum(table.keys, table.length - columns * table.keys)
    total = int((heights * widths)[table.full].sum())
    places = np.flatnonzero(~table.full)
    step = max(1, PAIRS_AT_ONCE // (table.queries * table.keys))
    exact = True
    for start in range(0, len(places), step):
        some = places[start : start + step]
        t = (rows[some] * table.queries)[:, None, None] + np.arange(table.queries)[None, :, None]
        s = (columns[some] * table.keys)[:, None, None] + np.arange(table.keys)[None, None, :]
        inside = (t < table.length) & (s < table.length)
        t, s = (np.broadcast_to(each, inside.shape)[inside] for each in (t, s))
        found = evaluate(condition, Boxes(t=(t, t), s=(s, s), length=table.length), values)
        holds = (found & MAY_HOLD) != 0
        exact = exact and not bool((holds & ((found & MAY_FAIL) != 0)).any())
        total += int(holds.sum())
    return total, exact
