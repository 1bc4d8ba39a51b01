"""What takes part in a comparison: functions of tensors, forward and with backward."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from mixerc.bench.clock import Clock, Run

Maker: TypeAlias = Callable[[], Run]
"""Makes a run, with whatever it needs made beforehand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function of tensors, and the tensors."""

    function: Callable[..., Tensor]
    values: tuple[Tensor, ...]

    def output(self) -> Tensor:
        """What it gives, without autograd."""
        with torch.no_grad():
            return self.function(*self.values)

    def forward(self) -> Run:
        """Forward alone."""
        return self.output

    def backward(self) -> Run:
        """Forward, and the gradients of all tensors from a cotangent drawn beforehand."""
        leaves = [value.detach().requires_grad_() for value in self.values]
        cotangent = torch.randn_like(self.output())
        return lambda: torch.autograd.grad(self.function(*leaves), leaves, cotangent)


def usable(
    makers: Mapping[str, Maker], clock: Clock, failed: Callable[[str], None]
) -> dict[str, Run]:
    """The runs that can run, each tried once; `failed` is told what the others fail with.

    A kernel of others may fail with anything where it does not fit the device, and a long
    sequence may not fit its memory: a table of many lengths is not given up for one of them.
    """
    runs = {}
    for name, make in makers.items():
        try:
            run = make()
            clock.seconds(run)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            failed(f"{name}: {type(error).__name__}: {reason}")
        else:
            runs[name] = run
    return runs
