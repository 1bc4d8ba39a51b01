"""longformer: A window of W and marked global tokens, with projections of their own. Beltagy et al. 2020, arXiv:2004.05150

Made by mixerc from this spec; it needs nothing but torch.

    mixer longformer(D = d_model / heads, W = 512)
    "A window of W and marked global tokens, with projections of their own. Beltagy et al. 2020, arXiv:2004.05150"

    input mark bool

    q[D], k[D], v[D]    = x | linear(bias = 0)
    qg[D], kg[D], vg[D] = x | linear(bias = 0)

    branch near
      mask      -W <= 2 * (t - s) <= W or mark[s]
      weight    exp(q[t] @ k[s] / sqrt(D))
      normalize sum
      state     cache

    branch far
      mask      full
      weight    exp(qg[t] @ kg[s] / sqrt(D))
      value     vg[s]
      normalize sum
      state     cache

    o[D] = where(mark, far, near)
    y = o | linear(bias = 0)
"""

import itertools
import math
import zlib

import torch
ELSEWHERE = {}


class State(dict):
    """Named tensors, one row for each sequence: pass it to the next call, it is never changed."""

    newton = None
    """How Newton's method found it, where it did: of the call that gave it, and of no copy."""

    @property
    def bytes(self):
        """The memory that the tensors take."""
        return sum(value.numel() * value.element_size() for value in self.values())

    def to(self, *args, **kwargs):
        """The state on another device; a dtype goes to real floating-point tensors alone."""

        def moved(value):
            if value.is_floating_point():
                return value.to(*args, **kwargs)
            place = torch.empty((), device=value.device).to(*args, **kwargs).device
            return value.to(place)

        return State({key: moved(value) for key, value in self.items()})

    def clone(self):
        """A copy that shares no memory."""
        return State({key: value.clone() for key, value in self.items()})

    def detach(self):
        """The same values without their history, for training on one piece after another."""
        return State({key: value.detach() for key, value in self.items()})


torch.utils._pytree.register_pytree_node(
    State,
    lambda state: (list(state.values()), list(state)),
    lambda values, keys: State(zip(keys, values, strict=True)),
)


def whole(name, value):
    """A size as an integer."""
    if value != int(value) or value < 0:
        raise ValueError(f"{name} is {value}, which is not a whole number")
    return int(value)


class Stretch:
    """A stream's values at origin, origin + 1, …, summed up so that any interval has bounds.

    Intervals (first, last) are tensors, cut to what is there; they hold some of it.
    """

    def __init__(self, values, origin=0):
        self.origin, self.count = origin, len(values)
        if values.dtype == torch.bool:
            self.sums = prefix_sums(values)
        else:
            values = values.long()
            if self.count and int(values.abs().max()) >= 2**40:
                raise ValueError("a mask reads numbers of more than 40 bits")
            self.levels = {(torch.minimum, 0): values, (torch.maximum, 0): values}

    def places(self, first, last):
        """The interval as places among the values."""
        return ((end - self.origin).clamp(0, self.count - 1) for end in (first, last))

    def flags(self, first, last):
        """Whether a value of the interval holds, and whether all of them do."""
        first, last = self.places(first, last)
        held = self.sums[last + 1] - self.sums[first]
        return held > 0, held == last + 1 - first

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
    """A table of conditions [I, J] over blocks of both times, summed up from its corner."""

    def __init__(self, values):
        along = prefix_sums(values)
        self.sums = prefix_sums(along.T.contiguous()).T  # sums along the last axis are fast

    def flags(self, i0, i1, j0, j1):
        """Whether an entry of rows i0..i1 and columns j0..j1 holds, and whether all of them do."""
        held = self.holding(i0, i1 + 1, j0, j1 + 1)
        return held > 0, held == (i1 - i0 + 1) * (j1 - j0 + 1)

    def holding(self, i0, i1, j0, j1):
        """How many of the entries up to i1 and j1 hold."""
        if i0.dim() == 2 and i0.shape[1] == j0.shape[0] == 1:
            return between(between(self.sums, 0, i0, i1), 1, j0, j1)
        if i0.dim() == 2 and i0.shape[0] == j0.shape[1] == 1:
            return between(between(self.sums, 1, j0, j1), 0, i0, i1).T
        return self.sums[i1, j1] - self.sums[i0, j1] - self.sums[i1, j0] + self.sums[i0, j0]


def prefix_sums(values):
    """The sums of no values, of the first one, of the first two, … along the last axis."""
    sums = torch.zeros(*values.shape[:-1], values.shape[-1] + 1, dtype=torch.int32)
    torch.cumsum(values, -1, dtype=torch.int32, out=sums[..., 1:])
    return sums


def between(sums, dim, first, last):
    """The sums of the intervals of a grid."""
    return summed_to(sums, dim, last.flatten()) - summed_to(sums, dim, first.flatten())


def summed_to(sums, dim, places):
    """Some places along a dimension; neighbours in order are a view."""
    if len(places) and torch.equal(places, torch.arange(len(places)) + places[0]):
        return sums.narrow(dim, int(places[0]), len(places))
    return sums.index_select(dim, places)


def opposite(some, every):
    """Whether it may fail somewhere, and whether it must everywhere."""
    return ~every, ~some


CELL = 32


TOGETHER = 2**18


def visits(tiles, pairs, queries, keys, side=(128, 128), *, length, read):
    """The tiles that a mask visits, as compressed rows: starts [rows + 1], blocks [n], full [n].

    `queries` and `keys` are (first position, count), and tiles start at the first positions.
    Row i visits blocks[starts[i] : starts[i + 1]] of keys, in order, each of which has an allowed
    pair; in the full ones every pair that exists is allowed.
    """
    plane = Plane(tiles, pairs, (queries, keys), side, length, read)
    rows, columns = plane.count(0), plane.count(1)
    cells = plane.bounded(*plane.grid(torch.arange(-(-rows // CELL)), times=CELL))
    counts, blocks, full = [torch.zeros(1, dtype=torch.long)], [], []
    high = max(TOGETHER // (CELL * CELL * max(cells.shape[1], 1)), 1)
    for index in range(0, len(cells), high):
        strip = plane.strip(cells[index : index + high], index * CELL)
        places = strip.flatten().nonzero().flatten()
        counts.append(strip.count_nonzero(1))
        blocks.append(places % columns)
        full.append(strip.flatten()[places] == 2)
    starts = torch.cat(counts).cumsum(0)
    if not blocks:
        return starts, torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.bool)
    return starts, torch.cat(blocks), torch.cat(full)


class Plane:
    """The queries and keys in tiles. A kind is 0 where no pair is allowed, 2 where all are."""

    def __init__(self, tiles, pairs, ranges, side, length, read):
        self.tiles, self.pairs, self.length, self.read = tiles, pairs, length, read
        self.ranges, self.side = ranges, side

    def count(self, axis):
        """How many tiles there are along t (0) or s (1)."""
        return -(-self.ranges[axis][1] // self.side[axis])

    def ends(self, axis, index, times=1):
        """The first and the last position of some tiles, or of cells of several."""
        (first, count), side = self.ranges[axis], self.side[axis] * times
        start = first + index * side
        return start, (start + side - 1).clamp(max=first + count - 1)

    def grid(self, rows, columns=None, times=1):
        """Tiles as a grid, from their rows and columns; all columns unless they are given."""
        if columns is None:
            columns = torch.arange(-(-self.count(1) // times))
        t, s = self.ends(0, rows, times), self.ends(1, columns, times)
        return tuple(x[:, None] for x in t), tuple(x[None] for x in s)

    def bounded(self, t, s):
        """What interval arithmetic says of the kinds: 1 is open."""
        may, must = self.tiles(t, s, self.length, self.read)
        kinds = may.byte() + must.byte()
        return kinds.expand(torch.broadcast_shapes(t[0].shape, s[0].shape))

    def strip(self, cells, first):
        """The kinds of the tiles of rows of cells, exactly; decided cells are only filled in."""
        rows = torch.arange(first, min(first + len(cells) * CELL, self.count(0)))
        wide = cells.repeat_interleave(CELL, 1)[:, : self.count(1)]
        kinds = wide.repeat_interleave(CELL, 0)[: len(rows)]
        columns = (wide == 1).any(0).nonzero().flatten()
        if len(columns):
            first, last = int(columns[0]), int(columns[-1])
            run = slice(first, last + 1) if last - first + 1 == len(columns) else columns
            kinds[:, run] = self.decided(*self.grid(rows, columns))
        return kinds

    def decided(self, t, s):
        """The kinds of a grid of tiles; two corners show most of those that are neither."""
        kinds = self.bounded(t, s)
        undecided = kinds == 1
        if undecided.any():
            undecided &= self.pairs(t[1], s[0]) == self.pairs(t[0], s[1])
            rows, columns = undecided.nonzero().unbind(1)
            if len(rows):
                t, s = (end[rows, 0] for end in t), (end[0, columns] for end in s)
                kinds = kinds.clone()
                kinds[rows, columns] = self.evaluated(tuple(t), tuple(s))
        return kinds

    def evaluated(self, t, s):
        """The kinds of a list of tiles: from the pairs of their edges, then from all."""
        some, fails = torch.zeros(2, len(t[0]), dtype=torch.bool)
        first, last, whole = slice(1), slice(-1, None), slice(None)
        for edge in ((last, whole), (whole, first), (first, whole), (whole, last), (whole, whole)):
            within = [torch.arange(n)[part] for n, part in zip(self.side, edge, strict=True)]
            most = max(TOGETHER // (len(within[0]) * len(within[1])), 1)
            for part in (~(some & fails)).nonzero().flatten().split(most):
                ends = ((x[0][part, None], x[1][part, None]) for x in (t, s))
                # The last position stands again where a tile is cut.
                rows, columns = (
                    torch.minimum(x[0] + places, x[1])
                    for x, places in zip(ends, within, strict=True)
                )
                held = self.pairs(rows[:, :, None], columns[:, None]).flatten(1)
                some[part] |= held.any(1)
                fails[part] |= ~held.all(1)
        return some.byte() + (some & ~fails).byte()


def runs(starts, blocks, full):
    """For each row its (begin, end, full): neighbouring blocks that are equally full, together."""
    first = torch.ones(len(blocks) + 1, dtype=torch.bool)
    first[1:-1] = (blocks[1:] != blocks[:-1] + 1) | (full[1:] != full[:-1])
    first[starts] = True
    begins = first.nonzero().flatten()
    each = list(
        zip(
            blocks[begins[:-1]].tolist(),
            (blocks[begins[1:] - 1] + 1).tolist(),
            full[begins[:-1]].tolist(),
            strict=True,
        )
    )
    rows = torch.searchsorted(begins, starts).tolist()
    return [each[a:b] for a, b in itertools.pairwise(rows)]


def spans(seen):
    """The positions (first, last + 1) of the tokens that a cache holds after so many, in order."""
    if WINDOW is None:
        return [(0, seen)]
    first = min(PINNED, seen)
    return [(0, first), (max(first, seen - WINDOW), seen)]


def within(runs):
    """Every position of some runs."""
    return torch.cat([torch.arange(first, last) for first, last in runs])


def slot_of(position):
    """The slots of tokens."""
    if WINDOW is None:
        return position
    ring = PINNED + (position - PINNED) % WINDOW
    return torch.where(position < PINNED, position, ring)


def positions(seen, slots):
    """The position that stands in each slot [N, slots], and whether there is one."""
    slot = torch.arange(slots, device=seen.device)
    last = seen.unsqueeze(-1) - 1
    if WINDOW is None:
        return slot.expand(seen.shape[0], -1), slot <= last
    newest = last - (last - slot) % WINDOW
    return torch.where(slot < PINNED, slot, newest), torch.where(
        slot < PINNED, slot <= last, newest >= PINNED
    )


def slots_after(slots, tokens):
    """How many slots a cache has after more tokens."""
    return slots + tokens if WINDOW is None else PINNED + WINDOW


def empty_caches(streams, sequences, slots):
    """Caches without tokens, for streams [B, T, h, axes…]."""
    shapes = ((sequences, x.shape[2], slots, *x.shape[3:]) for x in streams)
    caches = [x.new_zeros(shape) for x, shape in zip(streams, shapes, strict=True)]
    return [*caches, torch.zeros(sequences, dtype=torch.int64, device=streams[0].device)]


def grown(cache, slots):
    """The cache with more slots."""
    if cache.shape[2] >= slots:
        return cache
    more = cache.new_zeros(*cache.shape[:2], slots - cache.shape[2], *cache.shape[3:])
    return torch.cat((cache, more), 2)


def past_of(cache, seen):
    """The tokens that a cache holds [N, kept, heads, axes…], in order of their positions."""
    return cache[:, :, slot_of(within(spans(seen)))].transpose(1, 2)


def staying(seen, tokens):
    """Which of the tokens kept and the new ones stay: their places among these, and their slots."""
    known = within([*spans(seen), (seen, seen + tokens)])
    wanted = within(spans(seen + tokens))
    return torch.searchsorted(known, wanted), slot_of(wanted)


def refilled(keys, seen, tokens, slots):
    """The cache after new tokens; `keys` [N, kept + tokens, heads, axes…] are in order."""
    places, wanted = staying(seen, tokens)
    cache = keys.new_zeros(keys.shape[0], keys.shape[2], slots, *keys.shape[3:])
    cache[:, :, wanted] = keys[:, places].transpose(1, 2)
    return cache


def d_refilled(d_cache, seen, tokens):
    """The adjoint of `refilled`: the cotangent of the keys."""
    places, wanted = staying(seen, tokens)
    count = len(within(spans(seen))) + tokens
    d = d_cache.new_zeros(d_cache.shape[0], count, d_cache.shape[1], *d_cache.shape[3:])
    d[:, places] = d_cache[:, :, wanted].transpose(1, 2)
    return d


def d_past_of(d_past, seen, cache):
    """The adjoint of `past_of`: the cotangent of the cache."""
    d = torch.zeros_like(cache)
    d[:, :, slot_of(within(spans(seen)))] = d_past.transpose(1, 2).to(d.dtype)
    return d


def write_token(caches, streams):
    """Puts one token [N, 1, heads, axes…] of each stream in its slot; the last cache counts."""
    seen = caches[-1]
    slot = slot_of(seen)
    row = torch.arange(seen.shape[0], device=seen.device)
    for cache, x in zip(caches, streams, strict=False):
        cache[row, :, slot] = x[:, 0].to(cache.dtype)
    seen += 1


class Decays:
    """The decays of a pass and what reaches them; the query i stands at the key `start` + i."""

    def __init__(self, decay, start, *, logarithmic):
        self.decay, self.start, self.logarithmic = decay, start, logarithmic
        self.logs = decay.double() if logarithmic else decay.double().log()
        self.zeros = None
        if not logarithmic and bool((decay == 0).any()):
            self.zeros = (decay == 0).to(decay.dtype)
            self.d_zeros = torch.zeros_like(self.logs)
        self.d_logs = torch.zeros_like(self.logs)

    def tile(self, first, last, group, *, beside=False):
        """The logarithm of the decay of each pair [.., queries, keys]."""
        if not beside:
            return self._sums(self.logs, first, last, group)
        plain = self.logs.masked_fill(self.decay == 0, 0)
        found = self._sums(plain, first, last, group)
        crossed = self._sums(self.zeros, first, last, group)
        return found.masked_fill_(crossed != 1, -torch.inf)

    def _sums(self, logs, first, last, group):
        span = (self.start + first, self.start + last)
        return torch.cat([run_sums(logs, *span, low, high) for low, high, _ in group], -1)

    def back(self, total, d, first, last, group):
        """Adds to the total, for each token, what reaches the pairs that it lies between."""
        place = 0
        for low, high, _ in group:
            part = d[..., place : place + high - low].double()
            for dim in range(3):
                if part.shape[dim] > total.shape[dim]:
                    part = part.sum(dim, keepdim=True)
            add_runs(total, part, self.start + first, self.start + last, low, high)
            place += high - low

    def cotangent(self):
        """The cotangent of what was given: the decay, or its logarithm."""
        if self.logarithmic:
            return self.d_logs.to(self.decay.dtype)
        slope = self.d_logs / self.decay
        if self.zeros is not None:
            slope = torch.where(self.decay == 0, self.d_zeros, slope)
        return slope.to(self.decay.dtype)


def run_sums(x, start, stop, low, high):
    """The sum of x over s < j <= t for queries t in start:stop and keys s in low:high; 0 for
    later keys."""
    upto = x[..., start:stop].cumsum(-1).unsqueeze(-1)
    edge, end = min(high, max(low, start)), min(high, max(low, stop))
    parts = []
    if edge > low:
        run = x[..., low + 1 : start].flip(-1).cumsum(-1).flip(-1)
        after = torch.cat((run, torch.zeros_like(x[..., :1])), -1)[..., : edge - low]
        parts.append(upto + after.unsqueeze(-2))
    if end > edge:
        parts.append(later(x, start, stop, edge, end).cumsum(-2))
    if high > end:
        parts.append(torch.zeros_like(upto).expand(*upto.shape[:-1], high - end))
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def later(x, start, stop, low, high):
    """x[j] where j > s, else 0, for j in start:stop and keys s in low:high."""
    j = torch.arange(start, stop, device=x.device).unsqueeze(-1)
    s = torch.arange(low, high, device=x.device)
    return torch.where(j > s, x[..., start:stop].unsqueeze(-1), 0)


def add_runs(total, d, start, stop, low, high):
    """The adjoint of `run_sums`, added to the total."""
    edge, end = min(high, max(low, start)), min(high, max(low, stop))
    here = total[..., start:stop]
    if edge > low:
        left = d[..., : edge - low]
        here += left.sum(-1).flip(-1).cumsum(-1).flip(-1)
        before = left.sum(-2).cumsum(-1)
        near = min(edge + 1, start)
        total[..., low + 1 : near] += before[..., : near - low - 1]
        total[..., near:start] += before[..., -1:]
    if end > edge:
        inside = d[..., edge - low : end - low].flip(-2).cumsum(-2).flip(-2)
        j = torch.arange(start, stop, device=d.device).unsqueeze(-1)
        inside = torch.where(j > torch.arange(edge, end, device=d.device), inside, 0)
        here += inside.sum(-1)


LOG2_E = 1 / math.log(2)


AT_ONCE = 1024


class Pass:
    """One sum over sequences of the same length.

    `rows` and `keys` are the values of queries and of keys by name, `fixed` what no token changes.
    `positions` are those of queries and of keys, as numbers. What scores read of queries is in
    `rows` for the backward, which wants it whole, and made block by block where it is not.
    `start` is the key that stands where the first query does. `visits` lists blocks of queries
    (first, last + 1) with the runs of keys (first, last + 1, all allowed) that they see. `lead`
    counts sequences, groups, and heads in each.
    """

    def __init__(self, sweep, fixed, rows, keys, start, visits, lead, positions):
        self.sweep, self.fixed, self.rows, self.keys = sweep, fixed, rows, keys
        self.lead, self.positions = lead, positions
        self.start, self.visits, self.dtype = start, visits, keys["value"].dtype
        self.decays, self.biases = None, {}
        if sweep.decay is not None:
            self.decays = Decays(keys["decay"], start, logarithmic=sweep.logarithmic)

    def narrowed(self, lane):
        """The same for some sequences and groups of heads."""
        sides = (self.fixed, self.rows, self.keys)
        parts = ({n: narrowed(x, lane) for n, x in values.items()} for values in sides)
        some = (len(range(size)[part]) for part, size in zip(lane, self.lead, strict=False))
        lead, positions = (*some, self.lead[2]), self.positions
        made = Pass(self.sweep, *parts, self.start, self.visits, lead, positions)
        made.biases = self.biases
        return made

    def cotangents(self):
        """Zeros for the cotangent of each value that scores read, of the value, and the decay."""
        names = (*self.sweep.d_scores.gives, "value", *(("decay",) if self.decays else ()))
        sides = {**self.fixed, **self.rows, **self.keys}
        return {name: torch.zeros_like(sides[name]) for name in names}

    def blocks(self):
        """Each block of queries, with its runs of keys in groups."""
        for first, last, runs in self.visits:
            yield first, last, grouped(runs)

    def of_queries(self, first, last):
        """What scores read of a block of queries."""
        of = {name: cut(x, first, last) for name, x in self.rows.items()}
        if any(name not in of for name in self.sweep.queries.gives):
            of |= self.sweep.queries({**self.fixed, **of, "rows": last - first})
        return of

    def values(self, of_queries, group):
        """What the scores of a block of queries and a group of keys are made of."""
        of = self.fixed | of_queries
        for name in self.sweep.scores.reads:
            if name in self.keys:
                of[name] = taken(self.keys[name], group)
        rows = len(of_queries["t"])
        return of | {"rows": rows, "keys": sum(high - low for low, high, _ in group)}

    def scores(self, of, first, last, group, *, beside=False):
        """The scores, -inf where the mask allows no pair; or the weights themselves, 0 there.

        With `beside`, of the pairs between which just one decay is 0, without that one.
        """
        made = self.sweep.scores(of)["score"]
        if made.shape[:3] != self.lead or 0 in made.stride():
            # The same for some heads, queries or keys: masks and maxima are written into it.
            made = made.expand(*self.lead, -1, -1).contiguous()
        if self.decays is not None:
            factor = self.decays.tile(first, last, group, beside=beside)
            made = made + factor if self.sweep.exponential else made * factor.exp().to(made.dtype)
        return self.masked(made, first, last, group)

    def masked(self, tile, first, last, group):
        """The tile, in its own memory: scores are -inf, and weights 0, where no pair is allowed."""
        place = 0
        for low, high, full in group:
            if not full:
                part = tile[..., place : place + high - low]
                if self.sweep.exponential:
                    part += self.bias(first, last, low, high)
                else:
                    part *= self.allowed(first, last, low, high)
            place += high - low
        return tile

    def allowed(self, first, last, low, high):
        """Which pairs of a tile the mask allows."""
        names = self.sweep.of_mask
        rows = {name: cut(self.rows[name], first, last) for name in names if name in self.rows}
        keys = {name: cut(self.keys[name], low, high) for name in names if name in self.keys}
        return allowed_pairs(self.sweep, self.fixed, rows, keys)

    def bias(self, first, last, low, high):
        """0 for the pairs of a tile that are allowed, -inf for the others. Tiles with the same
        distances are the same where the mask knows nothing else."""
        t, s = self.positions
        place = s[low] - t[first], last - first, high - low
        if self.sweep.relative and place in self.biases:
            return self.biases[place]
        allowed = self.allowed(first, last, low, high)
        made = torch.zeros_like(allowed, dtype=self.dtype).masked_fill_(~allowed, -torch.inf)
        if self.sweep.relative:
            self.biases[place] = made
        return made

    def weights(self, scores, top):
        """The weights of scores, over e^top where the sum is one of exponentials; as powers of 2,
        which take a third of the time, and the same for -inf as for others."""
        if not self.sweep.exponential:
            return scores
        below = scores if top is None else scores.sub_(top.unsqueeze(-1))
        return below.mul_(LOG2_E).exp2_().to(self.dtype)


def narrowed(x, lane):
    """Some sequences and groups of heads of a value [B, G, r, …]."""
    if not isinstance(x, torch.Tensor) or x.dim() < 3:
        return x
    rows, groups = (
        part if size > 1 else slice(None) for part, size in zip(lane, x.shape, strict=False)
    )
    return x[rows, groups]


def cut(x, first, last):
    """Some tokens of a value, or some positions."""
    return x[first:last] if x.dim() == 1 else x[:, :, :, first:last]


def taken(x, group):
    """The keys of a group: a view where they stand side by side."""
    low, high = group[0][0], group[-1][1]
    if high - low == sum(last - first for first, last, _ in group):
        return cut(x, low, high)
    return torch.cat([cut(x, first, last) for first, last, _ in group], 0 if x.dim() == 1 else 3)


def grouped(runs):
    """Runs of keys in groups of at most AT_ONCE keys, as even as they can be."""
    count = sum(high - low for low, high, _ in runs)
    room = -(-count // max(-(-count // AT_ONCE), 1))
    groups, held = [], room
    for run in runs:
        low, high, full = run
        while low < high:
            if held == room:
                groups.append([])
                held = 0
            end = min(high, low + room - held)
            groups[-1].append((low, end, full))
            low, held = end, held + end - low
    return groups


def meet(left, right):
    """left @ right, where the heads of a group may share the right side."""
    if right.shape[2] == 1 < left.shape[2]:
        return (left.flatten(2, 3) @ right.squeeze(2)).unflatten(2, left.shape[2:4])
    return left @ right


def met(left, right, like):
    """The sum over queries of left · right, over all heads of a group where they share a key."""
    if like.shape[2] == 1 < left.shape[2]:
        return (left.flatten(2, 3).mT @ right.flatten(2, 3)).unsqueeze(2)
    return left.mT @ right


def swept(run, outputs):
    """Fills `outputs`: the divided sum [B, G, r, T, V]; m of each query; its weights over e^m."""
    sweep, value = run.sweep, run.keys["value"]
    lowest = least(sweep, run.dtype)
    for first, last, groups in run.blocks():
        top = weight = made = None
        of_queries = run.of_queries(first, last)
        for group in groups:
            w = run.scores(run.values(of_queries, group), first, last, group)
            old = top
            if sweep.stable:
                high = w.amax(-1).to(run.dtype).clamp_(min=lowest)
                top = high if old is None else torch.maximum(old, high)
            w = run.weights(w, top)
            part, more = meet(w, taken(value, group)), w.sum(-1)
            if made is not None:
                scale = (old - top).exp_() if sweep.stable else 1
                part += made * scale.unsqueeze(-1) if sweep.stable else made
                more += weight * scale
            made, weight = part, more
        for out, x in zip(outputs, finished(run, first, last, (made, top, weight)), strict=True):
            cut(out, first, last).copy_(x)


def least(sweep, dtype):
    """What m is at least: 0 where the normaliser reads e^-m, which is at most 1 then."""
    of_unit = sweep.divisor is not None and "unit_t" in sweep.divisor.reads
    return 0.0 if of_unit else torch.finfo(dtype).min


def finished(run, first, last, made):
    """The outputs of a block of queries; 0 for those that see nothing."""
    total, top, weight = made
    zero = torch.zeros((), dtype=run.dtype, device=run.rows["t"].device)
    if total is None:
        return zero, zero, zero
    top = zero.expand(weight.shape) if top is None else top
    names = run.sweep.of_divisor
    rows = {name: cut(run.rows[name], first, last) for name in names if name in run.rows}
    divisor = divisor_of(run.sweep, run.fixed, rows, top, weight)
    return total if divisor is None else total.div_(divisor.unsqueeze(-1)), top, weight


def swept_back(run, g, d_weights, tops):
    """Cotangents by name: of the values of queries, of those of keys, of what no token changes.

    `g` is the cotangent of the sum, `d_weights` [B, G, r, T] what reaches each weight by way of
    the normaliser.
    """
    sweep, value = run.sweep, run.keys["value"]
    found = run.cotangents()
    for first, last, groups in run.blocks():
        top = cut(tops, first, last) if sweep.stable else None
        mine, of_queries = cut(g, first, last), run.of_queries(first, last)
        for group in groups:
            of = run.values(of_queries, group)
            w = run.weights(run.scores(of, first, last, group), top)
            add_keys(found["value"], group, met(w, mine, value))
            d = meet(mine, taken(value, group).mT)
            if d_weights is not None:
                d += cut(d_weights, first, last).unsqueeze(-1)
            of["d_score"] = d_scores(run, of, (d, w, top), first, last, group)
            for name, made in sweep.d_scores(of).items():
                if name in run.keys:
                    add_keys(found[name], group, made)
                else:
                    add(cut(found[name], first, last) if name in run.rows else found[name], made)
    if run.decays is not None:
        found["decay"] = run.decays.cotangent()
    return found


def d_scores(run, of, tile, first, last, group):
    """The cotangent of the scores from that of the weights; what reaches decays is noted."""
    d, w, top = tile
    decays = run.decays
    if decays is not None and decays.zeros is not None:
        others = run.weights(run.scores(of, first, last, group, beside=True), top)
        decays.back(decays.d_zeros, d * others, first, last, group)
    if decays is not None:
        decays.back(decays.d_logs, d * w, first, last, group)
    if run.sweep.exponential:
        return d.mul_(w)
    if decays is not None:
        d = d * decays.tile(first, last, group).exp().to(d.dtype)
    return run.masked(d, first, last, group)


def add(total, part):
    """Adds a part, summed over what the total has but once."""
    for dim in range(3):
        if part.shape[dim] > total.shape[dim]:
            part = part.sum(dim, keepdim=True)
    total += part


def add_keys(total, group, part):
    """Adds what the keys of a group get, where these stand."""
    place = 0
    for low, high, _ in group:
        add(cut(total, low, high), part[:, :, :, place : place + high - low])
        place += high - low


STRIP = 16


def strips(run):
    """The blocks of queries in the order of queries: alone, or (blocks, how many) for a run of
    blocks that differ by where they stand, and in nothing that a mask or a decay asks for."""
    most = max(STRIP // run.lead[2], 1)
    alike, found = None, []
    for block in run.visits:
        shape = shape_of(run, block)
        if shape is not None and shape == alike and found[-1][1] < most:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((block, 1))
        alike = shape
    return found


def shape_of(run, block):
    """What blocks share that are taken together: queries, and keys in one run behind them."""
    first, last, runs = block
    if run.decays is not None or not run.sweep.relative or not runs or len(grouped(runs)) > 1:
        return None
    if runs[-1][1] - runs[0][0] != sum(high - low for low, high, _ in runs):
        return None
    t, s = run.positions
    near = [(low - first, high - first, full) for low, high, full in runs]
    return last - first, s[runs[0][0]] - t[first], near


def strip_of(run, block, count, lane):
    """So many blocks, this one and those behind it, as a pass over a block: they take the place
    of sequences, and there is one sequence in the lane."""
    first, last, runs = block
    low, high, side = runs[0][0], runs[-1][1], last - first
    mine, (t, s) = run.narrowed(lane), run.positions
    rows = {n: windows(x, first, side, side, count) for n, x in mine.rows.items()}
    keys = {n: windows(x, low, high - low, side, count) for n, x in mine.keys.items()}
    visits = [(0, side, [(a - low, b - low, full) for a, b, full in runs])]
    lead, positions = (count, *mine.lead[1:]), (t[first:last], s[low:high])
    made = Pass(run.sweep, mine.fixed, rows, keys, 0, visits, lead, positions)
    made.biases = run.biases
    return made


def windows(x, first, size, step, count):
    """[1, G, r, T, axes…] as [count, G, r, size, axes…], each window a step behind the last: a
    view. Positions are those of the first window."""
    if x.dim() == 1:
        return x[first : first + size]
    inside = x[:, :, :, first : first + size + (count - 1) * step]
    return inside.unfold(3, size, step).movedim(3, 0).squeeze(1).movedim(-1, 3)


SIDE = 128


LANES = 8


def lanes(x, dtype, groups, heads):
    """[B, T, h, axes…] as [B, G, r, T, axes…]; whole numbers and conditions as they are."""
    x = x.to(dtype) if x.is_floating_point() else x
    return in_groups(x.transpose(1, 2), groups, heads)


def pass_of(sweep, unit):
    """The sum as a pass over the unit."""
    groups, heads = heads_of(unit)
    first = next(iter(unit.streams.values()))
    fixed = fixed_of(unit.constants, unit.size, unit.dtype, groups, unit.first_head, first)
    t, s = unit.positions
    rows = {"t": t, "at_t": t.to(unit.dtype).view(1, 1, 1, -1)}
    keys = {"s": s, "at_s": s.to(unit.dtype).view(1, 1, 1, -1)}
    for name in sweep.of_rows:
        rows[f"{name}_t"] = lanes(unit.streams[name], unit.dtype, groups, heads)
    for name in sweep.of_keys:
        keys[f"{name}_s"] = lanes(unit.keys[name], unit.dtype, groups, heads)
    fixed |= {"rows": len(t), "keys": len(s), "T": unit.seen + unit.tokens}
    fixed["like"] = first.new_empty((), dtype=unit.dtype)
    keys |= sweep.keys({**fixed, **keys})
    if sweep.decay is not None:
        keys["decay"] = sweep.decay(of_decay(fixed, keys))["decay"].to(unit.dtype)
    keys["value"] = with_axis(keys["value"], sweep)
    start = len(s) - len(t)
    lead, plan = (unit.rows, groups, heads // groups), planned(sweep, unit, fixed, rows, keys)
    return Pass(sweep, fixed, rows, keys, start, plan, lead, (t.tolist(), s.tolist()))


def planned(sweep, unit, fixed, rows, keys):
    """For each block of queries the runs of keys that it sees, in places of keys."""
    mark = None if sweep.mask_streams or sweep.tables else (unit.tokens, unit.seen)
    if mark is not None and mark in sweep.plans:
        return sweep.plans[mark]
    found = visited(sweep, unit, fixed, rows, keys)
    if mark is not None:
        while len(sweep.plans) >= 64:
            sweep.plans.pop(next(iter(sweep.plans)))
        sweep.plans[mark] = found
    return found


def visited(sweep, unit, fixed, rows, keys):
    """The blocks of queries, each with (first key, last key + 1, all allowed) of what it sees."""
    side = side_of(sweep)
    found = [[] for _ in range(0, unit.tokens, side)]
    values, sides = (fixed, rows, keys), (side, side)
    for key, count, tiles in tiles_of(sweep, unit, values, sides, unit.stretches):
        for block, each in zip(found, runs(*tiles), strict=True):
            block += [(key + a * side, key + min(b * side, count), full) for a, b, full in each]
    starts = range(0, unit.tokens, side)
    return [(a, min(a + side, unit.tokens), b) for a, b in zip(starts, found, strict=True)]


def side_of(sweep):
    """Tokens a side of a tile: as many as a table's blocks have, if they are not few, so that
    tiles are full."""
    blocks = (block for pair in sweep.tables.values() for block in pair if block)
    side = math.gcd(SIDE, *blocks)
    return side if side >= SIDE // 4 else SIDE


def sum_forward(sweep, unit, outputs):
    """Fills the output of a sum [B, T, H, V], m of each query [B, T, H], and its weights over
    e^m."""
    run = pass_of(sweep, unit)
    groups, heads = heads_of(unit)
    outputs = [x.transpose(1, 2).unflatten(1, (groups, heads // groups)) for x in outputs]
    if not sweep.value_axis:
        outputs[0] = outputs[0].unsqueeze(-1)
    found = strips(run)
    run.visits = [block for block, count in found if count == 1]
    for lane in lanes_of(run.lead, LANES):
        swept(run.narrowed(lane), [x[lane] for x in outputs])
    for block, count in found:
        for lane in lanes_of(run.lead, 1) if count > 1 else ():
            side = block[1] - block[0]
            made = [windows(x[lane], block[0], side, side, count) for x in outputs]
            swept(strip_of(run, block, count, lane), made)


def lanes_of(lead, together):
    """Sequences and groups of heads in parts of about so many heads."""
    rows, groups, each = lead
    some = max(together // (groups * each), 1)
    few = groups if some > 1 else max(together // each, 1)
    for row in range(0, rows, some):
        for group in range(0, groups, few):
            yield slice(row, row + some), slice(group, group + few)


def sum_backward(sweep, unit, o, tops, weights, d_o):
    """Cotangents by name: of the streams of queries, those of keys (with their past), and of
    constants."""
    run = pass_of(sweep, unit)
    run.rows |= sweep.queries({**run.fixed, **run.rows})
    groups, heads = heads_of(unit)
    o, d_o = (x if sweep.value_axis else x.unsqueeze(-1) for x in (o, d_o))
    laid = (lanes(x, unit.dtype, groups, heads) for x in (o, tops, weights, d_o))
    o, tops, weights, g = laid
    values = {**run.fixed, **run.rows, "sum_t": weights, "unit_t": (-tops).exp()}
    d_weights, back = None, {}
    divisor = divisor_of(sweep, run.fixed, run.rows, tops, weights)
    if divisor is not None:
        d = -(g * o).sum(-1) / divisor
        back = sweep.d_divisor({**values, "d_divisor": d})
        d_weights, g = back.pop("sum", torch.zeros_like(d)), g / divisor.unsqueeze(-1)
    found = run.cotangents()
    for lane in lanes_of(run.lead, LANES):
        mine = run.narrowed(lane)
        theirs = (None if x is None else x[lane] for x in (d_weights, tops))
        for name, part in swept_back(mine, g[lane], *theirs).items():
            add(narrowed(found[name], lane), part)
    return handed_back(sweep, unit, run, found, back)


def token_forward(sweep, seen, streams, caches, constants, size, first_head):
    """What `sum_forward` gives, of one token, which its caches hold already."""
    first = next(iter(streams.values()))
    dtype, heads = accumulation(list(streams.values())), int(size["heads"])
    found = {x.shape[2] for x in streams.values()} - {1, heads}
    groups = found.pop() if len(found) == 1 else heads
    fixed = fixed_of(constants, size, dtype, groups, first_head, first)
    slots = caches[next(iter(caches))].shape[2]
    s, valid = positions(seen, slots)
    rows = {"t": (seen - 1).view(-1, 1, 1, 1)}
    keys = {"s": torch.where(valid, s, 0)[:, None, None]}
    rows["at_t"], keys["at_s"] = rows["t"].to(dtype), keys["s"].to(dtype)
    for name in sweep.of_rows:
        rows[f"{name}_t"] = lanes(streams[name], dtype, groups, heads)
    for name in sweep.of_keys:
        x = caches[name]
        keys[f"{name}_s"] = in_groups(x.to(dtype) if x.is_floating_point() else x, groups, heads)
    fixed |= {"rows": 1, "keys": slots, "like": first.new_empty((), dtype=dtype)}
    rows |= sweep.queries({**fixed, **rows})
    keys |= sweep.keys({**fixed, **keys})
    w = sweep.scores({**fixed, **rows, **keys})["score"]
    if sweep.decay is not None:
        decay = sweep.decay(of_decay(fixed, keys))["decay"].to(dtype)
        logs = decay if sweep.logarithmic else decay.log()
        factor = since(logs, torch.where(valid, s, -1), valid).unsqueeze(-2)
        w = w + factor if sweep.exponential else w * factor.exp()
    open_ = allowed_pairs(sweep, fixed, rows, keys) & valid[:, None, None, None]
    w = w.expand(len(seen), groups, heads // groups, -1, -1)
    o, top, weight = attended(sweep, fixed, rows, keys, w, open_)
    return output_of(sweep, o), *(out_of_groups(x.expand(o.shape[:-1])) for x in (top, weight))


def attended(sweep, fixed, rows, keys, w, open_):
    """The sum over all keys at once, divided, and m and the sum of weights; `w` are scores, or
    weights."""
    w = torch.where(open_, w, -torch.inf if sweep.exponential else 0.0)
    top = torch.zeros_like(w[..., 0])
    if sweep.stable:
        top = w.amax(-1).clamp(min=least(sweep, w.dtype))
    if sweep.exponential:
        w = (w - top.unsqueeze(-1)).exp()
    total, weight = meet(w, with_axis(keys["value"], sweep)), w.sum(-1)
    divisor = divisor_of(sweep, fixed, rows, top, weight)
    return total if divisor is None else total / divisor.unsqueeze(-1), top, weight


class Part:
    """A function over values by name: what it reads, and what it gives."""

    def __init__(self, run, reads, gives):
        self.run, self.reads, self.gives = run, reads, gives

    def __call__(self, values):
        made = self.run(*(values[name] for name in self.reads))
        return dict(zip(self.gives, made, strict=True))


class Sweep:
    """One masked sum: its parts, what they give back to the streams, and the tiles of its mask."""

    def __init__(self, **parts):
        self.__dict__.update(parts)
        self.plans = {}


def in_groups(x, groups, heads):
    """[B, h, …] as [B, G, r, …]."""
    if x.shape[1] in (1, groups):
        return x.unsqueeze(2) if x.shape[1] != heads or groups == heads else x.unsqueeze(1)
    if x.shape[1] != heads:
        x = x.repeat_interleave(heads // x.shape[1], 1)
    return x.unflatten(1, (groups, heads // groups))


def out_of_groups(x):
    """[B, G, r, T, axes…] as [B, T, h, axes…]."""
    return x.flatten(1, 2).transpose(1, 2)


def heads_of(unit):
    """How many groups of heads share keys, and how many heads there are."""
    heads = int(unit.size["heads"])
    found = {x.shape[2] for x in unit.keys.values()} - {1, heads}
    return (found.pop() if len(found) == 1 else heads), heads


def fixed_of(constants, size, dtype, groups, first_head, like):
    """What no token changes: sizes, the numbers of the heads, constants [B, G, r, axes…], and
    tables, of which one row serves all."""
    heads = int(size["heads"])
    numbers = torch.arange(first_head, first_head + heads, device=like.device, dtype=dtype)
    values = {**size, "first_head": first_head, "head_index": numbers.view(1, groups, -1)}
    for name, x in constants.items():
        if name in TABLES:
            values[name] = x[0, 0]
        else:
            values[name] = in_groups(x.to(dtype), groups, heads)
    return values


def with_axis(value, sweep):
    """The value with one axis, of length 1 where it has none."""
    return value if sweep.value_axis else value.unsqueeze(-1)


def output_of(sweep, o):
    """A sum as the op gives it."""
    return out_of_groups(o if sweep.value_axis else o.squeeze(-1))


def tiles_of(sweep, unit, values, side, stretches):
    """For each stretch of keys the first one, how many they are, and the tiles that are visited;
    what masks read is looked at by the CPU."""
    fixed, rows, keys = (
        {n: x.cpu() for n, x in each.items() if isinstance(x, torch.Tensor) and reads_it(sweep, n)}
        for each in values
    )
    fixed = values[0] | fixed
    for low, key, count in stretches:

        def pairs(t, s, low=low, key=key):
            t, s = t.squeeze(-1), s.squeeze(-2)
            mine = at_places(rows, t - unit.seen) | {"t": t}
            theirs = at_places(keys, s - low + key) | {"s": s}
            return allowed_pairs(sweep, fixed, mine, theirs)

        yield (
            key,
            count,
            visits(
                sweep.tiles,
                pairs,
                (unit.seen, unit.tokens),
                (low, count),
                side,
                length=unit.seen + unit.tokens,
                read=reads_of(sweep, unit, fixed, (rows, keys), low, key, count),
            ),
        )


def reads_it(sweep, name):
    """Whether a mask reads a value of this name: a table, or a stream of queries or keys."""
    return name in sweep.tables or name.removesuffix("_t").removesuffix("_s") in sweep.mask_streams


def at_places(values, places):
    """The values of the one sequence of a unit at some places; a mask reads no axes."""
    return {n: x.flatten()[places] for n, x in values.items() if x.dim() == 4 and x.shape[1] == 1}


def reads_of(sweep, unit, fixed, sides, low, key, count):
    """What bounds of tiles read: streams of queries and of keys, and tables."""
    rows, keys = sides
    found = {}
    for name in sweep.mask_streams:
        if f"{name}_t" in rows:
            found[f"{name}[t]"] = Stretch(rows[f"{name}_t"].flatten(), unit.seen)
        if f"{name}_s" in keys:
            found[f"{name}[s]"] = Stretch(keys[f"{name}_s"].flatten()[key : key + count], low)
    for name, (of_rows, of_keys) in sweep.tables.items():
        if of_rows and of_keys:
            found[name] = Grid(fixed[name])
        else:
            found[f"{name}[{'t' if of_rows else 's'}]"] = Stretch(fixed[name])
    return found


def of_decay(fixed, keys):
    """What a decay is made of: it is one of every key, written as that of a query."""
    named = {f"{name[:-2]}_t": x for name, x in keys.items() if name.endswith("_s")}
    return {**fixed, **named, "rows": fixed["keys"]}


def handed_back(sweep, unit, run, found, back):
    """From cotangents of what scores read to those of streams and constants."""
    if not sweep.value_axis:
        found["value"] = found["value"].squeeze(-1)
    d = {f"d_{name}": x for name, x in found.items()}
    streams, keys, constants = {}, {}, {}
    parts = [(sweep.d_queries, run.rows, streams), (sweep.d_keys, run.keys, keys)]
    made = [(part({**run.fixed, **side, **d}), side, total) for part, side, total in parts]
    made += [(back, run.rows, streams), ({n: found[n] for n in run.fixed if n in found}, {}, {})]
    if sweep.decay is not None:
        side = of_decay(run.fixed, run.keys)
        made.append((sweep.d_decay({**side, **d}), side, keys))
    for gradients, side, total in made:
        for name, x in gradients.items():
            if name in run.fixed:
                x = as_given(reduced(x, run.fixed[name]).flatten(1, 2), unit.constants[name], 1)
                constants[name] = constants.get(name, 0) + x
                continue
            like = side[f"{name}_t"] if f"{name}_t" in side else side[f"{name}_s"]
            given = unit.streams[name] if total is streams else unit.keys[name]
            x = as_given(out_of_groups(reduced(x, like)), given, 2)
            total[name] = total.get(name, 0) + x
    return streams, keys, constants


def reduced(x, like):
    """The cotangent of a value that has some dimension but once."""
    for dim in range(3):
        if x.shape[dim] > like.shape[dim]:
            x = x.sum(dim, keepdim=True)
    return x.expand(like.shape)


def as_given(x, given, dim):
    """The cotangent of a value that was repeated for the heads of its groups."""
    if x.shape[dim] == given.shape[dim]:
        return x
    return x.unflatten(dim, (given.shape[dim], -1)).sum(dim + 1)


def since(logs, s, valid):
    """For each slot the sum of the logarithms of the decays of all later tokens."""
    inside = torch.where(valid[:, None, None], logs, 0)
    order = s.argsort(-1)[:, None, None].expand(inside.shape)
    inside = inside.gather(-1, order)
    after = inside.flip(-1).cumsum(-1).flip(-1)
    after = torch.cat((after[..., 1:], torch.zeros_like(after[..., :1])), -1)
    return torch.empty_like(after).scatter_(-1, order, after)


def allowed_pairs(sweep, fixed, rows, keys):
    """Which pairs the mask allows; a table's entries are looked up at their positions."""
    of = {**fixed, **rows, **keys}
    for name, (of_rows, of_keys) in sweep.tables.items():
        if of_rows and of_keys:
            places = (rows["t"][..., :, None] // of_rows, keys["s"][..., None, :] // of_keys)
            of[name] = fixed[name][places]
        elif of_rows:
            of[f"{name}_t"] = fixed[name][rows["t"] // of_rows]
        else:
            of[f"{name}_s"] = fixed[name][keys["s"] // of_keys]
    return torch.as_tensor(sweep.allowed(of)["allowed"], dtype=torch.bool)


def divisor_of(sweep, fixed, rows, tops, weights):
    """What each query's sum is divided by, over e^m, and 1 where that is 0; None for nothing."""
    if sweep.divisor is None:
        return None
    of = {**fixed, **rows, "sum_t": weights}
    if "unit_t" in sweep.divisor.reads:
        of["unit_t"] = (-tops).exp()
    made = sweep.divisor(of)["divisor"]
    return torch.where(made == 0, 1, made)


class Unit:
    """Sequences with the same past and the same number of new tokens.

    `streams` and `keys` are by name: the new tokens, and those behind what the caches keep; a key
    has its position in `s`. `stretches` are the runs of keys whose positions follow each other:
    (first position, first key, count).
    """

    def __init__(self, streams, keys, constants, size, seen):
        self.streams, self.keys, self.constants, self.size = streams, keys, constants, size
        self.first_head = 0
        first = next(iter(streams.values()))
        self.rows, self.tokens, self.seen = first.shape[0], first.shape[1], seen
        self.stretches, key = [], 0
        for low, high in spans(seen) if seen else []:
            if high > low:
                self.stretches.append((low, key, high - low))
                key += high - low
        if self.stretches and sum(self.stretches[-1][::2]) == seen:
            low, key, count = self.stretches.pop()
            self.stretches.append((low, key, count + self.tokens))
        else:
            self.stretches.append((seen, key, self.tokens))

    def of_head(self, head):
        """The same for one head alone."""
        heads, one = int(self.size["heads"]), object.__new__(Unit)
        one.__dict__.update(self.__dict__)
        one.first_head, one.size = head, {**self.size, "heads": 1}
        one.streams = {
            n: x[:, :, share_of(head, heads, x.shape[2])] for n, x in self.streams.items()
        }
        one.keys = {n: x[:, :, share_of(head, heads, x.shape[2])] for n, x in self.keys.items()}
        one.constants = {
            n: x[:, share_of(head, heads, x.shape[1])] for n, x in self.constants.items()
        }
        return one

    @property
    def dtype(self):
        """What sums are made in."""
        return accumulation(list(self.streams.values()))

    @property
    def positions(self):
        """The positions of the queries, and of the keys."""
        device = next(iter(self.streams.values())).device
        parts = [(low, low + count) for low, _, count in self.stretches]
        t = torch.arange(self.seen, self.seen + self.tokens, device=device, dtype=torch.int32)
        s = [torch.arange(*part, device=device, dtype=torch.int32) for part in parts]
        return t, s[0] if len(s) == 1 else torch.cat(s)


def share_of(head, heads, copies):
    """Where a value with so many copies has that of a head."""
    first = head // (heads // copies)
    return slice(first, first + 1)


def by_heads(constants, heads):
    """None for all heads together, or each head where a table makes their masks differ."""
    together = all(constants[name].shape[1] == 1 for name in TABLES)
    return [None] if together else list(range(heads))


def units(streams, constants, states, size, cu_seqlens):
    """Each unit, with its rows of the states, and its rows and tokens of the streams."""
    sequences = streams[0].shape[0] if cu_seqlens is None else cu_seqlens.shape[0] - 1
    seen = states[-1].tolist() if states else [0] * sequences
    if cu_seqlens is not None:
        bounds = list(itertools.pairwise(cu_seqlens.tolist()))
        parts = [(slice(i, i + 1), slice(0, 1), slice(*bound)) for i, bound in enumerate(bounds)]
    else:
        whole = slice(0, streams[0].shape[1])
        parts = [(rows, rows, whole) for rows in together(seen)]
    for of_states, rows, tokens in parts:
        if tokens.stop > tokens.start and of_states.stop > of_states.start:
            new = dict(zip(OF_TOKENS, (x[rows, tokens] for x in streams), strict=True))
            fixed = dict(zip(CONSTANTS, (x[rows] for x in constants), strict=True))
            count = seen[of_states.start]
            keys = dict(new)
            if count:
                for name, cache in zip(CACHED, states, strict=False):
                    keys[name] = torch.cat((past_of(cache[of_states], count), new[name]), 1)
            yield Unit(new, keys, fixed, size, count), of_states, rows, tokens


def together(seen):
    """Runs of rows with the same past; each row by itself where the mask reads streams."""
    found = []
    for row, count in enumerate(seen):
        if found and not MASK_READS and seen[found[-1].start] == count:
            found[-1] = slice(found[-1].start, row + 1)
        else:
            found.append(slice(row, row + 1))
    return found


def forward(streams, constants, states, given, cu_seqlens, recurrent, in_place=False):
    """Each sum's output; what its backward wants of it; the caches after the last token."""
    size = lengths(streams, constants, given)
    outputs = [x for kind in saved_as(recurrent, *empty_outputs(streams, size)) for x in kind]
    if cu_seqlens is not None:  # rows that no sequence covers
        for x in outputs:
            x.zero_()
    if recurrent:
        caches = stepped(streams, constants, states, size, outputs, cu_seqlens, in_place)
        return [*outputs, *caches]
    caches = after_tokens(streams, states, cu_seqlens)
    with torch.inference_mode():
        for unit, of_states, rows, tokens in units(streams, constants, states, size, cu_seqlens):
            for head in by_heads(unit.constants, int(size["heads"])):
                mine = unit if head is None else unit.of_head(head)
                which = slice(None) if head is None else slice(head, head + 1)
                for index, sweep in enumerate(SWEEPS):
                    made = [out[rows, tokens][:, :, which] for out in of_sum(outputs, index)]
                    sum_forward(sweep, mine, made)
            for name, cache in zip(CACHED, caches, strict=False):
                slots = cache.shape[2]
                cache[of_states] = refilled(unit.keys[name], unit.seen, unit.tokens, slots)
    return [*outputs, *caches]


def saved_as(recurrent, outputs, saved):
    """Token by token nothing is saved of queries: the backward looks at whole sequences, and has
    to divide by the very sums that it makes again."""
    return outputs, [x[:, :0] for x in saved] if recurrent else saved


def after_tokens(streams, states, cu_seqlens):
    """Caches for what is kept after the tokens; those of sequences without tokens as they are."""
    if not states:
        return []
    if cu_seqlens is None:
        counts = torch.full_like(states[-1], streams[0].shape[1])
    else:
        counts = cu_seqlens.diff().to(states[-1].dtype)
    most = streams[0].shape[1] if cu_seqlens is None else int(counts.max()) if len(counts) else 0
    caches = [grown(x, slots_after(x.shape[2], most)).clone() for x in states[:-1]]
    return [*caches, states[-1] + counts]


def stepped(streams, constants, states, size, outputs, cu_seqlens, in_place):
    """Token by token: each is written to its slots, and looks at all of these; the caches.

    `outputs` are those of the sums, and then what is saved.
    """
    if not in_place:
        *caches, _ = after_tokens(streams, states, cu_seqlens)
        states = [*caches, states[-1].clone()]
    parts = [(slice(None), slice(None), 0, streams[0].shape[1])]
    if cu_seqlens is not None:
        bounds = itertools.pairwise(cu_seqlens.tolist())
        parts = [(slice(i, i + 1), slice(0, 1), *bound) for i, bound in enumerate(bounds)]
    with torch.inference_mode():
        for of_states, rows, first, last in parts:
            mine = [x[of_states] for x in states]
            fixed = dict(zip(CONSTANTS, (x[rows] for x in constants), strict=True))
            for token in range(first, last):
                new = (x[rows, token : token + 1] for x in streams)
                named = dict(zip(OF_TOKENS, new, strict=True))
                write_token(mine, [named[name] for name in CACHED])
                step(outputs, (rows, token), (named, mine, fixed, size))
    return states


def step(outputs, at, values):
    """The outputs of one token."""
    (rows, token), (streams, caches, constants, size) = at, values
    held, heads = dict(zip(CACHED, caches, strict=False)), int(size["heads"])
    for head in by_heads(constants, heads):
        given, which = (streams, held, constants, size, 0), slice(None)
        if head is not None:
            sides = ((streams, 2), (held, 1), (constants, 1))
            one = (
                {
                    n: x.narrow(dim, share_of(head, heads, x.shape[dim]).start, 1)
                    for n, x in of.items()
                }
                for of, dim in sides
            )
            given, which = (*one, {**size, "heads": 1}, head), slice(head, head + 1)
        for index, sweep in enumerate(SWEEPS):
            o, *_ = token_forward(sweep, caches[-1], *given)
            out = outputs[index]
            out[rows, token : token + 1][:, :, which] = o.to(out.dtype)


def of_sum(outputs, index):
    """The output of a sum, and the two numbers that are saved of each query."""
    first = len(SWEEPS) + 2 * index
    return (outputs[index], *outputs[first : first + 2])


def backward(streams, constants, states, cotangents, given, cu_seqlens):
    """Cotangents of streams, constants and caches.

    `cotangents` are the outputs, what was saved, and then the cotangents of outputs and caches.
    """
    size = lengths(streams, constants, given)
    count = 3 * len(SWEEPS)
    outputs, d_outputs, d_caches = (
        cotangents[:count],
        cotangents[count : 2 * count],
        cotangents[2 * count :],
    )
    d_streams = [torch.zeros_like(x, memory_format=torch.contiguous_format) for x in streams]
    d_constants = [torch.zeros_like(x, memory_format=torch.contiguous_format) for x in constants]
    d_states = [torch.zeros_like(x, memory_format=torch.contiguous_format) for x in states]
    with torch.inference_mode():
        hand_through(d_states, d_caches, streams[0].shape[1], cu_seqlens)
        for unit, of_states, rows, tokens in units(streams, constants, states, size, cu_seqlens):
            d_new = {}
            d_keys = {
                name: d_refilled(d[of_states], unit.seen, unit.tokens)
                for name, d in zip(CACHED, d_caches, strict=False)
                if d.is_floating_point()
            }
            for head in by_heads(unit.constants, int(size["heads"])):
                mine = unit if head is None else unit.of_head(head)
                which = slice(None) if head is None else slice(head, head + 1)
                for index, sweep in enumerate(SWEEPS):
                    given = (*of_sum(outputs, index), d_outputs[index])
                    cut = (x[rows, tokens][:, :, which] for x in given)
                    found = sum_backward(sweep, mine, *known(sweep, mine, *cut))
                    add_found((d_new, d_keys), found, unit, head)
                    for name, part in found[2].items():
                        total = d_constants[CONSTANTS.index(name)][rows]
                        total[:, of_copy(head, size, total.shape[1])] += part
            hand_over(unit, d_new, d_keys, (d_streams, d_states), (of_states, rows, tokens), states)
    return [*d_streams, *d_constants, *d_states]


def known(sweep, unit, o, tops, weights, d_o):
    """What the backward wants of a sum, made again where it was not saved."""
    if tops.shape[1] == 0:
        o = torch.empty_like(o)
        tops, weights = (o.new_empty(o.shape[:3], dtype=unit.dtype) for _ in "ml")
        sum_forward(sweep, unit, [o, tops, weights])
    return o, tops, weights, d_o


def of_copy(head, size, copies):
    """Where a head's copy of a value is, and all of them for no head."""
    return slice(None) if head is None else share_of(head, int(size["heads"]), copies)


def add_found(totals, found, unit, head):
    """Adds cotangents of streams of queries and of keys, those of one head in their place."""
    for total, parts, like in zip(totals, found, (unit.streams, unit.keys), strict=False):
        for name, part in parts.items():
            if head is None:
                total[name] = total[name] + part if name in total else part
                continue
            if name not in total:
                total[name] = torch.zeros_like(like[name], dtype=unit.dtype)
            total[name][:, :, of_copy(head, unit.size, like[name].shape[2])] += part


def hand_through(d_states, d_caches, tokens, cu_seqlens):
    """Sequences without tokens leave their caches as they are: so do the cotangents."""
    empty = slice(None) if tokens == 0 else slice(0)
    if cu_seqlens is not None:
        empty = cu_seqlens.diff() == 0
    for total, d in zip(d_states[:-1], d_caches, strict=False):
        total[empty] = d[empty][:, :, : total.shape[2]].to(total.dtype)


def hand_over(unit, d_new, d_keys, totals, places, states):
    """Adds the cotangents of a unit's keys to those of its new tokens and of the caches."""
    (d_streams, d_states), (of_states, rows, tokens) = totals, places
    for index, name in enumerate(OF_TOKENS):
        d = d_new.get(name, 0)
        if name in d_keys:
            past = d_keys[name].shape[1] - unit.tokens
            d = d + d_keys[name][:, past:]
            if past:
                cache = CACHED.index(name)
                of_past = d_keys[name][:, :past]
                d_states[cache][of_states] += d_past_of(
                    of_past, unit.seen, states[cache][of_states]
                )
        if isinstance(d, torch.Tensor):
            d_streams[index][rows, tokens] += d.to(d_streams[index].dtype)


def take_tokens(streams, constants, states, given, cu_seqlens):
    """Outputs, token by token; the caches become those after the last token."""
    made = forward(streams, constants, states, given, cu_seqlens, True, in_place=True)
    return made[: len(SWEEPS)]


def taken_shapes(streams, constants, states, given, cu_seqlens):
    """Tensors like those that `take_tokens` gives."""
    return empty_outputs(streams, lengths(streams, constants, given))[0]


def attend_shapes(streams, constants, states, given, cu_seqlens, recurrent):
    """Tensors like those that `forward` gives."""
    size = lengths(streams, constants, given)
    outputs, saved = saved_as(recurrent, *empty_outputs(streams, size))
    if not states:
        return [*outputs, *saved]
    most = streams[0].shape[1]
    if cu_seqlens is not None and WINDOW is None:
        most = torch.library.get_ctx().new_dynamic_size()
    caches = [
        x.new_empty(*x.shape[:2], slots_after(x.shape[2], most), *x.shape[3:]) for x in states[:-1]
    ]
    return [*outputs, *saved, *caches, torch.empty_like(states[-1])]


def fixed_size(name, value, made_for):
    """Raises ValueError for a size that the mask of this file was not made for."""
    if value is not None and value != made_for:
        raise ValueError(
            f"this file's mask is for {name} = {made_for}, not {value}: compile the spec with it"
        )


def check_run(mode, state):
    """Raises ValueError for a mode that there is not, or a past that the mask cannot have."""
    if mode not in ("parallel", "recurrent"):
        raise ValueError(f"mode is {mode!r}, and not 'parallel' or 'recurrent'")
    if "recurrent" in WITHOUT and (mode == "recurrent" or state):
        raise ValueError(f"tokens cannot be taken one by one. {WITHOUT['recurrent']}")


def caches_of(state, streams, cu_seqlens):
    """The caches of a state, or empty ones; none where there are no caches."""
    if not CACHED:
        return []
    if state is not None:
        return [*(state[name] for name in CACHED), state["seen"]]
    named = dict(zip(OF_TOKENS, streams, strict=True))
    sequences = streams[0].shape[0] if cu_seqlens is None else cu_seqlens.shape[0] - 1
    return empty_caches([named[name] for name in CACHED], sequences, slots_after(0, 0))


def with_room(state, states, streams, mode):
    """The caches of a state with room for more tokens; the state holds them from then on."""
    check_in_place(mode, state, states, streams)
    most = int(states[-1].max()) + streams[0].shape[1] if len(states[-1]) else 0
    for index, name in enumerate(CACHED):
        if WINDOW is None and states[index].shape[2] < most:
            state[name] = states[index] = grown(states[index], 2 * most)
    return states


def accumulation(tensors):
    """float64 if an input has it, else float32."""
    wide = any(x.dtype in (torch.float64, torch.complex128) for x in tensors)
    return torch.float64 if wide else torch.float32


def has_slope(x):
    """Whether a tensor is of real or complex numbers."""
    return x.is_floating_point() or x.is_complex()


def folded(info, in_dims, tensors):
    """Tensors under vmap with the mapped dimension joined to the first one."""
    rows = []
    for x, dim in zip(tensors, in_dims, strict=True):
        mapped = x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
        rows.append(mapped.flatten(0, 1))
    return rows


def unfolded(info, values):
    """The mapped dimension first again, and where it stands."""
    split = tuple(x.unflatten(0, (info.batch_size, -1)) for x in values)
    return split, (0,) * len(split)


class MixBackward(torch.autograd.Function):
    """The backward op as a function of its own, so that vmap reaches it."""

    @staticmethod
    def forward(settings, cu_seqlens, *tensors):
        return tuple(backward_op(settings, cu_seqlens, tensors))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, *cotangents):
        raise RuntimeError("the backward of this mixer has no derivative of its own")

    @staticmethod
    def vmap(info, in_dims, settings, cu_seqlens, *tensors):
        if cu_seqlens is not None:
            raise RuntimeError("packed sequences are one row: they cannot be mapped over")
        rows = folded(info, in_dims[2:], tensors)
        return unfolded(info, MixBackward.apply(settings, None, *rows))


class Mix(torch.autograd.Function):
    """The mixer as a differentiable function of streams, constants and states."""

    @staticmethod
    def forward(settings, cu_seqlens, *tensors):
        return tuple(forward_op(settings, cu_seqlens, tensors))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.settings, cu_seqlens, *tensors = inputs
        saved = saved_of(output)
        ctx.save_for_backward(cu_seqlens, *tensors, *saved)
        ctx.shapes = [(x.shape, x.dtype) for x in output]
        ctx.saved = len(saved)
        ctx.mark_non_differentiable(*(x for x in output if not has_slope(x)))
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, *cotangents):
        cu_seqlens, *tensors = ctx.saved_tensors
        real = [has_slope(x) for x in tensors[: len(tensors) - ctx.saved]]
        given = [
            tensors[0].new_zeros(shape, dtype=dtype) if d is None else d
            for d, (shape, dtype) in zip(cotangents, ctx.shapes, strict=True)
        ]
        if torch.compiler.is_compiling():
            grads = backward_op(ctx.settings, cu_seqlens, (*tensors, *given))
        else:
            grads = MixBackward.apply(ctx.settings, cu_seqlens, *tensors, *given)
        grads = (d if wanted else None for d, wanted in zip(grads, real, strict=True))
        return None, None, *grads

    @staticmethod
    def vmap(info, in_dims, settings, cu_seqlens, *tensors):
        if cu_seqlens is not None:
            raise RuntimeError("packed sequences are one row: they cannot be mapped over")
        rows = folded(info, in_dims[2:], tensors)
        return unfolded(info, Mix.apply(settings, None, *rows))


def backward_shapes(streams, constants, states, cotangents, given, cu_seqlens):
    """Tensors like those that `backward` gives."""
    plain = torch.contiguous_format
    return [torch.empty_like(x, memory_format=plain) for x in (*streams, *constants, *states)]


def forward_op(settings, cu_seqlens, tensors):
    """The registered forward, from flat tensors; `settings` are (recurrent, numbers given)."""
    streams, constants, states, _ = parts(tensors)
    return FORWARD(streams, constants, states, settings[1:], cu_seqlens, bool(settings[0]))


def backward_op(settings, cu_seqlens, tensors):
    """The registered backward, from flat tensors."""
    streams, constants, states, cotangents = parts(tensors)
    return BACKWARD(streams, constants, states, cotangents, settings[1:], cu_seqlens)


def check_in_place(mode, state, states, inputs):
    """Raises ValueError where a state cannot be changed in its own memory."""
    if mode != "recurrent" or state is None:
        raise ValueError("in_place needs a state, and the recurrent mode")
    same = zip(state.values(), states, strict=False)
    if any(given.dtype != x.dtype or given.data_ptr() != x.data_ptr() for given, x in same):
        raise ValueError(f"in_place needs states of {states[0].dtype}")
    if torch.is_grad_enabled() and any(x.requires_grad for x in (*states, *inputs)):
        raise ValueError("in_place gives no gradients: use it under torch.no_grad()")


def as_given_dtypes(function):
    """The function without autocast, which would make products of accumulated values narrow."""

    def run(streams, *rest):
        kind = streams[0].device.type
        if not torch.is_autocast_enabled(kind):
            return function(streams, *rest)
        with torch.autocast(kind, enabled=False):
            return function(streams, *rest)

    return run


def registered(name, arguments, function, shapes):
    """An op of this file, made once a process."""
    if not hasattr(getattr(torch.ops, OPS), name):
        torch.library.define(f"{OPS}::{name}", f"({arguments}) -> Tensor[]")
        torch.library.impl(f"{OPS}::{name}", "default", as_given_dtypes(function))
        torch.library.register_fake(f"{OPS}::{name}", shapes)
    return getattr(getattr(torch.ops, OPS), name)


NAME = "longformer"
SIZES = ("D", "W")
GIVEN = ("W",)
STREAMS = ("mark", "q", "k", "v", "qg", "kg", "vg")
PARAMS = ()
DECAYS = ()
OF_TOKENS = ("mark", "q", "k", "v", "qg", "kg", "vg")
CONSTANTS = ()
TABLES = ()
CACHED = ()
WINDOW = None
PINNED = 0
MASK_READS = True
WITHOUT = {"recurrent": "Query t = 0 may see the later key s = 1."}
OPS = f"mixerc_98578b0ce3d6_{zlib.crc32(__name__.encode()):08x}"


def near_queries(q, D):
    """What scores read of queries."""
    ratio = q / math.sqrt(D)  # [c, D]
    return (ratio,)


def near_d_queries(d_part1_t, D):
    """Back from: what scores read of queries."""
    product = d_part1_t * (1 / math.sqrt(D))  # [c, D]
    return (product,)


def near_keys(k, v):
    """What scores read of keys, and the value."""
    return (k, v)


def near_d_keys(d_k_s, d_value):
    """Back from: what scores read of keys, and the value."""
    return (d_k_s, d_value)


def near_scores(part1_t, k_s):
    """The score of each query and key."""
    dot = meet(part1_t, k_s.mT)  # [c, c']
    return (dot,)


def near_d_scores(part1_t, k_s, d_score):
    """Back from: the score of each query and key."""
    dot = meet(d_score, k_s)  # [c, D]
    dot_2 = meet(d_score.mT, part1_t)  # [c', D]
    return (dot, dot_2)


def near_allowed(mark, mark_2, t, s, W):
    """Whether a query sees a key."""
    not_ = ~(mark_2 != 0)  # [c]
    product = 2 * (t[..., :, None] - s[..., None, :])  # [c, c']
    # [c, c']
    and_ = ((-W <= product) & (product <= W) | (mark[..., None, :] != 0)) & not_[..., :, None]
    return (and_,)


def near_divisor(sum):
    """What the sum is divided by."""
    return (sum,)


def near_d_divisor(d_divisor):
    """Back from: what the sum is divided by."""
    return (d_divisor,)


def near_tiles(t, s, length, read):
    """Of tiles of queries t and keys s: may a pair be allowed, and is every pair."""
    (t0, t1), (s0, s1) = t, s
    may_1, must_1 = t1 + 256 >= s0, t0 + 256 >= s1  # t + 256 >= s
    may_2, must_2 = s1 + 256 >= t0, s0 + 256 >= t1  # s + 256 >= t
    may_3, must_3 = read["mark[s]"].flags(s0, s1)  # mark[s]
    may_4, must_4 = opposite(*read["mark[t]"].flags(t0, t1))  # not mark[t]
    may = ((may_1 & may_2) | may_3) & may_4
    must = ((must_1 & must_2) | must_3) & must_4
    return may, must

SUM_NEAR = Sweep(
    queries=Part(near_queries, ("q_t", "D"), ("part1_t",)),
    d_queries=Part(near_d_queries, ("d_part1_t", "D"), ("q",)),
    keys=Part(near_keys, ("k_s", "v_s"), ("k_s", "value")),
    d_keys=Part(near_d_keys, ("d_k_s", "d_value"), ("k", "v")),
    scores=Part(near_scores, ("part1_t", "k_s"), ("score",)),
    d_scores=Part(near_d_scores, ("part1_t", "k_s", "d_score"), ("part1_t", "k_s")),
    allowed=Part(near_allowed, ("mark_s", "mark_t", "t", "s", "W"), ("allowed",)),
    divisor=Part(near_divisor, ("sum_t",), ("divisor",)),
    d_divisor=Part(near_d_divisor, ("d_divisor",), ("sum",)),
    decay=None,
    d_decay=None,
    of_rows=("q", "mark"),
    of_keys=("k", "v", "mark"),
    tiles=near_tiles,
    tables={},
    mask_streams=("mark",),
    of_mask=("t", "s", "t_t", "s_s", "mark_s", "mark_t"),
    of_divisor=("t", "s", "sum_t"),
    relative=False,
    exponential=True,
    stable=True,
    logarithmic=False,
    value_axis=True,
)

def far_queries(qg, D):
    """What scores read of queries."""
    ratio = qg / math.sqrt(D)  # [c, D]
    return (ratio,)


def far_d_queries(d_part1_t, D):
    """Back from: what scores read of queries."""
    product = d_part1_t * (1 / math.sqrt(D))  # [c, D]
    return (product,)


def far_keys(kg, vg):
    """What scores read of keys, and the value."""
    return (kg, vg)


def far_d_keys(d_kg_s, d_value):
    """Back from: what scores read of keys, and the value."""
    return (d_kg_s, d_value)


def far_scores(part1_t, kg_s):
    """The score of each query and key."""
    dot = meet(part1_t, kg_s.mT)  # [c, c']
    return (dot,)


def far_d_scores(part1_t, kg_s, d_score):
    """Back from: the score of each query and key."""
    dot = meet(d_score, kg_s)  # [c, D]
    dot_2 = meet(d_score.mT, part1_t)  # [c', D]
    return (dot, dot_2)


def far_allowed(mark, t):
    """Whether a query sees a key."""
    and_ = (t >= 0) & (mark != 0)  # [c]
    return (and_[..., :, None],)


def far_divisor(sum):
    """What the sum is divided by."""
    return (sum,)


def far_d_divisor(d_divisor):
    """Back from: what the sum is divided by."""
    return (d_divisor,)


def far_tiles(t, s, length, read):
    """Of tiles of queries t and keys s: may a pair be allowed, and is every pair."""
    (t0, t1), (s0, s1) = t, s
    may_1, must_1 = read["mark[t]"].flags(t0, t1)  # mark[t]
    return may_1, must_1

SUM_FAR = Sweep(
    queries=Part(far_queries, ("qg_t", "D"), ("part1_t",)),
    d_queries=Part(far_d_queries, ("d_part1_t", "D"), ("qg",)),
    keys=Part(far_keys, ("kg_s", "vg_s"), ("kg_s", "value")),
    d_keys=Part(far_d_keys, ("d_kg_s", "d_value"), ("kg", "vg")),
    scores=Part(far_scores, ("part1_t", "kg_s"), ("score",)),
    d_scores=Part(far_d_scores, ("part1_t", "kg_s", "d_score"), ("part1_t", "kg_s")),
    allowed=Part(far_allowed, ("mark_t", "t"), ("allowed",)),
    divisor=Part(far_divisor, ("sum_t",), ("divisor",)),
    d_divisor=Part(far_d_divisor, ("d_divisor",), ("sum",)),
    decay=None,
    d_decay=None,
    of_rows=("qg", "mark"),
    of_keys=("kg", "vg"),
    tiles=far_tiles,
    tables={},
    mask_streams=("mark",),
    of_mask=("t", "s", "t_t", "mark_t"),
    of_divisor=("t", "s", "sum_t"),
    relative=False,
    exponential=True,
    stable=True,
    logarithmic=False,
    value_axis=True,
)


SWEEPS = (SUM_NEAR, SUM_FAR)


def lengths(streams, constants, given):
    """The sizes that the sums speak of."""
    return {"heads": int(given[0]), "D": streams[1].shape[-1], "W": int(given[1])}


def empty_outputs(streams, size):
    """Memory for each sum, and for two numbers that the backward wants of each query."""
    like = streams[1]
    dtype = accumulation(streams)
    lead = (*streams[0].shape[:2], int(size["heads"]))
    outputs = [
        like.new_empty((*lead, size["D"]), dtype=dtype),
        like.new_empty((*lead, size["D"]), dtype=dtype),
    ]
    saved = [like.new_empty(lead, dtype=accumulation(streams)) for _ in outputs for _ in "ml"]
    return outputs, saved


def parts(tensors):
    """Streams, constants, caches, and what follows them."""
    return tensors[:7], tensors[7:7], tensors[7:7], tensors[7:]


def saved_of(outputs):
    """What the backward wants of what the forward gave."""
    return outputs[: 3 * len(SWEEPS)]


LISTS = "Tensor[] streams, Tensor[] constants, Tensor[] states, "
FORWARD = registered(
    "forward",
    f"{LISTS}float[] given, Tensor? cu_seqlens, bool recurrent",
    forward,
    attend_shapes,
)
ADVANCE = registered(
    "advance",
    "Tensor[] streams, Tensor[] constants, Tensor(a!)[] states, float[] given, Tensor? cu_seqlens",
    take_tokens,
    taken_shapes,
)
BACKWARD = registered(
    "backward",
    f"{LISTS}Tensor[] cotangents, float[] given, Tensor? cu_seqlens",
    backward,
    backward_shapes,
)


def mix(
    *,
    mark,
    q,
    k,
    v,
    qg,
    kg,
    vg,
    state=None,
    mode="parallel",
    chunk=None,
    cu_seqlens=None,
    in_place=False,
    W=512,
):
    """A window of W and marked global tokens, with projections of their own. Beltagy et al. 2020, arXiv:2004.05150

    Streams are [B, T, H, axes…] (or groups of heads, or none), parameters [H, axes…]; the state has
    a row for each sequence. With `in_place`, in recurrent mode, the given state is moved on.
    """
    fixed_size("W", W, 512)
    heads = q.shape[2]
    rows = mark.shape[0]
    streams = [mark.unsqueeze(2), q, k, v, qg, kg, vg]
    constants = []
    given = (float(heads), float(W))
    check_run(mode, state)
    other = ELSEWHERE.get(mark.device.type)
    if other is not None:
        return other(
            mark=mark,
            q=q,
            k=k,
            v=v,
            qg=qg,
            kg=kg,
            vg=vg,
            state=state,
            mode=mode,
            cu_seqlens=cu_seqlens,
            in_place=in_place,
            W=W,
        )
    states = caches_of(state, streams, cu_seqlens)
    if in_place:
        states = with_room(state, states, streams, mode)
        o_near, o_far, *_ = ADVANCE(streams, constants, states, given, cu_seqlens)
    else:
        settings = (float(mode == "recurrent"), *given)
        made = Mix.apply(settings, cu_seqlens, *streams, *constants, *states)
        o_near, o_far, *_ = made
        state = State(zip((*CACHED, "seen"), made[3 * len(SWEEPS) :], strict=False))
    o = torch.where(mark[..., None, None], o_far, o_near)
    o = o.to(streams[1].dtype)
    return o, state


class Layer(torch.nn.Module):
    """The layer of longformer.

    A window of W and marked global tokens, with projections of their own. Beltagy et al. 2020,
    arXiv:2004.05150

    x and y are [B, T, d_model]; the state has a row for each sequence.
    """

    def __init__(
        self,
        d_model,
        heads,
        *,
        D=None,
        W=512,
        layer=0,
        layers=1,
        device=None,
        dtype=None,
    ):
        super().__init__()
        D = whole("D", d_model / heads if D is None else D)
        self.d_model = d_model
        self.heads = heads
        self.D = D
        self.W = W
        self.layer = layer
        self.layers = layers
        place = {"device": device, "dtype": dtype}
        self.q_linear = torch.nn.Linear(d_model, heads * D, bias=True, **place)
        self.k_linear = torch.nn.Linear(d_model, heads * D, bias=True, **place)
        self.v_linear = torch.nn.Linear(d_model, heads * D, bias=True, **place)
        self.qg_linear = torch.nn.Linear(d_model, heads * D, bias=True, **place)
        self.kg_linear = torch.nn.Linear(d_model, heads * D, bias=True, **place)
        self.vg_linear = torch.nn.Linear(d_model, heads * D, bias=True, **place)
        self.y_linear = torch.nn.Linear(heads * D, d_model, bias=True, **place)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self):
        """Draw every initial value anew."""
        for module in self.children():
            module.reset_parameters()
        self.q_linear.bias.fill_(0)
        self.k_linear.bias.fill_(0)
        self.v_linear.bias.fill_(0)
        self.qg_linear.bias.fill_(0)
        self.kg_linear.bias.fill_(0)
        self.vg_linear.bias.fill_(0)
        self.y_linear.bias.fill_(0)

    def forward(
        self,
        x,
        state=None,
        *,
        mark,
        cu_seqlens=None,
        mode="parallel",
        chunk=None,
        in_place=False,
    ):
        """y and the state after it; `cu_seqlens` packs sequences in the one row of x."""
        heads, D, W = self.heads, self.D, self.W
        q = self.q_linear(x).unflatten(-1, (heads, D))  # longformer.mix:6
        k = self.k_linear(x).unflatten(-1, (heads, D))  # longformer.mix:6
        v = self.v_linear(x).unflatten(-1, (heads, D))  # longformer.mix:6
        qg = self.qg_linear(x).unflatten(-1, (heads, D))  # longformer.mix:7
        kg = self.kg_linear(x).unflatten(-1, (heads, D))  # longformer.mix:7
        vg = self.vg_linear(x).unflatten(-1, (heads, D))  # longformer.mix:7
        o, state = mix(
            mark=mark,
            q=q,
            k=k,
            v=v,
            qg=qg,
            kg=kg,
            vg=vg,
            W=W,
            state=state,
            mode=mode,
            chunk=chunk,
            cu_seqlens=cu_seqlens,
            in_place=in_place,
        )
        y = self.y_linear(o.flatten(2))  # longformer.mix:23
        return y, state

    def step(self, x, state=None, *, mark, in_place=False):
        """One token, x [B, d_model] or [B, 1, d_model], in recurrent mode; y is like x."""
        if x.dim() == 3:
            return self(x, state, mark=mark, mode="recurrent", in_place=in_place)
        x = x.unsqueeze(1)
        mark = mark.unsqueeze(1)
        y, state = self(x, state, mark=mark, mode="recurrent", in_place=in_place)
        return y.squeeze(1), state

    def extra_repr(self):
        """What printing the module shows."""
        return f"d_model={self.d_model}, heads={self.heads}, D={self.D}, W={self.W}"
