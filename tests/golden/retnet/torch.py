"""retnet: Retention: a constant decay for each head. Sun et al. 2023, arXiv:2307.08621

Made by mixerc from this spec; it needs nothing but torch.

    mixer retnet(K = d_model / heads, V = 2 * d_model / heads)
    "Retention: a constant decay for each head. Sun et al. 2023, arXiv:2307.08621"

    gamma = 1 - 2^(-5 - head)

    # This base gives the authors' angles, linspace(0, 1, K / 2) in the exponent of 10000.
    q[K], k[K] = x | linear(init = 2^(-2.5) * xavier) | rope(base = 10000^(K / (K - 2)), interleaved = 1)
    v[V]       = x | linear(init = 2^(-2.5) * xavier)
    g[V]       = x | linear(init = 2^(-2.5) * xavier) | silu

    mask   causal
    weight q[t] @ k[s] / sqrt(K)
    decay  gamma
    state  S[K, V]

    y = (o | layernorm(affine = 0)) * g | linear(init = xavier / 2)
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


def numbers(count, like):
    """0, 1, … as numbers that can be computed with."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    return torch.arange(count, device=like.device, dtype=dtype)


class Past:
    """What the steps remember of earlier tokens: from `state`, into `kept`.

    Packed sequences (`cu_seqlens`, with one row of x for all) have a row of memory each.
    """

    def __init__(self, state, x, cu_seqlens):
        self.state = {} if state is None else state
        self.kept = {}
        self.tokens = x.shape[1]
        self.token = torch.arange(x.shape[1], device=x.device)
        self.packed = cu_seqlens is not None
        self.sequences = x.shape[0]
        if self.packed:
            if x.shape[0] != 1:
                raise ValueError(f"packed sequences come in one row, not in {x.shape[0]}")
            self.starts, self.ends = cu_seqlens[:-1].long(), cu_seqlens[1:].long()
            self.sequences = self.starts.shape[0]
            self.sequence = torch.searchsorted(self.ends, self.token, right=True)

    def lags(self, name, x, width):
        """x at t - width, …, t - 1 and t, zero before the first token of a sequence."""
        memory = self.state.get(name)
        if memory is None:
            memory = x.new_zeros(self.sequences, width, *x.shape[2:])
        memory = memory.to(x.dtype)
        if self.packed:
            return self._packed_lags(name, x, width, memory)
        rows = torch.cat((memory, x), 1)
        self.kept[name] = rows[:, self.tokens :].clone()
        return [rows[:, lag : lag + self.tokens] for lag in range(width)] + [x]

    def _packed_lags(self, name, x, width, memory):
        rows = torch.cat((memory.flatten(0, 1), x[0]))
        last = self.ends[:, None] + torch.arange(-width, 0, device=x.device)
        each = torch.arange(self.sequences, device=x.device)[:, None]
        self.kept[name] = rows[self._rows(last, each, width)]
        lagged = [self._rows(self.token - lag, self.sequence, width) for lag in range(width, 0, -1)]
        return [rows[index][None] for index in lagged] + [x]

    def _rows(self, token, sequence, width):
        """Where `rows` has a token of a sequence: with x, or with the memory before it."""
        start = self.starts[sequence]
        before = (sequence + 1) * width + token - start
        return torch.where(token >= start, self.sequences * width + token, before)

    def shift(self, name, x):
        """x[t-1], zero before the first token of a sequence."""
        return self.lags(name, x, 1)[0]

    def position(self):
        """How many tokens of its sequence stand before each token [B, T]."""
        start = self.state.get("position")
        if start is None:
            start = self.token.new_zeros(self.sequences)
        if self.packed:
            self.kept["position"] = start + self.ends - self.starts
            return (self.token + (start - self.starts)[self.sequence])[None]
        self.kept["position"] = start + self.tokens
        return start[:, None] + self.token


def rope(x, position, base, interleaved):
    """Turn pairs of the last axis by position · base^(-2i / D); x [B, T, …, D]."""
    half = x.shape[-1] // 2
    z = wide(x)
    turn = torch.pow(base, numbers(half, z) / -half)
    angle = position.to(turn.dtype)[..., None] * turn
    while angle.dim() < x.dim():
        angle = angle.unsqueeze(2)
    cos, sin = torch.cos(angle), torch.sin(angle)
    pairs = z.unflatten(-1, (half, 2) if interleaved else (2, half))
    axis = -1 if interleaved else -2
    a, b = pairs.unbind(axis)
    turned = torch.stack((a * cos - b * sin, a * sin + b * cos), axis)
    return turned.flatten(-2).to(x.dtype)


def uniform(shape, low=0, high=1):
    """Draws between two bounds."""
    return low + (high - low) * torch.rand(shape, dtype=torch.float64)


def xavier(shape, gain=1):
    """Uniform draws for matrices [..., out, in], of variance 2 gain² / (in + out)."""
    bound = gain * math.sqrt(6 / (shape[-1] + shape[-2]))
    return uniform(shape, -bound, bound)


SEGMENT = 1024


def halves(x, width, side, dim):
    """Rows to the blocks of `width` rows on one side of each pair: [.., pair, row, ..]."""
    return x.unflatten(dim, (-1, 2, width)).select(dim - 1, side)


def place(x, width, side, dim):
    """The blocks [.., pair, row, ..] at their rows, 0 in the rows of the other side."""
    zero = torch.zeros_like(x)
    pair = (zero, x) if side else (x, zero)
    return torch.stack(pair, dim - 1).flatten(dim - 2, dim)


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


NAME = "retnet"
SIZES = ("K", "V")
CHUNK = 4
GIVEN = ()
STREAMS = ("q", "k", "v")
PARAMS = ()
DECAYS = ()
OPS = f"mixerc_ed730a69bf32_{zlib.crc32(__name__.encode()):08x}"


def forward_1(head_index, q, k, v, K, valid):
    """All chunks at once."""
    product = q * (1 / math.sqrt(K))  # [c, K]
    tokens = pad(k, valid, 0, -2)  # [c, K]
    spread = filled(1, (4,), q, 3)  # [c]
    left1 = halves(spread, 1, 0, -1)  # [p1, r1]
    difference = 1 - 2 ** (-5 - head_index)  # []
    dot = product @ tokens.mT  # [c, c']
    spread_2 = difference[..., None].expand(-1, -1, -1, 4)  # [c]
    tokens_2 = pad(spread_2, valid, 1, -1)  # [c]
    right1 = halves(tokens_2, 1, 1, -1)  # [p1, r1]
    product_2 = tokens_2[..., 0::2] * tokens_2[..., 1::2]  # [p1]
    product_3 = right1[..., :, :, None] * left1[..., :, None, :]  # [p1, r1, r1']
    product_4 = product_2[..., 0::2] * product_2[..., 1::2]  # [p2]
    summed = product_4.sum(-1)  # []
    prefix2 = grow(tokens_2, tokens_2[..., 0::2], 1, 1, -1)  # [c]
    right2 = halves(prefix2, 2, 1, -1)  # [p2, r2]
    suffix2 = grow(spread, tokens_2[..., 1::2], 1, 0, -1)  # [c]
    left2 = halves(suffix2, 2, 0, -1)  # [p2, r2]
    product_5 = right2[..., :, :, None] * left2[..., :, None, :]  # [p2, r2, r2']
    scores = blocks(4, spread, product_3, product_5)  # [c, c']
    product_6 = dot * scores  # [c, c']
    dot_2 = product_6 @ v  # [c, V]
    prefix4 = grow_(prefix2, product_2[..., 0::2], 2, 1, -1)  # [c]
    product_7 = product * prefix4[..., :, None]  # [c, K]
    suffix4 = grow_(suffix2, product_2[..., 1::2], 2, 0, -1)  # [c]
    product_8 = tokens * suffix4[..., :, None]  # [c, K]
    dot_3 = product_8.mT @ v  # [K, V]
    return (dot_2, product_7, summed, dot_3)


def forward_2(chunks, summed, dot_3, S):
    """From chunk to chunk, first to last."""
    all_S = []
    for summed, dot_3 in along(chunks, summed, dot_3):
        total = S * summed[..., None, None] + dot_3  # [K, V]
        all_S.append(S)
        S = total
    return (stacked(all_S),), (S,)


def forward_3(S, dot_2, product_7):
    """All chunks at once."""
    dot_4 = product_7 @ S  # [c, V]
    total_2 = dot_2 + dot_4  # [c, V]
    return (total_2,)


def forward_piece(piece, streams, constants, states, size):
    """The parallel mode: tiles and states in, output and states after the piece."""
    q, k, v = streams[0], streams[1], streams[2]
    head_index = torch.arange(size["heads"], device=q.device, dtype=q.dtype)[None, :, None]
    (dot_2, product_7, summed, dot_3,) = forward_1(head_index, q, k, v, size["K"], piece.valid)
    (S,), states = by_runs(forward_2, piece, states, (summed, dot_3,))
    (total_2,) = forward_3(S, dot_2, product_7)
    made = (total_2,)
    return made, states


def recurrent_1(head_index, q, k, v, K, valid):
    """All chunks at once."""
    product = q * (1 / math.sqrt(K))  # [c, K]
    tokens = pad(k, valid, 0, -2)  # [c, K]
    spread = filled(1, (1,), q, 3)  # [c]
    scores = blocks(1, spread)  # [c, c']
    product_2 = tokens * spread[..., :, None]  # [c, K]
    difference = 1 - 2 ** (-5 - head_index)  # []
    dot = (product[..., :, None, :] * tokens[..., None, :, :]).sum((-1,))  # [c, c']
    dot_2 = (product_2.mT[..., :, None, :] * v.mT[..., None, :, :]).squeeze(-1)  # [K, V]
    spread_2 = difference[..., None].expand(-1, -1, -1, 1)  # [c]
    product_3 = dot * scores  # [c, c']
    tokens_2 = pad(spread_2, valid, 1, -1)  # [c]
    dot_3 = (product_3[..., :, None, :] * v.mT[..., None, :, :]).squeeze(-1)  # [c, V]
    product_4 = product * tokens_2[..., :, None]  # [c, K]
    summed = tokens_2.sum(-1)  # []
    return (dot_3, product_4, summed, dot_2)


def recurrent_2(chunks, product_4, summed, dot_2, S):
    """From token to token."""
    all_dot_4 = []
    for product_4, summed, dot_2 in along(chunks, product_4, summed, dot_2):
        dot_4 = product_4 @ S  # [c, V]
        total = S * summed[..., None, None] + dot_2  # [K, V]
        all_dot_4.append(dot_4)
        S = total
    return (stacked(all_dot_4),), (S,)


def recurrent_3(dot_3, dot_4):
    """All chunks at once."""
    total_2 = dot_3 + dot_4  # [c, V]
    return (total_2,)


def recurrent_piece(piece, streams, constants, states, size):
    """The recurrent mode: the same, a token at a time."""
    q, k, v = streams[0], streams[1], streams[2]
    head_index = torch.arange(size["heads"], device=q.device, dtype=q.dtype)[None, :, None]
    (dot_3, product_4, summed, dot_2,) = recurrent_1(
        head_index,
        q,
        k,
        v,
        size["K"],
        piece.valid,
    )
    (dot_4,), states = by_runs(recurrent_2, piece, states, (product_4, summed, dot_2,))
    (total_2,) = recurrent_3(dot_3, dot_4)
    made = (total_2,)
    return made, states


def states_1(head_index, k, v, valid):
    """All chunks at once."""
    tokens = pad(k, valid, 0, -2)  # [c, K]
    spread = filled(1, (4,), k, 3)  # [c]
    difference = 1 - 2 ** (-5 - head_index)  # []
    spread_2 = difference[..., None].expand(-1, -1, -1, 4)  # [c]
    tokens_2 = pad(spread_2, valid, 1, -1)  # [c]
    product = tokens_2[..., 0::2] * tokens_2[..., 1::2]  # [p1]
    product_2 = product[..., 0::2] * product[..., 1::2]  # [p2]
    summed = product_2.sum(-1)  # []
    suffix2 = grow(spread, tokens_2[..., 1::2], 1, 0, -1)  # [c]
    suffix4 = grow_(suffix2, product[..., 1::2], 2, 0, -1)  # [c]
    product_3 = tokens * suffix4[..., :, None]  # [c, K]
    dot = product_3.mT @ v  # [K, V]
    return (summed, dot)


def states_2(chunks, summed, dot, S):
    """From chunk to chunk, first to last."""
    all_S = []
    for summed, dot in along(chunks, summed, dot):
        total = S * summed[..., None, None] + dot  # [K, V]
        all_S.append(S)
        S = total
    return (stacked(all_S),), (S,)


def states_piece(piece, streams, constants, states, size):
    """The states before each chunk of the piece, and after it."""
    k, v = streams[1], streams[2]
    head_index = torch.arange(size["heads"], device=k.device, dtype=k.dtype)[None, :, None]
    (summed, dot,) = states_1(head_index, k, v, piece.valid)
    (S,), states = by_runs(states_2, piece, states, (summed, dot,))
    made = (S,)
    return made, states


def backward_1(head_index, S, q, k, v, d_o, K, valid):
    """All chunks at once."""
    product = q * (1 / math.sqrt(K))  # [c, K]
    tokens = pad(k, valid, 0, -2)  # [c, K]
    spread = filled(1, (4,), S, 3)  # [c]
    dot = d_o @ S.mT  # [c, K]
    left1 = halves(spread, 1, 0, -1)  # [p1, r1]
    dot_2 = d_o @ v.mT  # [c, c']
    difference = 1 - 2 ** (-5 - head_index)  # []
    dot_3 = product @ tokens.mT  # [c, c']
    spread_2 = difference[..., None].expand(-1, -1, -1, 4)  # [c]
    tokens_2 = pad(spread_2, valid, 1, -1)  # [c]
    right1 = halves(tokens_2, 1, 1, -1)  # [p1, r1]
    product_2 = tokens_2[..., 0::2] * tokens_2[..., 1::2]  # [p1]
    product_3 = right1[..., :, :, None] * left1[..., :, None, :]  # [p1, r1, r1']
    product_4 = product_2[..., 0::2] * product_2[..., 1::2]  # [p2]
    summed = product_4.sum(-1)  # []
    prefix2 = grow(tokens_2, tokens_2[..., 0::2], 1, 1, -1)  # [c]
    right2 = halves(prefix2, 2, 1, -1)  # [p2, r2]
    suffix2 = grow(spread, tokens_2[..., 1::2], 1, 0, -1)  # [c]
    left2 = halves(suffix2, 2, 0, -1)  # [p2, r2]
    product_5 = right2[..., :, :, None] * left2[..., :, None, :]  # [p2, r2, r2']
    scores = blocks(4, spread, product_3, product_5)  # [c, c']
    product_6 = dot_3 * scores  # [c, c']
    product_7 = dot_2 * scores  # [c, c']
    dot_4 = product_6.mT @ d_o  # [c', V]
    dot_5 = product_7 @ tokens  # [c, K]
    dot_6 = product_7.mT @ product  # [c', K]
    prefix4 = grow_(prefix2, product_2[..., 0::2], 2, 1, -1)  # [c]
    product_8 = product * prefix4[..., :, None]  # [c, K]
    dot_7 = d_o.mT @ product_8  # [V, K]
    product_9 = (dot * prefix4[..., :, None] + dot_5) * (1 / math.sqrt(K))  # [c, K]
    suffix4 = grow_(suffix2, product_2[..., 1::2], 2, 0, -1)  # [c]
    product_10 = tokens * suffix4[..., :, None]  # [c, K]
    return (suffix4, summed, product_10, dot_7, dot_4, dot_6, product_9)


def backward_2(chunks, summed, dot_7, d_S):
    """From chunk to chunk, last to first."""
    all_d_S = []
    for summed, dot_7 in along(chunks, summed, dot_7, reverse=True):
        total = d_S * summed[..., None, None] + dot_7.mT  # [K, V]
        all_d_S.append(d_S)
        d_S = total
    return (stacked(all_d_S, reverse=True),), (d_S,)


def backward_3(suffix4, v, product_10, d_S, rename, rename_2, valid):
    """All chunks at once."""
    dot_8 = v @ d_S.mT  # [c, K]
    dot_9 = product_10 @ d_S  # [c, V]
    total_2 = dot_9 + rename  # [c, V]
    total_3 = dot_8 * suffix4[..., :, None] + rename_2  # [c, K]
    tokens_3 = pad(total_3, valid, 0, -2)  # [c, K]
    return (total_2, tokens_3)


def backward_piece(piece, streams, constants, states, size, boundaries):
    """The adjoint of the piece, given the states before its chunks."""
    q, k, v, d_o = streams[0], streams[1], streams[2], streams[3]
    (S,) = boundaries
    head_index = torch.arange(size["heads"], device=q.device, dtype=q.dtype)[None, :, None]
    (
        suffix4,
        summed,
        product_10,
        dot_7,
        rename,
        rename_2,
        product_9,
    ) = backward_1(head_index, S, q, k, v, d_o, size["K"], piece.valid)
    (d_S,), states = by_runs(backward_2, piece, states, (summed, dot_7,), reverse=True)
    (total_2, tokens_3,) = backward_3(
        suffix4,
        v,
        product_10,
        d_S,
        rename,
        rename_2,
        piece.valid,
    )
    made = (product_9, tokens_3, total_2,)
    return made, states


def lengths(streams, constants, given):
    """The sizes that the kernels speak of."""
    return {"K": streams[0].shape[-1], "heads": int(given[0]), "V": streams[2].shape[-1]}
def empty_output(streams, size):
    """Memory for o."""
    heads = max(x.shape[2] for x in streams)
    return streams[0].new_empty(*streams[0].shape[:2], heads, size["V"])


def parts(tensors):
    """Streams, constants, states, and what follows them."""
    return tensors[:3], tensors[3:3], tensors[3:4], tensors[4:]


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
    """Retention: a constant decay for each head. Sun et al. 2023, arXiv:2307.08621

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
    given = (float(heads),)
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
    """The layer of retnet.

    Retention: a constant decay for each head. Sun et al. 2023, arXiv:2307.08621

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
        V = whole("V", 2 * d_model / heads if V is None else V)
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
        self.g_linear = torch.nn.Linear(d_model, heads * V, bias=False, **place)
        self.y_linear = torch.nn.Linear(heads * V, d_model, bias=False, **place)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self):
        """Draw every initial value anew."""
        for module in self.children():
            module.reset_parameters()
        self.q_linear.weight.copy_(2 ** -2.5 * xavier(self.q_linear.weight.shape))
        self.k_linear.weight.copy_(2 ** -2.5 * xavier(self.k_linear.weight.shape))
        self.v_linear.weight.copy_(2 ** -2.5 * xavier(self.v_linear.weight.shape))
        self.g_linear.weight.copy_(2 ** -2.5 * xavier(self.g_linear.weight.shape))
        self.y_linear.weight.copy_(xavier(self.y_linear.weight.shape) / 2)

    def forward(self, x, state=None, *, cu_seqlens=None, mode="parallel", chunk=None):
        """y and the state after it; `cu_seqlens` packs sequences in the one row of x."""
        heads, K, V = self.heads, self.K, self.V
        past = Past(state, x, cu_seqlens)
        position = past.position()
        q = self.q_linear(x)  # retnet.mix:7
        q = rope(q.unflatten(-1, (heads, K)), position, 10000 ** (K / (K - 2)), True)
        k = self.k_linear(x)  # retnet.mix:7
        k = rope(k.unflatten(-1, (heads, K)), position, 10000 ** (K / (K - 2)), True)
        v = self.v_linear(x).unflatten(-1, (heads, V))  # retnet.mix:8
        g = functional.silu(self.g_linear(x)).unflatten(-1, (heads, V))  # retnet.mix:9
        o, state = mix(
            q=q,
            k=k,
            v=v,
            state=state,
            mode=mode,
            chunk=chunk,
            cu_seqlens=cu_seqlens,
        )
        # retnet.mix:16
        y = self.y_linear((functional.layer_norm(o, (V,), eps=1e-05) * g).flatten(2))
        return y, State({**state, **past.kept})

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
