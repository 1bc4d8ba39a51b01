"""Every bad spec is refused, by the mistake in its name and with the text beside it.

`tests/bad/<stage>/<slug>.mix`, or `<slug>-<which>.mix` where one mistake has several faces.
`tests/bad/beside` has right mixers, for stacks that need one which no shipped spec is.
"""

import re
from pathlib import Path

import pytest

from mixerc.algebra.classify import classify
from mixerc.compiler import neighbours
from mixerc.diagnostics.diagnostic import SpecError
from mixerc.diagnostics.render import render
from mixerc.frontend import syntax
from mixerc.frontend.check import check
from mixerc.frontend.parser import parse
from mixerc.frontend.resolve import resolve
from mixerc.ir.mixer import Mixer

BAD = Path(__file__).parent / "bad"
BESIDE = sorted(BAD.glob("beside/*.mix"))
SPECS = sorted(set(BAD.glob("*/*.mix")) - set(BESIDE), key=str)
SOURCES = sorted((BAD.parents[1] / "mixerc").glob("*/errors*.py"))
TEXTS = {f"beside/{path.name}": path.read_text(encoding="utf-8") for path in BESIDE}


def load(name: str) -> syntax.Spec | None:
    """A mixer that a stack uses; its file's name in the diagnostics is the same everywhere."""
    file = f"beside/{name}.mix"
    return parse(TEXTS[file], file) if file in TEXTS else neighbours(None)(name)


def read(path: Path, name: str) -> None:
    """Run the stages up to the one that the folder names."""
    spec = parse(path.read_text(encoding="utf-8"), name)
    if path.parent.name == "syntax":
        return
    checked = check(resolve(spec, load))
    if path.parent.name == "classify" and isinstance(checked, Mixer):
        classify(checked)


@pytest.mark.golden
@pytest.mark.parametrize("path", SPECS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_bad_spec_is_refused_as_written_beside_it(
    path: Path, request: pytest.FixtureRequest
) -> None:
    name = path.relative_to(BAD).as_posix()
    with pytest.raises(SpecError) as caught:
        read(path, name)
    diagnostics = caught.value.diagnostics
    slugs = {diagnostic.slug for diagnostic in diagnostics}
    assert any(f"{path.stem}-".startswith(f"{slug}-") for slug in slugs), slugs
    text = render(diagnostics, {**TEXTS, name: path.read_text(encoding="utf-8")})
    beside = path.with_suffix(".txt")
    if request.config.getoption("--update-golden"):
        beside.write_text(text, encoding="utf-8")
    assert beside.exists(), f"no {beside.name}: run `make golden`, then read it"
    assert text == beside.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_diagnostic_has_a_bad_spec(path: Path) -> None:
    slugs = re.findall(r'slug="([a-z-]+)"', path.read_text(encoding="utf-8"))
    stems = [f"{spec.stem}-" for spec in SPECS]
    assert [slug for slug in slugs if not any(s.startswith(f"{slug}-") for s in stems)] == []


@pytest.mark.parametrize("path", BESIDE, ids=lambda path: path.stem)
def test_a_mixer_beside_the_bad_specs_is_right(path: Path) -> None:
    check(parse(path.read_text(encoding="utf-8"), path.name))
