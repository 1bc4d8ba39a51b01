"""Every kernel of a spec compiled for hardware that this machine lacks, and its report read."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.laws.subjects import LINEAR, SCANS

MIXERC = (sys.executable, "-c", "from mixerc.cli import main; main()")
SHARED = {"sm_80": 163, "sm_90": 227, "sm_100": 227, "gfx942": 64}
"""KiB of shared memory that a block can have."""
NONLINEAR = ("rnn", "gru", "lstm", "slstm", "paragru", "paralstm")
FIRST = ("gla", "mamba2", "mamba", "s5", "deltanet", "gated_deltanet", "paragru", "paralstm")
"""What is compiled for all hardware every time; the others for sm_90, and when asked for."""
OTHERS = tuple(hardware for hardware in SHARED if hardware != "sm_90")
ALWAYS = [
    *((spec, "bfloat16", "sm_90") for spec in (*LINEAR, *SCANS, *NONLINEAR)),
    *((spec, "bfloat16", hardware) for spec in FIRST for hardware in OTHERS),
    *((spec, "float16", "sm_90") for spec in ("gla", "mlstm", "rwkv6", "mamba", "deltanet")),
    *((spec, "float32", "sm_90") for spec in ("gla", "mamba2", "mlstm", "mamba", "deltanet")),
]
ASKED = [
    (spec, "bfloat16", hardware)
    for spec in (*LINEAR, *SCANS)
    for hardware in OTHERS
    if spec not in FIRST
]
CASES = [*ALWAYS, *(pytest.param(*case, marks=pytest.mark.thorough) for case in ASKED)]
WHOLE = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
PROGRAM = """
import sys
from pathlib import Path
from mixerc.ahead import aot
from mixerc.pipeline import Pipeline
from mixerc.request import Request
from mixerc.source import read_source
spec, hardware, dtype, folder = sys.argv[1:]
request = Request(source=read_source(spec), chunk=None, sizes={}, target=f"bundle:{hardware}")
aot(Pipeline(request), Path(folder), [({}, dtype)], packed=False)
"""


def compiled(spec: str, hardware: str, dtype: str, folder: Path) -> list[dict[str, Any]]:
    """What kernels.json says, from a process in which kernels are not interpreted."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, spec, hardware, dtype, str(folder)],
        env={**WHOLE, "MIXERC_CACHE": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads((folder / "kernels.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "dtype", "hardware"), CASES)
def test_resources(
    spec: str, dtype: str, hardware: str, golden: Callable[[str, str], None], tmp_path: Path
) -> None:
    """Tiles stay in registers, products are on the matrix units, and the data checked in holds."""
    rows = []
    for one in compiled(spec, hardware, dtype, tmp_path):
        assert (tmp_path / one["file"]).stat().st_size
        assert one["stack"] == 0 or dtype == "float32", one
        assert one["shared"] <= 1024 * SHARED[hardware]
        assert one["tensor"] <= 512
        assert one["matrix"] > 0 or one["contractions"] == 0 or dtype == "float32"
        columns = ("name", "threads", "registers", "stack", "shared", "matrix", "contractions")
        rows.append(" ".join(f"{column}={one[column]}" for column in columns))
    golden(f"resources/{spec}-{hardware}-{dtype}.txt", "\n".join(rows) + "\n")


def test_interpreted_kernels_are_not_compiled(tmp_path: Path) -> None:
    command = [*MIXERC, "compile", "gla", "--aot", "sm_90"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "made")],
        env={**WHOLE, "TRITON_INTERPRET": "1", "MIXERC_CACHE": str(tmp_path)},
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
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**WHOLE, "MIXERC_CACHE": str(tmp_path)},
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


def test_a_bundle_for_several_sizes(tmp_path: Path) -> None:
    made = tmp_path / "made"
    sizes = ("--size", "K=16,32", "--size", "V=16", "--dtype", "bfloat16,float32")
    command = [*MIXERC, "compile", "linear_attention", "--aot", "sm_90", "-o", str(made), *sizes]
    done = subprocess.run(
        command,
        env={**WHOLE, "MIXERC_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((made / "kernels.json").read_text())
    assert (made / "linear_attention.py").is_file()
    asked = [one["asked"] for one in found]
    assert len(set(asked)) == len(asked)
    for choice in ("K=16", "K=32", "(bfloat16", "(float32", "bounds_at: int64", "bounds_at=None"):
        assert any(choice in text for text in asked), choice
    assert not any("length" in text or "HEADS" in text for text in asked)
