"""Layers of masked attention that others wrote, in float64, with gradients.

Mistral's is run with its own masks and its own cache; Longformer's, BigBird's and Linformer's
attention with the output projection of their models.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.parity.fastest import Theirs
from tests.parity.harness import foreign, in_float64

with foreign():
    from linformer import LinformerSelfAttention
    from transformers import BigBirdConfig, DynamicCache, LongformerConfig, MistralConfig
    from transformers.masking_utils import create_sliding_window_causal_mask
    from transformers.models.big_bird.modeling_big_bird import (
        BigBirdBlockSparseAttention,
        BigBirdModel,
    )
    from transformers.models.longformer.modeling_longformer import LongformerSelfAttention
    from transformers.models.mistral.modeling_mistral import (
        MistralAttention,
        MistralRotaryEmbedding,
    )

BATCH, HEADS, SIZE = 2, 4, 6
WIDTH = HEADS * SIZE


class Projected(nn.Module):
    """Somebody's attention, and the linear layer that their model puts after it."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention
        self.dense = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The attention's first output, projected."""
        return self.dense(self.attention(x, *args, **kwargs)[0])


def randomise(module: nn.Module) -> nn.Module:
    """Draw every parameter, so that none is 0 or 1 and some are not left unset."""
    generator = torch.Generator().manual_seed(0)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.5, generator=generator)
    return module


def named(letters: dict[str, str], *ends: str) -> dict[str, str]:
    """{"q": "query"} and "weight" to {"q_linear.weight": "query.weight"}."""
    return {
        f"{ours}_linear.{end}": f"{theirs}.{end}"
        for ours, theirs in letters.items()
        for end in ends
    }


# Mistral


class Mistral:
    """One attention layer of transformers' Mistral, whole or continued from its sliding cache."""

    @in_float64
    def __init__(self, window: int, groups: int) -> None:
        self.config = MistralConfig(
            hidden_size=WIDTH,
            head_dim=SIZE,
            num_hidden_layers=1,
            num_attention_heads=HEADS,
            num_key_value_heads=groups,
            sliding_window=window,
            attn_implementation="eager",
        )
        self.attention = randomise(MistralAttention(self.config, layer_idx=0)).eval()
        self.rotary = MistralRotaryEmbedding(self.config).double()

    @in_float64
    def run(self, x: Tensor, start: int = 0, cache: DynamicCache | None = None) -> Tensor:
        """The output at positions from `start`, after what the cache holds."""
        positions = torch.arange(start, start + x.shape[1])[None]
        mask = create_sliding_window_causal_mask(
            config=self.config,
            inputs_embeds=x,
            attention_mask=None,
            past_key_values=cache,
            position_ids=positions,
        )
        return self.attention(x, self.rotary(x, positions), mask, past_key_values=cache)[0]

    def generated(self, x: Tensor, lengths: list[int]) -> Tensor:
        """The same output in parts of these lengths, each continued from the cache."""
        cache, parts, start = DynamicCache(config=self.config), [], 0
        for part in x.split(lengths, dim=1):
            parts.append(self.run(part, start, cache))
            start += part.shape[1]
        assert cache.layers[0].keys.shape[2] == self.config.sliding_window - 1
        return torch.cat(parts, dim=1)


@in_float64
def mistral(window: int = 5, groups: int = 2) -> Theirs:
    """Sliding-window attention with rope and grouped heads (transformers)."""
    theirs = Mistral(window, groups)
    letters = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "y": "o_proj"}
    return Theirs(
        spec="mistral",
        module=theirs.attention,
        run=theirs.run,
        names=named(letters, "weight"),
        sizes={"D": SIZE, "G": groups, "W": window},
        heads=HEADS,
        width=WIDTH,
        tokens=21,
    )


def mistral_alone() -> Theirs:
    """The narrowest window, the token itself."""
    return mistral(window=1)


def mistral_wide() -> Theirs:
    """A window as long as the sequence, and one group for all heads."""
    return mistral(window=21, groups=1)


# Longformer


@in_float64
def longformer(window: int = 6, tokens: int = 24) -> Theirs:
    """A window of `window` + 1 keys and marked tokens, one sequence with none (transformers)."""
    config = LongformerConfig(
        hidden_size=WIDTH,
        num_attention_heads=HEADS,
        attention_window=[window],
        attention_probs_dropout_prob=0.0,
    )
    theirs = randomise(Projected(LongformerSelfAttention(config, layer_id=0))).eval()
    marked = torch.zeros(BATCH, tokens, dtype=torch.bool)
    marked[0, [0, 1, 11, tokens - 1]] = True

    def run(x: Tensor) -> Tensor:
        return theirs(
            x,
            attention_mask=torch.zeros(marked.shape).masked_fill(marked, 10000.0),
            is_index_masked=torch.zeros_like(marked),
            is_index_global_attn=marked,
            is_global_attn=True,
        )

    letters = {"q": "query", "k": "key", "v": "value"}
    letters |= {f"{ours}g": f"{long}_global" for ours, long in letters.items()}
    letters = {ours: f"attention.{long}" for ours, long in letters.items()}
    return Theirs(
        spec="longformer",
        module=theirs,
        run=in_float64(run),
        names=named({**letters, "y": "dense"}, "weight", "bias"),
        sizes={"D": SIZE, "W": window},
        heads=HEADS,
        width=WIDTH,
        tokens=tokens,
        inputs={"mark": marked},
    )


# BigBird


class BigBird:
    """transformers' block-sparse attention in training mode, and the random blocks that it took.

    In evaluation mode it takes block 0 for every random block, and counts it each time. Its model
    takes full attention instead for short sequences; this is the attention itself.
    """

    def __init__(self, block: int, random: int) -> None:
        self.config = BigBirdConfig(
            hidden_size=WIDTH,
            num_attention_heads=HEADS,
            block_size=block,
            num_random_blocks=random,
            max_position_embeddings=4096,
            attention_probs_dropout_prob=0.0,
        )
        attention = BigBirdBlockSparseAttention(self.config, seed=5)
        self.projected = randomise(Projected(attention)).train()
        self.taken: list[np.ndarray] = []
        self._plan = attention._bigbird_block_rand_mask_with_head
        attention._bigbird_block_rand_mask_with_head = self._recorded

    def _recorded(self, **arguments: Any) -> list[np.ndarray]:
        """Their choice of blocks for each head."""
        self.taken = self._plan(**arguments)
        return self.taken

    def masks(self, batch: int, tokens: int) -> dict[str, Tensor]:
        """Their masks where nothing is padding."""
        blocked, band, rows, columns = BigBirdModel.create_masks_for_block_sparse_attn(
            torch.ones(batch, tokens), self.config.block_size
        )
        return {
            "band_mask": band,
            "from_mask": rows,
            "to_mask": columns,
            "from_blocked_mask": blocked,
            "to_blocked_mask": blocked,
        }

    @in_float64
    def run(self, x: Tensor) -> Tensor:
        """The layer's output, where nothing is padding."""
        blocked, band, rows, columns = BigBirdModel.create_masks_for_block_sparse_attn(
            torch.ones(x.shape[:2]), self.config.block_size
        )
        return self.projected(
            x,
            band_mask=band,
            from_mask=rows,
            to_mask=columns,
            from_blocked_mask=blocked,
            to_blocked_mask=blocked,
        )

    def link(self) -> Tensor:
        """The blocks that the heads took in the last run, as the spec's table [H, rows, keys]."""
        blocks = self.taken[0].shape[0] + 2  # the first and the last row are global
        table = torch.zeros(HEADS, blocks, blocks, dtype=torch.bool)
        for head, rows in enumerate(self.taken):
            for row, chosen in enumerate(rows, start=1):
                table[head, row, chosen] = True
        return table


@in_float64
def bigbird(block: int = 4, random: int = 2, blocks: int = 12) -> Theirs:
    """Block-sparse attention, each head with random blocks of its own (transformers)."""
    theirs = BigBird(block, random)
    tokens = block * blocks
    theirs.run(torch.zeros(1, tokens, WIDTH))
    letters = {"q": "attention.query", "k": "attention.key", "v": "attention.value", "y": "dense"}
    return Theirs(
        spec="bigbird",
        module=theirs.projected,
        run=theirs.run,
        names=named(letters, "weight", "bias"),
        sizes={"D": SIZE, "B": block, "R": random},
        heads=HEADS,
        width=WIDTH,
        tokens=tokens,
        tables={"link": theirs.link()},
        built_with={"length": tokens},
    )


# Linformer


def linformer(tokens: int = 20, length: int = 20) -> Theirs:
    """Landmarks that are the same for all heads (the package linformer)."""
    with foreign():
        attention = LinformerSelfAttention(WIDTH, length, k=7, heads=HEADS)
    module = randomise(attention).eval()
    with torch.no_grad():
        module.to_out.bias.zero_()  # the spec's output has none

    def ours_of(name: str, weight: Tensor) -> Tensor:
        return weight.T.expand(HEADS, -1, -1) if name in ("E", "F") else weight

    def theirs_of(name: str, weight: Tensor) -> Tensor:
        return weight.sum(0).T if name in ("E", "F") else weight

    letters = {"q": "to_q", "k": "to_k", "v": "to_v", "y": "to_out"}
    return Theirs(
        spec="linformer",
        module=module,
        run=in_float64(module),
        names={**named(letters, "weight"), "E": "proj_k", "F": "proj_v"},
        sizes={"D": SIZE, "M": 7},
        heads=HEADS,
        width=WIDTH,
        tokens=tokens,
        built_with={"length": length},
        ours_of=ours_of,
        theirs_of=theirs_of,
    )


def linformer_shorter() -> Theirs:
    """A sequence shorter than the landmarks' tables, which both cut."""
    return linformer(tokens=13)


LAYERS: tuple[Callable[[], Theirs], ...] = (
    bigbird,
    linformer,
    linformer_shorter,
    longformer,
    mistral,
    mistral_alone,
    mistral_wide,
)
