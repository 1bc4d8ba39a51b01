"""What is said of the masks of shipped specs, and how they are drawn."""

import numpy as np
import pytest

from mixerc.algebra.masks.drawing import (
    EMPTY,
    FULL,
    OPEN,
    PARTIAL,
    drawn_tables,
    length_shown,
    picture,
    text_picture,
)
from mixerc.algebra.masks.mistakes import mask_notes
from mixerc.algebra.masks.of_mixer import Mask, masks_of
from mixerc.algebra.masks.values import NOTHING_KNOWN, known
from mixerc.algebra.masks.words import mask_lines
from mixerc.compiler import front, read_source
from mixerc.explain import numeric_sizes
from mixerc.ir.mixer import Mixer
from tests.unit.algebra.masks.predicates import FAMILIES, SPECS, brute, condition, given

MASKED = [
    "attention",
    "gqa",
    "mistral",
    "fixed",
    "dilated",
    "block_sparse",
    "longformer",
    "bigbird",
    "documents",
    "prefix_lm",
    "streaming",
    "alibi",
    "softcap",
    "forgetting_attention",
]


def shipped(name: str) -> Mixer:
    mixer = front(read_source(SPECS / f"{name}.mix"))
    assert isinstance(mixer, Mixer)
    return mixer


def said(name: str) -> dict[str, str]:
    """The lines of a spec's first mask, by their first word."""
    mixer = shipped(name)
    lines = list(mask_lines(mixer, numeric_sizes(mixer, {})))
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[1:6]}


@pytest.mark.parametrize("name", MASKED)
def test_every_masked_spec_has_its_lines(name: str) -> None:
    assert list(said(name)) == ["keys", "order", "rows", "cache", "tiles"]
    assert said(name)["rows"] == "every query sees a key, proved"


def test_a_window() -> None:
    lines = said("mistral")
    assert lines["keys"] == "the last 4,096, its own among them"
    assert lines["order"] == "causal, proved"
    # k and v of 8 groups, 128 numbers each, 2 bytes a number.
    assert lines["cache"] == (
        "the last 4,096 tokens, each with `k`, `v`: 4,096 bytes a layer in bf16; "
        "16,777,216 together."
    )
    assert lines["tiles"] == (
        "loop bounds: t - 4095 <= s < t + 1; at T = 4,096 8,390,656 pairs in "
        "2,080 of 4,096 tiles, 2,016 of them full"
    )


def test_sinks_documents_and_decays() -> None:
    assert said("streaming")["cache"].startswith("the last 1,024 tokens and the first 4, each")
    documents = said("documents")
    assert documents["keys"] == "all up to its own, of the same `doc`"
    assert "It may be emptied where `doc` changes" in documents["cache"]
    assert documents["tiles"].startswith("runs of equal `doc`, within them loop bounds: 0 <= s <")
    assert "`k`, `v`, `decay`: 4,128 bytes" in said("forgetting_attention")["cache"]


def test_a_mask_that_is_not_causal() -> None:
    lines = said("prefix_lm")
    assert lines["order"] == "not causal: query t = 0 may see key s = 1"
    assert lines["cache"] == "none. Query t = 0 may see the later key s = 1."
    assert "from the values of `prefix`; at T = 4,096 at most" in lines["tiles"]


HEADS = """mixer m(D = 4)
q[D], k[D], v[D] = x | linear
width = 2 ^ head
mask causal and t - s < width
weight q[t] @ k[s]
state cache
y = o | linear
"""


def test_heads_by_themselves() -> None:
    mixer = front(read_source(HEADS))
    assert isinstance(mixer, Mixer)
    masks = masks_of(mixer, {"D": 4, "heads": 3})
    assert [mask.head for mask in masks] == [0, 1, 2]
    lines = list(mask_lines(mixer, {"D": 4, "heads": 3}))
    assert lines[0] == "Mask, head 0:"
    assert "  keys    the last 4, its own among them" in lines
    same = front(read_source(HEADS.replace("2 ^ head", "max(head, 9)")))
    assert isinstance(same, Mixer)
    assert next(iter(mask_lines(same, {"D": 4, "heads": 3}))) == "Mask, heads 0 to 2:"


NOTED = """mixer m(D = 4, W = 5000)
q[D], k[D], v[D] = x | linear
mask {mask}
weight q[t] @ k[s]
state cache
y = o | linear
"""


@pytest.mark.parametrize(
    ("mask", "row"),
    [
        ("0 < t - s < W", "t = 0, where W = 5000"),
        ("causal and t - s < W and s < 2", "t = 5001, where W = 5000"),
        ("causal and s >= T - W", "t = 0 of 10002, where W = 5000"),
        ("causal and t - s < W", ""),
    ],
)
def test_a_query_that_sees_nothing_gets_a_note(mask: str, row: str) -> None:
    mixer = front(read_source(NOTED.format(mask=mask)))
    assert isinstance(mixer, Mixer)
    notes = mask_notes(mixer)
    assert bool(notes) == bool(row)
    for note in notes:
        assert (note.slug, note.severity) == ("row-without-keys", "note")
        assert note.message == f"a token sees none: {row}"


def test_no_shipped_spec_gets_a_note() -> None:
    for path in sorted(SPECS.glob("*.mix")):
        mixer = front(read_source(path))
        if isinstance(mixer, Mixer):
            assert mask_notes(mixer) == ()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_picture_of_single_pairs(name: str) -> None:
    values = given(30, 1)
    shown = picture(condition(FAMILIES[name]), 30, 64, values.values)
    assert (shown == np.where(brute(FAMILIES[name], 30, values), FULL, EMPTY)).all()


def test_what_hangs_on_values_is_open() -> None:
    mask = condition("-9 <= 2 * (t - s) <= 9 or mark[s]")
    shown = picture(mask, 30, 64, NOTHING_KNOWN)
    near = brute("-9 <= 2 * (t - s) <= 9", 30, given(30, 0))
    assert (shown == np.where(near, FULL, OPEN)).all()
    assert "hangs on `mark`" in text_picture(mask, 30, NOTHING_KNOWN)[0]
    assert "hangs" not in text_picture(mask, 30, known({"mark": np.zeros(30, dtype=bool)}))[0]


def test_characters() -> None:
    legend, *lines = text_picture(condition("causal"), 128, NOTHING_KNOWN)
    assert legend.startswith("T = 128, a character is 4 x 2 tokens")
    assert len(lines) == 32
    assert lines[0] == "▒▒" + "·" * 62
    assert lines[1] == "██▒▒" + "·" * 60
    assert (
        picture(condition("causal"), 8, 2, NOTHING_KNOWN) == [[PARTIAL, EMPTY], [FULL, PARTIAL]]
    ).all()


def test_the_length_shows_the_numbers() -> None:
    assert length_shown(condition("causal")) == 64
    assert length_shown(condition("0 <= t - s < 1000")) == 4096
    assert length_shown(condition("0 <= t - s < 10^9")) == 131072
    assert length_shown(condition("causal and t // 100 == s // 100")) == 512


def test_tables_that_the_spec_draws() -> None:
    mixer = shipped("bigbird")
    sizes = numeric_sizes(mixer, {"B": 8, "R": 2})
    (mask,) = masks_of(mixer, sizes)
    assert isinstance(mask, Mask)
    values = drawn_tables(mixer, mask, sizes, 128)
    shown = picture(mask.condition, 128, 16, values)
    assert set(np.unique(shown)) == {EMPTY, FULL}
    assert (shown == picture(mask.condition, 128, 16, drawn_tables(mixer, mask, sizes, 128))).all()
