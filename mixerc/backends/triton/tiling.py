"""How large a kernel's tiles are and how many warps share them: by rule, from what it holds.

The rule is calibrated on what compilers say of the kernels of the shipped specs, which the tests
keep as data for each kind of hardware (tests/golden/resources). Nothing is tuned when a kernel
runs, and the number of tokens plays no part.
"""

from collections.abc import Callable
from dataclasses import dataclass

Tiling = tuple[int, int]
"""Places of an axis of the spec that a tile holds, and warps of 32 threads."""

LARGE: tuple[Tiling, ...] = ((64, 4), (64, 8), (32, 4), (32, 8), (16, 4), (16, 8))
WARPS_8: tuple[Tiling, ...] = ((64, 8), (32, 8), (16, 8))
SMALLEST = 16
"""Places of an axis in the smallest tile: the least that a matrix unit takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """`words` are the places of tiles that a thread can hold; of its registers (255; on gfx942 512)
    addresses, masks and operands of products on their way take the others. The first of `sizes`
    that fits is taken; a kernel that would hold more than `most` is cut in two, and where one is
    left with more than `limit`, chunks are shorter."""

    name: str
    words: int
    most: int
    limit: int
    sizes: tuple[Tiling, ...]

    def tiling(self, held: Callable[[int], int], *, tokens: bool = False) -> Tiling:
        """The tiles of a kernel; `held` says what it holds at once. Token by token there are sums
        over lanes in every line, and a thread holds half as much."""
        for block, warps in self.sizes:
            if held(block) <= self._room(warps, tokens):
                return block, warps
        return self.sizes[-1]

    def least(self, held: Callable[[int], int]) -> float:
        """Places that a thread holds of the smallest tiles."""
        block, warps = self.sizes[-1]
        return held(block) / (32 * warps)

    def _room(self, warps: int, tokens: bool) -> int:
        return self.words * 32 * warps // (2 if tokens else 1)


HARDWARE = {
    one.name: one
    for one in (
        Hardware(name="sm_80", words=54, most=80, limit=100, sizes=WARPS_8),
        Hardware(name="sm_90", words=144, most=156, limit=180, sizes=LARGE),
        Hardware(name="sm_100", words=76, most=156, limit=180, sizes=LARGE),
        Hardware(name="gfx942", words=160, most=200, limit=240, sizes=LARGE),
    )
}
