"""The recurrences as their papers write them: a loop over tokens, to check the oracles with."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Result = tuple[Tensor, Tensor | None]


def outer(k: Tensor, v: Tensor) -> Tensor:
    """k v' over the last axes."""
    return k[..., :, None] * v[..., None, :]


def read(q: Tensor, state: Tensor) -> Tensor:
    """q' S."""
    return (q[..., :, None] * state).sum(-2)


def linear(q: Tensor, k: Tensor, v: Tensor, a: Tensor) -> Result:
    """S = a S + k v', o = q S; `a` along K, or with an axis of size 1."""
    state, outputs = torch.zeros_like(outer(k, v)[:, 0]), []
    for t in range(q.shape[1]):
        state = a[:, t, ..., None] * state + outer(k[:, t], v[:, t])
        outputs.append(read(q[:, t], state))
    return torch.stack(outputs, 1), state


def ratio(q: Tensor, k: Tensor, v: Tensor, eps: float) -> Result:
    """The linear sum over the sum of its weights + eps."""
    o, state = linear(q, k, v, torch.ones_like(k))
    weights, _ = linear(q, k, torch.ones_like(v), torch.ones_like(k))
    return o / (weights + eps), state


def gla(q: Tensor, k: Tensor, v: Tensor, a: Tensor) -> Result:
    """A decay along K."""
    return linear(q / q.shape[-1] ** 0.5, k, v, a)


def constant(q: Tensor, k: Tensor, v: Tensor, a: Tensor) -> Result:
    """A constant decay a head, no scale."""
    return linear(q, k, v, a[:, None].expand(*q.shape[:3], 1))


def by_head(q: Tensor) -> Tensor:
    """The heads' numbers, from 0."""
    return torch.arange(q.shape[2], dtype=q.dtype)


def retnet(q: Tensor, k: Tensor, v: Tensor) -> Result:
    """gamma = 1 - 2^(-5-h)."""
    return constant(q / q.shape[-1] ** 0.5, k, v, 1 - 2 ** (-5 - by_head(q)))


def slopes(q: Tensor) -> Tensor:
    """2^(-8h/H), h from 1."""
    return 2 ** (-8 * (by_head(q) + 1) / q.shape[2])


def lightning(q: Tensor, k: Tensor, v: Tensor) -> Result:
    """The first layer's decays."""
    return constant(q, k, v, (-slopes(q) * (1 + 1e-5)).exp())


def gateloop(q: Tensor, k: Tensor, v: Tensor, a: Tensor) -> Result:
    """A complex decay, the real part read."""
    o, state = linear(q + 0j, k + 0j, v + 0j, a)
    return o.real, state


def linear_attention(q: Tensor, k: Tensor, v: Tensor, *, eps: float = 1e-6) -> Result:
    """elu + 1."""
    return ratio(F.elu(q) + 1, F.elu(k) + 1, v, eps)


def performer(q: Tensor, k: Tensor, v: Tensor, W: Tensor) -> Result:
    """exp(Wz - |z|^2 / 2); a constant factor would cancel."""

    def phi(x: Tensor) -> Tensor:
        z = x / x.shape[-1] ** 0.25
        return (apply(W, z) - (z * z).sum(-1, keepdim=True) / 2).exp()

    return ratio(phi(q), phi(k), v, 0.0)[0], None


def masked(weight: Tensor, v: Tensor, sees: Tensor | None = None) -> Result:
    """The weights [B, H, T, T] under a mask, causal if none is given, over their sum."""
    weight = weight.tril() if sees is None else weight * sees
    o = weight @ v.transpose(1, 2) / weight.sum(-1, keepdim=True)
    return o.transpose(1, 2), None


def scores(q: Tensor, k: Tensor) -> Tensor:
    """q.k / sqrt(K), as [B, H, T, T]."""
    return torch.einsum("bthk,bshk->bhts", q, k) / q.shape[-1] ** 0.5


def based(q: Tensor, k: Tensor, v: Tensor) -> Result:
    """The Taylor map."""
    s = scores(q, k)
    return masked(1 + s + s * s / 2, v)


def softcap(q: Tensor, k: Tensor, v: Tensor, *, cap: float) -> Result:
    """cap tanh(score / cap), keys and values in groups."""
    k, v = (x.repeat_interleave(q.shape[2] // x.shape[2], dim=2) for x in (k, v))
    return masked((cap * (scores(q, k) / cap).tanh()).exp(), v)


def pattern(q: Tensor, k: Tensor, v: Tensor, *, sees: Callable[[int, int], bool]) -> Result:
    """A softmax where `sees(t, s)`, asked pair by pair."""
    time = range(q.shape[1])
    table = torch.tensor([[bool(sees(t, s)) for s in time] for t in time])
    return masked(scores(q, k).exp(), v, table)


def prefix_lm(q: Tensor, k: Tensor, v: Tensor, prefix: Tensor) -> Result:
    """Causal, but for the tokens of the prefix."""
    time = q.shape[1]
    sees = torch.ones(time, time).tril().bool() | prefix[:, None, None, :]
    return masked(scores(q, k).exp(), v, sees)


def alibi(q: Tensor, k: Tensor, v: Tensor) -> Result:
    """A penalty of slope (t - s)."""
    time = torch.arange(q.shape[1])
    back = time[:, None] - time
    return masked((scores(q, k) - slopes(q)[:, None, None] * back).exp(), v)


def forgetting_attention(q: Tensor, k: Tensor, v: Tensor, f: Tensor) -> Result:
    """exp(score) times the decays of s < j <= t."""
    time = q.shape[1]
    decay = torch.ones(*f.shape[::2], time, time, dtype=q.dtype)
    for t in range(time):
        for s in range(t):
            decay[..., t, s] = f[:, s + 1 : t + 1].prod(1)
    return masked(scores(q, k).exp() * decay, v)


def hgrn2(q: Tensor, k: Tensor, v: Tensor, a: Tensor) -> Result:
    """No scale."""
    return linear(q, k, v, a)


def gsa(q: Tensor, k: Tensor, v: Tensor, a: Tensor) -> Result:
    """K and V are kept over M slots, with the decay along the slots."""
    keys = torch.zeros_like(outer(a, k)[:, 0])
    values, outputs = torch.zeros_like(outer(a, v)[:, 0]), []
    for t in range(q.shape[1]):
        keys = a[:, t, ..., None] * keys + outer(1 - a[:, t], k[:, t])
        values = a[:, t, ..., None] * values + outer(1 - a[:, t], v[:, t])
        weight = (keys @ q[:, t, ..., None])[..., 0]
        outputs.append(read(weight.softmax(-1), values))
    return torch.stack(outputs, 1), values


def delta(q: Tensor, k: Tensor, v: Tensor, a: Tensor, beta: Tensor) -> Result:
    """S = a S, then S += beta k (v - k S)'; `a` along K, or with an axis of size 1."""
    state, outputs = torch.zeros_like(outer(k, v)[:, 0]), []
    for t in range(q.shape[1]):
        state = a[:, t, ..., None] * state
        error = beta[:, t, ..., None] * (v[:, t] - read(k[:, t], state))
        state = state + outer(k[:, t], error)
        outputs.append(read(q[:, t], state) / q.shape[-1] ** 0.5)
    return torch.stack(outputs, 1), state


def deltanet(q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> Result:
    """No decay."""
    return delta(q, k, v, torch.ones_like(k), beta)


def gated_deltanet(q: Tensor, k: Tensor, v: Tensor, a: Tensor, beta: Tensor) -> Result:
    """A decay a head; queries and keys in groups."""
    q, k = (x.repeat_interleave(v.shape[2] // x.shape[2], dim=2) for x in (q, k))
    return delta(q, k, v, a[..., None], beta)


def deltaproduct(q: Tensor, k: Tensor, v: Tensor, a: Tensor, beta: Tensor) -> Result:
    """J delta steps a token, after one decay."""
    state, outputs = torch.zeros_like(outer(k, v)[:, 0, :, 0]), []
    for t in range(q.shape[1]):
        state = a[:, t, ..., None, None] * state
        for j in range(k.shape[3]):
            error = v[:, t, :, j] - read(k[:, t, :, j], state)
            state = state + outer(k[:, t, :, j], beta[:, t, :, j, None] * error)
        outputs.append(read(q[:, t], state) / q.shape[-1] ** 0.5)
    return torch.stack(outputs, 1), state


def rwkv4(k: Tensor, v: Tensor, w: Tensor, u: Tensor) -> Result:
    """Read with the bonus before decay and write; no running maximum."""
    num, den, outputs = torch.zeros_like(k[:, 0]), torch.zeros_like(k[:, 0]), []
    for t in range(k.shape[1]):
        bonus = (u + k[:, t]).exp()
        outputs.append((num + bonus * v[:, t]) / (den + bonus))
        num = w * num + k[:, t].exp() * v[:, t]
        den = w * den + k[:, t].exp()
    return torch.stack(outputs, 1), None


def rwkv5(r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor) -> Result:
    """A constant decay."""
    return rwkv6(r, k, v, w.expand_as(k), u)


def rwkv6(r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor) -> Result:
    """Read with the bonus before decay and write."""
    state, outputs = torch.zeros_like(outer(k, v)[:, 0]), []
    for t in range(r.shape[1]):
        new = outer(k[:, t], v[:, t])
        outputs.append(read(r[:, t], state + u[..., None] * new))
        state = w[:, t, ..., None] * state + new
    return torch.stack(outputs, 1), state


def rwkv7(r: Tensor, w: Tensor, a: Tensor, e: Tensor, k: Tensor, v: Tensor) -> Result:
    """What is erased is read from the undecayed state."""
    state, outputs = torch.zeros_like(outer(k, v)[:, 0]), []
    for t in range(r.shape[1]):
        erased = outer(a[:, t] * e[:, t], read(e[:, t], state))
        state = w[:, t, ..., None] * state - erased + outer(k[:, t], v[:, t])
        outputs.append(read(r[:, t], state))
    return torch.stack(outputs, 1), state


def scan(a: Tensor, x: Tensor) -> Result:
    """h = a h + x, elementwise."""
    state, outputs = torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        state = a[:, t] * state + x[:, t]
        outputs.append(state)
    return torch.stack(outputs, 1), state


def hgrn(a: Tensor, u: Tensor) -> Result:
    """h = a h + u."""
    return scan(a, u)


def rglru(a: Tensor, i: Tensor, u: Tensor) -> Result:
    """The input scaled so that the state keeps its variance."""
    return scan(a, (1 - a * a).sqrt() * i * u)


def mingru(z: Tensor, u: Tensor) -> Result:
    """The gated mean."""
    return scan(1 - z, z * u)


def minlstm(f: Tensor, i: Tensor, u: Tensor) -> Result:
    """The gates' shares."""
    return scan(f / (f + i), i / (f + i) * u)


def mamba(u: Tensor, dt: Tensor, B: Tensor, C: Tensor, A_log: Tensor, D: Tensor) -> Result:
    """Zero-order hold for the decay, Euler for B."""
    decay = (-A_log.exp() * dt[..., None]).exp()
    states, last = scan(decay, outer(dt * u, B))
    return (states @ C[..., None])[..., 0] + D * u, last


def mamba2(C: Tensor, B: Tensor, dt: Tensor, u: Tensor, a: Tensor) -> Result:
    """One decay a head; B and C in groups."""
    C, B = (x.repeat_interleave(u.shape[2] // x.shape[2], dim=2) for x in (C, B))
    return linear(C, B, dt[..., None] * u, a[..., None])


def s5(a: Tensor, A: Tensor, re: Tensor, im: Tensor) -> Result:
    """Zero-order hold."""
    driven = (a - 1) / A * torch.complex(re, im)
    return scan(a.expand_as(driven), driven)


def lru(a: Tensor, gamma: Tensor, re: Tensor, im: Tensor) -> Result:
    """The normalisation is given as its logarithm."""
    driven = gamma.exp() * torch.complex(re, im)
    return scan(a.expand_as(driven), driven)


def mlstm(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> Result:
    """max(|n.q|, 1), without a running maximum."""
    q = q / q.shape[-1] ** 0.5
    keep, write = f[..., None], i.exp()[..., None]
    o, state = linear(q, write * k, v, keep)
    total, _ = linear(q, write * k, torch.ones_like(v), keep)
    return o / total.abs().clamp_min(1), state


def recurrent(update: Callable[[int, Tensor], Tensor], like: Tensor) -> Result:
    """h = update(t, h), from 0."""
    hidden, outputs = torch.zeros_like(like[:, 0]), []
    for t in range(like.shape[1]):
        hidden = update(t, hidden)
        outputs.append(hidden)
    return torch.stack(outputs, 1), hidden


def apply(R: Tensor, h: Tensor) -> Tensor:
    """R h, for each head."""
    return (R @ h[..., None])[..., 0]


def rnn(u: Tensor, R: Tensor) -> Result:
    """tanh(u + R h)."""
    return recurrent(lambda t, h: (u[:, t] + apply(R, h)).tanh(), u)


def gru(
    ur: Tensor, uz: Tensor, un: Tensor, Rr: Tensor, Rz: Tensor, Rn: Tensor, b: Tensor
) -> Result:
    """The reset gate stands outside the product, as in torch."""

    def update(t: int, h: Tensor) -> Tensor:
        r, z = (ur[:, t] + apply(Rr, h)).sigmoid(), (uz[:, t] + apply(Rz, h)).sigmoid()
        return z * h + (1 - z) * (un[:, t] + r * (apply(Rn, h) + b)).tanh()

    return recurrent(update, ur)


def lstm(
    ui: Tensor, uf: Tensor, ug: Tensor, up: Tensor, Ri: Tensor, Rf: Tensor, Rg: Tensor, Rp: Tensor
) -> Result:
    """Gates i, f, g, and p for the output."""
    cell = torch.zeros_like(ui[:, 0])

    def update(t: int, h: Tensor) -> Tensor:
        nonlocal cell
        i, f, g, p = (x[:, t] + apply(R, h) for x, R in ((ui, Ri), (uf, Rf), (ug, Rg), (up, Rp)))
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        return p.sigmoid() * cell.tanh()

    return recurrent(update, ui)


def slstm(
    ix: Tensor, fx: Tensor, zx: Tensor, px: Tensor, Ri: Tensor, Rf: Tensor, Rz: Tensor, Rp: Tensor
) -> Result:
    """As the paper has it, without a maximum."""
    cell, total = torch.zeros_like(ix[:, 0]), torch.zeros_like(ix[:, 0])

    def update(t: int, h: Tensor) -> Tensor:
        nonlocal cell, total
        i, f, z, p = (x[:, t] + apply(R, h) for x, R in ((ix, Ri), (fx, Rf), (zx, Rz), (px, Rp)))
        cell = f.sigmoid() * cell + i.exp() * z.tanh()
        total = f.sigmoid() * total + i.exp()
        return p.sigmoid() * cell / total

    return recurrent(update, ix)


def paragru(ur: Tensor, uz: Tensor, uh: Tensor, ar: Tensor, az: Tensor, ah: Tensor) -> Result:
    """Each channel by itself."""

    def update(t: int, h: Tensor) -> Tensor:
        r, z = (ur[:, t] + ar * h).sigmoid(), (uz[:, t] + az * h).sigmoid()
        return h + z * ((uh[:, t] + ah * r * h).tanh() - h)

    return recurrent(update, ur)


def paralstm(
    uf: Tensor, uz: Tensor, uo: Tensor, af: Tensor, az: Tensor, ao: Tensor, pf: Tensor, po: Tensor
) -> Result:
    """Each channel by itself, the gates looking at the cell too."""
    cell = torch.zeros_like(uf[:, 0])

    def update(t: int, h: Tensor) -> Tensor:
        nonlocal cell
        f = (uf[:, t] + af * h + pf * cell).sigmoid()
        cell = f * cell + (1 - f) * (uz[:, t] + az * h).tanh()
        return (uo[:, t] + ao * h + po * cell).sigmoid() * cell.tanh()

    return recurrent(update, uf)
