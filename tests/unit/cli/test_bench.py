"""The benchmark runs and reports; what it measures is not tested."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from mixerc.bench import bench, token_loop
from mixerc.cli import app

SPECS = Path(__file__).parents[3] / "specs"


@pytest.mark.parametrize("name", ["gla", "retnet", "mamba2", "deltaproduct"])
def test_a_report(name: str) -> None:
    report = bench(SPECS / f"{name}.mix", tokens=64, heads=2, size=8, repeats=1, device="cpu")
    assert set(report.medians) >= {"mixer", "loop", "attention", "decode", "at 1024"}
    assert all(seconds > 0 for seconds in report.medians.values())
    assert "loop / mixer" in report.text
    assert f"{name}: B=1, T=64, H=2, axes of 8, fp32, threads: " in report.text


def test_another_dtype_and_batch() -> None:
    report = bench(
        "gla", tokens=32, heads=2, size=8, batch=2, repeats=1, device="cpu", dtype="bfloat16"
    )
    assert "gla: B=2, T=32, H=2, axes of 8, bf16" in report.text


def test_what_cannot_be_timed_is_refused() -> None:
    with pytest.raises(ValueError, match="no class that is timed"):
        bench(SPECS / "linformer.mix", device="cpu")


@pytest.mark.parametrize("name", ["rglru", "s5", "rnn"])
def test_recurrences_are_timed_against_their_own_tokens(name: str) -> None:
    report = bench(SPECS / f"{name}.mix", tokens=32, heads=2, size=4, repeats=1, device="cpu")
    modes = {"recurrent"} | ({"parallel"} if name != "rnn" else set())
    assert set(report.medians) == {
        *modes,
        *(f"{mode} with backward" for mode in modes),
        *("at 32", "at 128", "at 512"),
    }
    assert f"{name}: B=1, T=32, H={2 if name == 'rglru' else 1}, axes of 4, fp32" in report.text
    assert ("recurrent / parallel" in report.text) == (name != "rnn")
    assert "in and out, MB" in report.text


def test_the_loop_is_the_recurrence() -> None:
    x = torch.ones(1, 3, 1, 1)
    half = torch.full((1, 3, 1, 1, 1), 0.5)
    assert token_loop(x, x[..., None], x[..., None], (half,)).flatten().tolist() == [1, 1.5, 1.75]
    # Each write asks what the decayed state was before all of them.
    keys, ones = torch.ones(1, 3, 1, 1, 3), torch.ones(1, 3, 1, 1, 1)
    values = torch.cat((ones, 0 * ones, ones), -2)
    asked = torch.cat((ones / -2, ones / 2, 0 * ones), -2)
    assert token_loop(x, keys, values, (half,), asked).flatten().tolist() == [2, 3, 3.5]


@pytest.mark.parametrize(
    "arguments", [("--device", "cuda"), ("--dtype", "int8"), ("--device", "x")]
)
def test_what_is_not_to_be_had_is_refused_in_a_sentence(arguments, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = CliRunner().invoke(app, ["bench", "gla", *arguments])
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("mixerc: there is no ")


def test_a_mixer_that_the_target_has_no_kernels_for_is_refused(monkeypatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("no kernels yet")

    monkeypatch.setattr("mixerc.bench.bench", fails)
    result = CliRunner().invoke(app, ["bench", "gla", "--device", "cpu"])
    assert (result.exit_code, result.stderr) == (1, "mixerc: no kernels yet\n")


@pytest.mark.gpu
def test_a_report_of_a_gpu() -> None:
    """In a process of its own: this one interprets Triton's kernels."""
    command = "from mixerc.cli import main; main()"
    arguments = ["bench", "gla", "--device", "cuda", "--tokens", "1024", "--heads", "2"]
    environment = {name: x for name, x in os.environ.items() if name != "TRITON_INTERPRET"}
    result = subprocess.run(
        [sys.executable, "-c", command, *arguments, "--batch", "2"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "forward and backward" in result.stdout
    assert "of the copy" in result.stdout
