"""Files of masked attention, landmarks and recurrences: text that reads well, and was read."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mixerc import resources
from mixerc.backends.module.file import BOUNDARY, SHARED
from mixerc.backends.torch.emit import TORCH
from mixerc.pipeline import Pipeline
from mixerc.plan.show import show_plan, show_sweeps
from mixerc.request import Request
from mixerc.source import read_source

SPECS = Path(__file__).parents[3] / "specs"
MASKED = (
    *("alibi", "attention", "bigbird", "block_sparse", "dilated", "documents", "fixed"),
    *("forgetting_attention", "gqa", "linformer", "longformer", "mistral", "prefix_lm"),
    *("softcap", "streaming"),
)
RECURRENT = (
    *("s4d", "s5", "lru", "mamba", "rglru", "rwkv4", "mingru", "minlstm", "hgrn", "gateloop"),
    *("rnn", "gru", "lstm", "slstm", "paragru", "paralstm"),
)


def lowered(name: str, target: str = "torch") -> tuple[Any, str]:
    source = read_source(SPECS / f"{name}.mix")
    pipeline = Pipeline(Request(source=source, chunk=None, sizes={}, target=target))
    made, module = pipeline.lowered(None, pipeline.layer_logarithms)
    return made, module.text


@pytest.mark.parametrize("name", [*MASKED, *RECURRENT])
@pytest.mark.parametrize("target", ["torch", "auto"])
def test_the_file_parses_and_reads_well(name: str, target: str) -> None:
    _, text = lowered(name, target)
    ast.parse(text)
    code = text.split('"""', 2)[2].splitlines()
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    assert "\n\n\n\n" not in text
    assert not [line for line in code if len(line) > 120]
    assert "\nclass Layer" in text.replace("\n\n\nclass Layer", "\nclass Layer")


def names_defined(text: str) -> Iterator[str]:
    """Functions, classes and constants at the top of a file."""
    for node in ast.parse(text).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name
            case _:
                pass


@pytest.mark.parametrize("name", [*MASKED, *RECURRENT])
def test_a_file_defines_no_name_twice(name: str) -> None:
    _, text = lowered(name, "auto")
    defined = Counter(names_defined(text))
    assert {n for n, count in defined.items() if count > 1} == set()


def test_helpers_have_names_of_their_own() -> None:
    """A file takes them by name, so two of one name would be one too many."""
    files = (*SHARED, *TORCH.helpers, BOUNDARY)
    found = Counter(
        name for file in files for name in names_defined(resources.read("templates", *file))
    )
    assert {n for n, count in found.items() if count > 1} == set()


@pytest.mark.parametrize("name", ["longformer", "streaming"])
def test_golden(name: str, golden) -> None:
    made, text = lowered(name, "auto")
    golden(f"{name}/torch.py", text)
    golden(f"{name}/plan.txt", show_sweeps(made))


@pytest.mark.parametrize("name", ["rglru", "rwkv4", "gru", "paralstm"])
def test_golden_recurrences(name: str, golden) -> None:
    """A scan, a running maximum, a loop over tokens, and a step of Newton's method."""
    made, text = lowered(name)
    core = text[text.index("NAME = ") : text.index("LISTS = ")]
    golden(f"{name}/core.py", core)
    golden(f"{name}/plan.txt", show_plan(made))
