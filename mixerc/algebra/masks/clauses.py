"""A condition as alternatives of comparisons that hold together."""

from functools import cache
from typing import TypeAlias

from mixerc.algebra.masks import forms
from mixerc.algebra.masks.conditions import (
    All,
    Always,
    Condition,
    IsZero,
    Literal,
    Some,
    all_of,
    at_least_zero,
    negated,
    some_of,
)
from mixerc.algebra.masks.forms import Form, Quotient, Variable
from mixerc.algebra.masks.prover import possible

Clause: TypeAlias = tuple[Literal, ...]
"""Comparisons and flags that hold together; none, where everything is allowed."""

MOST_CLAUSES = 96


class TooManyClauses(Exception):
    """A condition whose alternatives are too many to look at one by one."""


@cache
def clauses(condition: Condition) -> tuple[Clause, ...]:
    """The alternatives, which may overlap; impossible ones are left out."""
    return _expanded(condition, apart=False)


@cache
def disjoint(condition: Condition) -> tuple[Clause, ...]:
    """Alternatives of which no two hold at once."""
    return _expanded(condition, apart=True)


def _expanded(condition: Condition, *, apart: bool) -> tuple[Clause, ...]:
    match condition:
        case Always(value=value):
            return ((),) if value else ()
        case Some(parts=parts):
            found: list[Clause] = []
            for index, part in enumerate(parts):
                others = [negated(each) for each in parts[:index]] if apart else []
                found += _expanded(all_of([part, *others]), apart=apart)
            return _limited(found)
        case All(parts=parts):
            rows: tuple[Clause, ...] = ((),)
            for part in sorted(parts, key=lambda part: isinstance(part, Some)):
                found = [_joined(a, b) for a in rows for b in _expanded(part, apart=apart)]
                rows = _limited([row for row in found if possible(frozenset(row))])
            return rows
        case IsZero(form=form, negated=True) if _splits(form):
            above = at_least_zero(forms.plus(form, forms.number(-1)))
            below = at_least_zero(forms.plus(forms.number(-1), form, -1))
            return _expanded(some_of([above, below]), apart=False)
        case _:
            return ((condition,),) if possible(frozenset([condition])) else ()


def _joined(a: Clause, b: Clause) -> Clause:
    return tuple(dict.fromkeys((*a, *b)))


def _limited(found: list[Clause]) -> tuple[Clause, ...]:
    if len(found) > MOST_CLAUSES:
        raise TooManyClauses
    return tuple(found)


def _splits(form: Form) -> bool:
    """Whether `form != 0` is worth two cases: it is made of positions and their quotients."""
    return all(isinstance(atom, Variable | Quotient) for atom, _ in form.terms)


def without_implied(clause: Clause) -> Clause:
    """The clause without comparisons that follow from its others."""
    kept = list(clause)
    for literal in clause:
        rest = [each for each in kept if each != literal]
        if not isinstance(literal, IsZero) and not possible(
            frozenset([*rest, *_opposite(literal)])
        ):
            kept = rest
    return tuple(kept)


def _opposite(literal: Literal) -> tuple[Literal, ...]:
    match negated(literal):
        case Always() | All() | Some():
            return ()
        case other:
            return (other,)


def impossible(condition: Condition) -> bool:
    """True if it is proved that the condition holds nowhere, in no sequence."""
    try:
        return not clauses(condition)
    except TooManyClauses:
        return False


def implies(a: Condition, b: Condition) -> bool:
    """True if it is proved that b holds wherever a does."""
    return impossible(all_of([a, negated(b)]))
