"""The mixers on trial, and Hypothesis strategies of cases: shapes and seeds, never values."""

from functools import cache
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from mixerc.ir.mixer import Stack
from mixerc.source import Source, read_source
from mixerc.verify.cases import Case, random_case
from mixerc.verify.result import Result
from mixerc.verify.subject import Subject, subject_of
from mixerc.verify.suite import verify

SPECS = Path(__file__).parents[2] / "specs"
LINEAR = (
    *("linear_attention", "performer", "based", "retnet", "lightning"),
    *("gla", "hgrn2", "mamba2", "rwkv5", "rwkv6", "mlstm", "gsa"),
    *("deltanet", "gated_deltanet", "kda", "rwkv7", "deltaproduct"),
)
MASKED = (
    *("alibi", "attention", "bigbird", "block_sparse", "dilated", "documents", "fixed"),
    *("forgetting_attention", "gqa", "linformer", "longformer", "mistral", "prefix_lm"),
    *("softcap", "streaming"),
)
SCANS = (
    *(
        "s4d",
        "s5",
        "lru",
        "mamba",
        "rglru",
        "rwkv4",
        "mingru",
        "minlstm",
        "hgrn",
        "gateloop",
    ),
)
BY_TOKEN = ("rnn", "gru", "lstm", "slstm")
BY_NEWTON = ("paragru", "paralstm")
EDGES = (0, 1, 2, 63, 64, 65, 129)

every_linear = pytest.mark.parametrize("name", LINEAR)
every_fast = pytest.mark.parametrize("name", [*LINEAR, *MASKED])


@cache
def subject(name: str, target: str = "torch") -> Subject:
    """A spec of the repository, compiled."""
    return _mixer(read_source(SPECS / f"{name}.mix"), target)


@cache
def subject_of_text(text: str, target: str = "torch") -> Subject:
    """A spec from its text."""
    return _mixer(Source(text=text, file="<text>", folder=None), target)


def _mixer(source: Source, target: str) -> Subject:
    found = subject_of(source, target)
    assert not isinstance(found, Stack)
    assert found.fast, [mode.reason for mode in found.algebra.modes]
    return found


def lengths(longest: int) -> SearchStrategy[int]:
    """Any length, those at the edges of chunks more often."""
    edges = [edge for edge in EDGES if edge <= longest]
    return st.one_of(st.integers(0, longest), st.sampled_from(edges))


def cases(of: Subject, longest: int) -> SearchStrategy[Case]:
    """Cases of one mixer."""

    @st.composite
    def drawn(draw: DrawFn) -> Case:
        random = draw(st.randoms(use_true_random=False))
        return random_case(of, random, tokens=draw(lengths(longest)), batch=draw(st.integers(1, 3)))

    return drawn()


def check(result: Result) -> None:
    """Fail with what the law found."""
    assert result.passed, f"{result.law}: {result.worst:.3g} > {result.bound:.3g}, {result.detail}"


def every_law(name: str) -> set[str]:
    """The suite of `mixerc verify --quick` over a shipped spec: which laws were tried, all held."""
    report = verify(SPECS / f"{name}.mix", quick=True)
    failed = [
        f"{r.law}: {r.worst:.3g} > {r.bound:.3g}, {r.detail}"
        for r in report.results
        if not r.passed
    ]
    assert not failed, "\n".join(failed)
    return {result.law for result in report.results}
