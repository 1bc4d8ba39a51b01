"""linear_attention: Attention with a feature map in place of the exponential. Katharopoulos et al. 2020, arXiv:2006.16236

Made by mixerc from this spec; it needs nothing but torch.

    mixer linear_attention(K = d_model / heads, V = d_model / heads)
    "Attention with a feature map in place of the exponential. Katharopoulos et al. 2020, arXiv:2006.16236"

    q[K], k[K] = x | linear(bias = 0)
    v[V]       = x | linear(bias = 0)

    mask      causal
    feature   phi(z)[K] = 1 + elu(z)
    weight    phi(q[t]) @ phi(k[s])   # no scale
    normalize sum + 1e-6              # eps on the whole sum, as the authors have it
    state     S[K, V]

    y = o | linear(bias = 0)
"""

import itertools
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


SEGMENT = 1024


def place(x, width, side, dim):
    """The blocks [.., pair, row, ..] at their rows, 0 in the rows of the other side."""
    zero = torch.zeros_like(x)
    pair = (zero, x) if side else (x, zero)
    return torch.stack(pair, dim - 1).flatten(dim - 2, dim)


def pad(x, valid, fill, dim):
    """`fill` in the rows past the end; nothing to do where every row is a token."""
    if valid is None:
        return x
    mask = valid.reshape(*valid.shape, *(1,) * (-1 - dim))
    return torch.where(mask, x, torch.full_like(x, fill) if x.shape[2] > 1 else fill)


def filled(value, lengths, like, lead):
    """A number repeated along new axes."""
    return like.new_full((1,) * lead + lengths, value)


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


NAME = "linear_attention"
SIZES = ("K", "V")
CHUNK = 4
GIVEN = ()
STREAMS = ("q", "k", "v")
PARAMS = ()
DECAYS = ()
OPS = f"mixerc_53a3ab2d77f2_{zlib.crc32(__name__.encode()):08x}"


def forward_1(q, k, v, valid):
    """All chunks at once."""
    spread = filled(1, (4,), q, 3)  # [c]
    total = 1 + functional.elu(q)  # [c, K]
    total_2 = 1 + functional.elu(k)  # [c, K]
    tokens = pad(total_2, valid, 0, -2)  # [c, K]
    dot = tokens.mT @ v  # [K, V]
    dot_2 = (tokens.mT @ spread[..., :, None]).squeeze(-1)  # [K]
    dot_3 = total @ tokens.mT  # [c, c']
    triangle = dot_3.tril(0)  # [c, c']
    dot_4 = triangle @ v  # [c, V]
    dot_5 = (triangle @ spread[..., :, None]).squeeze(-1)  # [c]
    return (total, dot_4, dot_5, dot, dot_2)


def forward_2(chunks, dot, dot_2, S, sum):
    """From chunk to chunk, first to last."""
    all_S = []
    all_sum = []
    for dot, dot_2 in along(chunks, dot, dot_2):
        total_3 = S + dot  # [K, V]
        total_4 = sum + dot_2  # [K]
        all_S.append(S)
        all_sum.append(sum)
        S, sum = total_3, total_4
    return (stacked(all_S), stacked(all_sum)), (S, sum)


def forward_3(S, sum, total, dot_4, dot_5):
    """All chunks at once."""
    dot_6 = total @ S  # [c, V]
    dot_7 = (total @ sum[..., :, None]).squeeze(-1)  # [c]
    total_5 = dot_5 + dot_7 + 1e-06  # [c]
    ratio = (dot_4 + dot_6) / total_5[..., :, None]  # [c, V]
    return (ratio,)


def forward_piece(piece, streams, constants, states, size):
    """The parallel mode: tiles and states in, output and states after the piece."""
    q, k, v = streams[0], streams[1], streams[2]
    (total, dot_4, dot_5, dot, dot_2,) = forward_1(q, k, v, piece.valid)
    (S, sum,), states = by_runs(forward_2, piece, states, (dot, dot_2,))
    (ratio,) = forward_3(S, sum, total, dot_4, dot_5)
    made = (ratio,)
    return made, states


def recurrent_1(q, k, v, valid):
    """All chunks at once."""
    spread = filled(1, (1,), q, 3)  # [c]
    total = 1 + functional.elu(q)  # [c, K]
    total_2 = 1 + functional.elu(k)  # [c, K]
    tokens = pad(total_2, valid, 0, -2)  # [c, K]
    dot = (tokens.mT[..., :, None, :] * v.mT[..., None, :, :]).squeeze(-1)  # [K, V]
    dot_2 = (tokens.mT * spread[..., None, :]).squeeze(-1)  # [K]
    dot_3 = (total[..., :, None, :] * tokens[..., None, :, :]).sum((-1,))  # [c, c']
    triangle = dot_3.tril(0)  # [c, c']
    dot_4 = (triangle[..., :, None, :] * v.mT[..., None, :, :]).squeeze(-1)  # [c, V]
    dot_5 = (triangle * spread[..., None, :]).sum((-1,))  # [c]
    return (total, dot_4, dot_5, dot, dot_2)


def recurrent_2(chunks, total, dot, dot_2, S, sum):
    """From token to token."""
    all_dot_6 = []
    all_dot_7 = []
    for total, dot, dot_2 in along(chunks, total, dot, dot_2):
        dot_6 = total @ S  # [c, V]
        dot_7 = (total * sum[..., None, :]).sum((-1,))  # [c]
        total_3 = S + dot  # [K, V]
        total_4 = sum + dot_2  # [K]
        all_dot_6.append(dot_6)
        all_dot_7.append(dot_7)
        S, sum = total_3, total_4
    return (stacked(all_dot_6), stacked(all_dot_7)), (S, sum)


def recurrent_3(dot_4, dot_6, dot_5, dot_7):
    """All chunks at once."""
    total_5 = dot_5 + dot_7 + 1e-06  # [c]
    ratio = (dot_4 + dot_6) / total_5[..., :, None]  # [c, V]
    return (ratio,)


def recurrent_piece(piece, streams, constants, states, size):
    """The recurrent mode: the same, a token at a time."""
    q, k, v = streams[0], streams[1], streams[2]
    (total, dot_4, dot_5, dot, dot_2,) = recurrent_1(q, k, v, piece.valid)
    (dot_6, dot_7,), states = by_runs(recurrent_2, piece, states, (total, dot, dot_2,))
    (ratio,) = recurrent_3(dot_4, dot_6, dot_5, dot_7)
    made = (ratio,)
    return made, states


def states_1(k, v, valid):
    """All chunks at once."""
    spread = filled(1, (4,), k, 3)  # [c]
    total = 1 + functional.elu(k)  # [c, K]
    tokens = pad(total, valid, 0, -2)  # [c, K]
    dot = tokens.mT @ v  # [K, V]
    dot_2 = (tokens.mT @ spread[..., :, None]).squeeze(-1)  # [K]
    return (dot, dot_2)


def states_2(chunks, dot, dot_2, S, sum):
    """From chunk to chunk, first to last."""
    all_S = []
    all_sum = []
    for dot, dot_2 in along(chunks, dot, dot_2):
        total_2 = S + dot  # [K, V]
        total_3 = sum + dot_2  # [K]
        all_S.append(S)
        all_sum.append(sum)
        S, sum = total_2, total_3
    return (stacked(all_S), stacked(all_sum)), (S, sum)


def states_piece(piece, streams, constants, states, size):
    """The states before each chunk of the piece, and after it."""
    k, v = streams[1], streams[2]
    (dot, dot_2,) = states_1(k, v, piece.valid)
    (S, sum,), states = by_runs(states_2, piece, states, (dot, dot_2,))
    made = (S, sum,)
    return made, states


def backward_1(S, sum, q, k, v, d_o, valid):
    """All chunks at once."""
    spread = filled(1, (4,), S, 3)  # [c]
    total = 1 + functional.elu(q)  # [c, K]
    total_2 = 1 + functional.elu(k)  # [c, K]
    tokens = pad(total_2, valid, 0, -2)  # [c, K]
    dot = total @ S  # [c, V]
    dot_2 = (total @ sum[..., :, None]).squeeze(-1)  # [c]
    where_ = torch.where(k > 0, 1, torch.exp(torch.clamp(k, max=0)))  # [c, K]
    dot_3 = total @ tokens.mT  # [c, c']
    triangle = dot_3.tril(0)  # [c, c']
    dot_4 = triangle @ v  # [c, V]
    dot_5 = (triangle @ spread[..., :, None]).squeeze(-1)  # [c]
    total_3 = dot_5 + dot_2 + 1e-06  # [c]
    ratio = 1 / total_3  # [c]
    product = d_o * ratio[..., :, None]  # [c, V]
    minus = -((dot_4 + dot) / total_3[..., :, None] / total_3[..., :, None])  # [c, V]
    dot_6 = product @ S.mT  # [c, K]
    dot_7 = product.mT @ total  # [V, K]
    dot_8 = product @ v.mT  # [c, c']
    dot_9 = triangle.mT @ product  # [c', V]
    dot_10 = (d_o * minus).sum((-1,))  # [c]
    dot_11 = (dot_10[..., None, :] @ total).squeeze(-2)  # [K]
    total_4 = dot_10[..., :, None] * spread[..., None, :] + dot_8  # [c, c']
    triangle_2 = total_4.tril(0)  # [c, c']
    dot_12 = triangle_2 @ tokens  # [c, K]
    dot_13 = triangle_2.mT @ total  # [c', K]
    # [c, K]
    product_2 = (
        (dot_10[..., :, None] * sum[..., None, :] + dot_6 + dot_12)
        * torch.where(q > 0, 1, torch.exp(torch.clamp(q, max=0)))
    )
    return (tokens, spread, dot_11, dot_7, dot_9, dot_13, where_, product_2)


def backward_2(chunks, dot_11, dot_7, d_S, d_sum):
    """From chunk to chunk, last to first."""
    all_d_S = []
    all_d_sum = []
    for dot_11, dot_7 in along(chunks, dot_11, dot_7, reverse=True):
        total_5 = d_sum + dot_11  # [K]
        total_6 = d_S + dot_7.mT  # [K, V]
        all_d_S.append(d_S)
        all_d_sum.append(d_sum)
        d_S, d_sum = total_6, total_5
    return (stacked(all_d_S, reverse=True), stacked(all_d_sum, reverse=True)), (d_S, d_sum)


def backward_3(tokens, v, spread, d_S, d_sum, rename, rename_2, where_, valid):
    """All chunks at once."""
    dot_14 = v @ d_S.mT  # [c, K]
    dot_15 = tokens @ d_S  # [c, V]
    total_7 = dot_15 + rename  # [c, V]
    total_8 = d_sum[..., None, :] * spread[..., :, None] + dot_14 + rename_2  # [c, K]
    tokens_2 = pad(total_8, valid, 0, -2)  # [c, K]
    product_3 = tokens_2 * where_  # [c, K]
    return (total_7, product_3)


def backward_piece(piece, streams, constants, states, size, boundaries):
    """The adjoint of the piece, given the states before its chunks."""
    q, k, v, d_o = streams[0], streams[1], streams[2], streams[3]
    (S, sum,) = boundaries
    (
        tokens,
        spread,
        dot_11,
        dot_7,
        rename,
        rename_2,
        where_,
        product_2,
    ) = backward_1(S, sum, q, k, v, d_o, piece.valid)
    (d_S, d_sum,), states = by_runs(backward_2, piece, states, (dot_11, dot_7,), reverse=True)
    (total_7, product_3,) = backward_3(
        tokens,
        v,
        spread,
        d_S,
        d_sum,
        rename,
        rename_2,
        where_,
        piece.valid,
    )
    made = (product_2, product_3, total_7,)
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
    return tensors[:3], tensors[3:3], tensors[3:5], tensors[5:]


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
    programs = (states_piece, backward_piece, (0, 1, 2), ())
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


def mix(*, q, k, v, state=None, mode="parallel", chunk=None, cu_seqlens=None):
    """Attention with a feature map in place of the exponential. Katharopoulos et al. 2020, arXiv:2006.16236

    Streams are [B, T, H, axes…], parameters [H, axes…]; the state has a row for each sequence.
    """
    if chunk not in (None, CHUNK):
        raise ValueError(f"this file was made for chunks of {CHUNK} tokens, not {chunk}")
    if mode not in ("parallel", "recurrent"):
        raise ValueError(f"mode is {mode!r}, and not 'parallel' or 'recurrent'")
    heads = q.shape[2]
    rows = q.shape[0]
    streams = [q, k, v]
    constants = []
    given = ()
    sequences = rows if cu_seqlens is None else cu_seqlens.shape[0] - 1
    dtype = accumulation(streams)
    if state is None:
        size = lengths(streams, constants, given)
        states = [
            q.new_zeros(sequences, heads, size["K"], size["V"], dtype=dtype),
            q.new_zeros(sequences, heads, size["K"], dtype=dtype),
        ]
    else:
        states = [state["S"].to(dtype), state["sum"].to(dtype)]
    settings = (float(mode == "recurrent"), *given)
    o, *after = Mix.apply(settings, cu_seqlens, *streams, *constants, *states)
    return o, State(zip(("S", "sum"), after, strict=True))
class Layer(torch.nn.Module):
    """The layer of linear_attention.

    Attention with a feature map in place of the exponential. Katharopoulos et al. 2020,
    arXiv:2006.16236

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
        K = whole("K", d_model / heads if K is None else K)
        V = whole("V", d_model / heads if V is None else V)
        self.d_model = d_model
        self.heads = heads
        self.K = K
        self.V = V
        self.layer = layer
        self.layers = layers
        place = {"device": device, "dtype": dtype}
        self.q_linear = torch.nn.Linear(d_model, heads * K, bias=True, **place)
        self.k_linear = torch.nn.Linear(d_model, heads * K, bias=True, **place)
        self.v_linear = torch.nn.Linear(d_model, heads * V, bias=True, **place)
        self.y_linear = torch.nn.Linear(heads * V, d_model, bias=True, **place)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self):
        """Draw every initial value anew."""
        for module in self.children():
            module.reset_parameters()
        self.q_linear.bias.fill_(0)
        self.k_linear.bias.fill_(0)
        self.v_linear.bias.fill_(0)
        self.y_linear.bias.fill_(0)

    def forward(self, x, state=None, *, cu_seqlens=None, mode="parallel", chunk=None):
        """y and the state after it; `cu_seqlens` packs sequences in the one row of x."""
        heads, K, V = self.heads, self.K, self.V
        q = self.q_linear(x).unflatten(-1, (heads, K))  # linear_attention.mix:4
        k = self.k_linear(x).unflatten(-1, (heads, K))  # linear_attention.mix:4
        v = self.v_linear(x).unflatten(-1, (heads, V))  # linear_attention.mix:5
        o, state = mix(
            q=q,
            k=k,
            v=v,
            state=state,
            mode=mode,
            chunk=chunk,
            cu_seqlens=cu_seqlens,
        )
        y = self.y_linear(o.flatten(2))  # linear_attention.mix:13
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
