"""The cache: whole entries or none, whoever writes them and whatever happened to them."""

import subprocess
import sys
from pathlib import Path

import pytest

import mixerc
from mixerc.runtime import cache

SPECS = Path(__file__).parents[3] / "specs"
TEXT = "VALUE = 1\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MIXERC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_is_stored_is_found() -> None:
    key = cache.key_of("a", "b")
    assert cache.find(key) is None
    path = cache.store(key, TEXT)
    assert cache.find(key) == path
    assert path.read_text().startswith(TEXT)


def test_keys_tell_texts_apart() -> None:
    assert cache.key_of("ab", "c") != cache.key_of("a", "bc")
    assert cache.key_of("a") == cache.key_of("a")


@pytest.mark.parametrize("spoil", ["cut", "edited", "empty", "not text"])
def test_a_spoilt_entry_is_made_again(spoil: str) -> None:
    mixer = mixerc.compile(SPECS / "gla.mix")
    path = mixer._backing.layer_file()
    whole = path.read_bytes()
    damaged = {
        "cut": whole[: len(whole) // 2],
        "edited": whole.replace(b"CHUNK = 64", b"CHUNK = 32"),
        "empty": b"",
        "not text": b"\xff\xfe\x00" + whole,
    }[spoil]
    path.write_bytes(damaged)
    again = mixerc.compile(SPECS / "gla.mix")._backing.layer_file()
    assert again == path
    assert path.read_bytes() == whole


def test_nothing_is_left_of_a_write_that_fails(own_cache, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(cache.os, "replace", refuse)
    with pytest.raises(OSError, match="no space"):
        cache.store("k", TEXT)
    assert list(own_cache.iterdir()) == []


SCRIPT = """
import sys, torch, mixerc
gla = mixerc.compile(sys.argv[1])
x = torch.ones(1, 5, 1, 2)
o, _ = gla(q=x, k=x, v=x, a=x / 2)
print(f"{o.sum():.6f}")
"""


def test_two_processes_at_once() -> None:
    command = [sys.executable, "-c", SCRIPT, str(SPECS / "gla.mix")]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = {run.communicate(timeout=300)[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0]
    assert len(outputs) == 1


def test_a_hit_imports_nothing_of_the_compiler() -> None:
    mixerc.compile(SPECS / "gla.mix")
    script = (
        "import sys, mixerc\n"
        f"mixerc.compile({str(SPECS / 'gla.mix')!r})\n"
        "print([m for m in ('lark', 'sympy', 'jinja2') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_sizes_and_chunks_have_files_of_their_own() -> None:
    plain = mixerc.compile(SPECS / "gla.mix")._backing.layer_file()
    sized = mixerc.compile(SPECS / "gla.mix", K=8)._backing.layer_file()
    chunked = mixerc.compile(SPECS / "gla.mix", chunk=32)._backing.layer_file()
    assert len({plain, sized, chunked}) == 3
    with pytest.raises(TypeError, match="did you mean K"):
        mixerc.compile(SPECS / "gla.mix", k=8)
    with pytest.raises(ValueError, match="power of two"):
        mixerc.compile(SPECS / "gla.mix", chunk=48)
