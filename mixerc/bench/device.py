"""Where a benchmark runs: a device, its clock, the target compiled for it, and the dtype."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from mixerc.bench.clock import Clock, DeviceClock, HostClock
from mixerc.runtime.hardware import hardware

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
USUAL = {"cpu": "float32", "cuda": "bfloat16"}
"""The dtype where none is asked for."""
CLOCKS: dict[str, Callable[[], Clock]] = {"cpu": HostClock, "cuda": DeviceClock}


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """`name` is torch's, "cpu" or "cuda" (AMD's GPUs too); `target` the compiler's."""

    name: str
    target: str
    dtype: torch.dtype
    clock: Clock


def chosen(device: str = "auto", dtype: str | None = None) -> tuple[str, str]:
    """The names of the device and the dtype; raises ValueError for what is not to be had."""
    if device not in ("auto", *USUAL):
        raise ValueError(f"there is no device {device!r}; there are auto, {', '.join(USUAL)}")
    if dtype not in (None, *DTYPES):
        raise ValueError(f"there is no dtype {dtype!r} to time; there are {', '.join(DTYPES)}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("there is no GPU here that torch can use; --device cpu times the CPU")
    return device, dtype or USUAL[device]


def device_of(name: str, dtype: str) -> Device:
    """The device with its clock, once its name has been chosen."""
    target = "torch" if name == "cpu" else f"triton:{hardware()}"
    return Device(name=name, target=target, dtype=DTYPES[dtype], clock=CLOCKS[name]())
