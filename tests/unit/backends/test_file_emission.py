"""Files of masked attention and of landmarks: text that reads well, and was read and signed."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from mixerc import resources
from mixerc.backends.module.file import BOUNDARY, SHARED
from mixerc.backends.torch.emit import TORCH
from mixerc.pipeline import Pipeline
from mixerc.plan.show import show_sweeps
from mixerc.plan.sweep import SweepPlan
from mixerc.request import Request
from mixerc.source import read_source

SPECS = Path(__file__).parents[3] / "specs"
MASKED = (
    *("alibi", "attention", "bigbird", "block_sparse", "dilated", "documents", "fixed"),
    *("forgetting_attention", "gqa", "linformer", "longformer", "mistral", "prefix_lm"),
    *("softcap", "streaming"),
)


def lowered(name: str, target: str = "torch") -> tuple[SweepPlan, str]:
    source = read_source(SPECS / f"{name}.mix")
    pipeline = Pipeline(Request(source=source, chunk=None, sizes={}, target=target))
    made, module = pipeline.lowered(None, pipeline.layer_logarithms)
    return made, module.text


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("target", ["torch", "auto"])
def test_the_file_parses_and_reads_well(name: str, target: str) -> None:
    _, text = lowered(name, target)
    ast.parse(text)
    code = text.split('"""', 2)[2].splitlines()
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    assert "\n\n\n\n" not in text
    assert not [line for line in code if len(line) > 120]
    assert "\nclass Layer" in text.replace("\n\n\nclass Layer", "\nclass Layer")


@pytest.mark.parametrize("name", MASKED)
def test_a_file_defines_no_name_twice(name: str) -> None:
    _, text = lowered(name, "auto")
    defined = Counter(
        node.name
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    )
    assert {n for n, count in defined.items() if count > 1} == set()


def test_helpers_have_names_of_their_own() -> None:
    """A file takes them by name, so two of one name would be one too many."""
    files = (*SHARED, *TORCH.helpers, BOUNDARY)
    found = Counter(
        node.name
        for file in files
        for node in ast.parse(resources.read("templates", *file)).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    )
    assert {n for n, count in found.items() if count > 1} == set()


@pytest.mark.parametrize("name", ["longformer", "streaming"])
def test_golden(name: str, golden) -> None:
    made, text = lowered(name, "auto")
    golden(f"{name}/torch.py", text)
    golden(f"{name}/plan.txt", show_sweeps(made))
