"""The least that a mixer must do, from its plan, and how long that takes at given rates.

    seconds = max(bytes / bandwidth, products / rate of products)

Operations that are not matrix products run beside them, on other units: they are left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

from mixerc.algebra.linear import LinearState
from mixerc.plan.cost import NO_SHARES, WORD, cost
from mixerc.plan.distribute import Program

FORWARD = ("forward",)
BOTH = ("forward", "backward")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Bytes a second, and operations of matrix products a second (two for each product)."""

    bandwidth: float
    products: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Bytes that cross memory, and operations of matrix products."""

    moved: float
    products: float

    def times(self, count: float) -> "Floor":
        """The floor of so many tokens and heads."""
        return Floor(moved=count * self.moved, products=count * self.products)

    def seconds(self, rates: Rates) -> float:
        """The time that neither side can go below."""
        return max(self.moved / rates.bandwidth, self.products / rates.products)

    def bound(self, rates: Rates) -> str:
        """Which side takes longer: "bytes" or "products"."""
        longer = self.products / rates.products > self.moved / rates.bandwidth
        return "products" if longer else "bytes"


def floor(
    programs: Iterable[Program],
    sizes: Mapping[str, int],
    *,
    word: int,
    shares: Mapping[str, float] = NO_SHARES,
) -> Floor:
    """The floor of these programs together, for a token of one head; streams of `word` bytes."""
    costs = [cost(program, sizes, word=word, shares=shares) for program in programs]
    return Floor(
        moved=sum(found.floor_bytes for found in costs),
        products=sum(found.contractions for found in costs),
    )


def state_bytes(state: LinearState, sizes: Mapping[str, float]) -> int:
    """Bytes of a state of one head and one sequence, in fp32."""
    return WORD * prod(int(sizes[axis.rstrip("'")]) for axis in state.axes)
