"""Emission: the same text always, text that parses, and the text that was read and signed."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mixerc.algebra.classify import classify
from mixerc.compiler import emit, front, plan, read_source
from mixerc.runtime.load import load_module

SPECS = Path(__file__).parents[3] / "specs"
LINEAR = (
    *("linear_attention", "performer", "based", "retnet", "lightning"),
    *("gla", "hgrn2", "mamba2", "rwkv5", "rwkv6", "mlstm"),
)


def generated(name: str, chunk: int = 64, target: str = "torch") -> str:
    source = read_source(SPECS / f"{name}.mix")
    mixer = front(source)
    linear = classify(mixer).linear
    assert linear is not None
    made = plan(linear, chunk=chunk, logarithms=frozenset())
    return emit(target, mixer, linear, made, source.text).text


@pytest.mark.parametrize("target", ["torch", "triton"])
@pytest.mark.parametrize("name", LINEAR)
def test_the_file_parses_and_reads_well(name: str, target: str) -> None:
    text = generated(name, target=target)
    ast.parse(text)
    code = text.split('"""', 2)[2].splitlines()
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    assert "\n\n\n\n" not in text
    assert not [line for line in code if len(line) > 120]


@pytest.mark.parametrize("target", ["torch", "triton"])
@pytest.mark.parametrize("name", ["gla", "rwkv6", "mamba2"])
def test_the_text_does_not_depend_on_the_hash_seed(name: str, target: str) -> None:
    made = f"runpy.run_path({__file__!r})['generated']({name!r}, target={target!r})"
    script = f"import runpy, sys\nsys.stdout.write({made})"
    texts = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=SPECS.parent,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert texts == {generated(name, target=target)}


def test_the_file_runs_without_mixerc(tmp_path) -> None:
    path = tmp_path / "gla_alone.py"
    path.write_text(generated("gla"))
    assert "mixerc" not in {
        alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert load_module(path).NAME == "gla"


GOLDEN = (
    *((name, "torch") for name in ("gla", "retnet", "rwkv6", "linear_attention")),
    ("gla", "triton"),
)


@pytest.mark.parametrize(("name", "target"), GOLDEN)
def test_golden(name: str, target: str, golden) -> None:
    """Short chunks, so that the text can be read whole; the helpers are in templates."""
    made = generated(name, chunk=4, target=target)
    start = made.index("\nNAME = ") + 1
    # What stands behind the kernels is the same text for every target.
    end = made.index("\ndef lengths(") if target != "torch" else len(made)
    golden(f"{name}/{target}.py", made[start:end])
