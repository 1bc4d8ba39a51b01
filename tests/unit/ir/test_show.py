"""Showing a checked spec and checking that text gives the same spec."""

from pathlib import Path

import pytest

from mixerc.compiler import Source, front
from mixerc.ir.mixer import Mixer
from mixerc.ir.show import show

SPECS = sorted((Path(__file__).parents[3] / "specs").glob("*.mix"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_shown_spec_is_the_same_spec(path: Path) -> None:
    source = Source(text=path.read_text(), file=path.name, folder=path.parent)
    checked = front(source)
    text = show(checked)
    again = front(Source(text=text, file=path.name, folder=path.parent))
    assert again == checked, text
    assert show(again) == text
    assert isinstance(checked, Mixer) or checked.mixers
