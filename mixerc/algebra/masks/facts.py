"""What follows from a mask: is it causal, does every query see a key, how long a key is needed.

A verdict is proved for sequences of every length, or refuted by an example in the shortest
sequence that has one; where neither is found it says up to which length it was looked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mixerc.algebra.masks import forms
from mixerc.algebra.masks.boxes import Boxes, evaluate
from mixerc.algebra.masks.clauses import TooManyClauses, disjoint, implies, impossible
from mixerc.algebra.masks.conditions import (
    TRUE,
    All,
    AtLeastZero,
    Condition,
    IsZero,
    all_of,
    at_least_zero,
    literals,
    negated,
    show,
    some_of,
    substituted,
    times_of,
)
from mixerc.algebra.masks.flags import MAY_FAIL, MAY_HOLD, Flags
from mixerc.algebra.masks.forms import Form, Variable
from mixerc.algebra.masks.prover import greatest
from mixerc.algebra.masks.structure import documents_of
from mixerc.algebra.masks.values import NOTHING_KNOWN, Values

LENGTHS = (*range(1, 9), 16, 64, 256, 1024)
LONGEST = 2048
STRIP = 2**20

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


def pairs(condition: Condition, first: int, last: int, length: int, values: Values) -> Flags:
    """Flags of every pair of queries first <= t < last with all keys [last - first, length]."""
    t, s = np.arange(first, last)[:, None], np.arange(length)[None]
    return evaluate(condition, Boxes(t=(t, t), s=(s, s), length=length), values)


def strips(length: int) -> Iterator[tuple[int, int]]:
    """Runs of queries whose pairs are few enough to be looked at together."""
    height = max(1, STRIP // length)
    for first in range(0, length, height):
        yield first, min(first + height, length)


def _first_pair(condition: Condition, length: int) -> Example | None:
    for first, last in strips(length):
        found = pairs(condition, first, last, length, NOTHING_KNOWN)
        places = np.flatnonzero(found & MAY_HOLD)
        if len(places):
            t, s = divmod(int(places[0]), length)
            certain = not int(found[t, s]) & MAY_FAIL
            return Example(length=length, t=first + t, s=s, certain=certain)
    return None


def _first_empty_row(condition: Condition, length: int) -> Example | None:
    for first, last in strips(length):
        seen = (pairs(condition, first, last, length, NOTHING_KNOWN) & MAY_HOLD) != 0
        empty = np.flatnonzero(~seen.any(axis=1))
        if len(empty):
            return Example(length=length, t=first + int(empty[0]), s=None, certain=True)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AllTokens:
    """Every token is kept: the past has no bound."""

    reason: str
    documents: tuple[str, ...] = ()

    def slots(self, length: int) -> int:
        """How many tokens are kept after `length` of them."""
        return length


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """The last `window` tokens are kept, a query's own among them, and the first `pinned`.

    Key s is seen last by query s + window - 1, unless s < pinned.
    """

    window: int
    pinned: int = 0
    documents: tuple[str, ...] = ()

    def slots(self, length: int) -> int:
        """How many tokens are kept after `length` of them."""
        return min(length, self.window + self.pinned)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoCache:
    """Tokens cannot be taken one by one; the reason is a sentence."""

    reason: str


Extent = AllTokens | Ring | NoCache


def extent(condition: Condition, verdict: Verdict | None = None) -> Extent:
    """How long a key is needed; `verdict` is that of `causality`, if it is known."""
    order = causality(condition) if verdict is None else verdict
    if not order.proved:
        return NoCache(reason=_future(order))
    if any(Variable.LENGTH in times_of(literal) for literal in literals(condition)):
        return NoCache(reason="The mask reads the length T, which decoding does not know.")
    documents, _ = documents_of(condition)
    try:
        found = disjoint(condition)
    except TooManyClauses:
        return AllTokens(reason="The mask has too many alternatives to bound its past.")
    window, pinned, unbounded = _reach(found)
    if unbounded is not None:
        return AllTokens(reason=_reason(unbounded), documents=documents)
    return Ring(window=window, pinned=pinned, documents=documents)


def _reach(clauses: tuple[tuple[Condition, ...], ...]) -> tuple[int, int, Condition | None]:
    """The longest bounded distance + 1, the first tokens that stay, what else is seen for ever."""
    window, pinned = 1, 0
    for clause in clauses:
        key = frozenset(clause)
        distance = greatest(forms.plus(_T, _S, -1), key)
        last = greatest(_S, key)
        if isinstance(distance, int):
            window = max(window, distance + 1)
        elif isinstance(last, int):
            pinned = max(pinned, last + 1)
        elif distance > 0:
            return window, pinned, all_of(clause)
    return window, pinned, None


def _reason(clause: Condition) -> str:
    """Which keys may be seen however long ago they were."""
    parts = clause.parts if isinstance(clause, All) else (clause,)
    of_keys = [part for part in parts if times_of(part) == {Variable.S}]
    which = f" with {show(all_of(of_keys))}" if of_keys else ""
    return f"Nothing bounds how much later keys{which} are seen."


def _future(order: Verdict) -> str:
    example = order.example
    if example is None:
        return (
            f"That no query sees a later key was not proved (looked at T up to {order.searched})."
        )
    sees = "sees" if example.certain else "may see"
    return f"Query t = {example.t} {sees} the later key s = {example.s}."


class Plain(StrEnum):
    """Masks that every attention engine has."""

    FULL = "full"
    CAUSAL = "causal"
    WINDOW = "window"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainMask:
    """Exactly full, causal, or causal with the last `window` keys (one's own is one of them),
    within `documents` where there are some."""

    kind: Plain
    window: int | None = None
    documents: tuple[str, ...] = ()


def plain(condition: Condition) -> PlainMask | None:
    """The plain mask that a condition is, if it is proved to be one."""
    documents, rest = documents_of(condition)
    if implies(TRUE, rest):
        return PlainMask(kind=Plain.FULL, documents=documents)
    if not implies(rest, CAUSAL):
        return None
    if implies(CAUSAL, rest):
        return PlainMask(kind=Plain.CAUSAL, documents=documents)
    match extent(rest, Verdict(proved=True)):
        case Ring(window=window, pinned=0):
            near = at_least_zero(forms.plus(forms.plus(_S, forms.number(window - 1)), _T, -1))
            if implies(all_of([CAUSAL, near]), rest):
                return PlainMask(kind=Plain.WINDOW, window=window, documents=documents)
    return None
