"""A running maximum, found for all tokens before the chunks are gone through."""


def peaks_of(streams, constants, states, size, cu_seqlens):
    """The maximum before each token and after it [B, T, H], and after the last one."""
    shape = (*streams[0].shape[:2], states[0].shape[1])
    rows = [streams[0].new_empty(shape, dtype=accumulation(streams)) for _ in range(2)]
    if cu_seqlens is not None:  # tokens of no sequence
        rows = [x.zero_() for x in rows]
    return rows, rows_forward(peaks_piece, streams, constants, states, size, rows, cu_seqlens)
