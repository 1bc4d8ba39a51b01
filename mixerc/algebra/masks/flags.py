"""What a condition can be in a tile, as four bits, and the logic of these bits.

Two bits bound it from above: it may hold somewhere, it may fail somewhere. Two are witnesses: it
holds somewhere, it fails somewhere. A tile is decided when a bound is missing or both witnesses
are there.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Flags: TypeAlias = NDArray[np.uint8]

MAY_HOLD, MAY_FAIL, HOLDS, FAILS = 1, 2, 4, 8
TRUE = MAY_HOLD | HOLDS
FALSE = MAY_FAIL | FAILS
ANY = TRUE | FALSE
"""Both, with witnesses; also what is open, where nothing is known of a value."""
MAY = MAY_HOLD | MAY_FAIL
HAS = HOLDS | FAILS


def both(a: Flags, b: Flags) -> Flags:
    """And."""
    joint, some = a & b, a | b
    holds = (a & ~(b << np.uint8(1))) | (b & ~(a << np.uint8(1)))
    found: Flags = joint & np.uint8(MAY_HOLD) | some & np.uint8(FALSE) | holds & np.uint8(HOLDS)
    return found


def either(a: Flags, b: Flags) -> Flags:
    """Or."""
    joint, some = a & b, a | b
    fails = (a & ~(b << np.uint8(3))) | (b & ~(a << np.uint8(3)))
    found: Flags = joint & np.uint8(MAY_FAIL) | some & np.uint8(TRUE) | fails & np.uint8(FAILS)
    return found


def inverted(a: Flags) -> Flags:
    """Not."""
    upper = (a & np.uint8(MAY_HOLD | HOLDS)) << np.uint8(1)
    lower = (a & np.uint8(MAY_FAIL | FAILS)) >> np.uint8(1)
    found: Flags = upper | lower
    return found


def of_sign(above: NDArray[Any], below: NDArray[Any], *, exact: bool) -> Flags:
    """`x >= 0`: `above` where x may be at least 0, `below` where it may be less.

    Both are reached where the bounds of x are `exact`.
    """
    hold, fail = (TRUE, FALSE) if exact else (MAY_HOLD, MAY_FAIL)
    found: Flags = above.view(np.uint8) * np.uint8(hold) | below.view(np.uint8) * np.uint8(fail)
    return found if exact else certain(found)


def certain(found: Flags) -> Flags:
    """What may only hold does hold in every tile, since no tile is empty."""
    held = (found & np.uint8(MAY)) == MAY_HOLD
    failed = (found & np.uint8(MAY)) == MAY_FAIL
    witness = held.view(np.uint8) * np.uint8(HOLDS) | failed.view(np.uint8) * np.uint8(FAILS)
    known: Flags = found | witness
    return known


def undecided(found: Flags) -> NDArray[np.bool_]:
    """Where it may hold and may fail, and one of the two has no witness."""
    may = np.uint8(MAY)
    has = np.uint8(HAS)
    open_: NDArray[np.bool_] = ((found & may) == may) & ((found & has) != has)
    return open_
