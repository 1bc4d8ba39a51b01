"""What a device can do, measured: the bandwidth of a copy, and the rate of a matrix product."""

from dataclasses import dataclass

import torch

from mixerc.bench.clock import Run, interleaved
from mixerc.bench.device import Device
from mixerc.plan.floor import Rates

ROUNDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much is moved and multiplied to measure a device, far more than its caches hold.

    `copied` and `held` are bytes: of the copy, and of all states that one decoding step updates.
    `side` is the length of the sides of the square matrices.
    """

    copied: int = 2**30
    side: int = 8192
    held: int = 2**30


def measured_rates(device: Device, amounts: Amounts) -> Rates:
    """Bytes a second of a copy, read and written; operations a second of a product in the dtype."""
    source = torch.zeros(amounts.copied, dtype=torch.uint8, device=device.name)
    copy = torch.empty_like(source)
    square = (amounts.side, amounts.side)
    left, right = (torch.randn(square, device=device.name).to(device.dtype) for _ in range(2))
    product = torch.empty_like(left)
    runs: dict[str, Run] = {
        "copy": lambda: copy.copy_(source),
        "product": lambda: torch.mm(left, right, out=product),
    }
    medians = interleaved(runs, ROUNDS, lambda i: None, device.clock)
    return Rates(
        bandwidth=2 * amounts.copied / medians["copy"],
        products=2 * amounts.side**3 / medians["product"],
    )
