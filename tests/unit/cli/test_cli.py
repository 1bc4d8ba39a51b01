"""The command line as people use it: exit codes, one-line errors, nothing half done."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mixerc
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
    assert "masked attention" in result.output


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


def one_line(*arguments: str, code: int = 2) -> str:
    """What is said in one line on stderr, with this exit code."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


@pytest.mark.parametrize("command", ["check", "explain", "verify", "bench", "fmt"])
def test_a_folder_and_a_file_of_bytes(command: str, elsewhere) -> None:
    (elsewhere / "folder.mix").mkdir()
    (elsewhere / "bytes.mix").write_bytes(b"\xff\xfe\x00")
    one_line(command, "folder.mix")
    one_line(command, "bytes.mix")
    one_line(command, "")


def test_usage() -> None:
    for arguments in (["check"], ["nonsense"], ["bench", "gla", "--tokens", "0"]):
        assert run(*arguments).exit_code == 2
    assert run("--version").output.startswith("mixerc ")


@pytest.mark.parametrize("size", ["K", "K=x", "K=0", "K=-3", "K=2.5", "K=nan", "K=1e400", "Z=3"])
def test_sizes_that_cannot_be(size: str, elsewhere) -> None:
    one_line("explain", "gla", "--size", size)
    one_line("compile", "gla", "-o", "gla.py", "--size", size)
    assert list(elsewhere.iterdir()) == []


NARROW = [
    "512 - d_model",
    "1 / (d_model - 1024)",
    "d_model ^ 20000",
    "sqrt(512 - d_model)",
    "layer",
]


@pytest.mark.parametrize("default", NARROW)
def test_a_header_that_has_no_value_in_the_example_layer(default: str, elsewhere) -> None:
    text = (SPECS / "gla.mix").read_text().replace("d_model / heads / 2", default)
    (elsewhere / "gla.mix").write_text(text)
    for arguments in (["explain", "gla.mix"], ["compile", "gla.mix", "-o", "gla.py"]):
        said = one_line(*arguments, code=1)
        assert "gla has" in said
        assert "at d_model = 1024, heads = 16" in said
    told = mixerc.compile(text).explain()
    assert "S[t] = a * S[t-1] + k * v" in told
    assert "Nothing is counted" in told


def test_sizes_in_the_call_that_no_layer_has() -> None:
    assert "the axis K of gla has the length 0" in mixerc.compile("gla", K=0).explain()


STACK = "stack two(d_model = 64)\n\nblock b = x + (x | rmsnorm | mine(heads = 2))\n\ny = x | b\n"


def test_a_stack_of_a_bad_mixer_shows_the_line_of_the_mixer(elsewhere) -> None:
    (elsewhere / "two.mix").write_text(STACK)
    (elsewhere / "mine.mix").write_text("mixer mine(K = 4)\nq[K = x | linear\n")
    result = run("check", "two.mix")
    assert result.exit_code == 1
    assert "q[K = x | linear" in result.stderr
    (elsewhere / "mine.mix").write_bytes(b"\xff")
    assert "not UTF-8" in one_line("check", "two.mix")


def test_explain_prints_the_floor() -> None:
    result = run("explain", "gla", "--size", "K=64", "--size", "V=64")
    assert result.exit_code == 0
    assert "S[K, V]  16,384 bytes * N * H" in result.output
    assert "O(T (C (K + V) + K V))" in result.output
    assert "S[t] = a * S[t-1] + k * v" in result.output
    assert "bytes, bf16" in result.output
    assert re.search(r"^  bf16, forward +10\.2 +0\.46 .* 3\.1 ", result.output, re.M)


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.mix")), ids=lambda path: path.stem)
def test_explain_every_spec(path: Path) -> None:
    result = run("explain", path)
    assert result.exit_code == 0
    assert f"{path.stem}:" in result.stdout


def test_explain_says_what_follows_from_a_mask() -> None:
    shown = run("explain", "streaming", "--size", "W=100").stdout
    assert "  cache   the last 100 tokens and the first 4, each with `k`, `v`" in shown
    assert "a size of fixed" not in run("explain", "fixed", "--size", "L=3").stdout
    assert "divides by zero" in run("explain", "fixed", "--size", "L=0").stdout


def test_a_mask_in_the_terminal() -> None:
    shown = run("explain", "longformer", "--mask", "--size", "W=20").stdout.splitlines()
    assert shown[0] == "longformer, near"
    assert "hangs on `mark`" in shown[1]
    assert max(map(len, shown[2:34])) == 64
    assert "T = 32," in run("explain", "gqa", "--mask", "--size", "length=32").stdout


@pytest.mark.parametrize("form", ["svg", "png"])
def test_a_mask_as_a_picture(form: str, elsewhere) -> None:
    assert run("explain", "bigbird", "--mask", f"mask.{form}").exit_code == 0
    first = (elsewhere / f"mask.{form}").read_bytes()
    assert first.startswith(b"<?xml" if form == "svg" else b"\x89PNG")
    assert run("explain", "bigbird", "--mask", f"mask.{form}").exit_code == 0
    assert (elsewhere / f"mask.{form}").read_bytes() == first


def test_masks_that_cannot_be_drawn(elsewhere, monkeypatch) -> None:
    assert ".svg or .png" in one_line("explain", "gqa", "--mask", "mask.pdf")
    assert "--mask FILE" in one_line("explain", "gqa", "mask.svg")
    assert "no mask" in one_line("explain", "rnn", "--mask", code=1)
    assert "is a stack" in one_line("explain", "griffin", "--mask", code=1)
    assert "divides by zero" in one_line("explain", "fixed", "--mask", "--size", "L=0", code=1)
    monkeypatch.delitem(sys.modules, "mixerc.pictures", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "needs matplotlib" in one_line("explain", "gqa", "--mask", "mask.svg")
    assert list(elsewhere.iterdir()) == []


NOTHING_SEEN = """mixer m(D = 4, W = 0)
q[D], k[D], v[D] = x | linear
mask 0 <= t - s < W
weight q[t] @ k[s]
state cache
y = o | linear
"""


def test_a_window_of_nothing_is_noted(elsewhere) -> None:
    (elsewhere / "m.mix").write_text(NOTHING_SEEN)
    result = run("check", "m.mix")
    assert result.exit_code == 0
    assert "note[row-without-keys]: a token sees none: t = 0, where W = 0" in result.stderr
    assert "sees no key; its output is 0" in run("explain", "m.mix").stdout


GROWS = """mixer grows(K = 4, V = 4)
q[K], k[K], a[K] = x | linear
v[V] = x | linear
state S[K, V]
S[t] = a * S[t-1] + k * v
o[V] = q @ S[t]
y = o | linear
"""


def test_a_recurrence_that_can_grow_is_said_to(elsewhere) -> None:
    (elsewhere / "grows.mix").write_text(GROWS)
    result = run("check", "grows.mix")
    assert result.exit_code == 0
    assert "linear, diagonal along K transition" in result.stdout
    assert "note[decay-exceeds-one]: this decay can be 1.5" in result.stderr
    assert " 5 | S[t] = a * S[t-1] + k * v\n   |        ^\n" in result.stderr
    assert "Note: line 5: this decay can be 1.5" in run("explain", "grows.mix").stdout
    assert run("check", "gla", "mamba", "deltanet").stderr == ""


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
    assert (elsewhere / "stages" / "5-torch.py").read_text() == (elsewhere / "gla.py").read_text()


def test_the_file_that_is_written_is_what_the_api_loads(elsewhere) -> None:
    assert run("compile", "gla", "-o", "gla.py", "--chunk", "16", "--size", "K=8").exit_code == 0
    made = mixerc.compile(SPECS / "gla.mix", target="torch", chunk=16, K=8)
    assert (elsewhere / "gla.py").read_text() == made.source


@pytest.mark.parametrize("chunk", ["0", "1", "3", "-4"])
def test_a_chunk_is_a_power_of_two(chunk: str) -> None:
    assert "power of two" in one_line("compile", "gla", "-o", "gla.py", "--chunk", chunk)


def test_what_is_in_the_way_stays(elsewhere) -> None:
    (elsewhere / "taken").write_text("mine")
    (elsewhere / "folder").mkdir()
    os.mkfifo(elsewhere / "pipe")
    for path in (".", "folder", "pipe"):
        one_line("compile", "gla", "-o", path)
    one_line("compile", "gla", "-o", "gla.py", "--dump", "taken")
    assert sorted(path.name for path in elsewhere.iterdir()) == ["folder", "pipe", "taken"]
    assert (elsewhere / "taken").read_text() == "mine"


def test_a_write_that_fails_leaves_the_old_file(elsewhere, monkeypatch) -> None:
    (elsewhere / "gla.py").write_text("old")

    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mixerc.cli.files.os.replace", full)
    assert "No space left" in one_line("compile", "gla", "-o", "gla.py")
    assert [path.read_text() for path in elsewhere.iterdir()] == ["old"]


def test_a_link_is_written_through(elsewhere) -> None:
    (elsewhere / "real.py").write_text("old")
    (elsewhere / "link.py").symlink_to("real.py")
    assert run("compile", "gla", "-o", "link.py").exit_code == 0
    assert (elsewhere / "link.py").is_symlink()
    assert "class Layer" in (elsewhere / "real.py").read_text()


def test_compile_of_what_cannot_be_compiled_writes_nothing(elsewhere, tmp_path_factory) -> None:
    assert run("compile", BAD, "-o", "bad.py").exit_code == 1
    shifted = tmp_path_factory.mktemp("specs") / "shifted.mix"
    shifted.write_text(
        "mixer shifted(E)\nu[E] = x | linear\nstate h[E]\n"
        "h[t] = 0.5 * h[t-1] + u[t-1]\no[E] = h[t]\ny = o | linear\n"
    )
    result = run("compile", shifted, "-o", "shifted.py")
    assert result.exit_code == 1
    assert "has no parallel mode" in result.stderr
    assert "has no parallel mode" in one_line("compile", "griffin", "-o", "griffin.py", code=1)
    assert run("compile", SPECS / "gla.mix", "-o", "no/such/folder.py").exit_code == 2
    assert list(elsewhere.iterdir()) == []


def test_what_only_goes_token_by_token_is_compiled_too(elsewhere) -> None:
    assert run("compile", SPECS / "lstm.mix", "-o", "lstm.py").exit_code == 0
    assert 'MODES = ("recurrent",)' in (elsewhere / "lstm.py").read_text()


def test_a_target_without_kernels_is_refused_in_a_sentence(elsewhere) -> None:
    made = elsewhere / "made.mix"
    made.write_text(
        "mixer made(E)\nu[E] = x | linear\nstate h[E] complex\n"
        "h[t] = h[t-1] + log(complex(u, 1))\no[E] = real(h[t])\n"
    )
    for command in (("compile", made, "-o", "made.py"), ("verify", made, "--quick")):
        assert "no real form here yet" in one_line(*command, "--target", "triton", code=1)
    assert list(elsewhere.iterdir()) == [made]


def test_new_writes_a_spec_that_checks(elsewhere) -> None:
    assert run("new", "mine").exit_code == 0
    assert run("check", "mine.mix").exit_code == 0
    assert run("fmt", "--check", "mine.mix").exit_code == 0
    text = (elsewhere / "mine.mix").read_text()
    for name in ("mine", "not a name", "mixer", "t", "sub/mine", ""):
        one_line("new", name)
    assert [path.read_text() for path in elsewhere.iterdir()] == [text]


def test_fmt(elsewhere) -> None:
    text = (SPECS / "gla.mix").read_text()
    (elsewhere / "gla.mix").write_text(text.replace("v[V]       =", "v[V] ="))
    assert run("fmt", "--check", "gla.mix").exit_code == 1
    assert run("fmt", "gla.mix").exit_code == 0
    assert (elsewhere / "gla.mix").read_text() == text
    assert run("fmt", "--check", "gla.mix").exit_code == 0


@pytest.mark.parametrize("spec", ["gla", "bigbird"])
@pytest.mark.parametrize("command", ["check", "explain", "explain --mask", "fmt --check"])
def test_no_torch_where_none_is_needed(command: str, spec: str) -> None:
    script = (
        "import sys\n"
        "from mixerc.cli import app\n"
        f"app({[*command.split(), str(SPECS / f'{spec}.mix')]!r}, standalone_mode=False)\n"
        f"print([name for name in {LATE_IMPORTS} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().splitlines()[-1] == "[]"


def test_verify_passes_and_says_so() -> None:
    result = run("verify", SPECS / "griffin.mix", "--quick")
    assert result.exit_code == 0
    assert "all hold" in result.stdout


def test_a_law_that_fails(monkeypatch) -> None:
    class Failed:
        passed = False
        text = "carry fails"

    monkeypatch.setattr("mixerc.verify.verify", lambda *arguments, **options: Failed())
    result = run("verify", SPECS / "gla.mix")
    assert result.exit_code == 1
    assert "carry fails" in result.stdout


def test_the_installed_script_prints_no_traceback() -> None:
    script = "from mixerc.cli import main; main()"
    command = [sys.executable, "-c", script, "compile", "griffin", "-o", "griffin.py"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
