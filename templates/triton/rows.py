"""A pass over a recurrence in Triton: a tile of rows after the other, or row by row."""

import math

import torch


class RowRun(Run):
    """One call. Its kernels hold tiles of some rows and of a block of each axis that is split."""

    def blocks(self, kernel, size, split):
        """The places of each axis that a tile holds: all of those in `WHOLE`, and as many of the
        others as `TILES` leaves."""
        held = {axis: places_of(size, axis) for axis in WHOLE[kernel.__name__]}
        room = TILES[kernel.__name__][0] // (self.chunk * math.prod(held.values()))
        for axis in reversed(split):
            most = places_of(size, axis)
            held[axis] = max(min(room, most, most if len(split) == 1 else 16), 1)
            room //= held[axis]
        return held

    def parts(self, size, blocks, axes):
        """How many programs have a part of a sum over some axes."""
        return math.prod(-(-size[axis.rstrip("'")] // blocks[axis]) for axis in axes)

    def row_scan(self, kernel, size, blocks, split, **arguments):
        """A kernel over the rows of each sequence."""
        programs = self.sequences * self.heads
        for axis, held in blocks.items():
            name = axis.rstrip("'")
            arguments[name] = size[name]
            arguments[f"{name}_OTHER" if axis.endswith("'") else f"{name}_BLOCK"] = held
            programs *= -(-size[name] // held) if axis in split else 1
        given = {"first_at": self.first, "count_at": self.count, "batch_at": self.batch}
        given |= {"bounds_at": self.bounds, "HEADS": self.heads, "length": self.length}
        given |= {"CHUNK": self.chunk, "PREC": PRECISION, "ACC": DTYPES[self.acc]}
        given |= {"DOT": DTYPES[self.dot], "WIDE": DTYPES[self.dot]}
        warps = TILES[kernel.__name__][1]
        options = {"num_warps": warps * 32 // LANES, **OPTIONS, **REGISTERS}
        if programs:
            start(kernel, programs, options, arguments | given, self.dot)

    def memory(self, rows, parts, dtype, lengths):
        """Memory for a cotangent, of each row or summed over those of a sequence; in parts, if
        there are any, and always in the dtype of accumulation then."""
        shape = (self.tokens_all if rows else self.sequences, self.heads, *lengths)
        shape = (parts, *shape) if parts else shape
        # Packed rows that no sequence covers are written by no program.
        empty = torch.empty if self.bounds is None else torch.zeros
        return empty(shape, dtype=self.acc if parts else dtype, device=self.device)

    def total(self, found, like):
        """The cotangent of a constant, from what each sequence gave."""
        return self.added(found, like)


def places_of(size, axis):
    """The places of a tile with all of an axis: a power of two."""
    return 1 << (size[axis.rstrip("'")] - 1).bit_length()


def rows_at_once(kernel, size):
    """The rows of a kernel's tile beside all places of some axes, and 8 places of the others."""
    whole = math.prod(places_of(size, axis) for axis in WHOLE[kernel])
    rows = TILES[kernel][0] // (8 * whole)
    return max(min(1 << max(rows, 1).bit_length() - 1, 128), 16)
