"""What a name that the core reads from outside is: its sort, and the times it is a table over."""

from dataclasses import dataclass
from typing import TypeAlias

from mixerc.ir.expr import Expr
from mixerc.ir.mixer import Input, Mixer, Param, Value
from mixerc.ir.sorts import SHARED, Sort

Index: TypeAlias = tuple[tuple[str, Expr | None], ...]

X = Sort(axes=("d_model",), heads=SHARED, times=frozenset({"t"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A line above the core, as the core sees it."""

    sort: Sort
    index: Index = ()
    stream: bool = False


def source_of(mixer: Mixer, name: str) -> Source:
    """Find the line that defines a name."""
    if name in ("x", "x0"):
        return Source(sort=X, stream=True)
    for line in mixer.lines:
        if line.name == name:
            match line:
                case Input(index=()):
                    return Source(sort=line.sort, stream=True)
                case Input() | Param():
                    return Source(sort=line.sort, index=line.index)
                case Value():
                    return Source(sort=line.sort, stream="t" in line.sort.times)
    raise ValueError(f"{mixer.name} has no line that defines {name}")
