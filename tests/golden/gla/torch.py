"""gla: Gated linear attention. Yang et al. 2023, arXiv:2312.06635

Made by mixerc from this spec; it needs nothing but torch.

    mixer gla(K = d_model / heads / 2, V = d_model / heads)
    "Gated linear attention. Yang et al. 2023, arXiv:2312.06635"

    q[K], k[K] = x | linear
    v[V]       = x | linear
    a[K]       = sigmoid(x | linear(16) | linear(bias = 0)) ^ (1/16)
    g[V]       = x | linear | silu

    mask   causal
    weight q[t] @ k[s] / sqrt(K)
    decay  a
    state  S[K, V]

    y = (o | rmsnorm) * g | linear
"""

import itertools
import math
import zlib

import torch
from torch.nn import functional


class State(dict):
    """Named tensors, one row for each sequence: pass it to the next call, it is never changed."""

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


def wide(x):
    """x in float32 at least."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class RMSNorm(torch.nn.Module):
    """x / sqrt(mean(x²) + eps) · weight, over the last axes."""

    def __init__(self, *shape, eps, device=None, dtype=None):
        super().__init__()
        self.eps = eps
        self.weight = torch.nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

    def reset_parameters(self):
        """Start with a gain of 1."""
        torch.nn.init.ones_(self.weight)

    def forward(self, x):
        """x [..., shape]."""
        return functional.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)

    def extra_repr(self):
        """What printing the module shows."""
        return f"{tuple(self.weight.shape)}, eps={self.eps}"


SEGMENT = 1024


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
    return torch.stack((zero, x) if side else (x, zero), dim).flatten(dim - 1, dim)


def grow(x, factor, width, side, dim):
    """The rows, those on one side of each pair multiplied by the factor of the pair."""
    lead = torch.broadcast_shapes(x.shape[:dim], factor.shape[:dim])
    return scaled(x.expand(*lead, *x.shape[dim:]).clone(), factor, width, side, dim)


def grow_(x, factor, width, side, dim):
    """The same in the memory of x, where that is large enough."""
    lead = torch.broadcast_shapes(x.shape[:dim], factor.shape[:dim])
    if lead != x.shape[:dim]:
        return grow(x, factor, width, side, dim)
    return scaled(x, factor, width, side, dim)


def scaled(x, factor, width, side, dim):
    """x, after the rows on one side of each pair were multiplied by the factor of the pair."""
    x.unflatten(dim, (-1, 2, width)).select(dim - 1, side).mul_(factor.unsqueeze(dim))
    return x


def add_rows(x, part, width, side, dim):
    """x with the blocks [.., pair, row, ..] added to the rows of one side of each pair."""
    lead = torch.broadcast_shapes(x.shape[:dim], part.shape[: dim - 1])
    return added(x.expand(*lead, *x.shape[dim:]).clone(), part, width, side, dim)


def add_rows_(x, part, width, side, dim):
    """The same in the memory of x, where that is large enough."""
    if torch.broadcast_shapes(x.shape[:dim], part.shape[: dim - 1]) != x.shape[:dim]:
        return add_rows(x, part, width, side, dim)
    return added(x, part, width, side, dim)


def added(x, part, width, side, dim):
    """x, after the blocks were added to the rows of one side of each pair."""
    x.unflatten(dim, (-1, 2, width)).select(dim - 1, side).add_(part)
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
        level(whole, part.shape[-1]).copy_(part)
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


def pieces(tokens, chunk, device, cu_seqlens=None):
    """The pieces of a batch of sequences of the same length, or of packed ones, in order."""
    if cu_seqlens is not None:
        return packed_pieces(cu_seqlens.tolist(), chunk, device)
    found = []
    for start in range(0, tokens, SEGMENT):
        stop = min(start + SEGMENT, tokens)
        chunks = -(-(stop - start) // chunk)
        rows, valid = slice(start, stop), None
        if (stop - start) % chunk:
            row = torch.arange(start, start + chunks * chunk, device=device)
            valid = (row < stop).view(1, 1, chunks, chunk)
            rows = row.clamp(max=stop - 1)
        found.append(Piece(rows, valid, [(slice(None), 0, chunks)], chunks))
    return found


def packed_pieces(bounds, chunk, device):
    """Chunks of several sequences in one row, none across a boundary."""
    spans = [
        (sequence, start, min(start + chunk, stop))
        for sequence, (first, stop) in enumerate(itertools.pairwise(bounds))
        for start in range(first, stop, chunk)
    ]
    size = SEGMENT // chunk
    return [packed_piece(spans[i : i + size], chunk, device) for i in range(0, len(spans), size)]


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


def accumulation(tensors):
    """float64 if an input has it, else float32."""
    wide = any(x.dtype == torch.float64 for x in tensors)
    return torch.float64 if wide else torch.float32


def run_forward(program, chunk, streams, constants, states, size, outputs, cu_seqlens):
    """Fills `outputs` piece by piece, and returns the states after the last."""
    dtype = accumulation(streams)
    fixed = [x.to(dtype).unsqueeze(2) for x in constants]
    carried = [x.to(dtype) for x in states]
    tokens, device = streams[0].shape[1], streams[0].device
    for piece in pieces(tokens, chunk, device, cu_seqlens):
        tiles = [piece.tile(x, dtype) for x in streams]
        made, carried = program(piece, tiles, fixed, carried, size)
        for tile, out in zip(made, outputs, strict=True):
            piece.untile(tile, out)
    return [x.clone() if x is y else x for x, y in zip(carried, states, strict=True)]


def run_backward(programs, chunk, streams, constants, states, size, cotangents, finals, cu_seqlens):
    """Cotangents of streams, of constants (one row a batch row) and of the first states.

    The states at chunk boundaries are found again, in order; then the adjoint goes back over
    the pieces.
    """
    dtype = accumulation(streams)
    fixed = [x.to(dtype).unsqueeze(2) for x in constants]
    carried = [x.to(dtype) for x in states]
    d_states = [x.to(dtype) for x in finals]
    d_streams = [torch.zeros_like(x, memory_format=torch.contiguous_format) for x in streams]
    d_constants = [torch.zeros_like(x, dtype=dtype) for x in constants]
    tokens, device = streams[0].shape[1], streams[0].device
    find_states, adjoint, of_streams, of_constants = programs
    seen = []
    for piece in pieces(tokens, chunk, device, cu_seqlens):
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
    d_constants = [d.to(x.dtype) for d, x in zip(d_constants, constants, strict=True)]
    return [
        *d_streams,
        *d_constants,
        *(d.to(x.dtype) for d, x in zip(d_states, states, strict=True)),
    ]


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
        ctx.save_for_backward(cu_seqlens, *tensors)
        ctx.shapes = [(x.shape, x.dtype) for x in output]
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, *cotangents):
        cu_seqlens, *tensors = ctx.saved_tensors
        given = [
            tensors[0].new_zeros(shape, dtype=dtype) if d is None else d
            for d, (shape, dtype) in zip(cotangents, ctx.shapes, strict=True)
        ]
        if torch.compiler.is_compiling():
            grads = backward_op(ctx.settings, cu_seqlens, (*tensors, *given))
        else:
            grads = MixBackward.apply(ctx.settings, cu_seqlens, *tensors, *given)
        return None, None, *grads

    @staticmethod
    def vmap(info, in_dims, settings, cu_seqlens, *tensors):
        if cu_seqlens is not None:
            raise RuntimeError("packed sequences are one row: they cannot be mapped over")
        rows = folded(info, in_dims[2:], tensors)
        return unfolded(info, Mix.apply(settings, None, *rows))


def registered(name, arguments, function, shapes):
    """An op of this file, made once a process."""
    if not hasattr(getattr(torch.ops, OPS), name):
        torch.library.define(f"{OPS}::{name}", f"({arguments}) -> Tensor[]")
        torch.library.impl(f"{OPS}::{name}", "default", function)
        torch.library.register_fake(f"{OPS}::{name}", shapes)
    return getattr(getattr(torch.ops, OPS), name)


NAME = "gla"
SIZES = ("K", "V")
CHUNK = 4
GIVEN = ()
STREAMS = ("q", "k", "v", "a")
PARAMS = ()
DECAYS = ("a",)
OPS = f"mixerc_15c55b000ba9_{zlib.crc32(__name__.encode()):08x}"


def forward_1(a, q, k, v, K, valid):
    """All chunks at once."""
    tokens = pad(a, valid, 1, -2)  # [c, K]
    product = q * (1 / math.sqrt(K))  # [c, K]
    tokens_2 = pad(k, valid, 0, -2)  # [c, K]
    product_2 = product * tokens  # [c, K]
    left1 = halves(tokens_2, 1, 0, -2)  # [p1, r1, K]
    dot = (product * tokens_2).sum((-1,))  # [c]
    product_3 = tokens[..., 0::2, :] * tokens[..., 1::2, :]  # [p1, K]
    right1 = halves(product_2, 1, 1, -2)  # [p1, r1, K]
    dot_2 = (right1[..., :, :, None, :] * left1[..., :, None, :, :]).sum((-1,))  # [p1, r1, r1']
    product_4 = product_3[..., 0::2, :] * product_3[..., 1::2, :]  # [p2, K]
    summed = product_4.sum(-2)  # [K]
    prefix2 = grow_(product_2, tokens[..., 0::2, :], 1, 1, -2)  # [c, K]
    right2 = halves(prefix2, 2, 1, -2)  # [p2, r2, K]
    suffix2 = grow(tokens_2, tokens[..., 1::2, :], 1, 0, -2)  # [c, K]
    left2 = halves(suffix2, 2, 0, -2)  # [p2, r2, K]
    dot_3 = right2 @ left2.mT  # [p2, r2, r2']
    scores = blocks(4, dot, dot_2, dot_3)  # [c, c']
    dot_4 = scores @ v  # [c, V]
    prefix4 = grow_(prefix2, product_3[..., 0::2, :], 2, 1, -2)  # [c, K]
    suffix4 = grow_(suffix2, product_3[..., 1::2, :], 2, 0, -2)  # [c, K]
    dot_5 = suffix4.mT @ v  # [K, V]
    return (prefix4, dot_4, summed, dot_5)


def forward_2(chunks, summed, dot_5, S):
    """From chunk to chunk, first to last."""
    all_S = []
    for summed, dot_5 in along(chunks, summed, dot_5):
        total = S * summed[..., :, None] + dot_5  # [K, V]
        all_S.append(S)
        S = total
    return (stacked(all_S),), (S,)


def forward_3(S, prefix4, dot_4):
    """All chunks at once."""
    dot_6 = prefix4 @ S  # [c, V]
    total_2 = dot_4 + dot_6  # [c, V]
    return (total_2,)


def forward_piece(piece, streams, constants, states, size):
    """The parallel mode: tiles and states in, output and states after the piece."""
    a, q, k, v = streams[3], streams[0], streams[1], streams[2]
    (prefix4, dot_4, summed, dot_5,) = forward_1(a, q, k, v, size["K"], piece.valid)
    (S,), states = by_runs(forward_2, piece, states, (summed, dot_5,))
    (total_2,) = forward_3(S, prefix4, dot_4)
    made = (total_2,)
    return made, states


def recurrent_1(a, q, k, v, K, valid):
    """All chunks at once."""
    tokens = pad(a, valid, 1, -2)  # [c, K]
    product = q * (1 / math.sqrt(K))  # [c, K]
    tokens_2 = pad(k, valid, 0, -2)  # [c, K]
    product_2 = product * tokens  # [c, K]
    dot = (product * tokens_2).sum((-1,))  # [c]
    summed = tokens.sum(-2)  # [K]
    dot_2 = (tokens_2.mT[..., :, None, :] * v.mT[..., None, :, :]).squeeze(-1)  # [K, V]
    scores = blocks(1, dot)  # [c, c']
    dot_3 = (scores[..., :, None, :] * v.mT[..., None, :, :]).squeeze(-1)  # [c, V]
    return (product_2, dot_3, summed, dot_2)


def recurrent_2(chunks, product_2, summed, dot_2, S):
    """From token to token."""
    all_dot_4 = []
    for product_2, summed, dot_2 in along(chunks, product_2, summed, dot_2):
        dot_4 = product_2 @ S  # [c, V]
        total = S * summed[..., :, None] + dot_2  # [K, V]
        all_dot_4.append(dot_4)
        S = total
    return (stacked(all_dot_4),), (S,)


def recurrent_3(dot_3, dot_4):
    """All chunks at once."""
    total_2 = dot_3 + dot_4  # [c, V]
    return (total_2,)


def recurrent_piece(piece, streams, constants, states, size):
    """The recurrent mode: the same, a token at a time."""
    a, q, k, v = streams[3], streams[0], streams[1], streams[2]
    (product_2, dot_3, summed, dot_2,) = recurrent_1(a, q, k, v, size["K"], piece.valid)
    (dot_4,), states = by_runs(recurrent_2, piece, states, (product_2, summed, dot_2,))
    (total_2,) = recurrent_3(dot_3, dot_4)
    made = (total_2,)
    return made, states


def states_1(a, k, v, valid):
    """All chunks at once."""
    tokens = pad(a, valid, 1, -2)  # [c, K]
    tokens_2 = pad(k, valid, 0, -2)  # [c, K]
    product = tokens[..., 0::2, :] * tokens[..., 1::2, :]  # [p1, K]
    product_2 = product[..., 0::2, :] * product[..., 1::2, :]  # [p2, K]
    summed = product_2.sum(-2)  # [K]
    suffix2 = grow(tokens_2, tokens[..., 1::2, :], 1, 0, -2)  # [c, K]
    suffix4 = grow_(suffix2, product[..., 1::2, :], 2, 0, -2)  # [c, K]
    dot = suffix4.mT @ v  # [K, V]
    return (summed, dot)


def states_2(chunks, summed, dot, S):
    """From chunk to chunk, first to last."""
    all_S = []
    for summed, dot in along(chunks, summed, dot):
        total = S * summed[..., :, None] + dot  # [K, V]
        all_S.append(S)
        S = total
    return (stacked(all_S),), (S,)


def states_piece(piece, streams, constants, states, size):
    """The states before each chunk of the piece, and after it."""
    a, k, v = streams[3], streams[1], streams[2]
    (summed, dot,) = states_1(a, k, v, piece.valid)
    (S,), states = by_runs(states_2, piece, states, (summed, dot,))
    made = (S,)
    return made, states


def backward_1(a, S, q, k, v, d_o, K, valid):
    """All chunks at once."""
    tokens = pad(a, valid, 1, -2)  # [c, K]
    product = q * (1 / math.sqrt(K))  # [c, K]
    tokens_2 = pad(k, valid, 0, -2)  # [c, K]
    dot = d_o @ S.mT  # [c, K]
    product_2 = product * tokens  # [c, K]
    pick = tokens[..., 0::2, :]  # [p1, K]
    pick_2 = tokens[..., 1::2, :]  # [p1, K]
    left1 = halves(tokens_2, 1, 0, -2)  # [p1, r1, K]
    dot_2 = (product * tokens_2).sum((-1,))  # [c]
    dot_3 = d_o @ v.mT  # [c, c']
    right2 = halves(dot, 2, 1, -2)  # [p2, r2, K]
    product_3 = pick * pick_2  # [p1, K]
    right1 = halves(product_2, 1, 1, -2)  # [p1, r1, K]
    diagonal = dot_3.diagonal(dim1=-2, dim2=-1)  # [c]
    level1 = level(dot_3, 1)  # [p1, r1, r1']
    level2 = level(dot_3, 2)  # [p2, r2, r2']
    pick_3 = product_3[..., 0::2, :]  # [p2, K]
    pick_4 = product_3[..., 1::2, :]  # [p2, K]
    dot_4 = (right1[..., :, :, None, :] * left1[..., :, None, :, :]).sum((-1,))  # [p1, r1, r1']
    product_4 = diagonal[..., :, None] * product  # [c, K]
    # [p1, r1, K]
    dot_5 = (
        level1[..., :, :, None, :] * left1.movedim(
            (-3, -1, -2),
            (-3, -2, -1),
        )[..., :, None, :, :]
    ).squeeze(-1)
    # [p1, r1', K]
    dot_6 = (
        level1.movedim(
            (-3, -1, -2),
            (-3, -2, -1),
        )[..., :, :, None, :] * right1.movedim((-3, -1, -2), (-3, -2, -1))[..., :, None, :, :]
    ).squeeze(-1)
    product_5 = pick_3 * pick_4  # [p2, K]
    summed = product_5.sum(-2)  # [K]
    total = add_rows_(product_4, dot_6, 1, 0, -2)  # [c, K]
    prefix2 = grow(product_2, pick, 1, 1, -2)  # [c, K]
    right2_2 = halves(prefix2, 2, 1, -2)  # [p2, r2, K]
    dot_7 = level2.mT @ right2_2  # [p2, r2', K]
    # [p2, K]
    dot_8 = (
        right2.movedim(
            (-3, -1, -2),
            (-3, -2, -1),
        ) * right2_2.movedim((-3, -1, -2), (-3, -2, -1))
    ).sum((-1,))
    place_2 = place(dot_7, 2, 0, -2)  # [c, K]
    suffix2 = grow(tokens_2, pick_2, 1, 0, -2)  # [c, K]
    left2 = halves(suffix2, 2, 0, -2)  # [p2, r2, K]
    dot_9 = right2_2 @ left2.mT  # [p2, r2, r2']
    dot_10 = level2 @ left2  # [p2, r2, K]
    scores = blocks(4, dot_2, dot_4, dot_9)  # [c, c']
    dot_11 = scores.mT @ d_o  # [c', V]
    prefix4 = grow_(prefix2, pick_3, 2, 1, -2)  # [c, K]
    dot_12 = d_o.mT @ prefix4  # [V, K]
    suffix4 = grow(suffix2, pick_4, 2, 0, -2)  # [c, K]
    prefix4_2 = grow_(dot, pick_3, 2, 1, -2)  # [c, K]
    total_2 = add_rows_(prefix4_2, dot_10, 2, 1, -2)  # [c, K]
    right1_2 = halves(total_2, 1, 1, -2)  # [p1, r1, K]
    # [p1, K]
    dot_13 = (
        right1_2.movedim(
            (-3, -1, -2),
            (-3, -2, -1),
        ) * right1.movedim((-3, -1, -2), (-3, -2, -1))
    ).sum((-1,))
    prefix2_2 = grow_(total_2, pick, 1, 1, -2)  # [c, K]
    total_3 = add_rows_(prefix2_2, dot_5, 1, 1, -2)  # [c, K]
    product_6 = total_3 * product  # [c, K]
    # [c, K]
    product_7 = (diagonal[..., :, None] * tokens_2 + total_3 * tokens) * (1 / math.sqrt(K))
    return (
        pick,
        pick_2,
        pick_3,
        pick_4,
        suffix4,
        left1,
        left2,
        summed,
        dot_12,
        dot_11,
        place_2,
        total,
        dot_8,
        dot_13,
        product_6,
        product_7,
    )


def backward_2(chunks, summed, dot_12, d_S):
    """From chunk to chunk, last to first."""
    all_d_S = []
    for summed, dot_12 in along(chunks, summed, dot_12, reverse=True):
        total_4 = d_S * summed[..., :, None] + dot_12.mT  # [K, V]
        all_d_S.append(d_S)
        d_S = total_4
    return (stacked(all_d_S, reverse=True),), (d_S,)


def backward_3(
    S,
    pick,
    pick_2,
    pick_3,
    pick_4,
    suffix4,
    left1,
    left2,
    v,
    d_S,
    rename,
    place_2,
    total,
    dot_8,
    dot_13,
    product_6,
    K,
    valid,
):
    """All chunks at once."""
    dot_14 = v @ d_S.mT  # [c, K]
    dot_15 = suffix4 @ d_S  # [c, V]
    dot_16 = (d_S * S).sum((-1,))  # [K]
    spread = dot_16[..., None, :].expand(-1, -1, -1, 1, -1)  # [p2, K]
    total_5 = dot_15 + rename  # [c, V]
    left2_2 = halves(dot_14, 2, 0, -2)  # [p2, r2, K]
    # [p2, K]
    dot_17 = (
        left2_2.movedim((-3, -1, -2), (-3, -2, -1)) * left2.movedim((-3, -1, -2), (-3, -2, -1))
    ).sum((-1,))
    total_6 = spread * pick_3 + dot_17  # [p2, K]
    total_7 = spread * pick_4 + dot_8  # [p2, K]
    unpick_2 = unpick(total_6, 1, -2)  # [p1, K]
    unpick_3 = unpick(total_7, 0, -2)  # [p1, K]
    total_8 = unpick_2 + unpick_3  # [p1, K]
    total_9 = total_8 * pick_2 + dot_13  # [p1, K]
    unpick_4 = unpick(total_9, 0, -2)  # [c, K]
    suffix4_2 = grow_(dot_14, pick_4, 2, 0, -2)  # [c, K]
    total_10 = place_2 + suffix4_2  # [c, K]
    left1_2 = halves(total_10, 1, 0, -2)  # [p1, r1, K]
    # [p1, K]
    dot_18 = (
        left1_2.movedim((-3, -1, -2), (-3, -2, -1)) * left1.movedim((-3, -1, -2), (-3, -2, -1))
    ).sum((-1,))
    total_11 = dot_18 + total_8 * pick  # [p1, K]
    unpick_5 = unpick(total_11, 1, -2)  # [c, K]
    total_12 = unpick_5 + unpick_4 + product_6  # [c, K]
    tokens_3 = pad(total_12, valid, 0, -2)  # [c, K]
    suffix2_2 = grow_(total_10, pick_2, 1, 0, -2)  # [c, K]
    total_13 = total + suffix2_2  # [c, K]
    tokens_4 = pad(total_13, valid, 0, -2)  # [c, K]
    return (total_5, tokens_4, tokens_3)


def backward_piece(piece, streams, constants, states, size, boundaries):
    """The adjoint of the piece, given the states before its chunks."""
    a, q, k, v, d_o = streams[3], streams[0], streams[1], streams[2], streams[4]
    (S,) = boundaries
    (
        pick,
        pick_2,
        pick_3,
        pick_4,
        suffix4,
        left1,
        left2,
        summed,
        dot_12,
        rename,
        place_2,
        total,
        dot_8,
        dot_13,
        product_6,
        product_7,
    ) = backward_1(a, S, q, k, v, d_o, size["K"], piece.valid)
    (d_S,), states = by_runs(backward_2, piece, states, (summed, dot_12,), reverse=True)
    (total_5, tokens_4, tokens_3,) = backward_3(
        S,
        pick,
        pick_2,
        pick_3,
        pick_4,
        suffix4,
        left1,
        left2,
        v,
        d_S,
        rename,
        place_2,
        total,
        dot_8,
        dot_13,
        product_6,
        size["K"],
        piece.valid,
    )
    made = (tokens_3, product_7, tokens_4, total_5,)
    return made, states


def lengths(streams, constants, given):
    """The sizes that the kernels speak of."""
    return {"K": streams[0].shape[-1], "V": streams[2].shape[-1]}
def empty_output(streams, size):
    """Memory for o."""
    heads = max(x.shape[2] for x in streams)
    return streams[0].new_empty(*streams[0].shape[:2], heads, size["V"])


def parts(tensors):
    """Streams, constants, states, and what follows them."""
    return tensors[:4], tensors[4:4], tensors[4:5], tensors[5:]


def forward(streams, constants, states, given, cu_seqlens, recurrent):
    """Output and final states: in chunks, or token by token."""
    size = lengths(streams, constants, given)
    outputs = [empty_output(streams, size)]
    program, chunk = (recurrent_piece, 1) if recurrent else (forward_piece, CHUNK)
    run = (program, chunk, streams, constants, states, size, outputs, cu_seqlens)
    return [*outputs, *run_forward(*run)]


def forward_shapes(streams, constants, states, given, cu_seqlens, recurrent):
    """Tensors like those that `forward` gives."""
    size = lengths(streams, constants, given)
    dtype = accumulation(streams)
    return [empty_output(streams, size), *(torch.empty_like(x, dtype=dtype) for x in states)]


def backward(streams, constants, states, cotangents, given, cu_seqlens):
    """Cotangents of streams, constants and first states."""
    size = lengths(streams, constants, given)
    programs = (states_piece, backward_piece, (3, 0, 1, 2), ())
    outputs, finals = cotangents[:1], cotangents[1:]
    run = (streams, constants, states, size, outputs, finals, cu_seqlens)
    return run_backward(programs, CHUNK, *run)


def backward_shapes(streams, constants, states, cotangents, given, cu_seqlens):
    """Tensors like those that `backward` gives."""
    return [torch.empty_like(x) for x in (*streams, *constants, *states)]


LISTS = "Tensor[] streams, Tensor[] constants, Tensor[] states, "
FORWARD = registered(
    "forward",
    f"{LISTS}float[] given, Tensor? cu_seqlens, bool recurrent",
    forward,
    forward_shapes,
)
BACKWARD = registered(
    "backward",
    f"{LISTS}Tensor[] cotangents, float[] given, Tensor? cu_seqlens",
    backward,
    backward_shapes,
)


def forward_op(settings, cu_seqlens, tensors):
    """The registered forward, from flat tensors; `settings` are (recurrent, numbers given)."""
    streams, constants, states, _ = parts(tensors)
    return FORWARD(streams, constants, states, settings[1:], cu_seqlens, bool(settings[0]))


def backward_op(settings, cu_seqlens, tensors):
    """The registered backward, from flat tensors."""
    streams, constants, states, cotangents = parts(tensors)
    return BACKWARD(streams, constants, states, cotangents, settings[1:], cu_seqlens)


def mix(*, q, k, v, a, state=None, mode="parallel", chunk=None, cu_seqlens=None):
    """Gated linear attention. Yang et al. 2023, arXiv:2312.06635

    Streams are [B, T, H, axes…], parameters [H, axes…]; the state has a row for each sequence.
    """
    if chunk not in (None, CHUNK):
        raise ValueError(f"this file was made for chunks of {CHUNK} tokens, not {chunk}")
    if mode not in ("parallel", "recurrent"):
        raise ValueError(f"mode is {mode!r}, and not 'parallel' or 'recurrent'")
    heads = q.shape[2]
    rows = q.shape[0]
    streams = [q, k, v, a]
    constants = []
    given = ()
    sequences = rows if cu_seqlens is None else cu_seqlens.shape[0] - 1
    dtype = accumulation(streams)
    if state is None:
        size = lengths(streams, constants, given)
        states = [q.new_zeros(sequences, heads, size["K"], size["V"], dtype=dtype)]
    else:
        states = [state["S"].to(dtype)]
    settings = (float(mode == "recurrent"), *given)
    o, *after = Mix.apply(settings, cu_seqlens, *streams, *constants, *states)
    return o, State(zip(("S",), after, strict=True))
class Layer(torch.nn.Module):
    """The layer of gla.

    Gated linear attention. Yang et al. 2023, arXiv:2312.06635

    x and y are [B, T, d_model]; the state has a row for each sequence.
    """

    def __init__(
        self,
        d_model,
        heads,
        *,
        K=None,
        V=None,
        layer=0,
        layers=1,
        device=None,
        dtype=None,
    ):
        super().__init__()
        K = whole("K", d_model / heads / 2 if K is None else K)
        V = whole("V", d_model / heads if V is None else V)
        self.d_model = d_model
        self.heads = heads
        self.K = K
        self.V = V
        self.layer = layer
        self.layers = layers
        place = {"device": device, "dtype": dtype}
        self.q_linear = torch.nn.Linear(d_model, heads * K, bias=False, **place)
        self.k_linear = torch.nn.Linear(d_model, heads * K, bias=False, **place)
        self.v_linear = torch.nn.Linear(d_model, heads * V, bias=False, **place)
        self.a_linear = torch.nn.Linear(d_model, 16, bias=False, **place)
        self.a_linear_2 = torch.nn.Linear(16, heads * K, bias=True, **place)
        self.g_linear = torch.nn.Linear(d_model, heads * V, bias=False, **place)
        self.y_rmsnorm = RMSNorm(V, eps=1e-05, **place)
        self.y_linear = torch.nn.Linear(heads * V, d_model, bias=False, **place)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self):
        """Draw every initial value anew."""
        for module in self.children():
            module.reset_parameters()
        self.a_linear_2.bias.fill_(0)

    def forward(self, x, state=None, *, cu_seqlens=None, mode="parallel", chunk=None):
        """y and the state after it; `cu_seqlens` packs sequences in the one row of x."""
        heads, K, V = self.heads, self.K, self.V
        q = self.q_linear(x).unflatten(-1, (heads, K))  # gla.mix:4
        k = self.k_linear(x).unflatten(-1, (heads, K))  # gla.mix:4
        v = self.v_linear(x).unflatten(-1, (heads, V))  # gla.mix:5
        a = torch.sigmoid(self.a_linear_2(self.a_linear(x)))  # gla.mix:6
        a = (a ** (1 / 16)).unflatten(-1, (heads, K))
        g = functional.silu(self.g_linear(x)).unflatten(-1, (heads, V))  # gla.mix:7
        o, state = mix(
            q=q,
            k=k,
            v=v,
            a=a,
            state=state,
            mode=mode,
            chunk=chunk,
            cu_seqlens=cu_seqlens,
        )
        y = self.y_linear((self.y_rmsnorm(o) * g).flatten(2))  # gla.mix:14
        return y, state

    def step(self, x, state=None):
        """One token, x [B, d_model] or [B, 1, d_model], in recurrent mode; y is like x."""
        if x.dim() == 3:
            return self(x, state, mode="recurrent")
        x = x.unsqueeze(1)
        y, state = self(x, state, mode="recurrent")
        return y.squeeze(1), state

    def extra_repr(self):
        """What printing the module shows."""
        return f"d_model={self.d_model}, heads={self.heads}, K={self.K}, V={self.V}"
