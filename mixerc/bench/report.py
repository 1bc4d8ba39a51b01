"""What a benchmark gives back, and the names that its tables use."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch

Progress: TypeAlias = Callable[[str], None]

_SHORT = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """What was measured, as text; `medians` are seconds by name."""

    text: str
    medians: dict[str, float]


def dtype_name(dtype: torch.dtype) -> str:
    """bf16, fp16 or fp32."""
    return _SHORT[dtype]
