"""A pass over a batch in plain torch, piece by piece: what never varies of it.

Streams are [B, T, H, axes…], constants [B, H, axes…] and states [sequences, H, axes…].
"""

import torch


def run_forward(program, chunk, streams, constants, states, size, outputs, cu_seqlens, in_place):
    """Fills `outputs` piece by piece, and returns the states after the last.

    Nothing of what happens inside is recorded, which makes its many small steps cheaper.
    """
    dtype = accumulation(streams)
    fixed = [x.to(dtype).unsqueeze(2) for x in constants]
    carried = [x.to(dtype) for x in states]
    with torch.inference_mode():
        for piece in pieces(streams, chunk, cu_seqlens):
            tiles = [piece.tile(x, dtype) for x in streams]
            made, carried = program(piece, tiles, fixed, carried, size)
            for tile, out in zip(made, outputs, strict=True):
                piece.untile(tile, out)
    return [x.clone() for x in carried]


def run_backward(programs, chunk, streams, constants, states, size, cotangents, finals, cu_seqlens):
    """Cotangents of streams, of constants (one row a batch row) and of the first states.

    The states at chunk boundaries are found again, in order; then the adjoint goes back over
    the pieces.
    """
    dtype = accumulation(streams)
    fixed = [x.to(dtype).unsqueeze(2) for x in constants]
    carried = [x.to(dtype) for x in states]
    d_states = [x.to(dtype) for x in finals]
    find_states, adjoint, of_streams, of_constants = programs
    d_streams = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in streams]
    for index, d in enumerate(d_streams):
        if index not in of_streams or cu_seqlens is not None:  # no piece writes every row
            d.zero_()
    d_constants = [torch.zeros_like(x, dtype=dtype) for x in constants]
    with torch.inference_mode():
        seen = []
        for piece in pieces(streams, chunk, cu_seqlens):
            tiles = [piece.tile(x, dtype) for x in streams]
            boundaries, carried = find_states(piece, tiles, fixed, carried, size)
            seen.append((piece, boundaries))
        while seen:
            piece, boundaries = seen.pop()
            tiles = [piece.tile(x, dtype) for x in streams]
            tiles += [piece.tile(x, dtype, zero=True) for x in cotangents]
            made, d_states = adjoint(piece, tiles, fixed, d_states, size, boundaries)
            for index, tile in zip(of_streams, made[: len(of_streams)], strict=True):
                piece.untile(tile, d_streams[index])
            for index, tile in zip(of_constants, made[len(of_streams) :], strict=True):
                add_reduced(d_constants[index], tile)
    made = zip((*d_constants, *d_states), (*constants, *states), strict=True)
    return [*d_streams, *(d.to(x.dtype, copy=True) for d, x in made)]
