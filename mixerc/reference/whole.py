"""A stack as something to call: this version has it in the reference alone."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mixerc.ir.mixer import Stack
from mixerc.reference.stack import init_stack, run_stack


class ReferenceStack:
    """`y = stack(x=x, weights=stack.init(d_model=64, heads=4), heads=4)`, in float64.

    `modes` gives the reason why a stack has no fast form; asking for one raises it.
    """

    def __init__(self, spec: Stack, reason: str) -> None:
        self.name = spec.name
        self.spec = spec
        self.modes = {"parallel": reason, "recurrent": reason, "reference": "legal"}

    def init(self, *, seed: int = 0, **sizes: float) -> dict[str, Tensor]:
        """Initial values of every weight, by path and name, in float64."""
        generator = torch.Generator().manual_seed(seed)
        return init_stack(self.spec, sizes, generator)

    def __call__(
        self,
        *,
        x: Tensor,
        weights: Mapping[str, Tensor],
        mode: str = "reference",
        **sizes: float,
    ) -> Tensor:
        """y [B, T, d_model] of x [B, T, d_model]; gradients by autograd."""
        if mode != "reference":
            reason = self.modes.get(mode, f"there are {', '.join(self.modes)}")
            raise ValueError(f"{self.name} has no {mode} mode: {reason}")
        return run_stack(self.spec, weights, x, sizes)

    def __repr__(self) -> str:
        return f"<stack {self.name}>"
