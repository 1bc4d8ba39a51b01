"""Loop bounds that are printed for a kernel: it compiles with them, and finds what Python does."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from mixerc.algebra.masks.bands import Bands, bands_of
from mixerc.backends.module.bounds import PYTHON, bounds_text
from tests.unit.algebra.masks.predicates import condition

MASKS = {
    "mistral": "causal and t - s < 4096",
    "streaming": "causal and (t - s < 1024 or s < 4)",
    "bigbird": "-1 <= t // 64 - s // 64 <= 1 or t < 64 or s < 64 or t >= T - 64 or s >= T - 64",
    "dilated": "0 <= t - s < 512 and (t - s) % 2 == 0",
    "blocks": "causal and t // 128 - s // 128 <= 1",
    "halves": "2 * s - t <= 7 and 3 * s >= 2 * t - T",
}
TRITON = {**PYTHON, "maximum": "tl.maximum", "minimum": "tl.minimum"}
KERNEL = """import triton
import triton.language as tl


@triton.jit
def ends(out, T, BLOCK: tl.constexpr):
    t0 = tl.program_id(0) * BLOCK
    t1 = t0 + BLOCK
"""
COMPILE = """
import sys, importlib.util, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
spec = importlib.util.spec_from_file_location("kernel", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
types = {"out": "*i32", "T": "i32", "BLOCK": "constexpr"}
source = ASTSource(module.ends, types, constexprs={"BLOCK": 64})
print(len(triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]))
"""


def bands(name: str) -> Bands:
    found = bands_of(condition(MASKS[name]))
    assert found is not None
    return found


def kernel_file(found: Bands, folder: Path) -> Path:
    """A kernel that stores the ends of each band."""
    text = bounds_text(found, TRITON)
    ends = [end for b in text.bands for end in (b.begin, b.end, b.sure_begin, b.sure_end)]
    lines = [*text.lines, f"place = out + tl.program_id(0) * {len(ends)}"]
    lines += [f"tl.store(place + {index}, {end})" for index, end in enumerate(ends)]
    path = folder / "kernel.py"
    path.write_text(KERNEL + "".join(f"    {line}\n" for line in lines))
    return path


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("kernel", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", MASKS)
def test_a_kernel_finds_the_same(name: str, tmp_path: Path) -> None:
    found = bands(name)
    text = bounds_text(found)
    kernel = loaded(kernel_file(found, tmp_path)).ends
    for length in (1, 63, 200, 5000):
        blocks = -(-length // 64)
        out = torch.zeros(blocks, len(text.bands), 4, dtype=torch.int32)
        kernel[(blocks,)](out, length, BLOCK=64)
        for block, rows in enumerate(out.tolist()):
            names = {"t0": 64 * block, "t1": 64 * block + 64, "T": length}
            exec("\n".join(text.lines), {"max": max, "min": min}, names)
            wanted = [(b.begin, b.end, b.sure_begin, b.sure_end) for b in text.bands]
            assert rows == [[names[end] for end in each] for each in wanted]


@pytest.mark.parametrize("name", MASKS)
def test_a_kernel_compiles_for_hopper(name: str, tmp_path: Path) -> None:
    path = kernel_file(bands(name), tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, str(path)],
        env={k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
