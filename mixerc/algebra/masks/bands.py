"""Masks that are a few runs of keys whose ends are forms of t and T: loop bounds of a kernel."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

from mixerc.algebra.masks import forms
from mixerc.algebra.masks.bounds import Ranges, bounds
from mixerc.algebra.masks.clauses import Clause, TooManyClauses, disjoint, without_implied
from mixerc.algebra.masks.conditions import (
    TRUE,
    Always,
    AtLeastZero,
    Condition,
    IsZero,
    Literal,
    all_of,
    at_least_zero,
    times_of,
)
from mixerc.algebra.masks.forms import Form, Quotient, Remainder, Variable
from mixerc.algebra.masks.prover import possible
from mixerc.algebra.masks.reads import names_of

MOST_BANDS = 12
DENSE = 32
"""A comparison of a remainder has a key in every so many, so no tile of a band is empty by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Keys max(0, *lower) <= s < min(T, *upper), for max(0, *first) <= t < min(T, *last).

    Keys' ends are forms of t and T, queries' ends of T, made of t, T and quotients of such: each
    term goes one way with t, so the bounds of an end over a block of queries are those of its
    terms at one end of the block or the other (`bounds`). Where `guard` is not always true only
    some of these keys are allowed, and no tile is full.
    """

    lower: tuple[Form, ...]
    upper: tuple[Form, ...]
    first: tuple[Form, ...]
    last: tuple[Form, ...]
    guard: Condition = TRUE


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyBlocks:
    """Blocks begin <= j < end of keys are visited; all pairs of full_begin <= j < full_end hold."""

    begin: int
    end: int
    full_begin: int
    full_end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """The mask is the union of these, of which no two share a pair.

    Where they are `ordered`, the keys of a band lie left of those of the next for every query. Over
    a block of queries a band may begin left of the one before it: a kernel that loops over one
    after the other, from the larger of a band's begin and the end of the one before, has to begin
    each where the least of the bands to come does. The whole mask is tested in tiles that are not
    full.
    """

    bands: tuple[Band, ...]
    ordered: bool

    def key_blocks(self, t0: int, t1: int, length: int, keys: int) -> tuple[KeyBlocks, ...]:
        """What queries t0 <= t < t1 visit, in blocks of `keys` tokens, from left to right."""
        found = [_key_blocks(band, t0, t1, length, keys) for band in self.bands]
        runs: list[KeyBlocks] = []
        for run in sorted((run for run in found if run is not None), key=lambda run: run.begin):
            last = runs[-1].end if runs else 0
            begin = max(run.begin, last)
            if begin < run.end:
                full = max(run.full_begin, begin), run.full_end
                full = full if full[0] < full[1] else (begin, begin)
                runs.append(
                    KeyBlocks(begin=begin, end=run.end, full_begin=full[0], full_end=full[1])
                )
        return tuple(runs)


def bands_of(condition: Condition) -> Bands | None:
    """The condition as bands, if its alternatives are runs of keys."""
    if names_of(condition):
        return None
    try:
        found = disjoint(condition)
    except TooManyClauses:
        return None
    pieces = [without_implied(_halves(clause)) for clause in found]
    bands = [_band(clause) for clause in pieces]
    if len(bands) > MOST_BANDS or any(band is None for band in bands):
        return None
    order = _left_to_right(pieces)
    places = order or range(len(bands))
    kept = tuple(band for band in (bands[place] for place in places) if band is not None)
    return Bands(bands=kept, ordered=order is not None)


def _halves(clause: Clause) -> Clause:
    """Equalities that give keys two ends as two comparisons, each of which may be left out."""
    halves: list[Literal] = []
    for literal in clause:
        match literal:
            case IsZero(form=form, negated=False) if solve(literal, Variable.S):
                sides = (at_least_zero(form), at_least_zero(forms.scaled(form, -1)))
                halves += [side for side in sides if isinstance(side, AtLeastZero)]
            case _:
                halves.append(literal)
    return tuple(halves)


def _band(clause: Clause) -> Band | None:
    keys: tuple[list[Form], list[Form]] = ([], [])
    rows: tuple[list[Form], list[Form]] = ([], [])
    guards: list[Condition] = []
    for literal in clause:
        of_keys = Variable.S in times_of(literal)
        variable, ends = (Variable.S, keys) if of_keys else (Variable.T, rows)
        solved = solve(literal, variable)
        if solved is not None and all(map(_steps, (*solved[0], *solved[1]))):
            ends[0].extend(solved[0])
            ends[1].extend(solved[1])
        elif _dense(literal):
            guards.append(literal)
        else:
            return None
    return Band(
        lower=tuple(keys[0]),
        upper=tuple(keys[1]),
        first=tuple(rows[0]),
        last=tuple(rows[1]),
        guard=all_of(guards),
    )


Ends: TypeAlias = tuple[list[Form], list[Form]]


def solve(literal: Literal, variable: Variable) -> Ends | None:
    """Lower ends (inclusive) and upper ends (exclusive) of a variable, where it stands once."""
    match literal:
        case AtLeastZero(form=form):
            return _solved(form, variable)
        case IsZero(form=form, negated=False):
            above, below = _solved(form, variable), _solved(forms.scaled(form, -1), variable)
            if above is None or below is None:
                return None
            return above[0] + below[0], above[1] + below[1]
        case _:
            return None


def _solved(form: Form, variable: Variable) -> Ends | None:
    """form >= 0, for the variable."""
    places = [term for term in form.terms if variable in forms.atom_times(term[0])]
    if len(places) != 1:
        return None
    atom, coefficient = places[0]
    rest = forms.plus(form, forms.single(atom), -coefficient)
    size = abs(int(coefficient))
    if coefficient > 0:
        end = forms.quotient(forms.plus(forms.number(size - 1), rest, -1), size)
    else:
        end = forms.quotient(rest, size)
    match atom:
        case Variable():
            return ([end], []) if coefficient > 0 else ([], [forms.plus(end, forms.number(1))])
        case Quotient(form=inner, divisor=divisor) if coefficient > 0:
            return _solved(forms.plus(inner, end, -divisor), variable)
        case Quotient(form=inner, divisor=divisor):
            most = forms.plus(forms.scaled(end, divisor), forms.number(divisor - 1))
            return _solved(forms.plus(most, inner, -1), variable)
        case _:
            return None


def _steps(form: Form) -> bool:
    """Whether each term of it goes one way with t."""
    return all(
        isinstance(atom, Variable) or (isinstance(atom, Quotient) and _steps(atom.form))
        for atom, _ in form.terms
    )


def _dense(literal: Literal) -> bool:
    """Whether it asks for some remainders of s by a small number, whatever t is."""
    match literal:
        case AtLeastZero(form=form) | IsZero(form=form):
            return all(
                isinstance(atom, Remainder)
                and atom.modulus <= DENSE
                and Variable.S in forms.atom_times(atom)
                for atom, _ in form.terms
            )
        case _:
            return False


def _left_to_right(clauses: Iterable[Clause]) -> list[int] | None:
    """An order in which the keys of each clause lie left of those of the next, if there is one."""
    waiting = dict(enumerate(clauses))
    order = []
    while waiting:
        for place, clause in waiting.items():
            others = (other for index, other in waiting.items() if index != place)
            if all(_left_of(clause, other) for other in others):
                break
        else:
            return None
        order.append(place)
        del waiting[place]
    return order


def _left_of(left: Clause, right: Clause) -> bool:
    """Whether no key of `left` lies right of one of `right`, for the same query.

    An end of one that is not beyond an end of the other says so for all queries, those too for
    which a band is empty.
    """
    rows = [each for clause in (left, right) for each in clause if _of_rows(each)]
    if not possible(frozenset(rows)):
        return True
    uppers = _keys_of(left)[1] or [forms.single(Variable.LENGTH)]
    lowers = _keys_of(right)[0] or [forms.ZERO]
    for upper, lower in product(uppers, lowers):
        beyond = at_least_zero(forms.plus(forms.plus(upper, lower, -1), forms.number(-1)))
        match beyond:
            case Always(value=False):
                return True
            case AtLeastZero() if not possible(frozenset([*rows, beyond])):
                return True
            case _:
                pass
    return False


def _keys_of(clause: Clause) -> Ends:
    """The ends that a clause gives the keys."""
    found = [solve(each, Variable.S) for each in clause if not _of_rows(each)]
    ends = [each for each in found if each is not None]
    return [form for low, _ in ends for form in low], [form for _, high in ends for form in high]


def _of_rows(literal: Literal) -> bool:
    return Variable.S not in times_of(literal)


def _key_blocks(band: Band, t0: int, t1: int, length: int, keys: int) -> KeyBlocks | None:
    """What a band lets some query of a block see, and what it lets all of them see."""
    whole: Ranges = {Variable.LENGTH: (length, length)}
    first = max([0, *(int(bounds(form, whole)[0]) for form in band.first)])
    last = min([length, *(int(bounds(form, whole)[0]) for form in band.last)])
    begin, end = max(t0, first), min(t1, last, length)
    if begin >= end:
        return None
    ranges: Ranges = {**whole, Variable.T: (begin, end - 1)}
    lowers = [bounds(form, ranges) for form in band.lower]
    uppers = [bounds(form, ranges) for form in band.upper]
    low = max([0, *(int(low) for low, _ in lowers)])
    high = min([length, *(int(high) for _, high in uppers)])
    if low >= high:
        return None
    sure_low = max([0, *(int(high) for _, high in lowers)])
    sure_high = min([length, *(int(low) for low, _ in uppers)])
    every = band.guard == TRUE and (begin, end) == (t0, min(t1, length))
    blocks = low // keys, -(-high // keys)
    full = -(-sure_low // keys), (-(-length // keys) if sure_high == length else sure_high // keys)
    if not every or full[0] >= full[1]:
        full = blocks[0], blocks[0]
    return KeyBlocks(begin=blocks[0], end=blocks[1], full_begin=full[0], full_end=full[1])
