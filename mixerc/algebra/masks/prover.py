"""What follows from comparisons of forms, by elimination of one atom after the other.

Every atom is a number of its own; quotients and remainders bring the inequalities that define
them. "Impossible" and a bound are proofs, for sequences of every length; "possible" is not.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

from mixerc.algebra.masks import forms
from mixerc.algebra.masks.conditions import AtLeastZero, Holds, IsZero, Literal, Unknown, negated
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

Row: TypeAlias = tuple[tuple[tuple[Atom | str, int], ...], int]
"""Whole coefficients in a fixed order, and a constant: their sum is at least 0."""

MOST_ROWS = 400
_OBJECTIVE = "objective"


class _Contradiction(Exception):
    """The rows have no solution."""


class _TooLarge(Exception):
    """More rows than are worth having."""


@cache
def possible(clause: frozenset[Literal]) -> bool:
    """False if it is proved that these never hold together."""
    if any(negated(literal) in clause for literal in clause):
        return False
    try:
        _eliminated(_system(clause), keep=None)
    except _Contradiction:
        return False
    except _TooLarge:
        return True
    return True


@cache
def greatest(form: Form, clause: frozenset[Literal]) -> float | int:
    """A bound of the form where these hold: infinity for none, minus infinity if they never do."""
    system = _system(clause)
    system.add(forms.scaled(form, -1), extra=(_OBJECTIVE, 1))
    system.add(form, extra=(_OBJECTIVE, -1))
    try:
        rows = _eliminated(system, keep=_OBJECTIVE)
    except _Contradiction:
        return -math.inf
    except _TooLarge:
        return math.inf
    bounds = [constant // -factor for terms, constant in rows for _, factor in terms if factor < 0]
    return min(bounds, default=math.inf)


@dataclass(slots=True)
class _System:
    """Rows, and the atoms whose definitions are among them."""

    rows: dict[tuple[tuple[Atom | str, int], ...], int] = field(default_factory=dict)
    known: set[Atom] = field(default_factory=set)

    def add(self, form: Form, extra: tuple[str, int] | None = None) -> None:
        """form >= 0 (with one more term)."""
        terms: dict[Atom | str, int] = {atom: int(value) for atom, value in form.terms}
        if extra is not None:
            terms[extra[0]] = extra[1]
        _insert(self.rows, terms, int(form.constant))
        for atom, _ in form.terms:
            if atom not in self.known:
                self.known.add(atom)
                self._define(atom)

    def equal(self, form: Form) -> None:
        """form == 0."""
        self.add(form)
        self.add(forms.scaled(form, -1))

    def _define(self, atom: Atom) -> None:
        one = forms.single(atom)
        match atom:
            case Variable.LENGTH:
                self.add(forms.plus(one, forms.number(-1)))
            case Variable():
                self.add(one)
                last = forms.plus(forms.single(Variable.LENGTH), forms.number(-1))
                self.add(forms.plus(last, one, -1))
            case Quotient(form=form, divisor=divisor):
                rest = forms.plus(form, one, -divisor)
                self._between(rest, divisor - 1)
            case Remainder(form=form, modulus=modulus):
                self._between(one, modulus - 1)
                whole = forms.single(Quotient(form=form, divisor=modulus))
                self.equal(forms.plus(forms.plus(form, whole, -modulus), one, -1))
            case Larger(left=left, right=right):
                self.add(forms.plus(one, left, -1))
                self.add(forms.plus(one, right, -1))
            case Product() | Stream():
                pass

    def _between(self, form: Form, high: int) -> None:
        self.add(form)
        self.add(forms.plus(forms.number(high), form, -1))


def _system(clause: Iterable[Literal]) -> _System:
    system = _System()
    for literal in clause:
        match literal:
            case AtLeastZero(form=form):
                system.add(form)
            case IsZero(form=form, negated=False):
                system.equal(form)
            case IsZero(form=form):
                match form:
                    case Form(terms=((Remainder(), _),)) if not form.constant:
                        system.add(forms.plus(form, forms.number(-1)))
                    case _:
                        pass
            case Holds() | Unknown():
                pass
    return system


def _insert(
    rows: dict[tuple[tuple[Atom | str, int], ...], int],
    terms: dict[Atom | str, int],
    constant: int,
) -> None:
    """A row in lowest terms, which in whole numbers rounds its constant down."""
    kept = {atom: value for atom, value in terms.items() if value}
    if not kept:
        if constant < 0:
            raise _Contradiction
        return
    size = math.gcd(*kept.values())
    key = tuple(sorted(((a, v // size) for a, v in kept.items()), key=lambda term: _name(term[0])))
    constant //= size
    rows[key] = min(constant, rows.get(key, constant))
    opposite = tuple((atom, -value) for atom, value in key)
    if rows.get(opposite, -rows[key]) < -rows[key]:
        raise _Contradiction


@cache
def _name(atom: Atom | str) -> str:
    return f"#{atom}" if type(atom) is str else forms.show_atom(atom)  # type: ignore[arg-type]


def _eliminated(system: _System, keep: str | None) -> list[Row]:
    """The rows in `keep` alone, after all other atoms are eliminated."""
    rows = dict(system.rows)
    while True:
        names = {atom for key in rows for atom, _ in key if atom != keep}
        if not names:
            return list(rows.items())
        rows = _without(rows, min(names, key=lambda atom: (_growth(rows, atom), _name(atom))))
        if len(rows) > MOST_ROWS:
            raise _TooLarge


def _growth(rows: dict[tuple[tuple[Atom | str, int], ...], int], atom: Atom | str) -> int:
    signs = [value > 0 for key in rows for each, value in key if each == atom]
    above = sum(signs)
    below = len(signs) - above
    return above * below - above - below


def _without(
    rows: dict[tuple[tuple[Atom | str, int], ...], int], atom: Atom | str
) -> dict[tuple[tuple[Atom | str, int], ...], int]:
    """What the rows say of the other atoms: each lower bound is below each upper one."""
    left: dict[tuple[tuple[Atom | str, int], ...], int] = {}
    above: list[tuple[dict[Atom | str, int], int, int]] = []
    below: list[tuple[dict[Atom | str, int], int, int]] = []
    for key, constant in rows.items():
        factor = dict(key).get(atom, 0)
        if factor == 0:
            _insert(left, dict(key), constant)
        else:
            (above if factor > 0 else below).append((dict(key), constant, abs(factor)))
    for terms, constant, factor in above:
        for others, other, size in below:
            common = math.lcm(factor, size)
            a, b = common // factor, common // size
            joined = {name: a * value for name, value in terms.items()}
            for name, value in others.items():
                joined[name] = joined.get(name, 0) + b * value
            _insert(left, joined, a * constant + b * other)
    return left
