"""How large a kernel's tiles are and how many warps share them: by rule, from what it holds.

The rule is calibrated on what compilers say of the kernels of the shipped specs, which the tests
keep as data for each kind of hardware (tests/golden/resources). Nothing is tuned when a kernel
runs, and the number of tokens plays no part.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

Tiling = tuple[int, int]
"""Places of an axis of the spec that a tile holds, and warps of 32 threads."""

Held = Callable[[int, int], float]
"""What a thread holds at once of a kernel's tiles, by places of an axis and warps."""

SIZES: tuple[Tiling, ...] = ((64, 8), (32, 8), (16, 8), (16, 4))
"""With four warps kernels of NVIDIA's spill earlier: half the threads hold twice as much."""

_OF_TOKENS = 16
_WIDE = 64
"""Rows of a product that the larger units take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """`words` are the places of tiles that a thread can hold; of its registers (255; on gfx942
    512) addresses, masks and operands of products on their way take the others. The first of
    SIZES that fits is taken, else the one with the least; a kernel that would hold more than
    `most` is cut in two, and where one is left with more than `limit`, chunks are shorter. One
    that has all loops of a chunk in it makes several values only where it holds no more than
    `several`. On sm_80 the assembler holds registers back for more programs at once, and spills,
    unless `registers` says how many a thread has. Products of fewer than 64 rows may have other
    units, with operands in registers: `small` is what holds of them."""

    name: str
    words: int
    most: int
    limit: int
    several: int
    small: "Hardware | None" = None
    registers: int | None = None

    def of_chunk(self, chunk: int) -> "Hardware":
        """What holds of kernels over so many rows."""
        return self.small if self.small is not None and chunk < _WIDE else self

    def tiling(self, held: Held, *, tokens: bool = False) -> Tiling:
        """The tiles of a kernel. Token by token there are sums over lanes in every line: a thread
        holds less there, and small tiles make many programs."""
        words = _OF_TOKENS if tokens else self.words
        fitting = (size for size in SIZES if held(*size) <= words)
        return next(fitting, min(SIZES, key=lambda size: (held(*size), size)))

    def least(self, held: Held) -> float:
        """The least that a thread can hold of a kernel."""
        return min(held(*size) for size in SIZES)


_SMALL = Hardware(name="below 64 rows", words=52, most=50, limit=100, several=50, registers=255)
HARDWARE = {
    one.name: replace(one, small=_SMALL, registers=255) if one.name.startswith("sm_") else one
    for one in (
        Hardware(name="sm_80", words=52, most=66, limit=100, several=66),
        Hardware(name="sm_90", words=79, most=90, limit=180, several=79),
        Hardware(name="sm_100", words=43, most=58, limit=120, several=48),
        Hardware(name="gfx942", words=80, most=200, limit=240, several=200),
    )
}
