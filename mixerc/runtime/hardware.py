"""What a GPU of this machine is called among the kinds of hardware that kernels are made for."""

from importlib.util import find_spec

import torch

DEFAULT = "sm_90"
SHORTEST = 16
"""Tokens of the shortest chunk on a GPU: its matrix units take no fewer rows."""
OLDEST = 8
"""The first generation of NVIDIA's with bfloat16 and tf32."""
HARDWARE = ("sm_80", DEFAULT, "sm_100", "gfx942")


def has_gpu() -> bool:
    """Whether this machine's torch has a GPU to run on."""
    return torch.cuda.is_available()


def hardware() -> str:
    """The kind of this machine's first GPU: for one that is not among them the nearest older one,
    and without a GPU the kind that files are made for by default."""
    if torch.version.hip:
        return "gfx942"
    if not torch.cuda.is_available():
        return DEFAULT
    return {9: "sm_90", 10: "sm_100"}.get(torch.cuda.get_device_capability()[0], "sm_80")


def gpu_target(target: str) -> str | None:
    """The target of the file that serves tensors on a GPU, for one that is not itself for them."""
    if target != "auto" or not has_gpu() or find_spec("triton") is None:
        return None
    old = not torch.version.hip and torch.cuda.get_device_capability()[0] < OLDEST
    return None if old else f"triton:{hardware()}"
