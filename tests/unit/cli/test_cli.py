"""The command line as people use it: exit codes, one-line errors, nothing half done."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mixerc.cli import app

ROOT = Path(__file__).parents[3]
SPECS = ROOT / "specs"
BAD = ROOT / "tests" / "bad" / "check" / "axes-mismatch.mix"
LATE_IMPORTS = ("torch", "sympy", "triton")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_check_says_class_and_modes() -> None:
    result = run("check", SPECS / "gla.mix", SPECS / "mistral.mix")
    assert result.exit_code == 0
    assert "linear, diagonal along K transition" in result.output
    assert "no: the spec keeps a cache of tokens" in result.output


def test_check_goes_on_after_a_bad_spec() -> None:
    result = run("check", BAD, SPECS / "gla.mix")
    assert result.exit_code == 1
    assert "error[axes-mismatch]" in result.stderr
    assert "gla.mix: linear" in result.stdout


@pytest.mark.parametrize("command", ["check", "explain", "fmt", "verify", "bench"])
def test_a_file_that_is_not_there(command: str) -> None:
    result = run(command, "nowhere.mix")
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_folder_and_a_file_of_bytes(elsewhere) -> None:
    (elsewhere / "folder.mix").mkdir()
    (elsewhere / "bytes.mix").write_bytes(b"\xff\xfe\x00")
    assert run("check", "folder.mix").exit_code == 2
    assert run("check", "bytes.mix").exit_code == 2


def test_usage() -> None:
    assert run("check").exit_code == 2
    assert run("explain", "gla", "--size", "K").exit_code == 2
    assert run("nonsense").exit_code == 2
    assert run("--version").output.startswith("mixerc ")


def test_explain_prints_the_floor() -> None:
    result = run("explain", "gla", "--size", "K=64", "--size", "V=64")
    assert result.exit_code == 0
    assert "S[K, V]  16,384 bytes * N * H" in result.output
    assert "O(T (C (K + V) + K V))" in result.output
    assert "S[t] = a * S[t-1] + k * v" in result.output


def test_explain_a_stack() -> None:
    assert "rglru: elementwise recurrence" in run("explain", SPECS / "griffin.mix").output


def test_compile_writes_a_file_and_its_stages(elsewhere) -> None:
    result = run("compile", SPECS / "gla.mix", "-o", "gla.py", "--dump", "stages")
    assert result.exit_code == 0
    assert "class Layer" in (elsewhere / "gla.py").read_text()
    names = sorted(path.name for path in (elsewhere / "stages").iterdir())
    assert names == [
        "0-source.mix",
        "1-syntax.txt",
        "2-mixer.mix",
        "3-algebra.txt",
        "4-plan.txt",
        "5-torch.py",
    ]


def test_compile_of_what_cannot_be_compiled_writes_nothing(elsewhere) -> None:
    assert run("compile", BAD, "-o", "bad.py").exit_code == 1
    result = run("compile", SPECS / "mistral.mix", "-o", "mistral.py")
    assert result.exit_code == 1
    assert "has no parallel mode" in result.stderr
    assert run("compile", SPECS / "gla.mix", "-o", "no/such/folder.py").exit_code == 2
    assert list(elsewhere.iterdir()) == []


def test_new_writes_a_spec_that_checks(elsewhere) -> None:
    assert run("new", "mine").exit_code == 0
    assert run("check", "mine.mix").exit_code == 0
    assert run("fmt", "--check", "mine.mix").exit_code == 0
    assert run("new", "mine").exit_code == 2
    assert run("new", "not a name").exit_code == 2


def test_fmt(elsewhere) -> None:
    text = (SPECS / "gla.mix").read_text()
    (elsewhere / "gla.mix").write_text(text.replace("v[V]       =", "v[V] ="))
    assert run("fmt", "--check", "gla.mix").exit_code == 1
    assert run("fmt", "gla.mix").exit_code == 0
    assert (elsewhere / "gla.mix").read_text() == text
    assert run("fmt", "--check", "gla.mix").exit_code == 0


@pytest.mark.parametrize("command", ["check", "explain", "fmt --check"])
def test_no_torch_where_none_is_needed(command: str) -> None:
    script = (
        "import sys\n"
        "from mixerc.cli import app\n"
        f"app({[*command.split(), str(SPECS / 'gla.mix')]!r}, standalone_mode=False)\n"
        f"print([name for name in {LATE_IMPORTS} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().splitlines()[-1] == "[]"
