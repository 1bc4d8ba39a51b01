"""Masked sums over a batch: sequences that run together, their past, outputs and cotangents.

Streams are [B, T, h, axes…] with h heads, groups of them or one for all, constants [B, h, axes…].
What a target does with one sum over one unit is in its `sum_forward` and `sum_backward`.
"""

import itertools

import torch


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
