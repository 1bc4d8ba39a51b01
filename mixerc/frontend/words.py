"""Sorts and lists in words, for messages."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from mixerc.ir.sorts import FEATURES, Heads, Sort


def show_axes(sort: Sort) -> str:
    """`the axes [K, V]`, or `no axes`."""
    if not sort.axes:
        return "no axes"
    if FEATURES in sort.axes:
        return "unnamed features"
    return f"the axes `[{', '.join(sort.axes)}]`"


def show_heads(heads: Heads) -> str:
    """How many copies a value has, in words."""
    if heads.shared:
        return "of no head"
    return f"one for each group of `grouped({heads.group})`" if heads.group else "of each head"


def listed(items: Sequence[str], word: str = "and") -> str:
    """`a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {word} {items[-1]}"


def did_you_mean(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """A help with the nearest known name, if one is near."""
    near = get_close_matches(name, sorted(set(known)), n=1, cutoff=0.6)
    return (f"did you mean `{near[0]}`?",) if near else ()
