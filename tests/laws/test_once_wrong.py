"""Texts that the compiler once got wrong, each with the law that saw it."""

import pytest

from mixerc.algebra.classify import classify
from mixerc.compiler import Source, front
from mixerc.verify.cases import Case
from mixerc.verify.causality import support_law
from mixerc.verify.emission import language_law
from mixerc.verify.layers import whole_law
from mixerc.verify.modes import chunk_law, logarithm_law, reference_law, states_law
from tests.laws.subjects import check, subject_of_text

HEAD = """mixer once(K = 4, V = 4{sizes})
"Once wrong"

q[K], k[K] = x | linear
v[V] = x | linear
"""
SHAPES = {"K": 3, "V": 2}


def text(*lines: str, sizes: str = "") -> str:
    return HEAD.format(sizes=sizes) + "\n".join((*lines, "", "y = o | linear")) + "\n"


def test_rows_that_a_product_reads_later_are_not_grown_over() -> None:
    """Two readouts, one behind a function, share the prefixes of a decay along the values."""
    of = subject_of_text(
        text(
            "w[V] = 1 + 0 * arange(V)",
            "state S[V, K]",
            "S[t] = 0.9 * w * S[t-1] + k * v",
            "o[V] = tanh(q @ S[t]) + q @ S[t-1]",
        )
    )
    for tokens in (3, 8, 17):
        for chunk in (8, 16):
            check(chunk_law(of, Case(tokens=tokens, axes=SHAPES), chunk))


@pytest.mark.parametrize(
    "core",
    [
        ("mask s < t", "weight q[t] @ k[s]", "decay a", "state S[K, V]"),
        ("state S[K, V]", "S[t] = a * S[t-1] + (1 - a) * k * v", "o[V] = q @ S[t]"),
        ("state S[K, V]", "S[t] = a * S[t-1] + k * v", "o[V] = (a * q) @ S[t-1]"),
    ],
)
def test_a_decay_given_as_a_logarithm_and_read_elsewhere(core: tuple[str, ...]) -> None:
    of = subject_of_text(text("a[K] = x | linear | sigmoid", *core))
    check(logarithm_law(of, Case(tokens=30, axes=SHAPES)))
    check(whole_law(of, 9, 0))


def test_a_constant_along_an_axis_that_belongs_to_no_head() -> None:
    core = ("mask causal", "weight q[t] @ k[s]", "decay w", "state S[K, V]")
    of = subject_of_text(text("w[K] = exp(-1 - arange(K))", *core))
    check(reference_law(of, Case(tokens=20, axes=SHAPES)))
    check(states_law(of, Case(tokens=70, axes=SHAPES)))


def test_a_size_that_follows_from_a_shape() -> None:
    core = ("mask causal", "weight q[t] @ k[s] / c", "state S[K, V]")
    of = subject_of_text(text(*core, sizes=", c = 2 * K"))
    check(reference_law(of, Case(tokens=20, axes=SHAPES)))
    check(whole_law(of, 9, 0))


JOINED = (
    "mask causal",
    "feature phi(z)[M] = concat(relu(z), relu(-z))",
    "feature psi(z)[N] = concat(phi(z), sigmoid(z))",
    "weight {}(q[t]) @ {}(k[s])",
    "decay a",
)


@pytest.mark.parametrize(("feature", "axis"), [("phi", "M"), ("psi", "N")])
def test_a_feature_that_joins_parts(feature: str, axis: str) -> None:
    """`concat` lands on the feature's axis; N follows from M, which no shape tells."""
    core = [
        line.format(feature, feature) for line in JOINED if feature == "psi" or "psi" not in line
    ]
    sizes = ", M = 2 * K" + ", N = M + K" * (feature == "psi")
    lines = ("a = x | linear | sigmoid", *core, f"state S[{axis}, V]")
    of = subject_of_text(text(*lines, sizes=sizes))
    check(language_law(of))
    check(reference_law(of, Case(tokens=20, axes=SHAPES)))
    check(states_law(of, Case(tokens=70, axes=SHAPES)))
    check(whole_law(of, 9, 0))


def test_features_that_two_tokens_do_not_share() -> None:
    """The gradient is 0 there in every mode, which is no token that is missed."""
    lines = ("mask causal", "feature phi(z)[K] = relu(z)", "weight phi(q[t]) @ phi(k[s])")
    of = subject_of_text(text(*lines, "state S[K, V]"))
    check(support_law(of, Case(tokens=70, axes={"K": 2, "V": 2}), 60, "parallel"))


@pytest.mark.parametrize(
    "core",
    [
        ("S[t] = 0.9 * S[t-1] + k[t-1] * v", "o[V] = q @ S[t]"),
        ("S[t] = 0.9 * S[t-1] + k * v", "o[V] = q[t-1] @ S[t] + q @ S[t]"),
    ],
)
def test_the_token_before_is_no_part_of_the_class(core: tuple[str, ...]) -> None:
    """Read as the token itself it gave wrong numbers; now there is a reason instead."""
    source = Source(text=text("state S[K, V]", *core), file="<text>", folder=None)
    algebra = classify(front(source))
    assert algebra.linear is None
    assert "the token before" in algebra.modes[0].reason
