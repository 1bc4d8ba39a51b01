"""Whole numbers of a mask as linear forms: coefficients of t, s, T and of what is not linear.

A form has every name once, so `t - s` over a tile has exactly the differences of the tile.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import TypeAlias


class Variable(StrEnum):
    """A position of a query or of a key, or the length of the sequence."""

    T = "t"
    S = "s"
    LENGTH = "T"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotient:
    """`form // divisor`: rounded down; the form has whole coefficients."""

    form: "Form"
    divisor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Remainder:
    """`form % modulus`: 0 up to modulus - 1; the form has whole coefficients."""

    form: "Form"
    modulus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A product of two forms, neither of which is a number."""

    left: "Form"
    right: "Form"


@dataclass(frozen=True, slots=True, kw_only=True)
class Larger:
    """max(left, right)."""

    left: "Form"
    right: "Form"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream of whole numbers, read at `time // block`."""

    name: str
    time: Variable
    block: int = 1


Atom: TypeAlias = Variable | Quotient | Remainder | Product | Larger | Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """constant + sum of coefficient * atom, atoms in the order of their text, none twice."""

    terms: tuple[tuple[Atom, Fraction], ...] = ()
    constant: Fraction = Fraction(0)


ZERO = Form()


def number(value: Fraction | int) -> Form:
    """A form without atoms."""
    return Form(constant=Fraction(value))


def single(atom: Atom) -> Form:
    """One atom."""
    return Form(terms=((atom, Fraction(1)),))


def plus(a: Form, b: Form, factor: Fraction | int = 1) -> Form:
    """a + factor * b."""
    total = dict(a.terms)
    for atom, coefficient in b.terms:
        total[atom] = total.get(atom, Fraction(0)) + factor * coefficient
    kept = ((atom, value) for atom, value in total.items() if value)
    terms = tuple(sorted(kept, key=lambda term: show_atom(term[0])))
    return Form(terms=terms, constant=a.constant + factor * b.constant)


def scaled(a: Form, factor: Fraction | int) -> Form:
    """factor * a."""
    return plus(ZERO, a, factor)


def times(a: Form, b: Form) -> Form:
    """a * b."""
    if not a.terms:
        return scaled(b, a.constant)
    if not b.terms:
        return scaled(a, b.constant)
    left, right = sorted((_whole(a), _whole(b)), key=lambda pair: show(pair[0]))
    factor = Fraction(1, left[1] * right[1])
    return scaled(single(Product(left=left[0], right=right[0])), factor)


def larger(a: Form, b: Form) -> Form:
    """max(a, b), in whole coefficients."""
    gap = plus(a, b, -1)
    if not gap.terms:
        return a if gap.constant >= 0 else b
    size = math.lcm(_whole(a)[1], _whole(b)[1])
    return scaled(single(Larger(left=scaled(a, size), right=scaled(b, size))), Fraction(1, size))


def quotient(a: Form, divisor: Fraction | int) -> Form:
    """a // divisor, for a divisor above 0; what divides evenly stands outside."""
    whole, common = _whole(scaled(a, 1 / Fraction(divisor)))
    outside: Form = number(whole.constant // common)
    inside: Form = number(whole.constant % common)
    for atom, coefficient in whole.terms:
        term = scaled(single(atom), coefficient)
        if coefficient % common == 0:
            outside = plus(outside, term, Fraction(1, common))
        else:
            inside = plus(inside, term)
    if not inside.terms:
        return outside
    return plus(outside, single(_nested(inside, common)))


def _nested(form: Form, divisor: int) -> Quotient:
    """`x // 4 // 2` is `x // 8`."""
    match form:
        case Form(terms=((Quotient(form=inner, divisor=first), Fraction(numerator=1)),)):
            shifted = plus(inner, number(form.constant * first))
            return Quotient(form=shifted, divisor=first * divisor)
        case _:
            return Quotient(form=form, divisor=divisor)


def remainder(a: Form, modulus: Fraction | int) -> Form:
    """a % modulus, for a modulus above 0."""
    common = math.lcm(_whole(a)[1], Fraction(modulus).denominator)
    size = int(modulus * common)
    inside = number(a.constant * common % size)
    for atom, coefficient in a.terms:
        if coefficient * common % size:
            inside = plus(inside, scaled(single(atom), coefficient * common))
    if not inside.terms:
        return scaled(inside, Fraction(1, common))
    return scaled(single(Remainder(form=inside, modulus=size)), Fraction(1, common))


def _whole(a: Form) -> tuple[Form, int]:
    """The form times its common denominator, and that."""
    parts = (a.constant, *(coefficient for _, coefficient in a.terms))
    common = math.lcm(*(part.denominator for part in parts))
    return scaled(a, common), common


def primitive(a: Form) -> Form:
    """The form times the number that makes its coefficients whole and coprime.

    Its constant may be a fraction.
    """
    if not a.terms:
        return a
    whole, _ = _whole(Form(terms=a.terms))
    size = math.gcd(*(int(coefficient) for _, coefficient in whole.terms))
    first = whole.terms[0][1] / size / a.terms[0][1]
    return scaled(a, first)


def times_of(a: Form) -> frozenset[Variable]:
    """The variables that a form varies with."""
    return frozenset[Variable]().union(*(atom_times(atom) for atom, _ in a.terms))


def atom_times(atom: Atom) -> frozenset[Variable]:
    """The variables that an atom varies with."""
    match atom:
        case Variable():
            return frozenset({atom})
        case Stream(time=time):
            return frozenset({time})
        case Quotient(form=form) | Remainder(form=form):
            return times_of(form)
        case Product(left=left, right=right) | Larger(left=left, right=right):
            return times_of(left) | times_of(right)


def substituted(a: Form, variable: Variable, value: Form) -> Form | None:
    """The form with a variable replaced; None where a stream would be read at a sum."""
    total: Form | None = number(a.constant)
    for atom, coefficient in a.terms:
        part = _substituted_atom(atom, variable, value)
        total = None if part is None or total is None else plus(total, part, coefficient)
    return total


def _substituted_atom(atom: Atom, variable: Variable, value: Form) -> Form | None:
    if variable not in atom_times(atom):
        return single(atom)
    match atom:
        case Variable():
            return value
        case Quotient(form=form, divisor=divisor):
            inside = substituted(form, variable, value)
            return None if inside is None else quotient(inside, divisor)
        case Remainder(form=form, modulus=modulus):
            inside = substituted(form, variable, value)
            return None if inside is None else remainder(inside, modulus)
        case Product(left=left, right=right) | Larger(left=left, right=right):
            join = times if isinstance(atom, Product) else larger
            a, b = substituted(left, variable, value), substituted(right, variable, value)
            return None if a is None or b is None else join(a, b)
        case Stream(name=name, block=block):
            match value:
                case Form(terms=((Variable() as other, Fraction(numerator=1, denominator=1)),)):
                    plain = not value.constant
                    return single(Stream(name=name, time=other, block=block)) if plain else None
                case _:
                    return None


def show(a: Form) -> str:
    """`t - s - 4`; the same text for the same form."""
    parts = sorted(a.terms, key=lambda term: term[1] < 0)
    text = ""
    for atom, value in parts:
        bare = value == 1 or (value == -1 and text)
        name = show_atom(atom) if bare else _factor(atom)
        text += _signed(value, f"{abs(value)} * {name}" if abs(value) != 1 else name, bool(text))
    if a.constant or not text:
        text += _signed(a.constant, f"{abs(a.constant)}", bool(text))
    return text


def _signed(value: Fraction, text: str, inside: bool) -> str:
    sign = "-" if value < 0 else "+" if inside else ""
    return f" {sign} {text}" if inside else f"{sign}{text}"


def show_atom(atom: Atom) -> str:
    """An atom as text of the language."""
    match atom:
        case Variable():
            return str(atom)
        case Quotient(form=form, divisor=divisor):
            return f"{_bracketed(form)} // {divisor}"
        case Remainder(form=form, modulus=modulus):
            return f"{_bracketed(form)} % {modulus}"
        case Product(left=left, right=right):
            return f"{_bracketed(left)} * {_bracketed(right)}"
        case Larger(left=left, right=right):
            return f"max({show(left)}, {show(right)})"
        case Stream(name=name, time=time, block=block):
            return f"{name}[{time}]" if block == 1 else f"{name}[{time} // {block}]"


def _factor(atom: Atom) -> str:
    text = show_atom(atom)
    return f"({text})" if isinstance(atom, Quotient | Remainder | Product) else text


def _bracketed(a: Form) -> str:
    text = show(a)
    return text if text in set(Variable) else f"({text})"
