"""The Triton target: plans as kernels, one template a schedule."""
