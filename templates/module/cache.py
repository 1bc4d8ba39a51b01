"""The cache of masked attention: which tokens are kept, and in which slots.

A cache is a tensor [N, heads, slots, axes…] for each stream that later queries read of a key, and
`seen` [N], how many tokens each sequence has had. A token's slot follows from its position: its
number, or, where only a window is kept, its place in a ring behind the first tokens, which stay.
"""

import torch


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
