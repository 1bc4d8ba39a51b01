"""Tiles are what brute force says of them: never wrong, and exact where all values are known."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from mixerc.algebra.masks.bounds import bounds, within
from mixerc.algebra.masks.conditions import AtLeastZero, IsZero, literals, negated, show
from mixerc.algebra.masks.forms import Variable
from mixerc.algebra.masks.of_mixer import masks_of
from mixerc.algebra.masks.table import TileTable, tile_table
from mixerc.algebra.masks.tiles import Tile, TileClass, tile_class
from mixerc.algebra.masks.translate import MaskError
from mixerc.algebra.masks.values import known
from mixerc.compiler import front, read_source
from mixerc.ir.mixer import Mixer
from tests.unit.algebra.masks.predicates import (
    FAMILIES,
    SPECS,
    brute,
    condition,
    given,
    masks,
    mixer,
    static_masks,
)


def exactly(pairs: np.ndarray) -> TileClass:
    if not pairs.any():
        return TileClass.EMPTY
    return TileClass.FULL if pairs.all() else TileClass.PARTIAL


@st.composite
def tiles(draw, length: int = 24) -> tuple[int, Tile]:
    size = draw(st.integers(1, length))
    t0, s0 = draw(st.integers(0, size - 1)), draw(st.integers(0, size - 1))
    t1, s1 = draw(st.integers(t0 + 1, size)), draw(st.integers(s0 + 1, size))
    return size, Tile(t0=t0, t1=t1, s0=s0, s1=s1)


def cut(pairs: np.ndarray, tile: Tile) -> np.ndarray:
    return pairs[tile.t0 : tile.t1, tile.s0 : tile.s1]


@for_all(masks, tiles(), st.integers(0, 99))
def test_a_tile_of_any_mask_is_exact(mask: str, place: tuple[int, Tile], seed: int) -> None:
    length, tile = place
    values = given(length, seed)
    found = tile_class(condition(mask), tile, length, values.values)
    assert found == exactly(cut(brute(mask, length, values), tile))


@for_all(masks, tiles(), st.integers(0, 99))
def test_without_values_a_tile_is_never_wrong(mask: str, place, seed: int) -> None:
    length, tile = place
    pairs = cut(brute(mask, length, given(length, seed)), tile)
    found = tile_class(condition(mask), tile, length)
    assert found == TileClass.PARTIAL or found == exactly(pairs)


@for_all(st.sampled_from(sorted(FAMILIES)), tiles(48), st.integers(0, 99))
def test_the_families_are_exact(name: str, place, seed: int) -> None:
    length, tile = place
    values = given(length, seed)
    found = tile_class(condition(FAMILIES[name]), tile, length, values.values)
    assert found == exactly(cut(brute(FAMILIES[name], length, values), tile))


def classes(table: TileTable) -> np.ndarray:
    """The class of every tile as a number: 0 empty, 1 partial, 2 full."""
    rows = -(-table.length // table.queries)
    found = np.zeros((rows, -(-table.length // table.keys)), dtype=int)
    found[table.rows(), table.blocks] = 1 + table.full
    return found


def brute_classes(pairs: np.ndarray, queries: int, keys: int) -> np.ndarray:
    length = len(pairs)
    kinds = [TileClass.EMPTY, TileClass.PARTIAL, TileClass.FULL]
    return np.array(
        [
            [
                kinds.index(exactly(pairs[t : t + queries, s : s + keys]))
                for s in range(0, length, keys)
            ]
            for t in range(0, length, queries)
        ]
    )


@for_all(masks, st.integers(1, 40), st.integers(1, 8), st.integers(1, 8), st.integers(0, 99))
def test_a_table_is_exact(mask: str, length: int, queries: int, keys: int, seed: int) -> None:
    values = given(length, seed)
    table = tile_table(condition(mask), length, queries, keys, values.values)
    wanted = brute_classes(brute(mask, length, values), queries, keys)
    assert (classes(table) == wanted).all()
    assert (classes(table.by_keys()) == wanted.T).all()
    assert table.starts[-1] == table.visited == len(table.full)


def test_cells_and_strips_meet(monkeypatch) -> None:
    monkeypatch.setattr("mixerc.algebra.masks.table.CELL", 4)
    for mask in FAMILIES.values():
        values = given(61, 1)
        table = tile_table(condition(mask), 61, 3, 2, values.values)
        assert (classes(table) == brute_classes(brute(mask, 61, values), 3, 2)).all()


@for_all(static_masks, st.integers(1, 20))
def test_bounds_hold_the_form(mask: str, length: int) -> None:
    for literal in literals(condition(mask)):
        if isinstance(literal, AtLeastZero | IsZero):
            low, high = bounds(literal.form, within(length))
            for place in ((0, 0), (length - 1, 0), (0, length - 1), (length // 2, length // 3)):
                names = dict(zip((Variable.T, Variable.S), place, strict=True))
                here = {name: (at, at) for name, at in names.items()}
                at = bounds(literal.form, {**here, Variable.LENGTH: (length, length)})
                assert low <= at[0]
                assert at[1] <= high


@for_all(masks, st.integers(0, 99))
def test_not_and_the_text_of_a_condition(mask: str, seed: int) -> None:
    values = given(9, seed)
    found = condition(mask)
    text = show(found).replace("nothing", "not full")
    assert (brute(mask, 9, values) == brute(_readable(text), 9, values)).all()
    opposite = show(negated(found)).replace("nothing", "not full")
    assert (brute(mask, 9, values) != brute(_readable(opposite), 9, values)).all()


def _readable(text: str) -> str:
    """Entries of a table without their index, which is the same everywhere."""
    return text.replace("link[t // 3, s // 3]", "link")


AT_LENGTH = 131072
BIG = {
    "attention": {},
    "mistral": {"W": 4096},
    "fixed": {"L": 128, "C": 8},
    "dilated": {"W": 256, "R": 2},
    "block_sparse": {"B": 64},
    "bigbird": {"B": 64},
    "streaming": {"W": 1024, "sinks": 4},
}


def tables(name: str) -> dict[str, np.ndarray]:
    random, blocks = np.random.default_rng(0), AT_LENGTH // 64
    match name:
        case "block_sparse":
            return {"layout": random.random((blocks, blocks)) < 0.05}
        case "bigbird":
            link = np.zeros((blocks, blocks), dtype=bool)
            np.put_along_axis(link, random.integers(0, blocks, (blocks, 3)), True, axis=1)
            return {"link": link}
        case _:
            return {}


@pytest.mark.parametrize("name", BIG)
def test_a_long_sequence_takes_little_memory(name: str) -> None:
    mixer = front(read_source(SPECS / f"{name}.mix"))
    assert isinstance(mixer, Mixer)
    mask = masks_of(mixer, {"D": 64, "G": 1, **BIG[name]})[0].condition
    arrays = tables(name)
    tracemalloc.start()
    table = tile_table(mask, AT_LENGTH, 64, 64, known(arrays))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 100e6
    # Blocks from the middle, against every pair of them.
    for row in (0, 1, 700, 2047):
        t = np.arange(row * 64, row * 64 + 64)
        _check_row(name, table, row, t, arrays)


def _check_row(name: str, table: TileTable, row: int, t: np.ndarray, arrays) -> None:
    t, s = t[:, None], np.arange(AT_LENGTH)[None]
    block = arrays.get("layout", arrays.get("link"))
    entries = None if block is None else np.repeat(block[row], 64)[None]
    wanted = {
        "attention": lambda: s <= t,
        "mistral": lambda: (t - s >= 0) & (t - s < 4096),
        "fixed": lambda: (s <= t) & ((t // 128 == s // 128) | (s % 128 >= 120)),
        "dilated": lambda: (t - s >= 0) & (t - s < 512) & ((t - s) % 2 == 0),
        "block_sparse": lambda: (s <= t) & (entries | (t // 64 == s // 64)),
        "bigbird": lambda: (
            entries
            | (abs(t // 64 - s // 64) <= 1)
            | (t < 64)
            | (s < 64)
            | (t >= AT_LENGTH - 64)
            | (s >= AT_LENGTH - 64)
        ),
        "streaming": lambda: (s <= t) & ((t - s < 1024) | (s < 4)),
    }[name]()
    held = np.broadcast_to(wanted, (64, AT_LENGTH)).reshape(64, -1, 64)
    some, every = held.any(axis=(0, 2)), held.all(axis=(0, 2))
    found = table.blocks[table.starts[row] : table.starts[row + 1]]
    assert (found == np.flatnonzero(some)).all()
    assert (table.full[table.starts[row] : table.starts[row + 1]] == every[found]).all()


def test_numbers_that_no_machine_word_holds() -> None:
    far = condition("t - s < 10^30")
    assert tile_class(far, Tile(t0=0, t1=9, s0=0, s1=9), 9) == TileClass.FULL
    near = condition("t * 10^30 <= s * 10^30 + 1")
    assert tile_class(near, Tile(t0=5, t1=6, s0=0, s1=4), 9) == TileClass.EMPTY


def test_real_values_leave_a_tile_open() -> None:
    assert tile_class(condition("sqrt(t) >= s"), Tile(t0=0, t1=2, s0=0, s1=2), 9) == "partial"
    assert tile_class(condition("2 * s <= t / 3"), Tile(t0=0, t1=6, s0=1, s1=4), 9) == "empty"


def test_a_size_that_divides_by_zero() -> None:
    mixer_ = mixer("s % 2 == 0")
    assert masks_of(mixer_, {})
    text = "mixer m(D = 4, B = 4)\nq[D], k[D], v[D] = x | linear\nmask t // B == s // B\n"
    text += "weight q[t] @ k[s]\nstate cache\ny = o | linear\n"
    sized = front(read_source(text))
    with pytest.raises(MaskError, match="divides by zero"):
        masks_of(sized, {"B": 0})
    with pytest.raises(MaskError, match="B is not known"):
        masks_of(sized, {})


def test_values_that_are_too_short() -> None:
    with pytest.raises(ValueError, match="mark has 4 entries"):
        tile_table(condition("mark[s]"), 9, values=known({"mark": np.zeros(4, dtype=bool)}))
    with pytest.raises(ValueError, match="doc has a number of more than 30 bits"):
        known({"doc": np.array([0, 2**40])})
