"""Masks and scores of the specs as FlexAttention takes them, written from their papers.

A `Scheme` makes of the core's inputs what torch.nn.attention.flex_attention wants: who sees whom,
`sees(b, h, t, s)`, and what becomes of a score, `bent(score, b, h, t, s)`. `plain` is the same
softmax over a whole matrix of scores, for gradients: FlexAttention has none on a CPU.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from tests.parity.harness import heads_first

Sees: TypeAlias = Callable[[Any, Any, Any, Any], Tensor]
Bent: TypeAlias = Callable[[Any, Any, Any, Any, Any], Tensor]


def unbent(score: Tensor, b: Any, h: Any, t: Any, s: Any) -> Tensor:
    """The score as it is."""
    return score


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A spec with its sizes; `others` draws the inputs beside q, k and v for so many tokens."""

    spec: str
    sees: Callable[[Mapping[str, Tensor], int], Sees]
    bent: Callable[[int], Bent] = lambda heads: unbent
    sizes: Mapping[str, int] = field(default_factory=dict)
    groups: int | None = None
    others: Callable[[int, torch.Generator], dict[str, Tensor]] = lambda tokens, generator: {}


BATCH, HEADS, SIZE = 2, 4, 8


def draw(scheme: Scheme, tokens: int) -> dict[str, Tensor]:
    """The core's inputs, streams [B, T, H, D] in float64."""
    generator = torch.Generator().manual_seed(7)
    groups = scheme.groups or HEADS
    rows = {
        name: torch.randn(BATCH, tokens, copies, SIZE, generator=generator, dtype=torch.float64)
        for name, copies in (("q", HEADS), ("k", groups), ("v", groups))
    }
    return {**rows, **scheme.others(tokens, generator)}


def flex(scheme: Scheme, inputs: Mapping[str, Tensor]) -> Tensor:
    """FlexAttention, [B, T, H, D]."""
    q, k, v = heads_first(*(inputs[name] for name in "qkv"))
    tokens = q.shape[2]
    sees, bent = scheme.sees(inputs, tokens), scheme.bent(HEADS)
    mask = create_block_mask(sees, BATCH, HEADS, tokens, tokens, device="cpu", BLOCK_SIZE=16)
    o = flex_attention(
        q, k, v, score_mod=bent, block_mask=mask, enable_gqa=scheme.groups is not None
    )
    return o.transpose(1, 2)


def plain(scheme: Scheme, inputs: Mapping[str, Tensor]) -> Tensor:
    """A softmax over the whole matrix of scores, [B, T, H, D]."""
    q, k, v = heads_first(*(inputs[name] for name in "qkv"))
    k, v = (x.repeat_interleave(HEADS // x.shape[1], dim=1) for x in (k, v))
    tokens = q.shape[2]
    counts = (BATCH, HEADS, tokens, tokens)
    places = [
        torch.arange(count).view([-1 if i == axis else 1 for i in range(4)])
        for axis, count in enumerate(counts)
    ]
    scores = scheme.bent(HEADS)(q @ k.transpose(2, 3) / math.sqrt(SIZE), *places)
    weights = scores.exp() * scheme.sees(inputs, tokens)(*places)
    return (weights @ v / weights.sum(-1, keepdim=True)).transpose(1, 2)


# The schemes


def windowed(width: int) -> Scheme:
    """Mistral: the token itself and the `width` - 1 before it."""
    return Scheme(
        spec="mistral",
        sizes={"W": width, "G": 2},
        groups=2,
        sees=lambda inputs, T: lambda b, h, t, s: (s <= t) & (s > t - width),
    )


def causal(inputs: Mapping[str, Tensor], tokens: int) -> Sees:
    """No token sees a later one."""
    return lambda b, h, t, s: s <= t


def gentle(heads: int) -> Bent:
    """ALiBi: a ratio of 2^(-8/n) from head to head, the first head's slope as large."""
    slopes = torch.tensor([(2.0 ** (-8.0 / heads)) ** (i + 1) for i in range(heads)]).double()
    return lambda score, b, h, t, s: score + slopes[h] * (s - t)


def capped(cap: float) -> Scheme:
    """Gemma 2's soft cap."""
    return Scheme(
        spec="softcap",
        sizes={"cap": cap, "G": 1},
        groups=1,
        sees=causal,
        bent=lambda heads: lambda score, b, h, t, s: torch.tanh(score / cap) * cap,
    )


def _documents(tokens: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Runs of a number each; the second sequence comes back to numbers that it had before."""
    ends = torch.randint(0, tokens, (BATCH, 4), generator=generator)
    runs = (torch.arange(tokens)[:, None] > ends[:, None]).sum(-1)
    return {"doc": torch.stack([runs[0], runs[1] % 2])}


def _same_document(inputs: Mapping[str, Tensor], tokens: int) -> Sees:
    doc = inputs["doc"]
    return lambda b, h, t, s: (s <= t) & (doc[b, t] == doc[b, s])


def _prefix(tokens: int, generator: torch.Generator) -> dict[str, Tensor]:
    """A prefix of the first sequence; in the second one marked tokens anywhere."""
    marked = torch.rand(tokens, generator=generator) < 0.2
    return {"prefix": torch.stack([torch.arange(tokens) < tokens // 3, marked])}


def _prefix_or_before(inputs: Mapping[str, Tensor], tokens: int) -> Sees:
    prefix = inputs["prefix"]
    return lambda b, h, t, s: (s <= t) | prefix[b, s]


def sinks(width: int, first: int) -> Scheme:
    """A window, and the first tokens."""
    return Scheme(
        spec="streaming",
        sizes={"W": width, "sinks": first},
        sees=lambda inputs, T: lambda b, h, t, s: (s <= t) & ((s > t - width) | (s < first)),
    )


def fixed(length: int, last: int) -> Scheme:
    """The token's own block, and the last tokens of the blocks before."""
    return Scheme(
        spec="fixed",
        sizes={"L": length, "C": last},
        sees=lambda inputs, T: (
            lambda b, h, t, s: (s <= t) & ((t - t % length <= s) | (s % length + last >= length))
        ),
    )


def dilated(width: int, apart: int) -> Scheme:
    """`width` tokens, `apart` from one another."""
    return Scheme(
        spec="dilated",
        sizes={"W": width, "R": apart},
        sees=lambda inputs, T: (
            lambda b, h, t, s: (s <= t) & (t - s < width * apart) & (s % apart == t % apart)
        ),
    )


def tabled(block: int) -> Scheme:
    """A table of blocks, some rows of it empty but for the block itself."""

    def others(tokens: int, generator: torch.Generator) -> dict[str, Tensor]:
        count = -(-tokens // block)
        layout = torch.rand(count, count, generator=generator) < 0.3
        layout[count // 2] = False
        return {"layout": layout}

    def sees(inputs: Mapping[str, Tensor], tokens: int) -> Sees:
        layout = inputs["layout"]
        return lambda b, h, t, s: (
            (s <= t) & (layout[t // block, s // block] | (t // block == s // block))
        )

    return Scheme(spec="block_sparse", sizes={"B": block}, sees=sees, others=others)


def bigbird(block: int, chosen: int) -> Scheme:
    """Neighbours, the first `block` tokens and the last, and a table of each head."""

    def others(tokens: int, generator: torch.Generator) -> dict[str, Tensor]:
        count = -(-tokens // block)
        order = torch.rand(HEADS, count, count, generator=generator).argsort(-1)
        return {"link": order < chosen}

    def sees(inputs: Mapping[str, Tensor], tokens: int) -> Sees:
        link = inputs["link"]

        def seen(b: Any, h: Any, t: Any, s: Any) -> Tensor:
            rows, keys = t // block, s // block
            near = (rows - keys <= 1) & (keys - rows <= 1)
            ends = (t < block) | (s < block) | (t + block >= tokens) | (s + block >= tokens)
            return near | ends | link[h, rows, keys]

        return seen

    return Scheme(spec="bigbird", sizes={"B": block, "R": chosen}, sees=sees, others=others)


PLAIN = (
    Scheme(spec="alibi", sees=causal, bent=gentle),
    Scheme(spec="attention", sees=causal),
    Scheme(spec="documents", sizes={"G": 2}, groups=2, sees=_same_document, others=_documents),
    Scheme(spec="gqa", sizes={"G": 1}, groups=1, sees=causal),
    Scheme(spec="prefix_lm", sees=_prefix_or_before, others=_prefix),
)
SMALL = (
    *(bigbird(4, 1), capped(2.0), dilated(4, 3), fixed(6, 2), sinks(5, 2)),
    *(tabled(4), windowed(5)),
)
LARGE = (
    *(bigbird(32, 2), capped(2.0), dilated(50, 3), fixed(40, 8), sinks(70, 4)),
    *(tabled(32), windowed(100)),
)
CASES = (
    *((scheme, 21) for scheme in (*PLAIN, *SMALL)),
    *((scheme, 300) for scheme in (*PLAIN, *LARGE)),
)
