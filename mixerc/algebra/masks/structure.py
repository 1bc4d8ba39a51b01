"""What a kernel can make of a mask: loop bounds, documents, or a table of tiles."""

from dataclasses import dataclass
from typing import TypeAlias

from mixerc.algebra.masks import forms
from mixerc.algebra.masks.bands import Bands, bands_of
from mixerc.algebra.masks.conditions import (
    TRUE,
    All,
    Condition,
    IsZero,
    Unknown,
    all_of,
    is_zero,
    literals,
)
from mixerc.algebra.masks.forms import Form, Stream, Variable
from mixerc.algebra.masks.reads import names_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """Query and key have the same number in each of these streams, and the rest holds.

    Numbers may come back later in a sequence; where they do not, the documents are runs of tokens.
    """

    streams: tuple[str, ...]
    rest: Condition
    inner: "Structure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """A table of tiles (`table.tile_table`).

    `reads` names the streams and tables whose values it hangs on: without any the table is made
    once for a length. `open` are conditions that whole numbers cannot say, as text: tiles that hang
    on them are partial.
    """

    reads: tuple[str, ...]
    open: tuple[str, ...]


Structure: TypeAlias = Bands | Documents | Tiles


def structure(condition: Condition) -> Structure:
    """The narrowest of these that says the mask."""
    streams, rest = documents_of(condition)
    if streams:
        return Documents(streams=streams, rest=rest, inner=structure(rest))
    unknown = (each.text for each in literals(condition) if isinstance(each, Unknown))
    tiles = Tiles(reads=names_of(condition), open=tuple(dict.fromkeys(unknown)))
    return (None if tiles.open else bands_of(condition)) or tiles


def documents_of(condition: Condition) -> tuple[tuple[str, ...], Condition]:
    """The streams whose equality a mask asks for, and the rest of the mask."""
    parts = condition.parts if isinstance(condition, All) else (condition,)
    streams = {part: _same_document(part) for part in parts}
    rest = [part for part, name in streams.items() if name is None]
    return tuple(name for name in streams.values() if name), all_of(rest) if rest else TRUE


def _same_document(condition: Condition) -> str | None:
    match condition:
        case IsZero(form=form, negated=False):
            names = {atom.name for atom, _ in form.terms if isinstance(atom, Stream)}
            return next((name for name in names if condition == same_document(name)), None)
        case _:
            return None


def same_document(name: str) -> Condition:
    """`name[t] == name[s]`."""
    ends: list[Form] = [
        forms.single(Stream(name=name, time=time)) for time in (Variable.T, Variable.S)
    ]
    return is_zero(forms.plus(ends[0], ends[1], -1))
