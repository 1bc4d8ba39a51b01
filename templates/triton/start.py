"""Launches of kernels that Triton compiles when they are first needed."""

import torch
import triton


def start(kernel, programs, options, arguments, dtype):
    """Every launch of the file goes through here; nothing is tuned while it runs."""
    if type(tl).__name__ == "Absent":
        raise RuntimeError("these kernels need triton, which is not installed here")
    first = next(x for x in arguments.values() if isinstance(x, torch.Tensor))
    if first.device.type == "cpu" and isinstance(kernel, triton.JITFunction):
        raise RuntimeError(
            "Triton kernels run on a GPU; on a CPU they are interpreted, slowly, "
            "where TRITON_INTERPRET=1 is set before Python starts"
        )
    if isinstance(kernel, triton.JITFunction) and 1 < arguments.get("CHUNK", 1) < 16:
        raise ValueError("a chunk has 16 tokens or more on a GPU: its matrix units take no fewer")
    if not isinstance(kernel, triton.JITFunction):  # interpreted products are exact, and say so
        arguments = {**arguments, "PREC": "ieee"}
    # Triton launches on the current device, which is not always that of the tensors.
    index = first.device.index if first.device.type == "cuda" else -1
    with torch.cuda.device(index):
        kernel[(programs,)](**arguments, **options)
