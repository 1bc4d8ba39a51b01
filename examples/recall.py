"""A rule of one's own, from its equation to associative recall: explained, verified, trained.

A sequence lists pairs of a key and a value, then asks for some of the keys (MQAR, Arora et al.
2023, arXiv:2312.04927). One layer of each mixer learns it at several learning rates; the rules
beside specs/ are in examples/recall. `python examples/recall.py` runs all, with names only those:

    python examples/recall.py forgetting deltanet --seeds 0 1
"""

import argparse
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Generator, Tensor, nn
from torch.nn import functional

import mixerc
from mixerc.verify import verify

HERE = Path(__file__).parent
RULES = {
    "forgetting": HERE / "recall" / "forgetting.mix",
    "deltanet": HERE.parent / "specs" / "deltanet.mix",
    "gated": HERE / "recall" / "gated.mix",
    "additive": HERE / "recall" / "additive.mix",
    "softmax": HERE / "recall" / "softmax.mix",
}
RATES = (4e-3, 8e-3)
WIDTH, HEADS, SIZE, LAYERS = 64, 1, 32, 1
WORDS, PAIRS, LENGTH = 128, 20, 80
STEPS, BATCH, ASKED = 1200, 32, 512
IGNORED = -100
console = Console(highlight=False)


def recall(batch: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Tokens [B, T], and the value that belongs to each key that is asked for, elsewhere -100."""
    half = WORDS // 2
    keys = torch.rand(batch, half, generator=generator).argsort(1)[:, :PAIRS]
    values = torch.randint(half, WORDS, (batch, PAIRS), generator=generator)
    asked = torch.randint(PAIRS, (batch, LENGTH - 2 * PAIRS), generator=generator)
    pairs = torch.stack((keys, values), -1).flatten(1)
    wanted = torch.full((batch, LENGTH), IGNORED)
    wanted[:, 2 * PAIRS :] = values.gather(1, asked)
    return torch.cat((pairs, keys.gather(1, asked)), 1), wanted


class Model(nn.Module):
    """Words in, logits of words out: compiled layers and small MLPs on a residual."""

    def __init__(self, layer: type[nn.Module]) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.norms = nn.ModuleList(nn.RMSNorm(WIDTH) for _ in range(2 * LAYERS + 1))
        self.mixers = nn.ModuleList(
            layer(d_model=WIDTH, heads=HEADS, K=SIZE, V=SIZE) for _ in range(LAYERS)
        )
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.SiLU(), nn.Linear(2 * WIDTH, WIDTH))
            for _ in range(LAYERS)
        )
        self.logits = nn.Linear(WIDTH, WORDS)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, T] to [B, T, WORDS]."""
        x = self.words(tokens)
        for index, (mixer, mlp) in enumerate(zip(self.mixers, self.mlps, strict=True)):
            y, _ = mixer(self.norms[2 * index](x))
            x = x + y
            x = x + mlp(self.norms[2 * index + 1](x))
        return self.logits(self.norms[-1](x))


def trained(layer: type[nn.Module], rate: float, seed: int) -> float:
    """The share of keys whose value the trained model knows, in sequences that it never saw."""
    torch.manual_seed(seed)
    generator = Generator().manual_seed(seed)
    model = Model(layer)
    optimizer = torch.optim.AdamW(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, STEPS, pct_start=0.1)
    for _ in range(STEPS):
        tokens, wanted = recall(BATCH, generator)
        logits = model(tokens).flatten(0, 1)
        loss = functional.cross_entropy(logits, wanted.flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    tokens, wanted = recall(ASKED, Generator().manual_seed(12345))
    with torch.no_grad():
        found = model(tokens).argmax(-1)
    return float((found == wanted)[wanted != IGNORED].float().mean())


def main() -> None:
    """Explains and verifies the new rule, then trains all that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rules", nargs="*", choices=[*RULES, []], help="by default all of them")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    given = parser.parse_args()
    names = given.rules or list(RULES)
    if "forgetting" in names:
        console.print(mixerc.compile(RULES["forgetting"]).explain())
        report = verify(RULES["forgetting"], quick=True)
        console.print(report.text)
        assert report.passed
    table = Table(
        "rule", "seed", *(f"{rate:g}" for rate in RATES), title="accuracy by learning rate"
    )
    for name in names:
        layer = mixerc.compile(RULES[name]).Layer
        for seed in given.seeds:
            shares = [trained(layer, rate, seed) for rate in RATES]
            table.add_row(name, str(seed), *(f"{share:.4f}" for share in shares))
            console.print(name, seed, *(f"{share:.4f}" for share in shares))
    console.print(table)


if __name__ == "__main__":
    main()
