"""Bands, facts and costs, against every pair of short sequences."""

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from mixerc.algebra.masks import forms
from mixerc.algebra.masks.bands import Bands, bands_of
from mixerc.algebra.masks.bounds import bounds
from mixerc.algebra.masks.boxes import Boxes, evaluate
from mixerc.algebra.masks.clauses import TooManyClauses, clauses, disjoint, implies, impossible
from mixerc.algebra.masks.conditions import Condition, all_of, show
from mixerc.algebra.masks.cost import band_pairs, cost
from mixerc.algebra.masks.extents import AllTokens, NoCache, Ring, extent
from mixerc.algebra.masks.flags import MAY_HOLD
from mixerc.algebra.masks.forms import Variable
from mixerc.algebra.masks.plain import Plain, plain
from mixerc.algebra.masks.prover import greatest
from mixerc.algebra.masks.structure import Documents, Tiles, structure
from mixerc.algebra.masks.values import NOTHING_KNOWN, Values
from mixerc.algebra.masks.verdicts import causality, rows
from tests.unit.algebra.masks.predicates import (
    FAMILIES,
    STATIC,
    brute,
    condition,
    given,
    masks,
    plain_masks,
    static_masks,
)


def holding(found: Condition, length: int, values: Values = NOTHING_KNOWN) -> np.ndarray:
    t, s = np.arange(length)[:, None], np.arange(length)[None]
    boxes = Boxes(t=(t, t), s=(s, s), length=length)
    return (evaluate(found, boxes, values) & MAY_HOLD) != 0


@for_all(masks, st.integers(1, 12), st.integers(0, 99))
def test_alternatives_are_the_condition(mask: str, length: int, seed: int) -> None:
    found, values = condition(mask), given(length, seed)
    wanted = brute(mask, length, values)
    for expand, most in ((clauses, 99), (disjoint, 1)):
        try:
            pieces = expand(found)
        except TooManyClauses:
            continue
        held = [holding(all_of(piece), length, values.values) for piece in pieces]
        count = np.sum(held, axis=0) if held else np.zeros((length, length))
        assert ((count > 0) == wanted).all()
        assert (count <= most).all()


@for_all(masks, st.integers(0, 99))
def test_what_is_impossible_never_holds(mask: str, seed: int) -> None:
    if impossible(condition(mask)):
        assert not brute(mask, 11, given(11, seed)).any()


@for_all(static_masks, st.integers(1, 14))
def test_a_bound_is_one(mask: str, length: int) -> None:
    distance = forms.plus(forms.single(Variable.T), forms.single(Variable.S), -1)
    try:
        pieces = disjoint(condition(mask))
    except TooManyClauses:
        return
    for piece in pieces:
        t, s = np.nonzero(holding(all_of(piece), length))
        assert ((t - s) <= greatest(distance, frozenset(piece))).all()


def drawn(bands: Bands, length: int) -> np.ndarray:
    """How many bands allow each pair."""
    total = np.zeros((length, length), dtype=int)
    ends = {Variable.LENGTH: (length, length)}
    for band in bands.bands:
        allowed = holding(band.guard, length)
        for t in range(length):
            at = {**ends, Variable.T: (t, t)}
            low = max([0, *(bounds(form, at)[0] for form in band.lower)])
            high = min([length, *(bounds(form, at)[0] for form in band.upper)])
            first = max([0, *(bounds(form, at)[0] for form in band.first)])
            last = min([length, *(bounds(form, at)[0] for form in band.last)])
            if first <= t < last and low < high:
                total[t, low:high] += allowed[t, low:high]
    return total


@for_all(
    plain_masks | st.sampled_from(sorted(STATIC.values())),
    st.integers(1, 30),
    st.integers(1, 7),
    st.integers(1, 7),
)
def test_bands_are_the_mask(mask: str, length: int, queries: int, keys: int) -> None:
    bands = bands_of(condition(mask))
    if bands is None:
        return
    wanted = brute(mask, length, given(length, 0))
    assert (drawn(bands, length) == wanted).all()
    assert band_pairs(bands, length) in (None, wanted.sum())
    for t0 in range(0, length, queries):
        block = wanted[t0 : t0 + queries]
        seen = np.zeros(-(-length // keys), dtype=int)
        for run in bands.key_blocks(t0, t0 + queries, length, keys):
            seen[run.begin : run.end] += 1
            full = block[:, run.full_begin * keys : run.full_end * keys]
            assert full.all()
            assert run.begin <= run.full_begin <= run.full_end <= run.end
        assert (seen <= 1).all()
        visited = np.repeat(seen, keys)[:length]
        assert not block[:, visited == 0].any()


@for_all(plain_masks, st.integers(1, 20))
def test_ordered_bands_go_from_left_to_right(mask: str, length: int) -> None:
    bands = bands_of(condition(mask))
    if bands is None or not bands.ordered:
        return
    reached = np.full(length, -1)
    for band in bands.bands:
        held = drawn(Bands(bands=(band,), ordered=True), length) > 0
        for t in range(length):
            keys = np.flatnonzero(held[t])
            if len(keys):
                assert keys[0] > reached[t]
                reached[t] = keys[-1]


BANDS = {
    "causal": ["[0, t + 1)"],
    "window": ["[t - 6, t + 1)"],
    "dilated": ["[t - 11, t + 1) if (t - s) % 2 == 0"],
    "streaming": ["[0, 2, t - 5)", "[t - 5, t + 1)"],
    "blocks": ["[6 * (t // 6), t + 1)"],
    "two_blocks": ["[6 * (t // 6) - 6, t + 1)"],
    "band": ["[t - 4, t + 5)"],
    "anti": ["[0, T - t)"],
}


@pytest.mark.parametrize("name", BANDS)
def test_bands_of_the_families(name: str) -> None:
    found = structure(condition(FAMILIES[name]))
    assert isinstance(found, Bands)
    assert found.ordered
    texts = []
    for band in found.bands:
        low, high = (", ".join(map(forms.show, end)) for end in (band.lower, band.upper))
        guard = show(band.guard)
        texts.append(f"[{low or '0'}, {high})" + ("" if guard == "full" else f" if {guard}"))
    assert texts == BANDS[name]


def test_documents_and_tables() -> None:
    found = structure(condition(FAMILIES["documents"]))
    assert isinstance(found, Documents)
    assert (found.streams, show(found.rest)) == (("doc",), "t >= s")
    assert isinstance(found.inner, Bands)
    assert structure(condition(FAMILIES["fixed"])).__class__ is Bands
    assert structure(condition("causal and s % 128 >= 120")) == Tiles(reads=(), open=())
    assert structure(condition(FAMILIES["longformer"])) == Tiles(reads=("mark",), open=())
    assert structure(condition("sqrt(t) > s")) == Tiles(reads=(), open=("sqrt(t) > s",))


@for_all(masks, st.integers(1, 14), st.integers(0, 99))
def test_verdicts_are_right(mask: str, length: int, seed: int) -> None:
    found, values = condition(mask), given(length, seed)
    pairs = brute(mask, length, values)
    order, seen = causality(found), rows(found)
    if order.proved:
        assert not np.triu(pairs, 1).any()
    if seen.proved:
        assert pairs.any(axis=1).all()
    if order.example is not None and order.example.certain:
        example = order.example
        there = brute(mask, example.length, given(example.length, seed))
        assert example.s > example.t
        assert there[example.t, example.s]
    if seen.example is not None and seen.example.length <= 24:
        there = brute(mask, seen.example.length, given(seen.example.length, seed))
        empty = np.flatnonzero(~there.any(axis=1))
        assert seen.example.t in empty


@for_all(static_masks, st.integers(1, 24))
def test_a_ring_holds_what_is_seen(mask: str, length: int) -> None:
    found = condition(f"causal and ({mask})")
    t, s = np.nonzero(brute(f"causal and ({mask})", length, given(length, 0)))
    match extent(found):
        case Ring(window=window, pinned=pinned):
            assert ((t - s < window) | (s < pinned)).all()
        case AllTokens():
            pass
        case NoCache(reason=reason):
            assert "T" in reason


EXTENTS = {
    "causal": AllTokens(reason="Nothing bounds how much later keys are seen."),
    "window": Ring(window=7),
    "fixed": AllTokens(reason="Nothing bounds how much later keys with s % 8 >= 6 are seen."),
    "strided": AllTokens(reason="Nothing bounds how much later keys are seen."),
    "dilated": Ring(window=12),
    "dilated3": Ring(window=21),
    "streaming": Ring(window=6, pinned=2),
    "blocks": Ring(window=6),
    "two_blocks": Ring(window=12),
    "documents": AllTokens(
        reason="Nothing bounds how much later keys are seen.", documents=("doc",)
    ),
    "prefix_lm": NoCache(reason="Query t = 0 may see the later key s = 1."),
    "longformer": NoCache(reason="Query t = 0 sees the later key s = 1."),
}


@pytest.mark.parametrize("name", EXTENTS)
def test_the_cache_of_the_families(name: str) -> None:
    assert extent(condition(FAMILIES[name])) == EXTENTS[name]


def test_more_caches() -> None:
    assert extent(condition("causal and t - s < 8 and doc[t] == doc[s]")) == Ring(
        window=8, documents=("doc",)
    )
    assert extent(condition("causal and s < 5")) == Ring(window=1, pinned=5)
    assert extent(condition("causal and s >= T - 4")) == NoCache(
        reason="The mask reads the length T, which decoding does not know."
    )
    assert Ring(window=6, pinned=2).slots(100) == 8
    assert Ring(window=6, pinned=2).last_query(1) is None
    assert Ring(window=6, pinned=2).last_query(2) == 7
    assert Ring(window=6, pinned=2).slots(3) == 3


@pytest.mark.parametrize("name", FAMILIES)
def test_every_row_of_the_families_sees_a_key(name: str) -> None:
    assert rows(condition(FAMILIES[name])).proved


def test_rows_that_see_nothing() -> None:
    example = rows(condition("s < t")).example
    assert example is not None
    assert (example.t, example.length) == (0, 1)
    later = rows(condition("causal and s < 5 and t - s < 3")).example
    assert later is not None
    assert (later.t, later.length) == (7, 8)
    assert rows(condition("s < t or s < 2")).proved
    assert rows(condition("mark[s]")).example is None
    assert not rows(condition("mark[s]")).proved


PLAIN = {
    "s <= t": (Plain.CAUSAL, None, ()),
    "t - s >= 0": (Plain.CAUSAL, None, ()),
    "not (s > t)": (Plain.CAUSAL, None, ()),
    "full": (Plain.FULL, None, ()),
    "causal or s > t": (Plain.FULL, None, ()),
    "s // 1 <= t": (Plain.CAUSAL, None, ()),
    "0 <= t - s < 7": (Plain.WINDOW, 7, ()),
    "causal and t - s <= 6": (Plain.WINDOW, 7, ()),
    "causal and doc[t] == doc[s]": (Plain.CAUSAL, None, ("doc",)),
    "doc[t] == doc[s]": (Plain.FULL, None, ("doc",)),
}


@pytest.mark.parametrize("mask", PLAIN)
def test_plain_masks(mask: str) -> None:
    found = plain(condition(mask))
    assert found is not None
    assert (found.kind, found.window, found.documents) == PLAIN[mask]


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"causal", "full", "window", "documents"}))
def test_other_masks_are_not_plain(name: str) -> None:
    assert plain(condition(FAMILIES[name])) is None


@for_all(masks, st.integers(1, 12), st.integers(0, 99))
def test_plain_is_exact(mask: str, length: int, seed: int) -> None:
    found = plain(condition(mask))
    if found is None:
        return
    values = given(length, seed)
    text = {Plain.FULL: "full", Plain.CAUSAL: "causal", Plain.WINDOW: "causal and t - s < W"}
    same = " and doc[t] == doc[s]" if found.documents else ""
    wanted = text[found.kind].replace("W", str(found.window)) + same
    assert (brute(mask, length, values) == brute(wanted, length, values)).all()


@for_all(masks, st.integers(1, 24), st.integers(1, 6), st.integers(0, 99))
def test_costs_are_counted(mask: str, length: int, side: int, seed: int) -> None:
    values = given(length, seed)
    pairs = brute(mask, length, values)
    found = cost(condition(mask), length, side, side, values.values)
    assert (found.pairs, found.exact) == (pairs.sum(), True)
    assert found.tiles == sum(
        bool(pairs[t : t + side, s : s + side].any())
        for t in range(0, length, side)
        for s in range(0, length, side)
    )


def test_costs_of_long_sequences() -> None:
    found = cost(condition("0 <= t - s < 7"), 131072)
    assert found.pairs == 7 * 131072 - 21
    assert found.tiles == 2048 + 2047
    assert cost(condition(FAMILIES["dilated"]), 10000).pairs == 6 * 10000 - 30
    assert cost(condition("causal and s % 8 >= 6"), 4096).exact
    assert not cost(condition("causal and mark[s]"), 64).exact


def test_implication() -> None:
    window, causal = condition("0 <= t - s < 7"), condition("causal")
    assert implies(window, causal)
    assert not implies(causal, window)
