"""Public peak rates of some accelerators: what `mixerc explain` divides a plan's counts by.

From the makers' data sheets, dense, in bytes and operations a second. Nothing reaches them; the
floor of a kernel is below what any kernel can do.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mixerc.plan.floor import Rates

WIDTHS = {"bf16": 2, "fp32": 4}
"""Bytes of a value of the streams, by dtype."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """Memory bandwidth, and the rate of matrix products by dtype of the streams.

    On NVIDIA GPUs a product of fp32 is three of tf32: the rate is a third of tf32's.
    """

    name: str
    bandwidth: float
    products: Mapping[str, float]

    def rates(self, dtype: str) -> Rates:
        """The rates for streams of this dtype, "bf16" or "fp32"."""
        return Rates(bandwidth=self.bandwidth, products=self.products[dtype])


ACCELERATORS = (
    Accelerator(name="A100 80GB", bandwidth=2.0e12, products={"bf16": 312e12, "fp32": 156e12 / 3}),
    Accelerator(name="H100 SXM", bandwidth=3.35e12, products={"bf16": 989e12, "fp32": 494e12 / 3}),
    Accelerator(name="B200", bandwidth=8.0e12, products={"bf16": 2250e12, "fp32": 1125e12 / 3}),
    Accelerator(name="MI300X", bandwidth=5.3e12, products={"bf16": 1307e12, "fp32": 163.4e12}),
)
