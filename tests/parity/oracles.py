"""Mixers that others wrote, in this project's conventions, in float64.

Streams are [B, T, H, axes...], parameters [H, axes...]; decays are numbers in [0, 1], not their
logarithms; the scale is the paper's, as in the specs. A function returns the output and the final
state, or None where the implementation does not give it. Some published code is wrong in places, so
each oracle is compared with a second one or with a plain loop (loops.py) before it is believed.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.parity.harness import fla, foreign, heads_first, in_float64

with foreign():
    from gateloop_transformer.gateloop_transformer import gate_loop_operator
    from mambapy.mamba import MambaBlock, MambaConfig
    from minGRU_pytorch.minGRU import heinsen_associative_scan_log
    from mlstm_kernels.torch.recurrent.native_sequence import mlstm_recurrent_sequence__native_fw
    from performer_pytorch.performer_pytorch import softmax_kernel
    from rwkv7_hf.ops_rwkv7 import rwkv7_recurrent
    from s5.s5_model import apply_ssm, discretize_zoh
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor
    from transformers.models.gemma2 import modeling_gemma2
    from transformers.models.kimi_linear import modeling_kimi_linear
    from transformers.models.mamba import modeling_mamba
    from transformers.models.mamba2 import modeling_mamba2
    from transformers.models.qwen3_next import modeling_qwen3_next
    from transformers.models.rwkv import modeling_rwkv
    from xlstm.blocks.slstm.src.vanilla import slstm_forward, slstm_forward_pointwise_slstm
    from yet_another_retnet.retention import retention_chunkwise

Result = tuple[Tensor, Tensor | None]


# Attention


def _sdpa(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Result:
    """torch's attention with a bias or a mask over [T, T], heads repeated for their groups."""
    k, v = (x.repeat_interleave(q.shape[2] // x.shape[2], dim=2) for x in (k, v))
    o = F.scaled_dot_product_attention(*heads_first(q, k, v), attn_mask=bias)
    return o.transpose(1, 2), None


def distance(time: int) -> Tensor:
    """t - s, as [T, T]."""
    return torch.arange(time)[:, None] - torch.arange(time)


@in_float64
def attention(q: Tensor, k: Tensor, v: Tensor) -> Result:
    """Causal softmax attention (torch); grouped keys and values are repeated."""
    return _sdpa(q, k, v, distance(q.shape[1]) >= 0)


@in_float64
def attention_fla(q: Tensor, k: Tensor, v: Tensor) -> Result:
    """Causal softmax attention (fla), grouped or not."""
    return fla("attn/naive").naive_parallel_attn(q, k, v)[0], None


@in_float64
def window(q: Tensor, k: Tensor, v: Tensor, *, W: int) -> Result:
    """A window of W tokens, the token itself counted (torch)."""
    back = distance(q.shape[1])
    return _sdpa(q, k, v, (back >= 0) & (back < W))


@in_float64
def window_fla(q: Tensor, k: Tensor, v: Tensor, *, W: int) -> Result:
    """A window of W tokens, the token itself counted (fla)."""
    return fla("attn/naive").naive_parallel_attn(q, k, v, window_size=W)[0], None


@in_float64
def alibi(q: Tensor, k: Tensor, v: Tensor) -> Result:
    """A linear penalty on distance, slopes 2^(-8h/H), h from 1 (transformers, Bloom).

    Bloom's bias is slope * s, which differs from -slope * (t - s) by a constant in each row.
    """
    batch, time, heads, _ = q.shape
    bias = build_alibi_tensor(torch.ones(batch, time), heads, q.dtype).view(batch, heads, 1, time)
    return _sdpa(q, k, v, bias.masked_fill(distance(time) < 0, -math.inf))


@in_float64
def softcap(q: Tensor, k: Tensor, v: Tensor, *, cap: float) -> Result:
    """Scores bent by cap * tanh(score / cap), in groups (transformers, Gemma 2)."""
    mask = torch.zeros(()).masked_fill(distance(q.shape[1]) < 0, -math.inf)
    module = torch.nn.Module().eval()
    module.num_key_value_groups = q.shape[2] // k.shape[2]
    o, _ = modeling_gemma2.eager_attention_forward(
        module, *heads_first(q, k, v), mask, scaling=q.shape[-1] ** -0.5, softcap=cap
    )
    return o, None


@in_float64
def pattern(q: Tensor, k: Tensor, v: Tensor, *, sees: Callable[[Tensor, Tensor], Tensor]) -> Result:
    """Softmax attention where `sees(t, s)` (torch)."""
    t = torch.arange(q.shape[1])
    return _sdpa(q, k, v, sees(t[:, None], t))


@in_float64
def prefix_lm(q: Tensor, k: Tensor, v: Tensor, prefix: Tensor) -> Result:
    """Causal, but everybody sees the tokens of the prefix (torch)."""
    return _sdpa(q, k, v, (distance(q.shape[1]) >= 0) | prefix[:, None, None, :])


@in_float64
def forgetting_attention(q: Tensor, k: Tensor, v: Tensor, f: Tensor) -> Result:
    """Softmax attention with a decay f in (0, 1] on the weights (fla)."""
    return fla("forgetting_attn/naive").naive_forgetting_attn(q, k, v, f.log()), None


# Linear attention


def _ratio(q: Tensor, k: Tensor, v: Tensor, eps: float) -> Result:
    """sum (q.k) v over sum (q.k) + eps: fla's sum, its normaliser as one more column of v."""
    naive = fla("linear_attn/naive").naive_recurrent_linear_attn
    ones = torch.ones_like(v[..., :1])
    o, state = naive(q, k, torch.cat([v, ones], dim=-1), scale=1.0, output_final_state=True)
    return o[..., :-1] / (o[..., -1:] + eps), state[..., :-1]


@in_float64
def linear_attention(q: Tensor, k: Tensor, v: Tensor, *, eps: float = 1e-6) -> Result:
    """elu + 1 on both sides, no scale (fla)."""
    return _ratio(F.elu(q) + 1, F.elu(k) + 1, v, eps)


@in_float64
def performer(q: Tensor, k: Tensor, v: Tensor, W: Tensor) -> Result:
    """exp(Wz - |z|^2 / 2), z = x / K^(1/4) (performer_pytorch's map without its eps, fla's sum).

    The map's running maxima cancel in the ratio. The package's own causal mode is not causal.
    """

    def phi(x: Tensor, *, query: bool) -> Tensor:
        parts = zip(x.transpose(1, 2).split(1, dim=1), W, strict=True)
        mapped = [
            softmax_kernel(part, projection_matrix=matrix, is_query=query, eps=0.0)
            for part, matrix in parts
        ]
        return torch.cat(mapped, dim=1).transpose(1, 2)

    return _ratio(phi(q, query=True), phi(k, query=False), v, 0.0)[0], None


@in_float64
def based(q: Tensor, k: Tensor, v: Tensor) -> Result:
    """1 + s + s^2 / 2, s = q.k / sqrt(K), over its sum (fla's sum, its normaliser as a column)."""
    v = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)
    o = fla("based/naive").naive_parallel_based(*heads_first(q, k, v), use_norm=False)
    o = o.transpose(1, 2)
    return o[..., :-1] / o[..., -1:], None


@in_float64
def retnet(q: Tensor, k: Tensor, v: Tensor) -> Result:
    """gamma = 1 - 2^(-5-h), h from 0, as the code has it (fla)."""
    return fla("retention/naive").naive_retention(*heads_first(q, k, v)).transpose(1, 2), None


@in_float64
def retnet_paper(q: Tensor, k: Tensor, v: Tensor) -> Result:
    """gamma from 1 - 1/32 to 1 - 1/512 (yet_another_retnet): the same for five heads alone."""
    o, state = retention_chunkwise(*heads_first(q, k, v), prev_state=None)
    return o.transpose(1, 2), state * q.shape[-1] ** 0.5


def lightning_decay(heads: int) -> Tensor:
    """The logarithm of the decay in the first layer: minus ALiBi's slopes, times 1 + 1e-5."""
    return -(2 ** (-8 * torch.arange(1.0, heads + 1) / heads)) * (1 + 1e-5)


@in_float64
def lightning(q: Tensor, k: Tensor, v: Tensor) -> Result:
    """A constant decay a head, no scale (fla, token by token)."""
    g = lightning_decay(q.shape[2]).expand(q.shape[:3])
    return fla("simple_gla/naive").naive_recurrent_simple_gla(q, k, v, g, scale=1.0)


@in_float64
def lightning_chunked(q: Tensor, k: Tensor, v: Tensor) -> Result:
    """The same (fla, chunked)."""
    g = lightning_decay(q.shape[2]).expand(q.shape[:3])
    run = fla("simple_gla/naive").naive_chunk_simple_gla
    return run(q, k, v, g, scale=1.0, output_final_state=True, chunk_size=8)


@in_float64
def gla(q: Tensor, k: Tensor, v: Tensor, a: Tensor) -> Result:
    """A decay along K (fla)."""
    return fla("gla/naive").naive_recurrent_gla(q, k, v, a.log(), output_final_state=True)


@in_float64
def hgrn2(q: Tensor, k: Tensor, v: Tensor, a: Tensor) -> Result:
    """A decay along K, no scale (fla)."""
    return gla(q * q.shape[-1] ** 0.5, k, v, a)


@in_float64
def gsa(q: Tensor, k: Tensor, v: Tensor, a: Tensor) -> Result:
    """Two passes over M slots written with 1 - a, a softmax between, no scale (fla)."""
    run = fla("gsa/naive").naive_recurrent_gsa
    o, (_, state) = run(q, k, v, 1 - a, a.log(), scale=1.0, output_final_state=True)
    return o, state


@in_float64
def gateloop(q: Tensor, k: Tensor, v: Tensor, a: Tensor) -> Result:
    """A complex decay along K, no scale, the real part read (gateloop_transformer)."""
    batch, time, heads, _ = q.shape
    q, k, v, a = (x.transpose(1, 2).flatten(0, 1) for x in (q, k, v, a))
    o = gate_loop_operator(q, k, v, a[..., None])
    return o.view(batch, heads, time, -1).transpose(1, 2), None


# The delta rule


@in_float64
def deltanet(q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> Result:
    """The delta rule (fla)."""
    o, state = fla("delta_rule/naive").delta_rule_recurrence(*heads_first(q, k, v, beta))
    return o.transpose(1, 2), state


@in_float64
def gated_deltanet(q: Tensor, k: Tensor, v: Tensor, a: Tensor, beta: Tensor) -> Result:
    """The delta rule on the decayed state, keys and queries grouped (transformers, by tokens)."""
    run = modeling_qwen3_next.torch_recurrent_gated_delta_rule
    return run(q, k, v, a.log(), beta, output_final_state=True)


@in_float64
def gated_deltanet_chunked(q: Tensor, k: Tensor, v: Tensor, a: Tensor, beta: Tensor) -> Result:
    """The same (transformers, chunked): not for decays of exactly 0."""
    run = modeling_qwen3_next.torch_chunk_gated_delta_rule
    return run(q, k, v, a.log(), beta, output_final_state=True, chunk_size=8)


@in_float64
def gated_deltanet_fla(q: Tensor, k: Tensor, v: Tensor, a: Tensor, beta: Tensor) -> Result:
    """The same, without groups (fla)."""
    q, k = (x.repeat_interleave(v.shape[2] // x.shape[2], dim=2) for x in (q, k))
    run = fla("gated_delta_rule/naive").naive_recurrent_gated_delta_rule
    return run(q, k, v, beta, a.log(), output_final_state=True)


@in_float64
def kda(q: Tensor, k: Tensor, v: Tensor, a: Tensor, beta: Tensor) -> Result:
    """A decay along K, then the delta rule (fla)."""
    return fla("kda/naive").naive_recurrent_kda(q, k, v, a.log(), beta, output_final_state=True)


@in_float64
def kda_transformers(q: Tensor, k: Tensor, v: Tensor, a: Tensor, beta: Tensor) -> Result:
    """The same (transformers)."""
    run = modeling_kimi_linear.recurrent_kimi_delta_attention
    return run(q, k, v, a.log(), beta, initial_state=None, output_final_state=True)


@in_float64
def deltaproduct(q: Tensor, k: Tensor, v: Tensor, a: Tensor, beta: Tensor) -> Result:
    """J delta steps a token: k is [.., J, K], v [.., J, V], beta [.., J] (fla)."""
    steps = k.shape[3]
    flat = [x.transpose(2, 3).flatten(1, 2) for x in (k, v, beta)]
    run = fla("gated_delta_product/naive").naive_recurrent_gated_delta_product
    scale = q.shape[-1] ** -0.5
    return run(q, flat[0], flat[1], a.log(), flat[2], scale, num_householder=steps)


# RWKV


@in_float64
def rwkv4(k: Tensor, v: Tensor, w: Tensor, u: Tensor) -> Result:
    """wkv with decay w and bonus u, both [H, E] with H = 1 (transformers)."""
    run = modeling_rwkv.rwkv_linear_attention_cpu
    o, _ = run((-w[0].log()).log(), u[0], k[:, :, 0], v[:, :, 0])
    return o[:, :, None], None


@in_float64
def rwkv5(r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor) -> Result:
    """RWKV-6's recurrence with a constant decay (fla)."""
    return rwkv6(r, k, v, w.expand_as(k), u)


@in_float64
def rwkv6(r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor) -> Result:
    """A decay w along K, read before decay and write, bonus u, no scale (fla)."""
    run = fla("rwkv6/recurrent_naive").naive_recurrent_rwkv6
    o, state = run(*heads_first(r, k, v, w.log()), u, scale=1.0, output_final_state=True)
    return o.transpose(1, 2), state


@in_float64
def rwkv7(r: Tensor, w: Tensor, a: Tensor, e: Tensor, k: Tensor, v: Tensor) -> Result:
    """S = w S - a e (e' S) + k v', no scale (rwkv7_hf)."""
    batch, _, heads, key = r.shape
    start = torch.zeros(batch, heads, key, v.shape[-1])
    return rwkv7_recurrent(r, w, k, v, -e, a * e, start)


@in_float64
def rwkv7_fla(r: Tensor, w: Tensor, a: Tensor, e: Tensor, k: Tensor, v: Tensor) -> Result:
    """The same as a diagonal plus low rank transition (fla)."""
    run = fla("generalized_delta_rule/dplr/naive").dplr_recurrence
    r = r * r.shape[-1] ** 0.5
    o, state = run(*heads_first(r, k, v, -e, a * e, w.log()))
    return o.transpose(1, 2), state


# Elementwise recurrences and state spaces


@in_float64
def hgrn(a: Tensor, u: Tensor) -> Result:
    """h = a h + u, along E (fla)."""
    run, (batch, time, *axes) = fla("hgrn/naive").naive_recurrent_hgrn, u.shape
    o, state = run(u.flatten(2), a.log().flatten(2), output_final_state=True)
    return o.view(batch, time, *axes), state.view(batch, *axes)


@in_float64
def rglru(a: Tensor, i: Tensor, u: Tensor) -> Result:
    """h = a h + sqrt(1 - a^2) i u (fla's scan)."""
    return hgrn(a, (1 - a * a).sqrt() * i * u)


@in_float64
def mingru(z: Tensor, u: Tensor) -> Result:
    """h = (1 - z) h + z u, for positive u (minGRU_pytorch's log scan)."""
    scan = heinsen_associative_scan_log
    return scan((1 - z[:, :, 0]).log(), (z * u)[:, :, 0].log())[:, :, None], None


@in_float64
def minlstm(f: Tensor, i: Tensor, u: Tensor) -> Result:
    """The same, with the shares of f and i (minGRU_pytorch's log scan)."""
    return mingru(i / (f + i), u)


@in_float64
def mamba(u: Tensor, dt: Tensor, B: Tensor, C: Tensor, A_log: Tensor, D: Tensor) -> Result:
    """A selective scan over E channels with a state of N each, H = 1 (mambapy)."""
    block = MambaBlock(MambaConfig(u.shape[-1], 1, d_state=B.shape[-1], expand_factor=1))
    streams = (x[:, :, 0] for x in (u, dt))
    o = block.selective_scan_seq(*streams, -A_log[0].exp(), B[:, :, 0], C[:, :, 0], D[0])
    return o[:, :, None], None


@in_float64
def mamba_transformers(
    u: Tensor, dt: Tensor, B: Tensor, C: Tensor, A_log: Tensor, D: Tensor
) -> Result:
    """The same (transformers)."""
    u, dt, B, C = (x[:, :, 0].transpose(1, 2) for x in (u, dt, B, C))
    run = modeling_mamba.mamba_selective_scan
    o, state = run(u, dt, -A_log[0].exp(), B, C, D[0], return_last_state=True)
    return o.transpose(1, 2)[:, :, None], state[:, None]


@in_float64
def mamba2(C: Tensor, B: Tensor, dt: Tensor, u: Tensor, a: Tensor) -> Result:
    """a = exp(-(h + 1) dt); B and C in groups, the state S[N, P] (transformers)."""
    del a
    decay = -torch.arange(1.0, u.shape[2] + 1)
    o, state = modeling_mamba2.mamba2_chunk_scan(
        u, dt, decay, B, C, chunk_size=8, return_final_states=True
    )
    return o, state.transpose(-1, -2)


@in_float64
def mamba2_fla(C: Tensor, B: Tensor, dt: Tensor, u: Tensor, a: Tensor) -> Result:
    """The same as a linear attention (fla)."""
    C, B = (x.repeat_interleave(u.shape[2] // x.shape[2], dim=2) for x in (C, B))
    run = fla("simple_gla/naive").naive_recurrent_simple_gla
    return run(C, B, dt[..., None] * u, a.log(), scale=1.0)


def _diagonal(a: Tensor, write: Tensor, u: Tensor) -> Result:
    """h = a h + write u, complex, read whole; a and write are [1, N] (s5's scan)."""
    size, outputs, states = a.shape[-1], [], []
    for sequence in u[:, :, 0]:
        parts = []
        for read in (torch.eye(size) + 0j, -1j * torch.eye(size)):
            o, last = apply_ssm(a[0], torch.diag(write[0]), read, torch.zeros(size), sequence)
            parts.append(o.real)
        outputs.append(torch.complex(*parts))
        states.append(last)
    return torch.stack(outputs)[:, :, None], torch.stack(states)[:, None]


@in_float64
def s5(a: Tensor, A: Tensor, re: Tensor, im: Tensor) -> Result:
    """h = a h + (a - 1) / A (re + i im) (s5's discretisation and scan)."""
    _, write = discretize_zoh(A[0], torch.ones_like(A[0])[:, None], a[0].log() / A[0])
    return _diagonal(a, write.T, torch.complex(re, im))


@in_float64
def lru(a: Tensor, gamma: Tensor, re: Tensor, im: Tensor) -> Result:
    """h = a h + exp(gamma) (re + i im) (s5's scan)."""
    return _diagonal(a, gamma.exp() + 0j, torch.complex(re, im))


@in_float64
def mlstm(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> Result:
    """exp(i) is the input gate, f in (0, 1) the forget gate (mlstm_kernels)."""
    o, _ = mlstm_recurrent_sequence__native_fw(
        *heads_first(q, k, v, i, f.logit()), return_last_states=True, eps=0.0
    )
    return o.transpose(1, 2), None


def _torch_rnn(
    kind: type[torch.nn.RNNBase],
    gates: list[Tensor],
    weights: list[Tensor],
    bias: Tensor | None = None,
) -> Result:
    """One of torch's recurrent layers, on projected inputs; H = 1; `bias` is the last gate's."""
    size = gates[0].shape[-1]
    cell = kind(len(gates) * size, size, batch_first=True)
    with torch.no_grad():
        cell.weight_ih_l0.copy_(torch.eye(len(gates) * size))
        cell.weight_hh_l0.copy_(torch.cat(weights, dim=-2)[0])
        cell.bias_ih_l0.zero_()
        cell.bias_hh_l0.zero_()
        cell.bias_hh_l0[-size:] += 0 if bias is None else bias[0]
    o, state = cell(torch.cat(gates, dim=-1)[:, :, 0])
    hidden = state[0] if isinstance(state, tuple) else state
    return o[:, :, None].detach(), hidden.transpose(0, 1).detach()


@in_float64
def rnn(u: Tensor, R: Tensor) -> Result:
    """h = tanh(u + R h) (torch)."""
    return _torch_rnn(torch.nn.RNN, [u], [R])


@in_float64
def gru(
    ur: Tensor, uz: Tensor, un: Tensor, Rr: Tensor, Rz: Tensor, Rn: Tensor, b: Tensor
) -> Result:
    """The gated recurrent unit, b the new value's inner bias (torch)."""
    return _torch_rnn(torch.nn.GRU, [ur, uz, un], [Rr, Rz, Rn], b)


@in_float64
def lstm(
    ui: Tensor, uf: Tensor, ug: Tensor, up: Tensor, Ri: Tensor, Rf: Tensor, Rg: Tensor, Rp: Tensor
) -> Result:
    """The long short-term memory; the state returned is h (torch)."""
    return _torch_rnn(torch.nn.LSTM, [ui, uf, ug, up], [Ri, Rf, Rg, Rp])


@in_float64
def slstm(
    ix: Tensor, fx: Tensor, zx: Tensor, px: Tensor, Ri: Tensor, Rf: Tensor, Rz: Tensor, Rp: Tensor
) -> Result:
    """Exponential input gates; the state returned is h (xlstm)."""
    batch, _, heads, size = ix.shape
    gates = torch.stack([ix, fx, zx, px], dim=2).flatten(2).transpose(0, 1)
    weights, bias = torch.cat([Ri, Rf, Rz, Rp], dim=-2), torch.zeros(4 * heads * size)
    first = torch.zeros(4, batch, heads * size)
    states, last, _ = slstm_forward(gates, first, weights, bias, slstm_forward_pointwise_slstm)
    o = states[0, 1:].transpose(0, 1).unflatten(-1, (heads, size))
    return o, last[0].unflatten(-1, (heads, size))


@in_float64
def paragru(ur: Tensor, uz: Tensor, uh: Tensor, ar: Tensor, az: Tensor, ah: Tensor) -> Result:
    """A GRU with diagonal weights, whose update gate says what is taken (torch)."""
    weights = [torch.diag_embed(a) for a in (ar, -az, ah)]
    return _torch_rnn(torch.nn.GRU, [ur, -uz, uh], weights)


@in_float64
def paralstm(
    uf: Tensor, uz: Tensor, uo: Tensor, af: Tensor, az: Tensor, ao: Tensor, pf: Tensor, po: Tensor
) -> Result:
    """An LSTM with diagonal weights, whose input gate is what the other forgets (torch)."""
    assert not pf.any()
    assert not po.any()
    weights = [torch.diag_embed(a) for a in (-af, af, az, ao)]
    return _torch_rnn(torch.nn.LSTM, [-uf, uf, uz, uo], weights)
