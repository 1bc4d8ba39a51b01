"""Is a mask causal, and does every query see a key: proved, or refuted by an example.

A proof is for sequences of every length. An example is of the shortest sequence that has one among
those looked at; where neither is found the verdict says up to which length it was looked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mixerc.algebra.masks import forms
from mixerc.algebra.masks.boxes import Boxes, evaluate
from mixerc.algebra.masks.clauses import impossible
from mixerc.algebra.masks.conditions import (
    AtLeastZero,
    Condition,
    IsZero,
    all_of,
    at_least_zero,
    literals,
    negated,
    some_of,
    substituted,
)
from mixerc.algebra.masks.flags import MAY_FAIL, MAY_HOLD
from mixerc.algebra.masks.forms import Form, Variable
from mixerc.algebra.masks.table import tile_table
from mixerc.algebra.masks.values import NOTHING_KNOWN

LENGTHS = (*range(1, 9), 16, 64, 256, 1024)
LONGEST = 32768
SIDE = 64
KEYS = 1024

_T, _S, _LENGTH = (forms.single(variable) for variable in Variable)
CAUSAL: Condition = at_least_zero(forms.plus(_T, _S, -1))
"""s <= t."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A query of a sequence of `length` tokens, with a key where it is about one.

    It is `certain` where it hangs on no value of a stream or table.
    """

    length: int
    t: int
    s: int | None
    certain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Proved; or an example against it; or neither, with the longest sequence looked at."""

    proved: bool
    example: Example | None = None
    searched: int = 0


def causality(condition: Condition) -> Verdict:
    """Whether no query sees a later key."""
    later = all_of([condition, negated(CAUSAL)])
    if impossible(later):
        return Verdict(proved=True)
    for length in _lengths(condition):
        found = _first_pair(later, length)
        if found is not None:
            return Verdict(proved=False, example=found, searched=length)
    return Verdict(proved=False, searched=length)


def rows(condition: Condition) -> Verdict:
    """Whether every query sees at least one key."""
    candidates = [_T, forms.ZERO, forms.plus(_T, forms.number(-1)), *_ends(condition)]
    unseen: list[Condition] = []
    for key in dict.fromkeys(candidates[:8]):
        unseen.append(_hidden(condition, key))
        if impossible(all_of(unseen)):
            return Verdict(proved=True)
    for length in _lengths(condition):
        found = _first_empty_row(condition, length)
        if found is not None:
            return Verdict(proved=False, example=found, searched=length)
    return Verdict(proved=False, searched=length)


def _hidden(condition: Condition, key: Form) -> Condition:
    """That the key is not seen, or is no key of the sequence."""
    last = forms.plus(forms.plus(_LENGTH, forms.number(-1)), key, -1)
    inside = [at_least_zero(key), at_least_zero(last)]
    seen = substituted(condition, Variable.S, key)
    return some_of([negated(seen), *map(negated, inside)])


def _ends(condition: Condition) -> Iterator[Form]:
    """Ends of the runs of keys that comparisons speak of."""
    for literal in literals(condition):
        match literal:
            case AtLeastZero(form=form) | IsZero(form=form):
                terms = dict(form.terms)
                if abs(terms.get(Variable.S, 0)) == 1:
                    rest = forms.plus(form, _S, -terms[Variable.S])
                    yield forms.scaled(rest, -terms[Variable.S])
            case _:
                pass


def _lengths(condition: Condition) -> Iterator[int]:
    """Short sequences, and one that is longer than the numbers of the mask if that is short."""
    found = (each for each in literals(condition) if isinstance(each, AtLeastZero | IsZero))
    sizes = [abs(int(each.form.constant)) for each in found]
    yield from LENGTHS
    yield max(min(2 * max(sizes, default=0) + 2, LONGEST), LENGTHS[-1] + 1)


def _first_pair(condition: Condition, length: int) -> Example | None:
    """The first pair that may hold, from the first tile that is visited."""
    table = tile_table(condition, length, SIDE, SIDE)
    if not table.visited:
        return None
    row = int(table.rows()[0])
    t = np.arange(row * SIDE, min((row + 1) * SIDE, length))[:, None]
    s = np.arange(length)[None]
    found = evaluate(condition, Boxes(t=(t, t), s=(s, s), length=length), NOTHING_KNOWN)
    places = np.flatnonzero(found & MAY_HOLD)
    if not len(places):
        return None
    query, key = divmod(int(places[0]), length)
    certain = not int(found[query, key]) & MAY_FAIL
    return Example(length=length, t=row * SIDE + query, s=key, certain=certain)


def _first_empty_row(condition: Condition, length: int) -> Example | None:
    """The first query that visits no tile of one query."""
    table = tile_table(condition, length, 1, KEYS)
    empty = np.flatnonzero(np.diff(table.starts) == 0)
    if not len(empty):
        return None
    return Example(length=length, t=int(empty[0]), s=None, certain=True)
