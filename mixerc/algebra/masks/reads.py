"""The streams and tables that a mask reads."""

from collections.abc import Iterator

from mixerc.algebra.masks.conditions import (
    AtLeastZero,
    Condition,
    Holds,
    IsZero,
    Unknown,
    literals,
)
from mixerc.algebra.masks.forms import (
    Form,
    Larger,
    Product,
    Quotient,
    Remainder,
    Stream,
    Variable,
)


def names_of(condition: Condition) -> tuple[str, ...]:
    """The streams and tables that a condition reads, each once."""
    found: dict[str, None] = {}
    for literal in literals(condition):
        match literal:
            case Holds(name=name):
                found[name] = None
            case AtLeastZero(form=form) | IsZero(form=form):
                found |= dict.fromkeys(atom.name for atom in streams_of(form))
            case Unknown():
                pass
    return tuple(found)


def streams_of(form: Form) -> Iterator[Stream]:
    """The streams that a form reads, however deep."""
    for atom, _ in form.terms:
        match atom:
            case Stream():
                yield atom
            case Quotient(form=inner) | Remainder(form=inner):
                yield from streams_of(inner)
            case Product(left=left, right=right) | Larger(left=left, right=right):
                yield from streams_of(left)
                yield from streams_of(right)
            case Variable():
                pass
