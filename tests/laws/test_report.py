"""`verify`: what it tries, what it says, and that it sees what is wrong."""

import math
from dataclasses import replace

import pytest
import torch

from mixerc.diagnostics.diagnostic import SpecError
from mixerc.verify import verify
from mixerc.verify.cases import Case
from mixerc.verify.modes import reference_law
from mixerc.verify.result import EXACT, distance, holds, judged
from tests.laws.subjects import SPECS, subject

ONLY_REFERENCE = """mixer shifted(E)
u[E] = x | linear
state h[E]
h[t] = 0.5 * h[t-1] + u[t-1]
o[E] = h[t]
y = o | linear
"""


@pytest.mark.parametrize("name", ["gla", "mlstm"])
def test_a_quick_report(name: str) -> None:
    told: list[str] = []
    report = verify(SPECS / f"{name}.mix", quick=True, progress=told.append)
    assert report.passed, report.text
    assert "all hold" in report.text
    assert len(told) == len(report.results)
    assert {"modes", "carry", "packed", "precision", "layer"} <= {r.law for r in report.results}


def test_mixers_without_fast_forms() -> None:
    report = verify(ONLY_REFERENCE)
    assert report.passed, report.text
    assert "not applied: modes" in report.text
    assert "carry" in {r.law for r in report.results}


def test_a_stack() -> None:
    report = verify(SPECS / "griffin.mix")
    assert report.passed, report.text
    assert "a stack" in report.text


def test_a_spec_with_mistakes() -> None:
    with pytest.raises(SpecError):
        verify("mixer m(K)\nq[K] = nonsense\n")


def test_emission() -> None:
    report = verify(SPECS / "retnet.mix")
    assert report.passed, report.text
    assert "emission" in {r.law for r in report.results}


def test_a_wrong_mixer_is_seen() -> None:
    of = subject("gla")
    wrong = replace(of, run=_Scaled(of.run))
    result = reference_law(wrong, Case(axes={"K": 3, "V": 4}))
    assert not result.passed
    assert result.worst > 1e-5


class _Scaled:
    """A mixer whose parallel mode is off by a ten-thousandth."""

    def __init__(self, run) -> None:
        self.run = run
        self.streams = run.streams

    def __call__(self, *, mode: str, **options):
        o, state = self.run(mode=mode, **options)
        return (o * (1 + 1e-4) if mode == "parallel" else o), state


def test_errors_that_are_no_numbers() -> None:
    assert judged("law", {"o": math.nan}).worst == math.inf
    assert not judged("law", {"o": math.nan}).passed
    assert judged("law", {"o": EXACT / 2}).passed
    assert judged("law", {}).passed
    assert not holds("law", ["it does not"]).passed
    assert distance(torch.ones(2), torch.ones(3)) == math.inf
    assert math.isnan(distance(torch.tensor([math.nan]), torch.ones(1)))
    assert distance(torch.zeros(0), torch.zeros(0)) == 0
