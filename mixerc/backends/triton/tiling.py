"""How large a kernel's tiles are and how many warps share them: by rule, from what it holds.

The rule is calibrated on what compilers say of the kernels of the shipped specs, which the tests
keep as data for each kind of hardware (tests/golden/resources). Nothing is tuned when a kernel
runs, and the number of tokens plays no part.
"""

from collections.abc import Callable

SIZES = ((64, 4), (64, 8), (32, 4), (32, 8), (16, 4), (16, 8))
"""Places of an axis that a tile holds, and warps of 32 threads; the first that fits is taken."""

WORDS = {"sm_80": 88, "sm_90": 144, "sm_100": 96, "gfx942": 160}
"""Places of tiles a thread can hold. It has 255 registers (gfx942: 512); addresses, masks and
operands of matrix products on their way need the others. They pass through registers on sm_80."""

FEWER = 2
"""Token by token there are sums over lanes in every line: a thread holds so much less there."""


def tiling(held: Callable[[int], int], words: int) -> tuple[int, int]:
    """The places of an axis in a tile, and the warps; `held` says what a kernel holds at once."""
    for block, warps in SIZES:
        if held(block) <= words * 32 * warps:
            return block, warps
    return SIZES[-1]
