"""What is printed of a mask finds the tiles that it visits, against every pair of positions."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import assume, example
from hypothesis import given as for_all
from hypothesis import strategies as st

from mixerc import resources
from mixerc.algebra.masks.bands import Bands, bands_of
from mixerc.algebra.masks.boxes import Boxes, evaluate
from mixerc.algebra.masks.conditions import Condition
from mixerc.algebra.masks.flags import MAY_HOLD
from mixerc.algebra.masks.of_mixer import masks_of
from mixerc.algebra.masks.turned import turned
from mixerc.algebra.masks.values import Values, known
from mixerc.backends.module.bounds import bounds_text
from mixerc.backends.module.visits import reads_of_tiles, tiles_text
from mixerc.compiler import front, read_source
from mixerc.ir.mixer import Mixer
from tests.unit.algebra.masks.predicates import (
    BLOCK,
    FAMILIES,
    SPECS,
    STATIC,
    brute,
    condition,
    given,
    masks,
    plain_masks,
    static_masks,
)

HELPERS: dict = {}
for name in ("ranges", "visits"):
    exec(resources.read("templates", "module", f"{name}.py"), HELPERS)

SIZES = {"D": 4, "G": 1, "heads": 1, "W": 12, "L": 8, "C": 3, "R": 2, "B": 5, "sinks": 3}
SHIPPED = [
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


@dataclass(frozen=True)
class Case:
    """A mask, the values that it reads, and what it allows [T, T]."""

    condition: Condition
    arrays: dict[str, np.ndarray]
    pairs: np.ndarray

    @property
    def length(self) -> int:
        return len(self.pairs)

    def turned(self) -> "Case":
        return Case(turned(self.condition), self.arrays, self.pairs.T)


def random_case(mask: str, length: int, seed: int) -> Case:
    values = given(length, seed)
    arrays = {"mark": values.mark, "doc": values.doc, "link": values.link}
    return Case(condition(mask), arrays, brute(mask, length, values))


def shipped_cases(name: str, length: int) -> Iterator[Case]:
    mixer = front(read_source(SPECS / f"{name}.mix"))
    assert isinstance(mixer, Mixer)
    random = np.random.default_rng(length)
    blocks = -(-length // SIZES["B"])
    table = random.random((blocks, blocks)) < 0.3
    bools = random.random(length) < 0.1
    doc = np.cumsum(random.random(length) < 0.1)
    arrays = {"layout": table, "link": table, "mark": bools, "prefix": bools, "doc": doc}
    for mask in masks_of(mixer, SIZES):
        pairs = held(mask.condition, length, known(arrays))
        yield Case(mask.condition, arrays, pairs)


def held(found: Condition, length: int, values: Values) -> np.ndarray:
    """Every pair by itself."""
    t, s = np.arange(length)[:, None], np.arange(length)[None]
    return (evaluate(found, Boxes(t=(t, t), s=(s, s), length=length), values) & MAY_HOLD) != 0


def printed(text: str, name: str) -> Callable:
    names = dict(HELPERS)
    exec(text, names)
    assert max(map(len, text.splitlines())) <= 92, text
    return names[name]


def read_of(case: Case, queries: tuple[int, int], keys: tuple[int, int]) -> dict:
    """Values by the keys of the printed text: streams where the ranges are, tables as a whole."""
    read = {}
    for key in reads_of_tiles(case.condition):
        name, _, time = key.partition("[")
        values = torch.from_numpy(case.arrays[name])
        if not time:
            read[key] = HELPERS["Grid"](values)
        else:
            first, count = queries if time == "t]" else keys
            read[key] = HELPERS["Stretch"](values[first : first + count], first)
    return read


def found_kinds(case: Case, queries, keys, side) -> np.ndarray:
    """0, 1 or 2 for each tile, of what `visits` finds."""
    table = torch.from_numpy(case.pairs.copy())
    starts, blocks, full = HELPERS["visits"](
        printed(tiles_text(case.condition, "near"), "near"),
        lambda t, s: table[t, s],
        queries,
        keys,
        side,
        length=case.length,
        read=read_of(case, queries, keys),
    )
    rows, columns = (-(-n // width) for (_, n), width in zip((queries, keys), side, strict=True))
    assert (starts.dtype, blocks.dtype, full.dtype) == (torch.int64, torch.int64, torch.bool)
    assert len(starts) == rows + 1
    assert starts[-1] == len(blocks) == len(full)
    kinds = np.zeros((rows, columns), dtype=int)
    for row, (a, b) in enumerate(itertools.pairwise(starts.tolist())):
        assert (blocks[a:b].diff() > 0).all()
        kinds[row, blocks[a:b].numpy()] = 1 + full[a:b].numpy()
    joined = HELPERS["runs"](starts, blocks, full)
    assert (kinds == _kinds_of_runs(joined, columns)).all()
    return kinds


def _kinds_of_runs(rows: list, columns: int) -> np.ndarray:
    kinds = np.zeros((len(rows), columns), dtype=int)
    for row, found in enumerate(rows):
        for begin, end, full in found:
            assert begin < end
            kinds[row, begin:end] = 1 + full
        for (_, end, full), (begin, _, other) in itertools.pairwise(found):
            assert end < begin or (end == begin and full != other)
    return kinds


def wanted_kinds(case: Case, queries, keys, side) -> np.ndarray:
    pairs = case.pairs[queries[0] : sum(queries), keys[0] : sum(keys)]
    return np.array(
        [
            [
                int(tile.any()) + int(tile.all())
                for s in range(0, keys[1], side[1])
                for tile in [pairs[t : t + side[0], s : s + side[1]]]
            ]
            for t in range(0, queries[1], side[0])
        ]
    )


def check(case: Case, queries, keys, side) -> None:
    found, wanted = (f(case, queries, keys, side) for f in (found_kinds, wanted_kinds))
    assert (found == wanted).all()


@pytest.fixture(params=[(32, 2**18), (2, 64)], ids=["usual", "small cells"])
def _cells(request, monkeypatch) -> None:
    """Cells and strips that meet within a short sequence, too."""
    monkeypatch.setitem(HELPERS, "CELL", request.param[0])
    monkeypatch.setitem(HELPERS, "TOGETHER", request.param[1])


@pytest.mark.usefixtures("_cells")
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_masks(name: str) -> None:
    for case in shipped_cases(name, 83):
        for side in ((4, 4), (7, 5), (16, 9)):
            check(case, (0, 83), (0, 83), side)
            check(case.turned(), (0, 83), (0, 83), side)
        check(case, (40, 43), (0, 83), (8, 6))
        check(case, (82, 1), (0, 83), (4, 16))
        check(case.turned(), (30, 53), (7, 61), (5, 8))


@st.composite
def ranges(draw, length: int) -> tuple[int, int]:
    first = draw(st.integers(0, length - 1))
    return first, draw(st.integers(1, length - first))


sides = st.tuples(st.integers(1, 9), st.integers(1, 9))


@for_all(masks, st.integers(1, 30), sides, st.integers(0, 99), st.booleans(), st.data())
def test_random_masks(mask: str, length: int, side, seed: int, flip: bool, data) -> None:
    case = random_case(mask, length, seed)
    check(
        case.turned() if flip else case, data.draw(ranges(length)), data.draw(ranges(length)), side
    )


@for_all(masks, st.integers(1, 25), st.integers(0, 99), st.data())
def test_bounds_of_tiles_are_sound(mask: str, length: int, seed: int, data) -> None:
    case = random_case(mask, length, seed)
    t, s = data.draw(ranges(length)), data.draw(ranges(length))
    ends = [tuple(torch.tensor([[x]]) for x in (r[0], sum(r) - 1)) for r in (t, s)]
    near = printed(tiles_text(case.condition), "near_tiles")
    may, must = near(*ends, length, read_of(case, (0, length), (0, length)))
    tile = case.pairs[t[0] : sum(t), s[0] : sum(s)]
    assert may.all() or not tile.any()
    assert not must.any() or tile.all()
    assert may.dtype == must.dtype == torch.bool


@for_all(masks, st.integers(0, 99))
@example("abs(abs(t)) == abs(abs(s))", 0)  # groups long enough for names, one within another
def test_single_pairs_are_decided(mask: str, seed: int) -> None:
    case = random_case(mask, 9, seed)
    t, s = torch.arange(9)[:, None], torch.arange(9)[None]
    near = printed(tiles_text(case.condition), "near_tiles")
    may, must = near((t, t), (s, s), 9, read_of(case, (0, 9), (0, 9)))
    may, must = (np.broadcast_to(flags.numpy(), (9, 9)) for flags in (may, must))
    assert (may | ~case.pairs).all()
    assert (~must | case.pairs).all()
    if "= True, False" not in tiles_text(case.condition):  # no number outgrows a word
        assert (may == must).all()


@pytest.mark.parametrize(
    ("mask", "allowed"),
    [
        ("t - s < 10^30", lambda t, s: t == t),
        ("t - s > 10^30", lambda t, s: t != t),
        ("t * 10^30 <= s * 10^30 + 1", lambda t, s: t <= s),
        ("t * t * t * s >= s ^ 4", lambda t, s: (t >= s) | (s == 0)),
        ("sqrt(t) >= s", lambda t, s: t >= s * s),
        ("T > 4", lambda t, s: t == t),
        ("full", lambda t, s: t == t),
    ],
)
def test_what_no_word_holds_is_evaluated(mask: str, allowed: Callable) -> None:
    t, s = np.arange(9)[:, None], np.arange(9)[None]
    pairs = np.broadcast_to(allowed(t, s), (9, 9))
    for case in (Case(condition(mask), {}, pairs), Case(condition(mask), {}, pairs).turned()):
        check(case, (1, 8), (0, 7), (4, 3))


def test_no_tokens() -> None:
    case = random_case("causal", 5, 0)
    assert found_kinds(case, (5, 0), (0, 5), (4, 4)).shape == (0, 2)
    assert found_kinds(case, (0, 5), (5, 0), (4, 4)).shape == (2, 0)


@pytest.mark.parametrize("mask", FAMILIES)
def test_turning_twice_is_the_mask(mask: str) -> None:
    found = condition(FAMILIES[mask])
    values = given(20, 1).values
    assert (held(turned(turned(found)), 20, values) == held(found, 20, values)).all()
    assert (held(turned(found), 20, values) == held(found, 20, values).T).all()


class Truncating(int):
    """A whole number whose `//` rounds towards 0, as Triton's does."""

    def __floordiv__(self, other):
        size = abs(int(self)) // abs(int(other))
        return Truncating(-size if (self < 0) != (other < 0) else size)

    def __add__(self, other):
        return Truncating(int(self) + int(other))

    def __sub__(self, other):
        return Truncating(int(self) - int(other))

    def __rsub__(self, other):
        return Truncating(int(other) - int(self))

    def __mul__(self, other):
        return Truncating(int(self) * int(other))

    __radd__, __rmul__ = __add__, __mul__


def key_bounds(
    bands: Bands, t0: int, t1: int, length: int, kind: type = int
) -> list[tuple[int, int, int, int]]:
    """What the printed text of each band computes."""
    text = bounds_text(bands)
    names = {"t0": kind(t0), "t1": kind(t1), "T": kind(length)}
    exec("\n".join(text.lines), {"max": max, "min": min}, names)
    ends = [(e.begin, e.end, e.sure_begin, e.sure_end) for e in text.bands]
    return [tuple(names[end] for end in each) for each in ends]


def held_ends(found: list[tuple[int, int, int, int]]) -> list[tuple[int, ...]]:
    """What is not empty; where nothing is, ends may be anything."""
    return [(a, b, *((c, d) if c < d else ())) if a < b else () for a, b, c, d in found]


@for_all(
    plain_masks | static_masks | st.sampled_from(sorted(STATIC.values())),
    st.integers(1, 30),
    st.integers(1, 7),
    st.integers(0, 3),
)
def test_loop_bounds(mask: str, length: int, queries: int, beyond: int) -> None:
    bands = bands_of(condition(mask))
    assume(bands is not None)
    assert bands is not None
    wanted = brute(mask, length, given(length, 0))
    for t0 in range(0, length, queries):
        block = wanted[t0 : t0 + queries]
        t1 = t0 + queries if t0 + queries <= length else t0 + queries + beyond
        visited, reached = np.zeros(length, dtype=bool), 0
        found = key_bounds(bands, t0, t1, length)
        truncated = key_bounds(bands, t0, t1, length, Truncating)
        assert held_ends(found) == held_ends(truncated)
        for begin, end, sure_begin, sure_end in found:
            assert begin >= 0
            assert end <= length
            if sure_begin < sure_end:
                assert begin <= sure_begin
                assert sure_end <= end
                assert block[:, sure_begin:sure_end].all()
            start = max(begin, reached) if bands.ordered else begin
            visited[start : max(end, start)] = True
            reached = max(end, reached) if bands.ordered else 0
        assert not block[:, ~visited].any()
        wanted_runs = bands.key_blocks(t0, t1, length, 1)
        wanted_keys = {key for run in wanted_runs for key in range(run.begin, run.end)}
        assert set(visited.nonzero()[0].tolist()) >= wanted_keys
        if mask in STATIC.values():
            assert set(visited.nonzero()[0].tolist()) == wanted_keys


@for_all(plain_masks | st.sampled_from(sorted(STATIC.values())), st.integers(1, 20), st.data())
def test_more_queries_see_more_and_surely_less(mask: str, length: int, data) -> None:
    bands = bands_of(condition(mask))
    assume(bands is not None)
    assert bands is not None
    first, count = data.draw(ranges(length))
    inner = data.draw(ranges(count))
    wide = key_bounds(bands, first, first + count, length)
    narrow = key_bounds(bands, first + inner[0], first + sum(inner), length)
    for (a, b, c, d), (e, f, g, h) in zip(wide, narrow, strict=True):
        assert e >= f or a <= e < f <= b
        assert c >= d or g <= c < d <= h


def test_intervals_of_a_stream() -> None:
    values = torch.tensor([3, -2, 8, 8, 1, 0, 5])
    stretch = HELPERS["Stretch"](values, 10)
    for first, last in itertools.combinations_with_replacement(range(10, 17), 2):
        ends = torch.tensor([first]), torch.tensor([last])
        part = values[first - 10 : last - 9]
        assert stretch.least(*ends) == part.min()
        assert stretch.greatest(*ends) == part.max()
    # Cut to what is there.
    assert stretch.least(torch.tensor([0]), torch.tensor([11])) == -2
    assert all(HELPERS["Stretch"](values > 0, 10).flags(torch.tensor([9]), torch.tensor([10])))
    with pytest.raises(ValueError, match="more than 40 bits"):
        HELPERS["Stretch"](torch.tensor([2**40]))


@for_all(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_a_grid_in_all_shapes(rows: int, columns: int, seed: int) -> None:
    table = torch.from_numpy(np.random.default_rng(seed).random((rows, columns)) < 0.5)
    grid = HELPERS["Grid"](table)
    i0, j0 = torch.arange(rows), torch.arange(columns)
    i1, j1 = (i0 + BLOCK).clamp(max=rows - 1), (j0 + BLOCK).clamp(max=columns - 1)
    some = torch.tensor(
        [[bool(table[i : i + BLOCK + 1, j : j + BLOCK + 1].any()) for j in j0] for i in i0]
    )
    every = torch.tensor(
        [[bool(table[i : i + BLOCK + 1, j : j + BLOCK + 1].all()) for j in j0] for i in i0]
    )
    found = grid.flags(i0[:, None], i1[:, None], j0[None], j1[None])
    assert (found[0] == some).all()
    assert (found[1] == every).all()
    flipped = grid.flags(i0[None], i1[None], j0[:, None], j1[:, None])
    assert (flipped[0] == some.T).all()
    assert (flipped[1] == every.T).all()
