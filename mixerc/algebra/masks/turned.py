"""A mask with the roles of queries and keys exchanged: which queries see a block of keys."""

from dataclasses import replace

from mixerc.algebra.masks import forms
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
    at_least_zero,
    is_zero,
    negated,
    some_of,
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

_OTHER = {Variable.T: Variable.S, Variable.S: Variable.T, Variable.LENGTH: Variable.LENGTH}


def turned(condition: Condition) -> Condition:
    """The condition with t and s exchanged; tables keep the order of their own axes."""
    match condition:
        case Always():
            return condition
        case All(parts=parts):
            return all_of(map(turned, parts))
        case Some(parts=parts):
            return some_of(map(turned, parts))
        case AtLeastZero(form=form):
            return at_least_zero(turned_form(form))
        case IsZero(form=form, negated=negative):
            found = is_zero(turned_form(form))
            return negated(found) if negative else found
        case Holds(at=at):
            return replace(condition, at=tuple((_OTHER[time], block) for time, block in at))
        case Unknown(text=text, times=times):
            moved = frozenset(_OTHER[time] for time in times)
            return replace(condition, text=f"{text}, t and s exchanged", times=moved)


def turned_form(form: Form) -> Form:
    """The form with t and s exchanged."""
    total = forms.number(form.constant)
    for atom, coefficient in form.terms:
        total = forms.plus(total, _atom(atom), coefficient)
    return total


def _atom(atom: Atom) -> Form:
    match atom:
        case Variable():
            return forms.single(_OTHER[atom])
        case Stream(time=time):
            return forms.single(replace(atom, time=_OTHER[time]))
        case Quotient(form=form, divisor=divisor):
            return forms.quotient(turned_form(form), divisor)
        case Remainder(form=form, modulus=modulus):
            return forms.remainder(turned_form(form), modulus)
        case Product(left=left, right=right):
            return forms.times(turned_form(left), turned_form(right))
        case Larger(left=left, right=right):
            return forms.larger(turned_form(left), turned_form(right))
