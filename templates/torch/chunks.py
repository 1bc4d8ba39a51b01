"""The moves of a chunk algebra in plain torch: what a generated file uses is copied into it.

A tile is [B, H, N, axes…] with N chunks; dimensions are counted from the end, so that the same
text serves inside a scan, where a value is [B, H, axes…]. Sides of a pair: 0 left, 1 right.
"""

import itertools

import torch

ROWS = 4096
"""Tokens of all sequences and heads that are worked on together: their tiles stay in caches."""


def halves(x, width, side, dim):
    """Rows to the blocks of `width` rows on one side of each pair: [.., pair, row, ..]."""
    return x.unflatten(dim, (-1, 2, width)).select(dim - 1, side)


def place(x, width, side, dim):
    """The blocks [.., pair, row, ..] at their rows, 0 in the rows of the other side."""
    zero = torch.zeros_like(x)
    pair = (zero, x) if side else (x, zero)
    return torch.stack(pair, dim - 1).flatten(dim - 2, dim)


def unpick(x, side, dim):
    """Totals of one side of each pair among zeros for the other side."""
    zero = torch.zeros_like(x)
    return interleave(zero, x, dim) if side else interleave(x, zero, dim)


def interleave(left, right, dim):
    """Totals of the two sides of each pair, in their order."""
    if left.shape != right.shape:
        left, right = torch.broadcast_tensors(left, right)
    return torch.stack((left, right), dim).flatten(dim - 1, dim)


def matched(x, lead, dim):
    """x with the dimensions before `dim` that it has together with another value."""
    if x.shape[:dim] == lead:
        return x
    lead = torch.broadcast_shapes(x.shape[:dim], lead)
    return x if x.shape[:dim] == lead else x.expand(*lead, *x.shape[dim:])


def grow(x, factor, width, side, dim):
    """The rows, those on one side of each pair multiplied by the factor of the pair."""
    x = matched(x, factor.shape[:dim], dim)
    made = x.new_empty(x.shape)
    rows = halves(made, width, side, dim)
    torch.mul(halves(x, width, side, dim), factor.unsqueeze(dim), out=rows)
    halves(made, width, 1 - side, dim).copy_(halves(x, width, 1 - side, dim))
    return made


def grow_(x, factor, width, side, dim):
    """The same in the memory of x, where that is large enough."""
    if matched(x, factor.shape[:dim], dim) is not x:
        return grow(x, factor, width, side, dim)
    halves(x, width, side, dim).mul_(factor.unsqueeze(dim))
    return x


def add_rows(x, part, width, side, dim):
    """x with the blocks [.., pair, row, ..] added to the rows of one side of each pair."""
    x = matched(x, part.shape[: dim - 1], dim)
    return add_rows_(x.clone(memory_format=torch.contiguous_format), part, width, side, dim)


def add_rows_(x, part, width, side, dim):
    """The same in the memory of x, where that is large enough."""
    if matched(x, part.shape[: dim - 1], dim) is not x:
        return add_rows(x, part, width, side, dim)
    halves(x, width, side, dim).add_(part)
    return x


def grow_add_(x, factor, part, width, side, dim):
    """The rows grown and then added to, in the memory of x where that is large enough."""
    if matched(matched(x, factor.shape[:dim], dim), part.shape[: dim - 1], dim) is not x:
        return add_rows_(grow(x, factor, width, side, dim), part, width, side, dim)
    rows = halves(x, width, side, dim)
    torch.addcmul(part, rows, factor.unsqueeze(dim), out=rows)
    return x


def blocks(chunk, diagonal, *parts):
    """The lower triangle [.., C, C] from its diagonal and its levels [.., pair, row, key]."""
    known = [part.shape[:-3] for part in parts]
    if diagonal is not None:
        known.append(diagonal.shape[:-1])
    first = parts[0] if parts else diagonal
    whole = first.new_zeros(*torch.broadcast_shapes(*known), chunk, chunk)
    if diagonal is not None:
        whole.diagonal(dim1=-2, dim2=-1).copy_(diagonal)
    for part in parts:
        width = part.shape[-1]
        shape = (*whole.shape[:-2], chunk // (2 * width), width, width)
        stride = (*whole.stride()[:-2], 2 * width * (chunk + 1), chunk, 1)
        whole.as_strided(shape, stride, width * chunk).copy_(part)
    return whole


def level(whole, width):
    """A view of one level of a pair tile: right rows against left rows, [.., pair, row, key]."""
    split = whole.unflatten(-1, (-1, 2, width)).unflatten(-4, (-1, 2, width))
    return split.select(-5, 1).select(-2, 0).diagonal(dim1=-4, dim2=-2).movedim(-1, -3)


def pad(x, valid, fill, dim):
    """`fill` in the rows past the end; nothing to do where every row is a token."""
    if valid is None:
        return x
    mask = valid.reshape(*valid.shape, *(1,) * (-1 - dim))
    return torch.where(mask, x, torch.full_like(x, fill) if x.shape[2] > 1 else fill)


def join(*parts):
    """The parts one after the other along their last dimension, the others broadcast."""
    lead = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return torch.cat([part.expand(*lead, part.shape[-1]) for part in parts], -1)


def along(chunks, *values, reverse=False):
    """The values of each chunk in turn, as tuples."""
    steps = zip(
        *(value.expand(*value.shape[:2], chunks, *value.shape[3:]).unbind(2) for value in values),
        strict=True,
    )
    return reversed(list(steps)) if reverse else steps


def stacked(values, *, reverse=False):
    """What each chunk gave, as a tile."""
    return torch.stack(values[::-1] if reverse else values, 2)


class Piece:
    """Some chunks that are worked on together.

    `rows` are their tokens (a slice, or indices with the last token of a sequence repeated where
    a chunk is not full), `valid` [1, 1, N, C] says which rows are tokens (None: all), and `runs`
    are (sequences, first chunk, last chunk + 1): states flow within a run.
    """

    def __init__(self, rows, valid, runs, chunks):
        self.rows, self.valid, self.runs, self.chunks = rows, valid, runs, chunks

    def tile(self, x, dtype, *, zero=False):
        """[B, T, H, axes…] to [B, H, N, C, axes…] in the dtype of accumulation."""
        taken = x[:, self.rows].to(dtype).unflatten(1, (self.chunks, -1))
        taken = taken.movedim(3, 1).contiguous()
        return pad(taken, self.valid, 0, 3 - taken.dim()) if zero else taken

    def untile(self, tile, out):
        """Writes [B, H, N, C, axes…] to its tokens of [B, T, H, axes…], broadcast sides summed."""
        for dim, of in ((0, 0), (1, 2)):
            if tile.shape[dim] > out.shape[of]:
                tile = tile.sum(dim, keepdim=True)
        tile = tile.movedim(1, 3)
        tile = tile.expand(*tile.shape[:1], self.chunks, *tile.shape[2:])
        flat = tile.flatten(1, 2)
        if self.valid is None:
            out[:, self.rows] = flat.to(out.dtype)
        else:
            kept = self.valid.flatten()
            out[:, self.rows[kept]] = flat[:, kept].to(out.dtype)


def pieces(streams, chunk, cu_seqlens=None):
    """The pieces of a batch of sequences of the same length, or of packed ones, in order."""
    batch, tokens = streams[0].shape[:2]
    device = streams[0].device
    lanes = max(batch * max(x.shape[2] for x in streams), 1)
    together = max(ROWS // (lanes * chunk), 1)
    if cu_seqlens is not None:
        return packed_pieces(cu_seqlens.tolist(), chunk, together, device)
    found = []
    for start in range(0, tokens, together * chunk):
        stop = min(start + together * chunk, tokens)
        chunks = -(-(stop - start) // chunk)
        rows, valid = slice(start, stop), None
        if (stop - start) % chunk:
            row = torch.arange(start, start + chunks * chunk, device=device)
            valid = (row < stop).view(1, 1, chunks, chunk)
            rows = row.clamp(max=stop - 1)
        found.append(Piece(rows, valid, [(slice(None), 0, chunks)], chunks))
    return found


def packed_pieces(bounds, chunk, together, device):
    """Chunks of several sequences in one row, none across a boundary."""
    spans = [
        (sequence, start, min(start + chunk, stop))
        for sequence, (first, stop) in enumerate(itertools.pairwise(bounds))
        for start in range(first, stop, chunk)
    ]
    parts = (spans[i : i + together] for i in range(0, len(spans), together))
    return [packed_piece(part, chunk, device) for part in parts]


def packed_piece(spans, chunk, device):
    """One piece of some chunks (sequence, first token, last token + 1)."""
    starts = torch.tensor([start for _, start, _ in spans], device=device)[:, None]
    stops = torch.tensor([stop for _, _, stop in spans], device=device)[:, None]
    rows = starts + torch.arange(chunk, device=device)
    valid = (rows < stops)[None, None]
    runs = []
    for index, (sequence, _, _) in enumerate(spans):
        if runs and runs[-1][0] == slice(sequence, sequence + 1):
            runs[-1] = (runs[-1][0], runs[-1][1], index + 1)
        else:
            runs.append((slice(sequence, sequence + 1), index, index + 1))
    return Piece(rows.clamp(max=stops - 1).flatten(), valid, runs, len(spans))


def by_runs(scan, piece, states, inputs, sizes=(), *, reverse=False):
    """A scan within each run of a piece; the states [sequences, H, axes…] are replaced."""
    if len(piece.runs) == 1 and piece.runs[0][0] == slice(None):
        return scan(piece.chunks, *inputs, *states, *sizes)
    kept = [list(state.split(1)) for state in states]
    found = []
    for sequences, first, last in reversed(piece.runs) if reverse else piece.runs:
        own = [x[:, :, first:last] if x.shape[2] > 1 else x for x in inputs]
        held = (state[sequences.start] for state in kept)
        stores, after = scan(last - first, *own, *held, *sizes)
        found.append(stores)
        for state, value in zip(kept, after, strict=True):
            state[sequences.start] = value
    ordered = found[::-1] if reverse else found
    joined = tuple(torch.cat(parts, 2) for parts in zip(*ordered, strict=True))
    return joined, tuple(torch.cat(state) for state in kept)


def add_reduced(total, tile):
    """Adds the cotangent [B, H, N, axes…] of a value without tokens [B, H, axes…]."""
    part = tile.sum(2)
    for dim in (0, 1):
        if part.shape[dim] > total.shape[dim]:
            part = part.sum(dim, keepdim=True)
    total += part


def inverted(lower):
    """The inverse of 1 - lower for strictly lower tiles [..., C, C]; nothing is divided."""
    one = torch.eye(lower.shape[-1], dtype=lower.dtype, device=lower.device)
    whole = one.expand_as(lower)
    return torch.linalg.solve_triangular(-lower, whole, upper=False, unitriangular=True)
