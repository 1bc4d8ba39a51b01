"""Every kernel of a spec compiled for hardware that this machine lacks, and its report read."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MIXERC = (sys.executable, "-c", "from mixerc.cli import main; main()")
LEAN = (
    *("linear_attention", "performer", "retnet", "lightning"),
    *("gla", "hgrn2", "mamba2", "rwkv5", "rwkv6"),
)
MOST_SHARED = 227 * 1024
"""Bytes of shared memory that a block of an H100 can have."""


def kernels(spec: str, hardware: str, folder: Path, *more: str) -> list[dict[str, Any]]:
    """What kernels.json says, from a process in which kernels are not interpreted."""
    command = [*MIXERC, "compile", spec, "--aot", hardware]
    plain = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [*command, "-o", str(folder), *more],
        env={**plain, "MIXERC_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads((folder / "kernels.json").read_text())
    assert all((folder / kernel["file"]).stat().st_size for kernel in found)
    assert (folder / f"{spec}.py").is_file()
    return found


@pytest.mark.parametrize("spec", LEAN)
def test_no_kernel_needs_the_stack_on_an_h100(spec: str, tmp_path: Path) -> None:
    for kernel in kernels(spec, "sm_90", tmp_path):
        assert kernel["stack"] == 0, kernel
        assert kernel["shared"] <= MOST_SHARED
        assert kernel["matrix"] > 0 or kernel["contractions"] == 0


@pytest.mark.parametrize("hardware", ["sm_80", "sm_100", "gfx942"])
def test_other_hardware(hardware: str, tmp_path: Path) -> None:
    found = kernels("retnet", hardware, tmp_path)
    assert len(found) >= 8
    assert all(kernel["matrix"] > 0 or kernel["contractions"] == 0 for kernel in found)


def test_float32(tmp_path: Path) -> None:
    assert kernels("retnet", "sm_90", tmp_path, "--dtype", "float32", "--size", "K=32")


def test_interpreted_kernels_are_not_compiled(tmp_path: Path) -> None:
    command = [*MIXERC, "compile", "gla", "--aot", "sm_90"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "made")],
        env={**os.environ, "TRITON_INTERPRET": "1", "MIXERC_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "TRITON_INTERPRET" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cpu_is_told_what_to_do(tmp_path: Path) -> None:
    program = """
import torch, mixerc
try:
    mixerc.compile("gla", target="triton")(**{n: torch.zeros(1, 3, 2, 4) for n in "qkva"})
except RuntimeError as error:
    print(error)
"""
    plain = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**plain, "MIXERC_CACHE": str(tmp_path)},
    )
    assert "TRITON_INTERPRET=1" in done.stdout


def test_a_file_is_imported_without_triton(tmp_path: Path) -> None:
    """And says what is missing when a kernel is needed."""
    made = tmp_path / "gla.py"
    program = f"""
import sys
sys.modules["triton"] = None
import torch
sys.path.insert(0, {str(tmp_path)!r})
import gla
layer = gla.Layer(d_model=16, heads=2)
try:
    layer(torch.zeros(1, 3, 16))
except RuntimeError as error:
    print(error)
"""
    command = [*MIXERC, "compile", "gla", "--target", "triton"]
    subprocess.run([*command, "-o", str(made)], check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "these kernels need triton, which is not installed here\n"
