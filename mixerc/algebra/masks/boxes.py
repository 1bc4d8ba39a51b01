"""A condition over many tiles at once, by interval arithmetic: what it can be in each, as flags.

Tiles are a grid (times of queries [n, 1], of keys [1, m]) or a list ([n] and [n]). What depends
on one time alone is computed once a row or a column of the grid.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixerc.algebra.masks.bounds import atom_bounds, bounds, within
from mixerc.algebra.masks.conditions import (
    All,
    Always,
    AtLeastZero,
    Condition,
    Holds,
    Index,
    IsZero,
    Some,
    Unknown,
    all_of,
    literals,
    some_of,
)
from mixerc.algebra.masks.exactness import attained, contiguous
from mixerc.algebra.masks.flags import (
    ANY,
    FAILS,
    FALSE,
    HOLDS,
    MAY_FAIL,
    MAY_HOLD,
    TRUE,
    Flags,
    both,
    certain,
    either,
    inverted,
    of_sign,
)
from mixerc.algebra.masks.forms import (
    Atom,
    Form,
    Larger,
    Product,
    Quotient,
    Remainder,
    Stream,
    Variable,
)
from mixerc.algebra.masks.reads import streams_of
from mixerc.algebra.masks.values import Values

Array: TypeAlias = NDArray[Any]
Pair: TypeAlias = tuple[Array, Array]

WIDEST = {np.dtype(np.int32): 2**30, np.dtype(np.int64): 2**62}


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """Tiles of the (t, s) plane: first and last query, first and last key, all inclusive."""

    t: Pair
    s: Pair
    length: int


def evaluate(condition: Condition, boxes: Boxes, values: Values) -> Flags:
    """The flags of the condition in every tile; shapes broadcast."""
    condition = _at_length(condition, boxes.length)
    narrow = all(
        _fits(form, boxes.length, np.dtype(np.int32))
        for literal in literals(condition)
        if isinstance(literal, AtLeastZero | IsZero)
        for form in [literal.form]
    )
    dtype = np.dtype(np.int32 if narrow else np.int64)
    t0, t1, s0, s1 = (each.astype(dtype) for each in (*boxes.t, *boxes.s))
    cast = Boxes(t=(t0, t1), s=(s0, s1), length=boxes.length)
    found = _Evaluation(boxes=cast, values=values, dtype=dtype).of(condition)
    shape = np.broadcast_shapes(t0.shape, s0.shape)
    return np.broadcast_to(found, shape)


@cache
def _at_length(condition: Condition, length: int) -> Condition:
    """Without the comparisons that hold for all pairs of such a sequence, or for none."""
    match condition:
        case All(parts=parts):
            return all_of(_at_length(part, length) for part in parts)
        case Some(parts=parts):
            return some_of(_at_length(part, length) for part in parts)
        case AtLeastZero(form=form):
            low, high = bounds(form, within(length))
            return Always(value=low >= 0) if low >= 0 or high < 0 else condition
        case _:
            return condition


@cache
def _fits(form: Form, length: int, dtype: np.dtype[Any]) -> bool:
    """Whether nothing that is computed on the way to the form leaves the width."""
    most = WIDEST[dtype]
    sides = sum((abs(int(c)) * _largest(atom, length) for atom, c in form.terms), 0)
    if sides + abs(int(form.constant)) >= most:
        return False
    return all(
        _fits(inner, length, dtype) and getattr(atom, "divisor", 0) < most
        for atom, _ in form.terms
        for inner in _inside(atom)
    )


def _largest(atom: Atom, length: int) -> int:
    """A bound of the absolute value; streams are taken to have 30 bits and kept apart."""
    match atom:
        case Stream():
            return 2**30
        case _:
            low, high = atom_bounds(atom, within(length))
            return int(max(abs(low), abs(high), 1)) if abs(low) + abs(high) < 2**63 else 2**63


def _inside(atom: Atom) -> tuple[Form, ...]:
    match atom:
        case Quotient(form=form) | Remainder(form=form):
            return (form,)
        case Product(left=left, right=right) | Larger(left=left, right=right):
            return (left, right)
        case _:
            return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evaluation:
    boxes: Boxes
    values: Values
    dtype: np.dtype[Any]

    def of(self, condition: Condition) -> Flags:
        """The flags, in the smallest shape that has them."""
        match condition:
            case Always(value=value):
                return np.full((), TRUE if value else FALSE, dtype=np.uint8)
            case All(parts=parts) | Some(parts=parts):
                join = both if isinstance(condition, All) else either
                first, *rest = sorted(map(self.of, parts), key=lambda flags: flags.size)
                for part in rest:
                    first = join(first, part)
                return first
            case AtLeastZero(form=form):
                return self._at_least_zero(form) if self._known(form) else _open()
            case IsZero(form=form, negated=negative):
                found = self._is_zero(form) if self._known(form) else _open()
                return inverted(found) if negative else found
            case Holds(name=name, at=at, negated=negative):
                if name not in self.values.entries:
                    return _open()
                found = self._entries(name, at)
                return inverted(found) if negative else found
            case Unknown():
                return _open()

    def _known(self, form: Form) -> bool:
        given = self.values.numbers
        streams = all(stream.name in given for stream in streams_of(form))
        return streams and _fits(form, self.boxes.length, np.dtype(np.int64))

    def _at_least_zero(self, form: Form) -> Flags:
        low, high = self._sides(form)
        above = high[0] >= -high[1]
        below = low[0] < -low[1]
        return of_sign(above, below, exact=attained(form))

    def _is_zero(self, form: Form) -> Flags:
        low, high = self._sides(form)
        less, more = low[0] < -low[1], high[0] > -high[1]
        ends = (low[0] == -low[1]) | (high[0] == -high[1])
        hold, fail = (less & more) | ends, less | more
        found = hold.view(np.uint8) * np.uint8(MAY_HOLD) | fail.view(np.uint8) * np.uint8(MAY_FAIL)
        if attained(form):
            met = hold if contiguous(form) else ends
            found |= met.view(np.uint8) * np.uint8(HOLDS) | fail.view(np.uint8) * np.uint8(FAILS)
        return certain(found)

    def _entries(self, name: str, at: Index) -> Flags:
        ranges = [self._range(variable, block) for variable, block in at]
        table = self.values.entries[name]
        self._check_length(name, [last for _, last in ranges], table.levels[0].shape)
        return certain(table.within([a for a, _ in ranges], [b for _, b in ranges]))

    def _check_length(self, name: str, lasts: list[Array], shape: tuple[int, ...]) -> None:
        for last, count in zip(lasts, shape, strict=True):
            if last.max() >= count:
                raise ValueError(f"{name} has {count} entries along a time, {last.max() + 1} asked")

    def _range(self, variable: Variable, block: int) -> Pair:
        first, last = self.boxes.t if variable == Variable.T else self.boxes.s
        return (first, last) if block == 1 else (first // block, last // block)

    def _sides(self, form: Form) -> tuple[Pair, Pair]:
        """The lower and the upper bound, each as two parts to add: of columns, and the rest."""
        start = np.asarray(int(form.constant), dtype=self.dtype)
        lows, highs = [start, start * 0], [start, start * 0]
        for atom, coefficient in form.terms:
            ends = self._atom(atom)
            factor = int(coefficient)
            low, high = ends if factor > 0 else ends[::-1]
            side = int(low.ndim == 2 and low.shape[0] == 1)
            lows[side] = lows[side] + (low if factor == 1 else low * factor)
            highs[side] = highs[side] + (high if factor == 1 else high * factor)
        return (lows[0], lows[1]), (highs[0], highs[1])

    def ends(self, form: Form) -> Pair:
        """The bounds of a form."""
        low, high = self._sides(form)
        return low[0] + low[1], high[0] + high[1]

    def _atom(self, atom: Atom) -> Pair:
        match atom:
            case Variable.T:
                return self.boxes.t
            case Variable.S:
                return self.boxes.s
            case Variable.LENGTH:
                length = np.asarray(self.boxes.length, dtype=self.dtype)
                return length, length
            case Quotient(form=form, divisor=divisor):
                low, high = self.ends(form)
                return low // divisor, high // divisor
            case Remainder(form=form, modulus=modulus):
                return _remainders(self.ends(form), modulus)
            case Larger(left=left, right=right):
                (a, b), (c, d) = self.ends(left), self.ends(right)
                return np.maximum(a, c), np.maximum(b, d)
            case Product(left=left, right=right):
                pairs = [(a, b) for a in self.ends(left) for b in self.ends(right)]
                corners = np.broadcast_arrays(*(a * b for a, b in pairs))
                return np.minimum.reduce(corners), np.maximum.reduce(corners)
            case Stream(name=name, time=time, block=block):
                first, last = self._range(time, block)
                numbers = self.values.numbers[name]
                self._check_length(name, [last], numbers.least[0].shape)
                return numbers.between(first, last)


def _remainders(ends: Pair, modulus: int) -> Pair:
    """Remainders of a range: of its ends, or 0 to modulus - 1 where it passes a multiple."""
    low, high = ends
    base = low // modulus * modulus
    near = high - base < modulus
    return np.where(near, low - base, 0), np.where(near, high - base, modulus - 1)


def _open() -> Flags:
    """Nothing is known: it may be either in any tile."""
    return np.full((), ANY, dtype=np.uint8)
