"""`bench`: what is asked for, with the defaults of the device it runs on."""

from dataclasses import dataclass
from pathlib import Path

import torch

from mixerc.bench.device import chosen, device_of
from mixerc.bench.gpu import on_gpu
from mixerc.bench.host import on_host
from mixerc.bench.inputs import Setting
from mixerc.bench.report import BenchReport, Progress
from mixerc.bench.subject import subject_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What is timed where nothing else is asked for; `filled` tokens in a call, all rows together.

    On a GPU every row is the same work for a linear mixer, and enough to fill the device.
    """

    lengths: tuple[int, ...]
    filled: int
    heads: int
    repeats: int


USUAL = {
    "cpu": Usual(lengths=(4096,), filled=1, heads=4, repeats=9),
    "cuda": Usual(lengths=tuple(1024 * 2**i for i in range(7)), filled=2**16, heads=16, repeats=20),
}


def bench(
    spec: str | Path,
    *,
    tokens: int | None = None,
    heads: int | None = None,
    size: int = 64,
    batch: int | None = None,
    repeats: int | None = None,
    device: str = "auto",
    dtype: str | None = None,
    progress: Progress | None = None,
) -> BenchReport:
    """Times the spec's core; raises ValueError where it has no fast form to time.

    `device` is "cpu", "cuda" (AMD's GPUs too), or "auto": a GPU where there is one. `dtype` is
    "bfloat16", "float16" or "float32". Every axis of the core has the length `size`; `tokens` is
    the one length of a GPU's tables, and the shortest of a CPU's. What is not given is `USUAL`.
    """
    place = device_of(*chosen(device, dtype))
    usual = USUAL[place.name]
    torch.manual_seed(0)
    settings = tuple(
        Setting(
            batch=batch or max(usual.filled // length, 1),
            tokens=length,
            heads=heads or usual.heads,
            size=size,
            repeats=repeats or usual.repeats,
            dtype=place.dtype,
            device=place.name,
        )
        for length in ((tokens,) if tokens else usual.lengths)
    )
    told = progress or (lambda text: None)
    on_cpu = place.name == "cpu"
    subject = subject_of(spec, target=place.target, logarithms=not on_cpu)
    if on_cpu:
        return on_host(subject, settings[0], place, told)
    return on_gpu(subject, settings, place, told)
