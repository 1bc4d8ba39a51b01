"""What the interpreter needs of numbers: a table of operations on plain arrays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

Array: TypeAlias = Any
Scalar: TypeAlias = int | float | Fraction
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A kind of numbers and arrays of them.

    `primitives` has one entry for each primitive of `ir.primitives`: elementwise functions of
    arrays that broadcast as NumPy does. `reductions` are `sum`, `max`, `softmax` along one axis;
    softmax keeps it. `einsum(a, a_dims, b, b_dims, out)` names dimensions by small integers.
    """

    name: str
    primitives: Mapping[str, Callable[..., Array]]
    reductions: Mapping[str, Callable[[Array, int], Array]]
    convert: Callable[[Any], Array]
    number: Callable[[Scalar], Array]
    zeros: Callable[[Shape, bool], Array]
    arange: Callable[[int], Array]
    permute: Callable[[Array, Sequence[int]], Array]
    reshape: Callable[[Array, Shape], Array]
    broadcast: Callable[[Array, Shape], Array]
    select: Callable[[Array, int, int], Array]
    take: Callable[[Array, int, Sequence[int]], Array]
    unstack: Callable[[Array, int], Sequence[Array]]
    stack: Callable[[Sequence[Array], int], Array]
    concat: Callable[[Sequence[Array], int], Array]
    einsum: Callable[[Array, list[int], Array, list[int], list[int]], Array]
