"""Masks that every attention engine has, so that a mixer can be handed to one."""

from dataclasses import dataclass
from enum import StrEnum

from mixerc.algebra.masks import forms
from mixerc.algebra.masks.clauses import implies
from mixerc.algebra.masks.conditions import TRUE, Condition, all_of, at_least_zero
from mixerc.algebra.masks.extents import Ring, extent
from mixerc.algebra.masks.forms import Variable
from mixerc.algebra.masks.structure import documents_of
from mixerc.algebra.masks.verdicts import CAUSAL, Verdict

_T, _S = forms.single(Variable.T), forms.single(Variable.S)


class Plain(StrEnum):
    """Masks that every attention engine has."""

    FULL = "full"
    CAUSAL = "causal"
    WINDOW = "window"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainMask:
    """Exactly full, causal, or causal with the last `window` keys (one's own is one of them),
    within `documents` where there are some."""

    kind: Plain
    window: int | None = None
    documents: tuple[str, ...] = ()


def plain(condition: Condition) -> PlainMask | None:
    """The plain mask that a condition is, if it is proved to be one."""
    documents, rest = documents_of(condition)
    if implies(TRUE, rest):
        return PlainMask(kind=Plain.FULL, documents=documents)
    if not implies(rest, CAUSAL):
        return None
    if implies(CAUSAL, rest):
        return PlainMask(kind=Plain.CAUSAL, documents=documents)
    match extent(rest, Verdict(proved=True)):
        case Ring(window=window, pinned=0):
            near = at_least_zero(forms.plus(forms.plus(_S, forms.number(window - 1)), _T, -1))
            if implies(all_of([CAUSAL, near]), rest):
                return PlainMask(kind=Plain.WINDOW, window=window, documents=documents)
    return None
