"""The tile sweep in plain torch: queries in blocks, each with the keys that its mask lets it see.

Values of tokens are [B, G, r, T, axes…]: G groups of heads that share keys, r heads in each.
"""

import math

import torch

LOG2_E = 1 / math.log(2)
"""How many times as large an exponent is where the base is 2."""
AT_ONCE = 1024
"""Keys that a block of queries looks at at once."""


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
