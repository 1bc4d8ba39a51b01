"""What masked attention is timed against on a CPU: torch's own attention and FlexAttention.

An `Attention` makes, for a setting, a function of queries, keys and values [B, H, T, D]; what it
needs beside them (a mask of all pairs, a mask of blocks, code) is made once, beforehand. By the
name of a spec stands which of them it is compared with, and at which sizes. FlexAttention has no
backward on a CPU.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from mixerc.bench.inputs import Setting
from mixerc.bench.opponents import attention

Rows: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
Made: TypeAlias = Callable[[Setting, Mapping[str, float]], Rows]
"""From the setting and the spec's sizes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """One of the others; `same` says that it computes what the spec does, so outputs agree."""

    name: str
    made: Made
    same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a spec is timed against, forward and with backward; `sizes` of the spec beside its axes.

    `grows` asks for longer sequences too, up to 64k tokens: not for what takes all pairs of them.
    """

    forward: tuple[Attention, ...]
    both: tuple[Attention, ...]
    sizes: Mapping[str, int] = field(default_factory=dict)
    grows: bool = False

    @property
    def others(self) -> tuple[Attention, ...]:
        """Each of the others once."""
        return tuple({one.name: one for one in (*self.forward, *self.both)}.values())


def _causal(setting: Setting, sizes: Mapping[str, float]) -> Rows:
    return attention


def _full(setting: Setting, sizes: Mapping[str, float]) -> Rows:
    return functional.scaled_dot_product_attention


def _window(setting: Setting, sizes: Mapping[str, float]) -> Rows:
    """A mask of all pairs of tokens, True within the window."""
    places, width = torch.arange(setting.tokens, device=setting.device), int(sizes["W"])
    back = places[:, None] - places
    mask = (back >= 0) & (back < width)

    def masked(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)

    return masked


def _flex_window(setting: Setting, sizes: Mapping[str, float]) -> Rows:
    """Compiled code that passes over the blocks outside the window."""
    width, tokens = int(sizes["W"]), setting.tokens

    def sees(batch: Tensor, head: Tensor, t: Tensor, s: Tensor) -> Tensor:
        return (t >= s) & (t - s < width)

    blocks = create_block_mask(sees, None, None, tokens, tokens, device=setting.device)
    compiled = torch.compile(flex_attention, dynamic=False)

    def flex(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output: Tensor = compiled(query, key, value, block_mask=blocks)
        return output

    return flex


CAUSAL = Attention(name="causal attention", made=_causal, same=False)
COMPARISONS: dict[str, Comparison] = {
    "attention": Comparison(
        forward=(Attention(name="causal attention", made=_causal, same=True),), both=(CAUSAL,)
    ),
    "mistral": Comparison(
        sizes={"W": 256},
        forward=(CAUSAL, Attention(name="FlexAttention", made=_flex_window, same=True)),
        both=(Attention(name="attention, mask", made=_window, same=True),),
        grows=True,
    ),
    "bigbird": Comparison(
        forward=(Attention(name="full attention", made=_full, same=False),), both=(), grows=True
    ),
}
"""By the name of the spec; `compared` has what all others are timed against."""


def compared(name: str) -> Comparison:
    """What a spec of this name is timed against: causal attention, where nothing else is said."""
    return COMPARISONS.get(name, Comparison(forward=(CAUSAL,), both=(CAUSAL,)))
