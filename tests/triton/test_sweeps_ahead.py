"""The kernels of masked attention compiled for hardware that this machine lacks."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SHARED = {"sm_80": 163, "sm_90": 227, "sm_100": 227, "gfx942": 64}
"""KiB of shared memory that a block can have."""
CASES = [
    *((spec, 128) for spec in ("attention", "bigbird", "forgetting_attention")),
    ("softcap", 256),
]
ALWAYS = ("sm_90", "gfx942")
"""Hardware for which every test run compiles them; the others when asked for."""
TRIED = [pytest.param(one, marks=() if one in ALWAYS else pytest.mark.thorough) for one in SHARED]
"""Closed forms, tables, decays, and the widest heads."""
WHOLE = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
PROGRAM = """
import dataclasses, json, sys
from pathlib import Path
import torch
from mixerc.ahead.binaries import TARGETS, compiled, written
from mixerc.ahead.bundle import launches
from mixerc.pipeline import Pipeline
from mixerc.request import Request
from mixerc.runtime.load import load_module
from mixerc.source import read_source

spec, hardware, width, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
request = Request(source=read_source(spec), chunk=None, sizes={}, target=f"triton:{hardware}")
pipeline = Pipeline(request)
module = load_module(pipeline.layer_file())
inputs = {}
for line in pipeline.mixer.lines:
    if line.name not in (*module.STREAMS, *module.PARAMS):
        continue
    if line.name in module.TABLES:
        inputs[line.name] = torch.ones(4, 1, 1, dtype=torch.bool)
        continue
    heads = 1 if line.sort.heads.group else 4
    log = line.name in pipeline.layer_logarithms
    x = torch.zeros(1, 2, heads, *[width for _ in line.sort.axes], requires_grad=True)
    inputs[f"log_{line.name}" if log else line.name] = x if log else x.bfloat16()
found = {}
for kernel, options, arguments, _ in launches(module, inputs):
    if kernel.__name__ in found:
        continue
    warps = options["num_warps"] * module.LANES // TARGETS[hardware].warp_size
    options = {**options, "num_warps": warps}
    made = compiled(kernel, arguments, hardware, options)
    place = folder / kernel.__name__
    one = dataclasses.asdict(written(made, "", hardware, (), place))
    found[kernel.__name__] = one | {"tile": [arguments["HERE"], arguments["THERE"]]}
print(json.dumps(list(found.values())))
"""


def made(spec: str, hardware: str, width: int, folder: Path) -> list[dict[str, Any]]:
    """What is known of each binary, from a process in which kernels are not interpreted."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, spec, hardware, str(width), str(folder)],
        env={**WHOLE, "MIXERC_CACHE": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("hardware", TRIED)
@pytest.mark.parametrize(("spec", "width"), CASES)
def test_resources(
    spec: str, width: int, hardware: str, golden: Callable[[str, str], None], tmp_path: Path
) -> None:
    """Tiles stay in registers, and products are on the matrix units."""
    rows = []
    for one in made(spec, hardware, width, tmp_path):
        assert one["stack"] == 0, one
        assert one["shared"] <= 1024 * SHARED[hardware]
        assert one["tensor"] <= 512
        assert one["matrix"] > 0
        columns = ("name", "tile", "threads", "registers", "shared", "matrix", "contractions")
        rows.append(" ".join(f"{column}={one[column]}" for column in columns))
    golden(f"resources/{spec}-{hardware}-bfloat16.txt", "\n".join(rows) + "\n")
