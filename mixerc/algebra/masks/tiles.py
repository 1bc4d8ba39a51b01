"""The class of a tile: no pair of it is allowed, every pair is, or some are.

What interval arithmetic leaves open is decided by a few pairs of the tile, then by halving it, down
to single pairs if need be. Sound always; exact unless more boxes are needed than MOST_BOXES.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mixerc.algebra.masks.boxes import Array, Boxes, evaluate
from mixerc.algebra.masks.conditions import Condition
from mixerc.algebra.masks.flags import FAILS, HOLDS, MAY_FAIL, MAY_HOLD, Flags, undecided
from mixerc.algebra.masks.values import NOTHING_KNOWN, Values

MOST_BOXES = 2**21


class TileClass(StrEnum):
    """What of a tile the mask allows; partial too where it hangs on values that are not known."""

    EMPTY = "empty"
    PARTIAL = "partial"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """Queries t0 <= t < t1 and keys s0 <= s < s1; neither is empty."""

    t0: int
    t1: int
    s0: int
    s1: int


def tile_class(
    condition: Condition, tile: Tile, length: int, values: Values = NOTHING_KNOWN
) -> TileClass:
    """The class of one tile of a sequence of this length."""
    t = np.array([tile.t0]), np.array([tile.t1 - 1])
    s = np.array([tile.s0]), np.array([tile.s1 - 1])
    found = decided(condition, Boxes(t=t, s=s, length=length), values)
    return class_of(int(found[0]))


def class_of(flags: int) -> TileClass:
    """The class that decided flags say."""
    if not flags & MAY_HOLD:
        return TileClass.EMPTY
    return TileClass.PARTIAL if flags & MAY_FAIL else TileClass.FULL


def decided(condition: Condition, boxes: Boxes, values: Values = NOTHING_KNOWN) -> Flags:
    """Flags of a list of tiles [n]; those that may be both are partial."""
    found = evaluate(condition, boxes, values).copy()
    places = np.flatnonzero(undecided(found))
    if len(places):
        (t0, t1), (s0, s1) = boxes.t, boxes.s
        parts = np.stack([t0[places], t1[places], s0[places], s1[places]])
        search = _Search(
            condition=condition,
            values=values,
            length=boxes.length,
            holds=(found[places] & HOLDS) != 0,
            fails=(found[places] & FAILS) != 0,
        )
        found[places] = search.settled(parts)
    return found


@dataclass(slots=True, kw_only=True)
class _Search:
    """Open tiles, and what has been seen of each: a pair that holds, a pair that does not."""

    condition: Condition
    values: Values
    length: int
    holds: Array
    fails: Array

    def settled(self, parts: Array) -> Flags:
        """The flags of tiles [4, n], from some pairs of them and then from quarters of them."""
        owner = np.arange(parts.shape[1])
        pairs = _some_pairs(parts)
        self._look(pairs, np.tile(owner, pairs.shape[1] // len(owner)))
        while True:
            going = ~(self.holds & self.fails)[owner]
            parts, owner = parts[:, going], owner[going]
            if not len(owner):
                break
            if 4 * len(owner) > MOST_BOXES:
                self.holds[owner] = self.fails[owner] = True
                break
            parts, owner = _quarters(parts, owner)
            still = self._look(parts, owner)
            parts, owner = parts[:, still], owner[still]
        yes, no = np.uint8(HOLDS | MAY_HOLD), np.uint8(FAILS | MAY_FAIL)
        seen: Flags = self.holds.astype(np.uint8) * yes | self.fails.astype(np.uint8) * no
        return seen

    def _look(self, parts: Array, owner: Array) -> Array:
        """Notes for the owners what is seen in their parts; which parts are open still."""
        boxes = Boxes(t=(parts[0], parts[1]), s=(parts[2], parts[3]), length=self.length)
        found = evaluate(self.condition, boxes, self.values)
        still = undecided(found)
        # One pair that is open hangs on values that are not known, so its tile is partial.
        single = still & (parts[0] == parts[1]) & (parts[2] == parts[3])
        self.holds[owner[single | ((found & HOLDS) != 0)]] = True
        self.fails[owner[single | ((found & FAILS) != 0)]] = True
        return still


def _some_pairs(parts: Array) -> Array:
    """A few pairs of each tile: its corners, neighbours of these, and places inside."""
    t0, t1, s0, s1 = parts
    near_t, near_s = np.minimum(t0 + 1, t1), np.minimum(s0 + 1, s1)
    third_t, third_s = (2 * t0 + t1) // 3, (s0 + 2 * s1) // 3
    ts = [t0, t0, t1, t1, near_t, t0, (t0 + t1) // 2, third_t]
    ss = [s0, s1, s0, s1, s0, near_s, (s0 + s1) // 2, third_s]
    t, s = np.concatenate(ts), np.concatenate(ss)
    return np.stack([t, t, s, s])


def _quarters(parts: Array, owner: Array) -> tuple[Array, Array]:
    """Each tile cut in the middle of both times; sides of one token stay whole."""
    t0, t1, s0, s1 = parts
    t, s = (t0 + t1) // 2, (s0 + s1) // 2
    cut = [
        np.stack([t0, t, s0, s]),
        np.stack([t0, t, s + 1, s1]),
        np.stack([t + 1, t1, s0, s]),
        np.stack([t + 1, t1, s + 1, s1]),
    ]
    joined, owners = np.concatenate(cut, axis=1), np.tile(owner, 4)
    there = (joined[0] <= joined[1]) & (joined[2] <= joined[3])
    return joined[:, there], owners[there]
