"""What the Triton backend decides from a kernel's text: order, what is held, tiles, cuts."""

import re
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixerc.ahead.binaries import TARGETS
from mixerc.algebra.classify import classify
from mixerc.algebra.linear import decay_names
from mixerc.backends.module.core import BY_CHUNKS, Core
from mixerc.backends.triton.cuts import ancestors, cuts, only_multiplied
from mixerc.backends.triton.halving import edges
from mixerc.backends.triton.launches import freed
from mixerc.backends.triton.ordering import ordered
from mixerc.backends.triton.pressure import most_held
from mixerc.backends.triton.programs import programs
from mixerc.backends.triton.tiling import HARDWARE, SIZES, Hardware
from mixerc.backends.triton.values import COLUMN, ROW
from mixerc.compiler import front, lowered
from mixerc.ir.mixer import Mixer
from mixerc.pipeline import Pipeline
from mixerc.plan import nodes as n
from mixerc.plan.build import Builder
from mixerc.plan.plan import Plan, longest_chunk, make_plan
from mixerc.request import Request
from mixerc.runtime.hardware import HARDWARE as NAMES
from mixerc.source import read_source
from tests.laws.subjects import LINEAR


def mixer_of(name: str) -> Mixer:
    mixer = front(read_source(name))
    assert isinstance(mixer, Mixer)
    return mixer


def plan_of(name: str, chunk: int = 64) -> Plan:
    linear = classify(mixer_of(name)).linear
    assert linear is not None
    return make_plan(linear, chunk=chunk, logarithms=frozenset())


def text_of(name: str, target: str) -> str:
    mixer = mixer_of(name)
    linear = classify(mixer).linear
    assert linear is not None
    _, module = lowered(target, mixer, linear, "", chunk=None, logarithms=frozenset())
    return module.text


def test_what_is_held_at_once() -> None:
    dims = {"a": (ROW, "K"), "b": (ROW, "K"), "c": (ROW, COLUMN), "d": (ROW,)}
    lines = ("a = load()", "b = f(a)", "c = dot(b, b)", "d = sum(c)", "store(d)")
    assert most_held(lines, dims, chunk=4, block=2) == 4 * 4 + 4 * 2
    assert most_held(lines, dims, chunk=4, block=8) == 4 * 8 + 4 * 8
    looped = ("a = load()", "c = zeros()", "for x in range(0, K, B):", "    b = f(a)", "    c += b")
    assert most_held(looped, dims, chunk=4, block=2) == 8 + 16 + 8
    assert most_held(("d = f()",), dims, chunk=4, block=2, least=100) == 4
    assert most_held(("a = f()",), dims, chunk=4, block=2, least=100) == 100


@st.composite
def straight_lines(draw: st.DrawFn) -> tuple[str, ...]:
    """Statements over variables that are made before they are read; some are added to."""
    lines, names = [], []
    for index in range(draw(st.integers(2, 14))):
        reads = (
            [draw(st.sampled_from(names)) for _ in range(draw(st.integers(0, 2)))] if names else []
        )
        value = " + ".join((*(f"2 * {name}" for name in reads), str(index + 1)))
        if names and draw(st.booleans()) and draw(st.booleans()):
            lines.append(f"{draw(st.sampled_from(names))} += {value}")
        else:
            names.append(f"v{index}")
            lines.append(f"v{index} = {value}")
    return (*lines, f"out({', '.join(names)})")


@given(straight_lines())
def test_an_order_keeps_every_dependence(lines: tuple[str, ...]) -> None:
    dims = dict.fromkeys(re.findall(r"v\d+", " ".join(lines)), (ROW, "K"))
    found = ordered(lines, dims, chunk=16)
    assert sorted(found) == sorted(lines)
    results: list[tuple[int, ...]] = []
    for text in (lines, found):
        exec("\n".join(text), {"out": lambda *values: results.append(values)})
    assert results[0] == results[1]
    assert most_held(found, dims, 16, 32) <= most_held(lines, dims, 16, 32)


def test_statements_within_loops_are_ordered_too() -> None:
    dims = dict.fromkeys("abeghe", (ROW, "K"))
    makes = ("    a = f()", "    b = f()", "    g = f()", "    h = f()")
    inner = (*makes, *(f"    e += p({name})" for name in "abgh"))
    lines = ("e = zeros()", "for x in range(0, K, B):", *inner, "store(e)")
    found = ordered(lines, dims, chunk=16)
    assert found[:2] == lines[:2]
    assert most_held(found, dims, 16, 32) < most_held(lines, dims, 16, 32)


def test_scores_are_stored_once() -> None:
    """GLA's output reads them in every block of V."""
    plan = plan_of("gla")
    (_, output), *_ = plan.forward.outputs
    (scores,) = cuts([output], ())
    assert scores.axes == (n.ROW, n.KEY_ROW)
    assert only_multiplied(scores, [output], ())
    again = cuts([output], {scores})
    assert again == ()


def test_a_normaliser_is_stored_and_not_rounded() -> None:
    (_, output), *_ = plan_of("linear_attention").forward.outputs
    found = {node.axes: node for node in cuts([output], ())}
    assert set(found) == {(n.ROW,), (n.ROW, n.KEY_ROW)}
    assert not only_multiplied(found[n.ROW,], [output], ())


def test_edges_separate_what_is_made_from_what_is_given() -> None:
    outputs = [node for _, node in plan_of("gla").backward.outputs if node.axes == (n.ROW, "K")]
    shared = cuts(outputs, ())
    found = edges(outputs, shared)
    assert found
    for edge in found:
        assert not set(edge) & {*outputs, *shared}
        assert set(edge) <= set(ancestors(outputs, shared))
        axes = {a for node in edge for a in node.axes} - {n.KEY_ROW}
        assert not any(a.startswith("#r") or a.endswith("'") for a in axes)


def products_of_rows(build: Builder, names: str) -> tuple[n.Node, ...]:
    """Scores [c, c'] of each pair of streams [c, K], a letter each."""
    loads = [build.load(name, (n.ROW, "K")) for name in names]
    keys = [
        build.intern(n.Rename(axes=(n.KEY_ROW, "K"), args=(x,), old=n.ROW, new=n.KEY_ROW))
        for x in loads[1::2]
    ]
    return tuple(build.contract(*pair, ("K",)) for pair in zip(loads[::2], keys, strict=True))


def test_what_a_sum_has_added_up_so_far_is_an_edge() -> None:
    build = Builder()
    one, two, three, four = products_of_rows(build, "abcdefgh")
    first, second = build("mul", one, two), build("mul", three, four)
    rows = build.sum(build("add", first, second), (n.KEY_ROW,))
    deep = build.contract(build.sum(first, (n.KEY_ROW,)), one, (n.ROW,))
    assert (first,) in edges([rows], ())
    assert (second,) in edges([rows], ())
    assert all(rows not in edge and deep not in edge for edge in edges([rows, deep], ()))


def test_warps_beyond_those_for_rows_hold_copies() -> None:
    dims = {"a": (ROW, "K"), "s": ("K", "V"), "d": (ROW,)}
    lines = ("a = load()", "s = load()", "d = f(a, s)")
    assert most_held(lines, dims, 4, 2, copies=2) == 2 * 4 * 2 + 2 * 2 + 2 * 4
    inside = ("c = inverted(c)",)
    assert most_held(inside, {"c": (ROW, COLUMN)}, 4, 2) == 16 + 4 * 16


def test_memory_ends_behind_the_last_launch_that_names_it() -> None:
    lines = (
        "shared_0 = run.chunked(run.chunk)",
        "kept_0 = run.chunked(1)",
        "run.map(",
        "    out_0_at=shared_0,",
        "    held_0_at=before_0,",
        ")",
        "run.map(held_0_at=shared_0)",
        "run.map(held_0_at=kept_0)",
    )
    found = list(freed(lines, "(kept_0,), lasts"))
    assert found == [*lines[:7], "del shared_0", lines[7]]
    assert list(freed(lines, "lasts"))[-1] == "del kept_0"


def test_small_chunks_have_other_units() -> None:
    one = HARDWARE["sm_90"]
    assert one.of_chunk(64) is one
    assert one.of_chunk(32).most < one.most
    assert HARDWARE["gfx942"].of_chunk(16) is HARDWARE["gfx942"]


@pytest.mark.parametrize("hardware", HARDWARE.values(), ids=HARDWARE)
@pytest.mark.parametrize("name", LINEAR)
def test_every_kernel_fits_at_the_best_chunk(name: str, hardware: Hardware) -> None:
    mixer = mixer_of(name)
    linear = classify(mixer).linear
    assert linear is not None
    request = Request(source=read_source(name), chunk=None, sizes={}, target="torch")
    plan = make_plan(
        linear, chunk=longest_chunk(linear), logarithms=Pipeline(request).layer_logarithms
    )
    core = Core(mixer, plan, BY_CHUNKS, decays=decay_names(linear), every_axis=True)
    hardware = hardware.of_chunk(plan.chunk)
    for view in programs(core, plan, hardware):
        for _, kernel in view.kernels:
            held = partial(kernel.held, plan.chunk)
            assert hardware.tiling(held, tokens=kernel.doors.tokens) in SIZES
            assert hardware.least(held) <= hardware.limit


def test_the_first_size_that_fits_is_taken() -> None:
    one = HARDWARE["sm_90"]
    assert one.tiling(lambda block, warps: 1.0) == SIZES[0]
    assert one.tiling(lambda block, warps: one.words * block / 16) == (16, 8)
    assert one.tiling(lambda block, warps: 1000.0 * block / warps) == (16, 8)
    assert one.tiling(lambda block, warps: 1.0 * warps, tokens=True) == SIZES[0]


@pytest.mark.parametrize("name", ["gla", "rwkv6", "mamba2", "based"])
def test_equal_kernels_stand_once(name: str) -> None:
    text = text_of(name, "triton")
    bodies = re.findall(
        r"@triton\.jit\(.*?\)\ndef (\w+)(\(.*?)(?=\n@triton|\ndef |\nTILES)", text, re.S
    )
    assert len(bodies) > 5
    assert len({body for _, body in bodies}) == len(bodies)
    assert set(re.findall(r'^    "(\w+)": \(\d+, \d+\),$', text, re.M)) == {n for n, _ in bodies}


def test_every_list_of_hardware_is_the_same() -> None:
    """Three stages name it, which do not import one another."""
    assert tuple(HARDWARE) == NAMES == tuple(TARGETS)


def test_hardware_makes_files_of_its_own() -> None:
    texts = {text_of("gla", f"triton:{name}") for name in HARDWARE}
    assert len(texts) > 2  # two kinds may come to the same tiles
    assert text_of("gla", "triton") == text_of("gla", "triton:sm_90")


def test_a_bundle_is_the_same_kernels_with_another_launcher() -> None:
    triton, bundle = text_of("gla", "triton"), text_of("gla", "bundle:sm_90")
    cut = "\nTILES = "
    assert triton.split(cut)[1].split("OPS =")[0] == bundle.split(cut)[1].split("OPS =")[0]
    assert "ctypes" in bundle
    assert "ctypes" not in triton
