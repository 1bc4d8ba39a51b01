"""Whether a mask hangs on the distance of query and key alone: equal distances share a tile."""

from mixerc.algebra.masks.conditions import AtLeastZero, Condition, IsZero, literals
from mixerc.algebra.masks.forms import Form, Quotient, Remainder, Variable


def relative(condition: Condition) -> bool:
    """Whether moving query and key by the same number of tokens changes nothing."""
    return all(
        isinstance(literal, AtLeastZero | IsZero) and relative_form(literal.form)
        for literal in literals(condition)
    )


def relative_form(form: Form) -> bool:
    """Whether equal distances of t and s give equal values.

    Every t comes with an s that is taken away; a part that is rounded has to be so by itself.
    """
    moved = 0
    for atom, coefficient in form.terms:
        match atom:
            case Variable.T | Variable.S:
                moved += int(coefficient)
            case Quotient(form=inner) | Remainder(form=inner) if relative_form(inner):
                pass
            case _:
                return False
    return moved == 0
