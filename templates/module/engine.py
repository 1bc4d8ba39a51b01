"""Softmax attention by PyTorch's own engine, for the mixers that are that and nothing else."""

import torch
from torch.nn import functional


def engine_takes(mode, state, cu_seqlens, *streams):
    """Whether the call is one that the engine has: whole sequences from their start, one dtype."""
    if mode != "parallel" or state is not None or cu_seqlens is not None:
        return False
    return len({x.dtype for x in streams}) == 1 and streams[0].numel() > 0


def by_engine(q, k, v, *, scale, causal):
    """Output [B, T, H, V], and the state after the last token."""
    turned = [x.transpose(1, 2) for x in (q, k, v)]
    o = functional.scaled_dot_product_attention(
        *turned, is_causal=causal, scale=scale, enable_gqa=q.shape[2] != k.shape[2]
    )
    if not CACHED:
        return o.transpose(1, 2), State()
    seen = torch.full((q.shape[0],), q.shape[1], dtype=torch.int64, device=q.device)
    named = {KEY: turned[1], VALUE: turned[2], "seen": seen}
    return o.transpose(1, 2), State((name, named[name]) for name in (*CACHED, "seen"))
