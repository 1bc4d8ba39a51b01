"""The moves of a chunk algebra in Triton: what a generated file uses is copied into it.

Tiles have the rows of a chunk first. `w` is the width of the blocks of a dyadic level; adjacent
blocks make a pair, and `side` is 0 for the rows of the left one and 1 for the right one.
"""

import triton
import triton.language as tl


@triton.jit
def chunk_of(n, length, first_at, count_at, batch_at, C: tl.constexpr):
    """A chunk's first row among all tokens, how many it has, and its row of the batch.

    Packed sequences have tables of their chunks; others have `length` tokens each.
    """
    if first_at is None:
        chunks = tl.cdiv(length, C)
        batch = n // chunks
        start = (n - batch * chunks) * C
        first, count = batch * length + start, tl.minimum(length - start, C)
    else:
        first, count, batch = tl.load(first_at + n), tl.load(count_at + n), tl.load(batch_at + n)
    return first, count.to(tl.int32), batch


@triton.jit
def steps_of(s, length, bounds_at, C: tl.constexpr):
    """The first chunk (or token, for C = 1) of a sequence, and the first one behind it."""
    if bounds_at is None:
        steps = tl.cdiv(length, C)
        start, stop = s * steps, (s + 1) * steps
    else:
        start, stop = tl.load(bounds_at + s), tl.load(bounds_at + s + 1)
    return start, stop


@triton.jit
def rows_of(i, count):
    """The token that each row stands for (past the end, the last one), and whether it is one."""
    return tl.maximum(tl.minimum(i, count - 1), 0), i < count


@triton.jit
def on_side(i, w: tl.constexpr, side: tl.constexpr):
    """Whether row i stands in the block on that side of its pair."""
    return (i // w) % 2 == side


@triton.jit
def siblings(i, j, w: tl.constexpr):
    """Whether row i stands right of row j in the same pair."""
    return (i // (2 * w) == j // (2 * w)) & ((i // w) % 2 == 1) & ((j // w) % 2 == 0)


@triton.jit
def swapped(x, w: tl.constexpr):
    """The rows of each block where those of its sibling were."""
    split = tl.reshape(x, (x.shape[0] // (2 * w), 1, 2, w * (x.numel // x.shape[0])))
    side = tl.arange(0, 2)
    other = side[None, :, None, None] != side[None, None, :, None]
    return tl.reshape(tl.sum(tl.where(other, split, 0.0), axis=2), x.shape)


@triton.jit
def pair_sum(x, w: tl.constexpr):
    """The sum over the rows of each pair, in all of its rows."""
    split = tl.reshape(x, (x.shape[0] // (2 * w), 2 * w, x.numel // x.shape[0]))
    total = tl.sum(split, axis=1, keep_dims=True)
    return tl.reshape(tl.broadcast_to(total, split.shape), x.shape)


@triton.jit
def sigmoid(x):
    return 1 / (1 + tl.exp(-x))


@triton.jit
def log1p(x):
    """log(1 + x) for x >= 0, and what is lost when 1 + x is rounded."""
    whole = 1 + x
    return tl.log(whole) + (x - (whole - 1)) / whole


@triton.jit
def softplus(x):
    return tl.maximum(x, x * 0) + log1p(tl.exp(-tl.abs(x)))


@triton.jit
def logsigmoid(x):
    return -softplus(-x)


@triton.jit
def tanh(x):
    less = expm1(-2 * tl.abs(x))
    return tl.where(x < 0, less, -less) / (2 + less)


@triton.jit
def silu(x):
    return x * sigmoid(x)


@triton.jit
def relu(x):
    return tl.maximum(x, x * 0)


@triton.jit
def expm1(x):
    """Where e^x - 1 cancels, its series, summed from the last term on."""
    near = tl.minimum(tl.maximum(x, -0.5), 0.5)
    if x.dtype == tl.float64:
        total = (((near + 16) * near + 240) * near + 3360) * near + 43680
        total = ((total * near + 524160) * near + 5765760) * near + 57657600
        total = ((total * near + 518918400) * near + 4151347200) * near + 29059430400
        total = ((total * near + 174356582400) * near + 871782912000) * near + 3487131648000
        total = (total * near + 10461394944000) * near + 20922789888000
        total = total * near / 20922789888000
    else:
        total = (((near + 8) * near + 56) * near + 336) * near + 1680
        total = ((total * near + 6720) * near + 20160) * near + 40320
        total = total * near / 40320
    return tl.where(tl.abs(x) < 0.5, total, tl.exp(x) - 1)


@triton.jit
def elu(x):
    return tl.where(x > 0, x, expm1(tl.minimum(x, x * 0)))


@triton.jit
def sign(x):
    return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


@triton.jit
def negated(x):
    return x == 0


@triton.jit
def gelu(x):
    return x * (1 + tl.erf(x * 0.7071067811865476)) * 0.5


@triton.jit
def gelu_tanh(x):
    return x * sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))


@triton.jit
def power(x, y):
    return tl.exp(y * tl.log(x))


@triton.jit
def matmul(a, b, ACC: tl.constexpr, DOT: tl.constexpr, PREC: tl.constexpr):
    """A matrix product in the dtype of the inputs, summed in that of accumulation."""
    return tl.dot(a.to(DOT), b.to(DOT), input_precision=PREC, out_dtype=ACC)


@triton.jit
def matmul_of_halves(a, b, ACC: tl.constexpr):
    """A matrix product of float32 as three of bfloat16: of what each number rounds to, and of the
    rest. Tiles of bfloat16 wait in shared memory, where those of float32 wait in registers."""
    high_a, high_b = a.to(tl.bfloat16), b.to(tl.bfloat16)
    low_a, low_b = (a - high_a.to(ACC)).to(tl.bfloat16), (b - high_b.to(ACC)).to(tl.bfloat16)
    small = tl.dot(low_a, high_b, out_dtype=ACC)
    small = tl.dot(high_a, low_b, small, out_dtype=ACC)
    return tl.dot(high_a, high_b, small, out_dtype=ACC)


@triton.jit
def inverted(lower, i, ACC: tl.constexpr, DOT: tl.constexpr, PREC: tl.constexpr):
    """The inverse of 1 - lower for a strictly lower tile of the rows i, from blocks of one row to
    the whole: of a pair of blocks it is right · lower · left, between the inverses of both. What
    becomes a narrow operand takes three products of bfloat16, which need fewer registers."""
    narrow: tl.constexpr = (PREC != "ieee") & (tl.float32 != DOT) & (DOT != ACC)
    made = tl.where(siblings(i[:, None], i[None, :], 1), lower, 0.0)
    made += tl.where(i[:, None] == i[None, :], 1.0, 0.0)
    right, left, width = i[:, None] // 2, i[None, :] // 2, 2
    while width < lower.shape[0]:  # not unrolled: the masks of all levels would be held at once
        # A choice by these masks, as an operand of a product, stops the compiler in small tiles.
        between = lower * ((right ^ left == 1) & (right > left)).to(ACC)
        if narrow:
            made += matmul_of_halves(made, matmul_of_halves(between, made, ACC), ACC)
        else:
            made += matmul(made, matmul(between, made, ACC, ACC, PREC), ACC, ACC, PREC)
        right, left, width = right // 2, left // 2, width * 2
    return made


@triton.jit
def floor_mod(a, b):
    """The remainder with the sign of b, however `%` rounds."""
    r = a % b
    return tl.where((r != 0) & ((r < 0) != (b < 0)), r + b, r)


@triton.jit
def floor_div(a, b):
    """The quotient rounded down, however `//` rounds."""
    return (a - floor_mod(a, b)) // b


@triton.jit
def span_of(block, count, low, spans_at, B: tl.constexpr):
    """A block's first token, the end of its run, and the position of token 0 if the run is all.

    Runs whose positions do not follow each other have a table of their blocks.
    """
    if spans_at is None:
        first, stop = block * B, count
    else:
        first, stop = tl.load(spans_at + 3 * block), tl.load(spans_at + 3 * block + 1)
        low = tl.load(spans_at + 3 * block + 2)
    return first, stop, low


@triton.jit
def band_of(begin, end, sure_begin, sure_end, low, count, done, B: tl.constexpr):
    """A band's tiles from positions: where they begin, from where to where they are full, their
    end. Tiles before `done` were visited."""
    begin = tl.maximum(begin - low, done) // B * B
    end = tl.maximum(tl.cdiv(tl.minimum(end - low, count), B) * B, begin)
    near = tl.cdiv(tl.maximum(sure_begin - low, 0), B) * B
    near = tl.minimum(tl.maximum(near, begin), end)
    far = tl.maximum(tl.minimum(sure_end - low, count), 0) // B * B
    return begin, near, tl.minimum(tl.maximum(far, near), end), end


@triton.jit
def in_documents(begin, near, far, end, documents_at, block, B: tl.constexpr):
    """A band's tiles cut to where a block's documents lie, and the full ones to where all of its
    tokens are in the same one."""
    first, last = tl.load(documents_at + 4 * block), tl.load(documents_at + 4 * block + 1)
    sure, behind = tl.load(documents_at + 4 * block + 2), tl.load(documents_at + 4 * block + 3)
    begin = tl.maximum(begin, first // B * B)
    end = tl.minimum(end, tl.cdiv(last, B) * B)
    return begin, tl.maximum(near, tl.cdiv(sure, B) * B), tl.minimum(far, behind // B * B), end


@triton.jit
def run_total(logs_from, row, low, high, B: tl.constexpr, ACC: tl.constexpr):
    """The sum of the logarithms at low <= j < high."""
    total = tl.zeros([], ACC)
    for place in range(low, high, B):
        j = place + tl.arange(0, B)
        total += tl.sum(tl.load(logs_from + j.to(tl.int64) * row, mask=j < high, other=0.0), axis=0)
    return total


@triton.jit
def later_sums(logs_from, row, first, stop, B: tl.constexpr):
    """For each key from the first one on, the sum of the logarithms behind it up to `stop`."""
    j = first + 1 + tl.arange(0, B)
    logs = tl.load(logs_from + j.to(tl.int64) * row, mask=j < stop, other=0.0)
    return tl.cumsum(logs, axis=0, reverse=True)


@triton.jit
def decay_of_rows(
    first, stop, near, between, edge, runs, logs_from, row, B: tl.constexpr, ACC: tl.constexpr
):
    """The logarithms of the decays of a tile, whose queries stand at the places from `near` on.

    The walk is from right to left; `between` is the sum over edge <= j < near. Then what it is
    when the tile is passed. Nothing is subtracted.
    """
    last = tl.minimum(first + B, stop)
    end = tl.minimum(last, near)
    between += run_total(logs_from, row, last, edge, B, ACC)
    after = later_sums(logs_from, row, first, end, B)
    if last > near:
        later = near + tl.arange(0, runs.shape[0])[:, None] > first + tl.arange(0, B)[None, :]
        decay = tl.cumsum(tl.where(later, runs[:, None], 0.0), axis=0) + after[None, :]
    else:
        decay = tl.cumsum(runs, axis=0)[:, None] + (after + between)[None, :]
    between += run_total(logs_from, row, first, end, B, ACC)
    return decay, between, tl.minimum(first, near)


@triton.jit
def decay_of_keys(
    first,
    stop,
    here,
    here_stop,
    between,
    edge,
    runs,
    logs_from,
    row,
    B: tl.constexpr,
    ACC: tl.constexpr,
):
    """The same for keys from `here` on, and queries at the places from `first` on.

    The walk is from left to right; `between` is the sum over the places from the last key to edge.
    """
    last = tl.minimum(here + B, here_stop)
    between += run_total(logs_from, row, edge, first, B, ACC)
    after = later_sums(logs_from, row, here, tl.minimum(last, first), B)
    if last > first:
        later = first + tl.arange(0, runs.shape[0])[None, :] > here + tl.arange(0, B)[:, None]
        decay = tl.cumsum(tl.where(later, runs[None, :], 0.0), axis=1) + after[:, None]
    else:
        decay = tl.cumsum(runs, axis=0)[None, :] + (after + between)[:, None]
    stop = tl.minimum(first + runs.shape[0], stop)
    between += run_total(logs_from, row, tl.maximum(first, last), stop, B, ACC)
    return decay, between, tl.maximum(stop, last)


@triton.jit
def d_decay_of_rows(d, first, stop, near, d_far, d_near, total_at, B: tl.constexpr):
    """What a tile adds for pairs whose keys lie before the block of queries (a row each, and all
    of them in memory), and for those within it (a place each)."""
    if tl.minimum(first + B, stop) > near:
        later = near + tl.arange(0, d.shape[0])[:, None] > first + tl.arange(0, B)[None, :]
        d_near += tl.sum(tl.where(later, tl.cumsum(d, axis=0, reverse=True), 0.0), axis=1)
    else:
        sums = tl.sum(d, axis=1)
        d_far += sums
        tl.store(total_at, tl.sum(sums, axis=0))
    return d_far, d_near


@triton.jit
def d_decay_of_keys(d, first, here, here_stop, d_before):
    """What a tile adds to each key, for pairs with the queries of later blocks."""
    far = first >= tl.minimum(here + d.shape[0], here_stop)
    return d_before + tl.where(far, tl.sum(d, axis=1), 0.0)


@triton.jit
def sums_before(x):
    """For each place the sum over those before it."""
    i = tl.arange(0, x.shape[0])
    return tl.sum(tl.where(i[:, None] < i[None, :], x[:, None], 0.0), axis=0)
