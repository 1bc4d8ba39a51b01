"""Where interval arithmetic over a tile is exact: both bounds of a form are values of it."""

from functools import cache

from mixerc.algebra.masks.forms import Atom, Form, Quotient, Remainder, Variable, atom_times


@cache
def attained(form: Form) -> bool:
    """Whether both bounds are reached in every tile: each atom moves by itself to its end."""
    seen: set[Variable] = set()
    for atom, _ in form.terms:
        times = atom_times(atom) - {Variable.LENGTH}
        if times & seen or not _atom_attained(atom):
            return False
        seen |= times
    return True


def _atom_attained(atom: Atom) -> bool:
    match atom:
        case Variable():
            return True
        case Quotient(form=form):
            return attained(form)
        case Remainder(form=form):
            return attained(form) and contiguous(form)
        case _:
            return False


@cache
def contiguous(form: Form) -> bool:
    """Whether every whole number between the bounds is reached in every tile."""
    if not attained(form):
        return False
    for atom, coefficient in form.terms:
        match atom:
            case Variable.LENGTH:
                pass
            case Variable() if abs(coefficient) == 1:
                pass
            case Quotient(form=inner) if abs(coefficient) == 1 and contiguous(inner):
                pass
            case _:
                return False
    return True
