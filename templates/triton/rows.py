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

    def summed(self, found):
        """What each chunk gave to a sum over rows; the last of the table's chunks may be none."""
        if self.count is None:
            return found
        there = (self.count > 0).view(-1, *[1] * (found.dim() - 1))
        return torch.where(there, found, 0)


def places_of(size, axis):
    """The places of a tile with all of an axis: a power of two."""
    return 1 << (size[axis.rstrip("'")] - 1).bit_length()


def rows_at_once(kernel, size):
    """The rows of a kernel's tile beside all places of some axes, and 8 places of the others."""
    whole = math.prod(places_of(size, axis) for axis in WHOLE[kernel])
    rows = TILES[kernel][0] // (8 * whole)
    return max(min(1 << max(rows, 1).bit_length() - 1, 128), 16)


def accumulated(x, dtype):
    """A value in the dtype of accumulation, or the complex one of it."""
    return x.to(dtype.to_complex() if x.is_complex() else dtype)


def of_kind(x, like):
    """Real numbers, or pairs of them as complex ones."""
    return torch.view_as_complex(x) if like.is_complex() else x


def row_forward(program, chunk, streams, constants, states, size, outputs, cu_seqlens, in_place):
    """Fills `outputs`, and returns the states after the last token."""
    run = RowRun(streams, states, chunk, cu_seqlens)
    run.in_place = in_place
    run.check(constants, states)
    held = ([run.flat(x) for x in streams], [placed(x) for x in constants])
    firsts = [placed(accumulated(x, run.acc)) for x in states]
    lasts = program(run, *held, firsts, size, [run.flat(x) for x in outputs])
    return [of_kind(x, like) for x, like in zip(lasts, states, strict=True)]


def row_backward(
    programs,
    of_states,
    chunk,
    streams,
    constants,
    states,
    size,
    cotangents,
    finals,
    cu_seqlens,
):
    """Cotangents of streams, of constants (one row a batch row) and of the first states, of which
    only those numbered in `of_states` have any."""
    run = RowRun(streams, states, chunk, cu_seqlens)
    find_states, adjoint, of_streams, of_constants = programs
    held = ([run.flat(x) for x in (*streams, *cotangents)], [placed(x) for x in constants])
    firsts = [placed(accumulated(x, run.acc)) for x in states]
    kept, _ = find_states(run, *held, firsts, size)
    lasts = [placed(accumulated(finals[i], run.acc)) for i in of_states]
    made, found = adjoint(run, *held, lasts, size, kept)
    d_streams = [None if i in of_streams else zeros_like(x) for i, x in enumerate(streams)]
    for index, d in zip(of_streams, made[: len(of_streams)], strict=True):
        x, d = streams[index], of_kind(d, streams[index])
        d = d.sum(1, keepdim=True) if x.shape[2] < run.heads else d
        d_streams[index] = d.to(x.dtype).reshape(x.shape)
    d_constants = [zeros_like(x) for x in constants]
    for index, d in zip(of_constants, made[len(of_streams) :], strict=True):
        x = constants[index]
        d = of_kind(d, x).unflatten(0, (x.shape[0], -1)).sum(1)
        d_constants[index] = (d.sum(1, keepdim=True) if x.shape[1] < run.heads else d).to(x.dtype)
    d_firsts = [zeros_like(x) for x in states]
    for index, d in zip(of_states, found, strict=True):
        d_firsts[index] = of_kind(d, states[index]).to(states[index].dtype)
    return [*d_streams, *d_constants, *d_firsts]
