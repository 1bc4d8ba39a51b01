"""The README shows what the code does now: `python tests/unit/test_readme.py` writes it anew."""

import re
import runpy
from pathlib import Path

import pytest

from mixerc.algebra.classify import classify
from mixerc.compiler import front, read_source
from mixerc.ir.mixer import Mixer

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
SHOWN = ("mistaken", "explained", "planned", "generated")


def snippet(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- snippet: {name} -->\n```\w*\n)(.*?)(```\n)", re.DOTALL)


def current() -> dict[str, str]:
    stages = runpy.run_path(str(ROOT / "examples" / "inspect_stages.py"))
    return {name: stages[name]().rstrip() + "\n" for name in SHOWN}


@pytest.mark.parametrize("name", SHOWN)
def test_a_stage_is_what_the_readme_shows(name: str) -> None:
    found = snippet(name).search(README.read_text(encoding="utf-8"))
    assert found is not None
    assert found[2] == current()[name], "run python tests/unit/test_readme.py"


def test_the_example_runs(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    found = snippet("use").search(README.read_text(encoding="utf-8"))
    assert found is not None
    names: dict[str, object] = {}
    exec(found[2], names)
    assert names["y1"].shape == (2, 128)


def test_the_spec_is_the_shipped_one() -> None:
    text = README.read_text(encoding="utf-8")
    assert (ROOT / "specs" / "gla.mix").read_text(encoding="utf-8") in text


def test_the_specs_with_a_fast_form_are_the_ones_listed() -> None:
    row = re.search(r"^\| linear, with an .*\|(.*)\|$", README.read_text(encoding="utf-8"), re.M)
    assert row is not None
    checked = [front(read_source(path)) for path in sorted((ROOT / "specs").glob("*.mix"))]
    fast = [m.name for m in checked if isinstance(m, Mixer) and classify(m).linear is not None]
    assert sorted(row[1].strip().split(", ")) == fast
    assert f"all {len(checked)} shipped specs" in README.read_text(encoding="utf-8")


def test_the_table_of_classes_names_every_spec_once() -> None:
    section = README.read_text(encoding="utf-8").split("| class | fast form | specs |")[1]
    rows = section.split("\n\n")[0].splitlines()[2:]
    named = [name for row in rows for name in row.split("|")[3].strip().split(", ")]
    assert sorted(named) == sorted(path.stem for path in (ROOT / "specs").glob("*.mix"))


def rewrite() -> None:
    """Put the stages of today into the README."""
    text = README.read_text(encoding="utf-8")
    for name, content in current().items():
        text = snippet(name).sub(lambda m, new=content: m[1] + new + m[3], text)
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    rewrite()
