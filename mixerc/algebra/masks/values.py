"""Values of streams and tables that are known, summed up so that any range of them has bounds.

A pyramid has in each level the pairs of the level below joined; a range of n entries lies in two
neighbours of the level whose entries hold n.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixerc.algebra.masks.flags import FALSE, MAY, TRUE

Array: TypeAlias = NDArray[Any]


@dataclass(slots=True, kw_only=True)
class Extremes:
    """The least and the greatest entry of ranges of whole numbers [n]."""

    least: list[Array]
    greatest: list[Array]

    def between(self, first: Array, last: Array) -> tuple[Array, Array]:
        """Bounds of the entries first..last, which may be too wide; of single ones they are not."""
        low, high = np.empty_like(first), np.empty_like(first)
        for level, some in _by_level(last - first, len(self.least)):
            a, b = first[some] >> level, last[some] >> level
            least, greatest = self.least[level], self.greatest[level]
            low[some] = np.minimum(least[a], least[b])
            high[some] = np.maximum(greatest[a], greatest[b])
        return low, high


@dataclass(slots=True, kw_only=True)
class Entries:
    """What stands in rectangles of a table of conditions [n] or [n, m], as flags."""

    levels: list[Array]

    def within(self, firsts: list[Array], lasts: list[Array]) -> Array:
        """The flags of entries firsts..lasts along each axis; shapes broadcast."""
        spans = [b - a for a, b in zip(firsts, lasts, strict=True)]
        if any(span.ndim != 1 for span in spans):
            level = max(int(span.max()).bit_length() for span in spans)
            return self._at(min(level, len(self.levels) - 1), firsts, lasts)
        found = np.zeros(spans[0].shape, dtype=np.uint8)
        for level, some in _by_level(np.maximum.reduce(spans), len(self.levels)):
            found[some] = self._at(level, [a[some] for a in firsts], [b[some] for b in lasts])
        return found

    def _at(self, level: int, firsts: list[Array], lasts: list[Array]) -> Array:
        """From the level of which two neighbours along each axis hold the ranges."""
        table = self.levels[level]
        places = [(a >> level, b >> level) for a, b in zip(firsts, lasts, strict=True)]
        if all(np.array_equal(a, b) for a, b in places):
            found = _gather(table, [a for a, _ in places])
            return found if self._whole(level, firsts, lasts) else found & MAY
        return _corners(table, places) & MAY

    def _whole(self, level: int, firsts: list[Array], lasts: list[Array]) -> bool:
        """Whether the entries of the level are these ranges and no more."""
        return all(
            np.array_equal((a >> level) << level, a)
            and np.array_equal(np.minimum(((a >> level) + 1) << level, count) - 1, b)
            for a, b, count in zip(firsts, lasts, self.levels[0].shape, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What is known of streams and tables, by name; the rest may be anything."""

    numbers: Mapping[str, Extremes] = field(default_factory=dict)
    entries: Mapping[str, Entries] = field(default_factory=dict)


NOTHING_KNOWN = Values()
LARGEST = 2**30


def known(arrays: Mapping[str, Array]) -> Values:
    """Streams [T] and tables [rows, columns] of one sequence and head; conditions are bool.

    Raises ValueError for numbers of more than 30 bits: sums of them are taken to fit 64.
    """
    numbers, entries = {}, {}
    for name, array in arrays.items():
        if array.dtype == np.bool_:
            flags = np.where(array, np.uint8(TRUE), np.uint8(FALSE))
            entries[name] = Entries(levels=_pyramid(flags, np.bitwise_or))
        else:
            whole = array.astype(np.int64)
            if whole.size and int(np.abs(whole).max()) >= LARGEST:
                raise ValueError(f"{name} has a number of more than 30 bits")
            least, greatest = _pyramid(whole, np.minimum), _pyramid(whole, np.maximum)
            numbers[name] = Extremes(least=least, greatest=greatest)
    return Values(numbers=numbers, entries=entries)


def _pyramid(base: Array, join: Callable[[Array, Array], Array]) -> list[Array]:
    levels = [base]
    while max(levels[-1].shape) > 1:
        level = levels[-1]
        for axis in range(level.ndim):
            level = _halved(level, axis, join)
        levels.append(level)
    return levels


def _halved(level: Array, axis: int, join: Callable[[Array, Array], Array]) -> Array:
    count = level.shape[axis]
    if count == 1:
        return level
    first = level[_along(level.ndim, axis, slice(0, None, 2))]
    second = level[_along(level.ndim, axis, slice(1, None, 2))]
    if count % 2:
        second = np.concatenate([second, first[_along(level.ndim, axis, slice(-1, None))]], axis)
    return join(first, second)


def _along(ndim: int, axis: int, part: slice) -> tuple[slice, ...]:
    return tuple(part if each == axis else slice(None) for each in range(ndim))


def _by_level(spans: Array, count: int) -> Iterator[tuple[int, Array]]:
    """The level for ranges of first + span, each with the places of those that it serves."""
    exponents = np.minimum(np.frexp(spans)[1], count - 1)
    for level in np.unique(exponents).tolist():
        yield level, exponents == level


def _corners(table: Array, places: list[tuple[Array, Array]]) -> Array:
    found = None
    choices = [[a, b] for a, b in places]
    for first in choices[0]:
        for rest in choices[1] if len(choices) > 1 else [None]:
            part = _gather(table, [first] if rest is None else [first, rest])
            found = part if found is None else found | part
    assert found is not None
    return found


def _gather(table: Array, places: list[Array]) -> Array:
    """`table[places]`, by whole rows and columns where the places are a grid."""
    if len(places) == 2 and places[0].ndim == 2 and places[1].ndim == 2:
        rows, columns = places[0].ravel(), places[1].ravel()
        if places[0].shape[1] == 1 and places[1].shape[0] == 1:
            return _columns(_rows(table, rows), columns)
    found: Array = table[tuple(places)]
    return found


def _rows(table: Array, rows: Array) -> Array:
    run = _run(rows)
    return table[rows] if run is None else table[run]


def _columns(table: Array, columns: Array) -> Array:
    run = _run(columns)
    return table.take(columns, axis=1) if run is None else table[:, run]


def _run(places: Array) -> slice | None:
    """Neighbours in order, as a slice."""
    first, last = int(places[0]), int(places[-1])
    if last - first + 1 == len(places) and bool((np.diff(places) == 1).all()):
        return slice(first, last + 1)
    return None
