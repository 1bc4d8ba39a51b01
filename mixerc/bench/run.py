"""`bench`: what is asked for, with the defaults of the device it runs on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mixerc.algebra.classify import classify
from mixerc.bench.device import Device, chosen, device_of
from mixerc.bench.gpu import on_gpu
from mixerc.bench.host import on_host
from mixerc.bench.inputs import Setting
from mixerc.bench.masked import PAIRED, is_masked, masked_subject, on_host_masked
from mixerc.bench.recurrent import on_host_recurrent, recurrent_subject
from mixerc.bench.report import BenchReport, Progress
from mixerc.bench.subject import subject_of
from mixerc.compiler import front, read_source
from mixerc.ir.mixer import Mixer, Stack


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
    """Times the spec's core; raises ValueError for a class that is not timed.

    Masked attention without one is not refused: what it is compared with is timed. `device` is
    "cpu", "cuda" (AMD's GPUs too), or "auto": a GPU where there is one. `dtype` is "bfloat16",
    "float16" or "float32". Every axis of the core has the length `size`; `tokens` is the one length
    of a GPU's tables, and the shortest of a CPU's. What is not given is `USUAL`.
    """
    place = device_of(*chosen(device, dtype))
    usual, mixer = USUAL[place.name], front(read_source(spec))
    torch.manual_seed(0)
    lengths = (PAIRED,) if is_masked(mixer) else usual.lengths
    settings = [
        Setting(
            batch=batch or max(usual.filled // length, 1),
            tokens=length,
            heads=heads or usual.heads,
            size=size,
            repeats=repeats or usual.repeats,
            dtype=place.dtype,
            device=place.name,
        )
        for length in ((tokens,) if tokens else lengths)
    ]
    return _measured(spec, mixer, settings, place, progress or (lambda text: None))


def _measured(
    spec: str | Path,
    mixer: Mixer | Stack,
    settings: Sequence[Setting],
    place: Device,
    told: Progress,
) -> BenchReport:
    on_cpu = place.name == "cpu"
    if is_masked(mixer):
        if not on_cpu:
            raise ValueError(f"{mixer.name} can be timed on a CPU only yet: --device cpu")
        masked = masked_subject(spec, mixer, settings[0])
        return on_host_masked(masked, settings[0], place, told)
    if isinstance(mixer, Mixer) and classify(mixer).recurrence is not None:
        if not on_cpu:
            raise ValueError(f"{mixer.name} can be timed on a CPU only yet: --device cpu")
        recurrent = recurrent_subject(spec, mixer, settings[0])
        return on_host_recurrent(recurrent, settings[0], place, told)
    subject = subject_of(spec, target=place.target, logarithms=not on_cpu)
    if on_cpu:
        return on_host(subject, settings[0], place, told)
    return on_gpu(subject, settings, place, told)
