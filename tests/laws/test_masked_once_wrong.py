"""Masked sums that the compiler once got wrong, each with the law that saw it."""

from dataclasses import replace

import pytest

from mixerc.compiler import Source
from mixerc.ir.mixer import Stack
from mixerc.verify.carry import carry_law, packed_law, pasts_law
from mixerc.verify.cases import Case
from mixerc.verify.modes import reference_law
from mixerc.verify.precision import precision_law
from mixerc.verify.subject import Subject, subject_of
from tests.laws.subjects import check, subject, subject_of_text

HEAD = """mixer once(D{sizes})
"Once wrong"

{lines}
"""
PLAIN = "q[D], k[D], v[D] = x | linear"
SCORE = "weight exp(q[t] @ k[s])"
CASE = Case(tokens=9, heads=4, axes={"D": 3})


def text(*core: str, lines: str = PLAIN, sizes: str = "") -> str:
    return HEAD.format(sizes=sizes, lines=lines) + "\n".join((*core, "state cache")) + "\n"


def every_mode(of: Subject, case: Case = CASE) -> None:
    """Alone, from states that tokens left, and packed."""
    check(reference_law(of, case))
    for mode in of.modes:
        check(packed_law(of, case, (0, 2, 2, 9), mode))
        if of.carries:
            check(pasts_law(of, replace(case, batch=3), mode, of.other(mode)))


def test_no_more_tokens_hand_a_cotangent_on() -> None:
    """A run of no tokens from a state, and an empty sequence among packed ones."""
    of = subject("attention")
    for mode in of.modes:
        check(carry_law(of, CASE, 9, "parallel", mode))
        check(packed_law(of, CASE, (0, 0, 9, 9), mode))


def test_more_packed_sequences_than_rows_without_a_cache() -> None:
    of = subject("prefix_lm")
    check(packed_law(of, CASE, (0, 2, 3, 9), "parallel"))


@pytest.mark.parametrize(
    ("declared", "read"),
    [
        ("buffer link[t // B, s // B] = choose(2)", "link"),
        ("input link[t // B, s // B] bool", "link"),
        ("buffer link[s // B] = choose(2)", "link"),
        ("input link[t // B] bool", "link"),
    ],
)
def test_tables_of_heads_and_of_one_time(declared: str, read: str) -> None:
    mask = f"mask causal and ({read} or t == s)"
    of = subject_of_text(
        text(mask, SCORE, "normalize sum", lines=f"{declared}\n{PLAIN}", sizes=", B = 4")
    )
    assert of.carries
    # A table has entries for the longest of the runs.
    check(reference_law(of, replace(CASE, tokens=21)))
    every_mode(of)


def test_a_size_that_only_the_value_has() -> None:
    every_mode(subject_of_text(text("mask causal", "weight relu(q[t] @ k[s])^2")))


@pytest.mark.parametrize(
    ("declared", "decay"),
    [
        ("", "0.9"),
        ("gamma = 1 - 2^(-1 - head)\n", "gamma"),
        ("input start bool\n", "where(start, 0, 1)"),
    ],
)
def test_decays_of_no_token_and_of_conditions(declared: str, decay: str) -> None:
    core = ("mask causal", SCORE, f"decay {decay}", "normalize sum")
    every_mode(subject_of_text(text(*core, lines=f"{declared}{PLAIN}")))


def test_rows_that_nothing_reads_have_no_cotangent() -> None:
    """Under their mask they see no key, and e^-m of such a row was infinite."""
    near = ("branch near", "  mask causal", f"  {SCORE}", "  value v[s]", "  state cache")
    far = near[1:4]
    core = (*near, "branch far", *far, "  normalize 2 * sum + exp(sink)", "  state cache")
    head = HEAD.format(
        sizes="", lines=f"input mark bool\n{PLAIN}\nw[D] = x | linear\nparam sink = normal"
    )
    of = subject_of_text(head + "\n".join((*core, "o[D] = where(mark, near, far) + w")) + "\n")
    every_mode(of)


def test_groups_and_sizes_in_the_lines_behind() -> None:
    lines = "q[D] = x | linear\ngrouped(G) k[D], v[D] = x | linear"
    core = ("mask 0 <= t - s < W", SCORE, "value v[s]", "normalize sum", "state cache")
    branch = ("branch a", *(f"  {line}" for line in core), "o[D] = W * a / sqrt(D) + v")
    head = HEAD.format(sizes=", W = 3, G = 1", lines=lines)
    of = subject_of_text(head + "\n".join(branch) + "\n")
    every_mode(of, replace(CASE, axes={"D": 3, "G": 2}))


def test_a_part_of_a_weight_that_only_positions_make() -> None:
    every_mode(subject_of_text(text("mask causal", "weight q[t] @ k[s] - 1 / (1 + t)")))


@pytest.mark.parametrize("value", ["v[D] = x | linear", "grouped(G) v[D] = x | linear"])
@pytest.mark.parametrize("groups", [1, 2])
def test_heads_with_the_same_scores(value: str, groups: int) -> None:
    """Queries and keys in groups: values and what they are divided by may have all heads."""
    lines = f"grouped(G) q[D], k[D] = x | linear\n{value}\nb = x | linear"
    core = ("mask causal", SCORE, "normalize max(abs(sum), exp(b))")
    of = subject_of_text(text(*core, lines=lines, sizes=", G = 1"))
    every_mode(of, replace(CASE, axes={"D": 3, "G": groups}))


def test_a_weight_that_reads_a_condition() -> None:
    core = ("mask causal", "weight where(mark[s], exp(q[t] @ k[s]), 1)", "normalize sum")
    every_mode(subject_of_text(text(*core, lines=f"input mark bool\n{PLAIN}")))


def test_the_slope_at_a_tiny_decay() -> None:
    """The logarithm of 1e-30 in float32 is 69 ulp off, and so was what is divided by it."""
    of = subject("forgetting_attention")
    case = Case(tokens=60, heads=8, axes={"D": 10}, seed=809925)
    check(precision_law(of, case, draws=5, dtype=pytest.importorskip("torch").float32))


@pytest.mark.parametrize(
    ("core", "lines", "reason"),
    [
        (("decay f",), f"{PLAIN}\nf = x | linear | tanh", "may be negative"),
        (("decay f",), f"input f in [-1, 1]\n{PLAIN}", "may be negative"),
    ],
)
def test_a_negative_decay_has_a_reason_instead(
    core: tuple[str, ...], lines: str, reason: str
) -> None:
    """There is no logarithm of it: outputs were NaN."""
    told = _reasons(text("mask causal", SCORE, *core, lines=lines))
    assert reason in told["parallel"]


def test_a_position_behind_the_sums_has_a_reason_instead() -> None:
    """The lines there did not know it."""
    branch = ("branch a", "  mask causal", f"  {SCORE}", "  value v[s]", "  state cache")
    spec = HEAD.format(sizes="", lines=PLAIN) + "\n".join((*branch, "o[D] = a / (1 + t)")) + "\n"
    assert "position" in _reasons(spec)["recurrent"]


def _reasons(spec: str) -> dict[str, str]:
    of = subject_of(Source(text=spec, file="<text>", folder=None))
    assert not isinstance(of, Stack)
    assert not of.fast
    return {mode.name: mode.reason for mode in of.algebra.modes}
