"""The ground sorts of the language: axes, heads, number kind, and what a value varies with.

An axis is a name; `N'` (written with the prime) is the second copy of `N`; `FEATURES` is the
unnamed axis of `linear(n)`. A sort is computed bottom-up and never inferred from the left.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

Axis: TypeAlias = str

FEATURES: Axis = "*"


class Kind(StrEnum):
    """The numbers that a value is made of."""

    REAL = "real"
    COMPLEX = "complex"
    INT = "int"
    BOOL = "bool"


class Time(StrEnum):
    """Which token a read looks at; `NONE` for values that no token changes, and for tables."""

    NONE = ""
    T = "t"
    S = "s"
    PREVIOUS = "t-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """How many copies of a value a layer has: one for each head, for each group, or one in all.

    `group` names the size that counts the groups (`grouped(G)`), as source text; it is empty
    for values of each head. `shared` values (with the axis `d_model`, bool or int inputs,
    numbers) belong to no head.
    """

    shared: bool = False
    group: str = ""


EACH = Heads()
SHARED = Heads(shared=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """What a value is: its axes in declared order, kind, heads and the times it varies with.

    `times` holds "t" and "s" for values that differ from token to token at that time
    (for a table: the times it is declared over).
    """

    axes: tuple[Axis, ...] = ()
    kind: Kind = Kind.REAL
    heads: Heads = SHARED
    times: frozenset[str] = frozenset()


SCALAR = Sort()
