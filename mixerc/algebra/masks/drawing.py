"""Masks as pictures of characters, and as the numbers that an image is made of."""

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from mixerc.algebra.masks.boxes import Boxes
from mixerc.algebra.masks.conditions import (
    All,
    Always,
    AtLeastZero,
    Condition,
    Holds,
    IsZero,
    Some,
    Unknown,
    all_of,
    literals,
    some_of,
)
from mixerc.algebra.masks.flags import MAY_FAIL, MAY_HOLD
from mixerc.algebra.masks.forms import Form, Larger, Product, Quotient, Remainder
from mixerc.algebra.masks.of_mixer import Mask
from mixerc.algebra.masks.reads import names_of, streams_of
from mixerc.algebra.masks.tiles import decided
from mixerc.algebra.masks.translate import number_of
from mixerc.algebra.masks.values import NOTHING_KNOWN, Values, known
from mixerc.ir.expr import Draw
from mixerc.ir.mixer import Mixer, Param

EMPTY, PARTIAL, FULL, OPEN = range(4)
CHARACTERS = "·▒█░"
COLUMNS = 64
SHORTEST, LONGEST = 64, 131072


def picture(condition: Condition, length: int, side: int, values: Values) -> NDArray[np.uint8]:
    """The classes of a grid of at most `side` x `side` tiles, OPEN where they hang on values."""
    return _classes(condition, length, (side, side), values)


def text_picture(condition: Condition, length: int, values: Values) -> list[str]:
    """Queries downwards, keys to the right, at most COLUMNS wide and half as high, and a legend."""
    classes = _classes(condition, length, (COLUMNS // 2, COLUMNS), values)
    lines = ["".join(CHARACTERS[kind] for kind in row) for row in classes.tolist()]
    t, s = _side(length, COLUMNS // 2), _side(length, COLUMNS)
    opened = [name for name in _open_names(condition, values) if bool((classes == OPEN).any())]
    legend = "█ all pairs allowed, ▒ some, · none"
    legend += f", ░ hangs on {', '.join(opened)}" if opened else ""
    return [f"T = {length:,}, a character is {t:,} x {s:,} tokens: {legend}", *lines]


def _classes(
    condition: Condition, length: int, most: tuple[int, int], values: Values
) -> NDArray[np.uint8]:
    """What is the same whether open conditions hold or not is known; the rest is OPEN."""
    least, greatest = (
        _grid(_assumed(condition, values, holds), length, most, values) for holds in (False, True)
    )
    return np.where(least == greatest, least, np.uint8(OPEN)).astype(np.uint8)


def _grid(
    condition: Condition, length: int, most: tuple[int, int], values: Values
) -> NDArray[np.uint8]:
    (t0, t1), (s0, s1) = (_ends(length, _side(length, count)) for count in most)
    rows, columns = len(t0), len(s0)
    t = np.repeat(t0, columns), np.repeat(t1, columns)
    s = np.tile(s0, rows), np.tile(s1, rows)
    flags = decided(condition, Boxes(t=t, s=s, length=length), values)
    found = np.where(flags & MAY_FAIL, PARTIAL, FULL)
    return np.where(flags & MAY_HOLD, found, EMPTY).astype(np.uint8).reshape(rows, columns)


def _side(length: int, count: int) -> int:
    return -(-length // count)


def _ends(length: int, side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first = np.arange(0, length, side)
    return first, np.minimum(first + side, length) - 1


def _assumed(condition: Condition, values: Values, holds: bool) -> Condition:
    """The condition with every comparison that hangs on unknown values taken to hold, or not."""
    match condition:
        case All(parts=parts):
            return all_of(_assumed(part, values, holds) for part in parts)
        case Some(parts=parts):
            return some_of(_assumed(part, values, holds) for part in parts)
        case _:
            return Always(value=holds) if _is_open(condition, values) else condition


def _is_open(condition: Condition, values: Values) -> bool:
    match condition:
        case Holds(name=name):
            return name not in values.entries
        case AtLeastZero(form=form) | IsZero(form=form):
            return any(stream.name not in values.numbers for stream in streams_of(form))
        case Unknown():
            return True
        case _:
            return False


def _open_names(condition: Condition, values: Values) -> list[str]:
    """What the open comparisons hang on."""
    found: dict[str, None] = {}
    for literal in literals(condition):
        if _is_open(literal, values):
            texts = names_of(literal) or ((literal.text,) if isinstance(literal, Unknown) else ())
            found |= dict.fromkeys(f"`{text}`" for text in texts)
    return list(found)


def length_shown(condition: Condition) -> int:
    """A length at which the numbers of the mask show: a few times the largest, a power of two."""
    sizes = [
        number
        for literal in literals(condition)
        if isinstance(literal, AtLeastZero | IsZero)
        for number in _numbers(literal.form)
    ]
    tables = [each for each in literals(condition) if isinstance(each, Holds)]
    sizes += [4 * block for each in tables for _, block in each.at]
    wanted = max(4 * max(sizes, default=1), SHORTEST)
    return min(1 << (wanted - 1).bit_length(), LONGEST)


def _numbers(form: Form) -> list[int]:
    found = [min(abs(int(form.constant)), LONGEST)]
    for atom, _ in form.terms:
        match atom:
            case Quotient(form=inner, divisor=size) | Remainder(form=inner, modulus=size):
                found += [min(size, LONGEST), *_numbers(inner)]
            case Product(left=left, right=right) | Larger(left=left, right=right):
                found += _numbers(left) + _numbers(right)
            case _:
                pass
    return found


def drawn_tables(
    mixer: Mixer, mask: Mask, sizes: Mapping[str, float | Fraction], length: int
) -> Values:
    """Tables that a spec draws by `choose(n)`: n entries a row, at random, always the same."""
    random = np.random.default_rng(0)
    arrays = {}
    for line in mixer.lines:
        match line:
            case Param(init=Draw(distribution="choose", arguments=(count,)), name=name) if (
                len(mask.tables.get(name, ())) == 2
            ):
                shape = [-(-length // block) for _, block in mask.tables[name]]
                order = random.random(shape).argsort(axis=-1).argsort(axis=-1)
                arrays[name] = order < int(number_of(count, sizes))
            case _:
                pass
    return known(arrays) if arrays else NOTHING_KNOWN
