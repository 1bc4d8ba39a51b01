"""Masks as conditions: comparisons of forms with 0, flags of streams and tables, and, or.

`not` is pushed into the comparisons, so a condition has none.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias

from mixerc.algebra.masks import forms
from mixerc.algebra.masks.bounds import bounds
from mixerc.algebra.masks.forms import (
    ZERO,
    Form,
    Larger,
    Remainder,
    Variable,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Always:
    """A condition that holds everywhere, or nowhere."""

    value: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AtLeastZero:
    """form >= 0, in whole numbers."""

    form: Form


@dataclass(frozen=True, slots=True, kw_only=True)
class IsZero:
    """form == 0, or form != 0."""

    form: Form
    negated: bool = False


Index: TypeAlias = tuple[tuple[Variable, int], ...]
"""What a stream or a table is read at: each a time, in blocks of so many tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """`mark[s]`, `link[t // B, s // B]`: an entry of a stream or a table of conditions."""

    name: str
    at: Index
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A condition that whole numbers cannot say, as its text."""

    text: str
    times: frozenset[Variable]
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class All:
    """Every part holds."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Some:
    """At least one part holds."""

    parts: tuple["Condition", ...]


Literal: TypeAlias = AtLeastZero | IsZero | Holds | Unknown
Condition: TypeAlias = Always | Literal | All | Some

TRUE = Always(value=True)
FALSE = Always(value=False)


def at_least_zero(form: Form) -> Condition:
    """form >= 0; a maximum in it becomes two comparisons."""
    for atom, coefficient in form.terms:
        if isinstance(atom, Larger):
            rest = forms.plus(form, forms.single(atom), -coefficient)
            both = [forms.plus(rest, side, coefficient) for side in (atom.left, atom.right)]
            parts = map(at_least_zero, both)
            return some_of(parts) if coefficient > 0 else all_of(parts)
    form = forms.primitive(form)
    whole = replace(form, constant=Fraction(math.floor(form.constant)))
    low, high = bounds(whole)
    if low >= 0 or high < 0:
        return Always(value=low >= 0)
    return AtLeastZero(form=whole)


def is_zero(form: Form) -> Condition:
    """form == 0."""
    form = forms.primitive(form)
    if any(isinstance(atom, Larger) for atom, _ in form.terms):
        return all_of([at_least_zero(form), at_least_zero(forms.scaled(form, -1))])
    if form.terms and form.terms[0][1] < 0:
        form = forms.scaled(form, -1)
    if form.constant.denominator != 1:
        return FALSE
    low, high = bounds(form)
    if low > 0 or high < 0 or low == high == 0:
        return Always(value=low == high == 0)
    match form.terms:
        case ((Remainder(form=inside, modulus=modulus), Fraction(numerator=1)),) if form.constant:
            moved = forms.plus(inside, forms.number(form.constant))
            return is_zero(forms.remainder(moved, modulus))
        case _:
            return IsZero(form=form)


def all_of(parts: Iterable[Condition]) -> Condition:
    """And; what is known is left out, and so is what is said twice."""
    return _joined(All, Some, parts, neutral=TRUE)


def some_of(parts: Iterable[Condition]) -> Condition:
    """Or."""
    return _joined(Some, All, parts, neutral=FALSE)


def _joined(
    kind: type[All] | type[Some],
    other: type[All] | type[Some],
    parts: Iterable[Condition],
    neutral: Always,
) -> Condition:
    flat: dict[Condition, None] = {}
    for part in parts:
        match part:
            case Always():
                if part != neutral:
                    return part
            case All(parts=inner) | Some(parts=inner) if isinstance(part, kind):
                flat |= dict.fromkeys(inner)
            case _:
                flat[part] = None
    if any(negated(part) in flat for part in flat if not isinstance(part, other)):
        return negated(neutral)
    return next(iter(flat)) if len(flat) == 1 else kind(parts=tuple(flat)) if flat else neutral


def negated(condition: Condition) -> Condition:
    """Not."""
    match condition:
        case Always(value=value):
            return Always(value=not value)
        case AtLeastZero(form=form):
            return at_least_zero(forms.plus(forms.number(-1), form, -1))
        case IsZero() | Holds() | Unknown():
            return replace(condition, negated=not condition.negated)
        case All(parts=parts):
            return some_of(map(negated, parts))
        case Some(parts=parts):
            return all_of(map(negated, parts))


def literals(condition: Condition) -> Iterator[Literal]:
    """The comparisons and flags, left to right."""
    match condition:
        case Always():
            return
        case All(parts=parts) | Some(parts=parts):
            for part in parts:
                yield from literals(part)
        case _:
            yield condition


def times_of(condition: Condition) -> frozenset[Variable]:
    """The variables that a condition varies with."""
    match condition:
        case Always():
            return frozenset()
        case AtLeastZero(form=form) | IsZero(form=form):
            return forms.times_of(form)
        case Holds(at=at):
            return frozenset(variable for variable, _ in at)
        case Unknown(times=times):
            return times
        case All(parts=parts) | Some(parts=parts):
            return frozenset[Variable]().union(*map(times_of, parts))


def substituted(condition: Condition, variable: Variable, value: Form) -> Condition:
    """The condition with a variable replaced; what cannot be read there is unknown."""
    match condition:
        case Always():
            return condition
        case All(parts=parts):
            return all_of(substituted(part, variable, value) for part in parts)
        case Some(parts=parts):
            return some_of(substituted(part, variable, value) for part in parts)
        case _ if variable not in times_of(condition):
            return condition
        case AtLeastZero(form=form) | IsZero(form=form):
            inside = forms.substituted(form, variable, value)
            if inside is None:
                return Unknown(text=show(condition), times=forms.times_of(value))
            found = at_least_zero(inside) if isinstance(condition, AtLeastZero) else is_zero(inside)
            zero = isinstance(condition, IsZero) and condition.negated
            return negated(found) if zero else found
        case Holds(at=at):
            other = _variable(value)
            if other is None:
                return Unknown(text=show(condition), times=forms.times_of(value))
            moved = tuple((other if time == variable else time, block) for time, block in at)
            return replace(condition, at=moved)
        case Unknown(text=text, times=times):
            moved_times = (times - {variable}) | forms.times_of(value)
            changed = f"{text}, {variable} = {forms.show(value)}"
            return replace(condition, text=changed, times=moved_times)


def _variable(value: Form) -> Variable | None:
    match value:
        case Form(terms=((Variable() as variable, coefficient),)) if coefficient == 1:
            return None if value.constant else variable
        case _:
            return None


def show(condition: Condition) -> str:
    """The condition as text of the language."""
    match condition:
        case Always(value=value):
            return "full" if value else "nothing"
        case AtLeastZero(form=form):
            return _sides(form, ">=")
        case IsZero(form=form, negated=negative):
            return _sides(form, "!=" if negative else "==")
        case Holds(name=name, at=at, negated=negative):
            index = ", ".join(str(v) if block == 1 else f"{v} // {block}" for v, block in at)
            return f"{'not ' * negative}{name}[{index}]"
        case Unknown(text=text, negated=negative):
            return f"not ({text})" if negative else text
        case All(parts=parts):
            return " and ".join(_bracketed(part) for part in parts)
        case Some(parts=parts):
            return " or ".join(_bracketed(part) for part in parts)


def _bracketed(condition: Condition) -> str:
    text = show(condition)
    return f"({text})" if isinstance(condition, All | Some) else text


def _sides(form: Form, symbol: str) -> str:
    """What is added on the left, what is subtracted on the right; t stands left."""
    left, right = ZERO, ZERO
    for atom, coefficient in form.terms:
        part = forms.scaled(forms.single(atom), abs(coefficient))
        left, right = (
            (forms.plus(left, part), right) if coefficient > 0 else (left, forms.plus(right, part))
        )
    if form.constant > 0 and right.terms:
        left = forms.plus(left, forms.number(form.constant))
    else:
        right = forms.plus(right, forms.number(-form.constant))
    if not left.terms:
        left, right, symbol = right, left, symbol.replace(">", "<")
    return f"{forms.show(left)} {symbol} {forms.show(right)}"
