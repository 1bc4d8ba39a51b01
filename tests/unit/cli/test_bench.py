"""The benchmark runs and reports; what it measures is not tested."""

from pathlib import Path

import pytest
import torch

from mixerc.bench import bench, token_loop

SPECS = Path(__file__).parents[3] / "specs"


@pytest.mark.parametrize("name", ["gla", "retnet", "mamba2"])
def test_a_report(name: str) -> None:
    report = bench(SPECS / f"{name}.mix", tokens=64, heads=2, size=8, repeats=1)
    assert set(report.medians) >= {"mixer", "loop", "attention", "decode", "at 1024"}
    assert all(seconds > 0 for seconds in report.medians.values())
    assert "loop / mixer" in report.text


def test_what_cannot_be_timed_is_refused() -> None:
    with pytest.raises(ValueError, match="no fast form"):
        bench(SPECS / "mistral.mix")


def test_the_loop_is_the_recurrence() -> None:
    x = torch.ones(1, 3, 1, 1)
    half = torch.full((1, 3, 1, 1, 1), 0.5)
    assert token_loop(x, x, x, (half,)).flatten().tolist() == [1, 1.5, 1.75]
