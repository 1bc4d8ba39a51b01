"""A running maximum, found for all tokens before the chunks are gone through."""

import torch


def peaks_of(streams, constants, states, size, cu_seqlens):
    """The maximum before each token and after it [B, T, H], and after the last one."""
    shape = (*streams[0].shape[:2], states[0].shape[1])
    empty = torch.empty if cu_seqlens is None else torch.zeros  # tokens of no sequence
    kind = {"dtype": accumulation(streams), "device": streams[0].device}
    rows = [empty(shape, **kind) for _ in range(2)]
    program, chunk = peaks_piece, rows_at_once("peaks_1", size)
    run = (program, chunk, streams, constants, states, size, rows, cu_seqlens, False)
    return rows, run_forward(*run, RowRun)
