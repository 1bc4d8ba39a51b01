"""The steps of a layer, in plain torch: what a generated file uses is copied into it.

Streams are [B, T, …]. A layer keeps nothing itself: what its steps remember of earlier tokens
they read from a state and write to a new one, through `Past`.
"""

import math

import torch
from torch.nn import functional


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


def complex_of(dtype):
    """The complex numbers whose parts have this dtype."""
    return (dtype or torch.get_default_dtype()).to_complex()


def lerp(a, b, w):
    """From a to b as w goes from 0 to 1."""
    return a + (b - a) * w


def as_complex(x):
    """A real value as a complex one."""
    return torch.complex(wide(x), torch.zeros_like(wide(x)))


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


class Conv(torch.nn.Module):
    """Causal convolution of each channel over time.

    weight [channels, width]: the last column multiplies the current token.
    """

    def __init__(self, channels, width, *, bias=False, device=None, dtype=None):
        super().__init__()
        self.channels, self.width = channels, width
        place = {"device": device, "dtype": dtype}
        self.weight = torch.nn.Parameter(torch.empty(channels, width, **place))
        self.bias = torch.nn.Parameter(torch.empty(channels, **place)) if bias else None

    def reset_parameters(self):
        """Start as a depthwise torch.nn.Conv1d."""
        bound = 1 / math.sqrt(self.width)
        for value in self.parameters(recurse=False):
            torch.nn.init.uniform_(value, -bound, bound)

    def forward(self, x, past, name):
        """x [B, T, channels]; the last width - 1 tokens are kept under `name`."""
        taps = self.weight.to(x.dtype).unbind(1)
        lags = past.lags(name, x, self.width - 1)
        y = lags[0] * taps[0]
        for lag, tap in zip(lags[1:], taps[1:], strict=True):
            y = torch.addcmul(y, lag, tap)
        return y if self.bias is None else y + self.bias.to(x.dtype)

    def extra_repr(self):
        """What printing the module shows."""
        return f"{self.channels}, width={self.width}, bias={self.bias is not None}"


class BlockLinear(torch.nn.Module):
    """A linear map with a block-diagonal matrix: weight [blocks, out / blocks, in / blocks]."""

    def __init__(self, inputs, outputs, *, blocks, bias=False, device=None, dtype=None):
        super().__init__()
        rows, columns = (
            whole("out / blocks", outputs / blocks),
            whole("in / blocks", inputs / blocks),
        )
        place = {"device": device, "dtype": dtype}
        self.weight = torch.nn.Parameter(torch.empty(blocks, rows, columns, **place))
        self.bias = torch.nn.Parameter(torch.empty(outputs, **place)) if bias else None

    def reset_parameters(self):
        """Start each block as a torch.nn.Linear."""
        bound = 1 / math.sqrt(self.weight.shape[2])
        for value in self.parameters(recurse=False):
            torch.nn.init.uniform_(value, -bound, bound)

    def forward(self, x):
        """x [..., in] to [..., out]."""
        parts = x.unflatten(-1, (self.weight.shape[0], self.weight.shape[2]))
        y = torch.einsum("...ni,noi->...no", parts, self.weight).flatten(-2)
        return y if self.bias is None else y + self.bias.to(y.dtype)

    def extra_repr(self):
        """What printing the module shows."""
        blocks, rows, columns = self.weight.shape
        return f"{blocks * columns}, {blocks * rows}, blocks={blocks}, bias={self.bias is not None}"


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


class LayerNorm(torch.nn.Module):
    """(x - mean(x)) / sqrt(var(x) + eps) · weight + bias, over the last axes."""

    def __init__(self, *shape, eps, device=None, dtype=None):
        super().__init__()
        self.eps = eps
        self.weight = torch.nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.bias = torch.nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

    def reset_parameters(self):
        """Start with a gain of 1 and no shift."""
        torch.nn.init.ones_(self.weight)
        torch.nn.init.zeros_(self.bias)

    def forward(self, x):
        """x [..., shape]."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return functional.layer_norm(x, self.weight.shape, weight, bias, self.eps)

    def extra_repr(self):
        """What printing the module shows."""
        return f"{tuple(self.weight.shape)}, eps={self.eps}"


def group_rmsnorm(x, groups, eps):
    """x [..., channels], each of `groups` parts divided by its root mean square."""
    parts = x.unflatten(-1, (groups, -1))
    return functional.rms_norm(parts, parts.shape[-1:], eps=eps).flatten(-2)


def group_layernorm(x, groups, eps):
    """x [..., channels], each of `groups` parts with mean 0 and variance 1."""
    parts = x.unflatten(-1, (groups, -1))
    return functional.layer_norm(parts, parts.shape[-1:], eps=eps).flatten(-2)


class GroupRMSNorm(torch.nn.Module):
    """The channels cut in groups, each normalised by itself; a gain for each channel."""

    def __init__(self, *shape, groups, eps, device=None, dtype=None):
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight = torch.nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

    def reset_parameters(self):
        """Start with a gain of 1."""
        torch.nn.init.ones_(self.weight)

    def forward(self, x):
        """x [..., channels]."""
        return group_rmsnorm(x, self.groups, self.eps) * self.weight.to(x.dtype).flatten()

    def extra_repr(self):
        """What printing the module shows."""
        return f"{tuple(self.weight.shape)}, groups={self.groups}, eps={self.eps}"


class GroupLayerNorm(torch.nn.Module):
    """The channels cut in groups, each normalised by itself; a gain and a shift for each."""

    def __init__(self, *shape, groups, eps, device=None, dtype=None):
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight = torch.nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.bias = torch.nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

    def reset_parameters(self):
        """Start with a gain of 1 and no shift."""
        torch.nn.init.ones_(self.weight)
        torch.nn.init.zeros_(self.bias)

    def forward(self, x):
        """x [..., channels]."""
        weight, bias = self.weight.to(x.dtype).flatten(), self.bias.to(x.dtype).flatten()
        return torch.addcmul(bias, group_layernorm(x, self.groups, self.eps), weight)

    def extra_repr(self):
        """What printing the module shows."""
        return f"{tuple(self.weight.shape)}, groups={self.groups}, eps={self.eps}"


def l2norm(x, dims, eps):
    """x / sqrt(Σ x² + eps) over the last `dims` axes."""
    z = wide(x)
    square = (z * z).sum(tuple(range(-dims, 0)), keepdim=True)
    return (z * torch.rsqrt(square + eps)).to(x.dtype)


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


def glu(x):
    """The second half of the last axis, gated by the sigmoid of the first."""
    gate, value = x.chunk(2, -1)
    return torch.sigmoid(gate) * value


def swiglu(x):
    """The second half of the last axis, gated by the silu of the first."""
    gate, value = x.chunk(2, -1)
    return functional.silu(gate) * value


def geglu(x):
    """The second half of the last axis, gated by the gelu of the first."""
    gate, value = x.chunk(2, -1)
    return functional.gelu(gate) * value


def concat(*parts):
    """The parts one after the other along their last axis, repeated over what they lack."""
    batch = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return torch.cat([part.expand(*batch, part.shape[-1]) for part in parts], -1)


def fold(start, count, following):
    """`following(value, i)` for i = 0, 1, …, from `start`."""
    value = start
    for i in range(count):
        value = following(value, i)
    return value


def indices(count):
    """0, 1, … for initial values, which are computed in float64."""
    return torch.arange(count, dtype=torch.float64)


def normal(shape, mean=0, deviation=1):
    """Draws of the normal distribution."""
    return mean + deviation * torch.randn(shape, dtype=torch.float64)


def uniform(shape, low=0, high=1):
    """Draws between two bounds."""
    return low + (high - low) * torch.rand(shape, dtype=torch.float64)


def loguniform(shape, low, high):
    """Draws between two bounds whose logarithms are uniform."""
    return torch.exp(uniform(shape, math.log(low), math.log(high)))


def choose(shape, count):
    """A table of truth values: `count` places of each row hold."""
    chosen = torch.rand(shape).topk(min(count, shape[-1]), -1).indices
    return torch.zeros(shape, dtype=torch.bool).scatter(-1, chosen, True)


def xavier(shape, gain=1):
    """Uniform draws for matrices [..., out, in], of variance 2 gain² / (in + out)."""
    bound = gain * math.sqrt(6 / (shape[-1] + shape[-2]))
    return uniform(shape, -bound, bound)


def orthogonal(shape):
    """Matrices [..., rows, columns] whose rows are orthonormal, in blocks of `columns` rows."""
    *batch, rows, columns = shape
    blocks = -(-rows // columns)
    q, r = torch.linalg.qr(torch.randn(*batch, blocks, columns, columns, dtype=torch.float64))
    q = q * torch.sign(torch.diagonal(r, dim1=-2, dim2=-1)).unsqueeze(-2)
    return q.flatten(-3, -2)[..., :rows, :]
