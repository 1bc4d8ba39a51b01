"""Bounds of what a mask reads and computes, over tiles: intervals (first, last), ends inclusive.

Intervals are int64 tensors of any shape, of times of queries [n, 1] and of keys [1, m] in a grid.
"""

import torch


class Stretch:
    """A stream's values at origin, origin + 1, …, summed up so that any interval has bounds.

    Intervals (first, last) are tensors, cut to what is there; they hold some of it.
    """

    def __init__(self, values, origin=0):
        self.origin, self.count = origin, len(values)
        if values.dtype == torch.bool:
            self.sums = prefix_sums(values, 0)
        else:
            values = values.long()
            if self.count and int(values.abs().max()) >= 2**40:
                raise ValueError("a mask reads numbers of more than 40 bits")
            self.levels = {(torch.minimum, 0): values, (torch.maximum, 0): values}

    def places(self, first, last):
        """The interval as places among the values."""
        return ((end - self.origin).clamp(0, self.count - 1) for end in (first, last))

    def some(self, first, last):
        """Whether a value of the interval holds."""
        first, last = self.places(first, last)
        return self.sums[last + 1] > self.sums[first]

    def every(self, first, last):
        """Whether all of them do."""
        first, last = self.places(first, last)
        return self.sums[last + 1] - self.sums[first] == last + 1 - first

    def least(self, first, last):
        """The least value of the interval."""
        return self.extreme(torch.minimum, first, last)

    def greatest(self, first, last):
        """The greatest."""
        return self.extreme(torch.maximum, first, last)

    def extreme(self, join, first, last):
        """From the two runs of a power of two values, at either end, that cover an interval."""
        first, last = self.places(first, last)
        spans = torch.frexp((last - first + 1).double()).exponent - 1
        found = torch.empty_like(first)
        for level in spans.unique().tolist():
            runs, here = self.level(join, level), spans == level
            found[here] = join(runs[first[here]], runs[last[here] + 1 - 2**level])
        return found

    def level(self, join, level):
        """The extremes of all runs of 2^level values; only levels that are asked for are kept."""
        if (join, level) not in self.levels:
            below = max(known for kind, known in self.levels if kind is join and known < level)
            runs = self.levels[join, below]
            for each in range(below, level):
                runs = join(runs[: -(2**each)], runs[2**each :])
            self.levels[join, level] = runs
        return self.levels[join, level]


class Grid:
    """A table of conditions [I, J] over blocks of both times, in sums over its corners."""

    def __init__(self, values):
        self.sums = prefix_sums(prefix_sums(values, 0), 1)

    def some(self, i0, i1, j0, j1):
        """Whether an entry of rows i0..i1 and columns j0..j1 holds."""
        return self.holding(i0, i1, j0, j1) > 0

    def every(self, i0, i1, j0, j1):
        """Whether all of them do."""
        return self.holding(i0, i1, j0, j1) == (i1 - i0 + 1) * (j1 - j0 + 1)

    def holding(self, i0, i1, j0, j1):
        """How many of them hold."""
        if i0.dim() == 2 and i0.shape[1] == j0.shape[0] == 1:
            return between(between(self.sums, 0, i0, i1), 1, j0, j1)
        if i0.dim() == 2 and i0.shape[0] == j0.shape[1] == 1:
            return between(between(self.sums, 1, j0, j1), 0, i0, i1).T
        sums, i1, j1 = self.sums, i1 + 1, j1 + 1
        return sums[i1, j1] - sums[i0, j1] - sums[i1, j0] + sums[i0, j0]


class Several:
    """The tables of several heads: what holds for some of them, and for all."""

    def __init__(self, tables):
        self.tables = tables

    def some(self, *ends):
        """Whether an entry of some head holds."""
        return torch.stack([table.some(*ends) for table in self.tables]).any(0)

    def every(self, *ends):
        """Whether all of all heads do."""
        return torch.stack([table.every(*ends) for table in self.tables]).all(0)

    def least(self, *ends):
        """The least value of any head."""
        return torch.stack([table.least(*ends) for table in self.tables]).amin(0)

    def greatest(self, *ends):
        """The greatest."""
        return torch.stack([table.greatest(*ends) for table in self.tables]).amax(0)


def prefix_sums(values, dim):
    """The sums of no values, of the first one, of the first two, … along a dimension."""
    zero = torch.zeros_like(values.narrow(dim, 0, 1), dtype=torch.int32)
    return torch.cat((zero, values.cumsum(dim, dtype=torch.int32)), dim)


def between(sums, dim, first, last):
    """The sums of intervals, from prefix sums."""
    above, below = last.flatten() + 1, first.flatten()
    return sums.index_select(dim, above) - sums.index_select(dim, below)


def remainder_range(low, high, modulus):
    """Bounds of x % modulus for low <= x <= high."""
    low, high = torch.as_tensor(low), torch.as_tensor(high)
    base = low // modulus * modulus
    near = high - base < modulus
    return torch.where(near, low - base, 0), torch.where(near, high - base, modulus - 1)


def product_range(a, b):
    """Bounds of a product, from those of its factors."""
    corners = torch.broadcast_tensors(*(torch.as_tensor(x * y) for x in a for y in b))
    return torch.stack(corners).amin(0), torch.stack(corners).amax(0)


def larger_range(a, b):
    """Bounds of the larger of two values."""
    return tuple(torch.maximum(*map(torch.as_tensor, ends)) for ends in zip(a, b, strict=True))


def equal_ranges(a, b):
    """Whether values in two ranges may be equal, and whether they must be."""
    return (a[0] <= b[1]) & (a[1] >= b[0]), (a[0] == b[1]) & (a[1] == b[0])


def unequal_ranges(a, b):
    """Whether values in two ranges may differ, and whether they must."""
    return (a[0] != b[1]) | (a[1] != b[0]), (a[0] > b[1]) | (a[1] < b[0])
