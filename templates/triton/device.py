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
def softplus(x):
    return tl.maximum(x, x * 0) + tl.log(1 + tl.exp(-tl.abs(x)))


@triton.jit
def logsigmoid(x):
    return -softplus(-x)


@triton.jit
def tanh(x):
    return 2 * sigmoid(2 * x) - 1


@triton.jit
def silu(x):
    return x * sigmoid(x)


@triton.jit
def relu(x):
    return tl.maximum(x, x * 0)


@triton.jit
def expm1(x):
    return tl.exp(x) - 1


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
