"""On a GPU: every law in every dtype, long sequences, and the bits of a second run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.laws.subjects import BY_NEWTON, BY_TOKEN, LINEAR, MASKED, SCANS

MIXERC = (sys.executable, "-c", "from mixerc.cli import main; main()")
WHOLE = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
LONG = """
import sys, torch, mixerc
spec, tokens = sys.argv[1], int(sys.argv[2])
mixer = mixerc.compile(spec, target="triton")
torch.manual_seed(0)
layer = mixer.Layer(d_model=128, heads=2, dtype=torch.bfloat16, device="cuda")
x = torch.randn(1, tokens, 128, dtype=torch.bfloat16, device="cuda")
with torch.no_grad():
    y, state = layer(x)
    again, _ = layer(x)
    half, middle = layer(x[:, : tokens // 2])
    rest, after = layer(x[:, tokens // 2 :], middle)
assert y.isfinite().all()
assert torch.equal(y, again)
parts = torch.cat((half, rest), 1)
error = (parts.double() - y.double()).norm() / y.double().norm()
assert error < 2e-2, error
for name in state:
    assert (after[name] - state[name]).norm() <= 2e-2 * state[name].norm(), name
"""


@pytest.mark.gpu
@pytest.mark.parametrize("name", [*LINEAR, *MASKED, *SCANS, *BY_TOKEN, *BY_NEWTON])
def test_every_law(name: str, tmp_path: Path) -> None:
    command = [*MIXERC, "verify", name, "--quick", "--target", "triton", "--device", "cuda"]
    done = subprocess.run(
        command,
        env={**WHOLE, "MIXERC_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.gpu
@pytest.mark.parametrize("tokens", [1000, 2**20])
@pytest.mark.parametrize("name", [name for name in LINEAR if name != "mlstm"])
def test_long_sequences(name: str, tokens: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LONG, name, str(tokens)],
        env={**WHOLE, "MIXERC_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
