"""Masked attention read off the equations: scores, normalisers, rows read, caches, engines."""

import math
import re

import pytest

from mixerc.algebra.attention import Attention
from mixerc.algebra.classify import Algebra, classify
from mixerc.algebra.engines import tuned
from mixerc.algebra.masks.conditions import show as show_condition
from mixerc.algebra.masks.extents import AllTokens, NoCache, Ring
from mixerc.compiler import front
from mixerc.ir.expr import Apply, Expr, Number, Read
from mixerc.ir.show import show_expr
from mixerc.source import Source

STREAMS = {
    "mark": "input mark bool",
    "doc": "input doc int",
    "q": "q[D]            = x | linear",
    "k": "grouped(G) k[D] = x | linear",
    "v": "grouped(G) v[D] = x | linear",
    "b": "b               = x | linear",
    "f": "f               = x | linear | sigmoid",
}


def algebra(*clauses: str) -> Algebra:
    """The class of some clauses, with the sizes and streams that they read."""
    body = "\n".join(clauses)
    read = set(re.findall(r"\w+", body)) | {"v"}
    sizes = ", ".join(("D = 4", "G = 2", *(("W = 4",) if "W" in read else ())))
    streams = [line for name, line in STREAMS.items() if name in read]
    text = "\n".join((f"mixer m({sizes})", '"On trial."', "", *streams, "", body, ""))
    return classify(front(Source(text=text, file="<text>", folder=None)))


def one(mask: str = "causal", weight: str = "exp(q[t] @ k[s])", *more: str) -> Attention:
    found = algebra(f"mask {mask}", f"weight {weight}", *more, "state cache").attention
    assert found is not None
    return found


def test_a_score_is_the_logarithm_of_the_weight() -> None:
    (each,) = one(
        weight="exp(q[t] @ k[s]) * exp(b[s]) / 2",
    ).sums
    assert each.exponential
    assert show_expr(each.score) == "q @ k[s] + b[s] - log(2)"
    (each,) = one(weight="relu(q[t] @ k[s]) ^ 2").sums
    assert not each.exponential
    assert each.shifted is None


NORMALISERS = ("sum", "sum + 1e-6", "max(abs(sum), 1)", "2 * sum", "sum / 3 - 1")


def value_of(expr: Expr, values: dict[str, float]) -> float:
    """A normaliser in numbers."""
    match expr:
        case Number(value=value):
            return float(value)
        case Read(name=name):
            return values[name]
        case Apply(primitive=name, operands=operands):
            table = {
                "add": lambda a, b: a + b,
                "sub": lambda a, b: a - b,
                "mul": lambda a, b: a * b,
                "div": lambda a, b: a / b,
                "max": max,
                "abs": abs,
            }
            return table[name](*(value_of(each, values) for each in operands))
        case _:
            raise AssertionError(expr)


@pytest.mark.parametrize("text", NORMALISERS)
def test_a_normaliser_over_a_shifted_sum(text: str) -> None:
    (each,) = one("causal", "exp(q[t] @ k[s])", f"normalize {text}").sums
    assert each.shifted is not None
    assert each.normalize is not None
    for m in (-3.0, 0.0, 2.0):
        for total in (0.1, 1.0, 7.0):
            plain = value_of(each.normalize, {"sum": total * math.exp(m)})
            shifted = value_of(each.shifted, {"sum": total, "unit": math.exp(-m)})
            assert math.isclose(plain, shifted * math.exp(m), rel_tol=1e-12)


@pytest.mark.parametrize("text", ["sqrt(sum)", "sum * sum", "1 + exp(sum)"])
def test_a_normaliser_that_does_not_scale(text: str) -> None:
    (each,) = one("causal", "exp(q[t] @ k[s])", f"normalize {text}").sums
    assert each.shifted is None


BRANCHES = (
    *("branch near", "  mask causal", "  weight exp(q[t] @ k[s])", "  normalize sum"),
    *("  state cache", "branch far", "  mask full", "  weight exp(q[t] @ k[s] / 2)"),
    *("  normalize sum", "  state cache"),
)


@pytest.mark.parametrize(
    ("output", "near", "far"),
    [
        ("where(mark, far, near)", "t >= s and not mark[t]", "mark[t]"),
        ("near + far", "t >= s", "full"),
        ("where(mark, far + near, near)", "t >= s", "mark[t]"),
        ("where(mark, near, 2 * near) + 0 * far", "t >= s", "full"),
    ],
)
def test_a_sum_is_made_where_it_is_read(output: str, near: str, far: str) -> None:
    found = algebra(*BRANCHES, f"o[D] = {output}").attention
    assert found is not None
    assert found.joined
    assert [show_condition(each.condition) for each in found.sums] == [near, far]


@pytest.mark.parametrize(
    ("mask", "extent"),
    [
        ("0 <= t - s < W", Ring(window=4)),
        ("causal and (t - s < W or s < 3)", Ring(window=4, pinned=3)),
        ("0 <= t - s < W and doc[t] == doc[s]", Ring(window=4, documents=("doc",))),
    ],
)
def test_caches(mask: str, extent: Ring) -> None:
    assert one(mask).extent == extent


def test_caches_without_an_end_or_an_order() -> None:
    assert isinstance(one("causal").extent, AllTokens)
    assert isinstance(one("full").extent, NoCache)
    pinned = one("causal and (t - s < W or s < 3)", "exp(q[t] @ k[s])", "decay f")
    assert isinstance(pinned.extent, AllTokens)  # the product runs over tokens that were dropped


def test_what_the_engine_takes() -> None:
    softmax = "exp(q[t] @ k[s] / sqrt(D))"
    found = tuned(one("causal", softmax, "normalize sum"))
    assert found is not None
    assert (found.query, found.key, found.value, found.causal) == ("q", "k", "v", True)
    assert show_expr(found.scale) == "1 / sqrt(D)"
    full = tuned(one("full", "exp(2 * (q[t] @ k[s]))", "normalize sum"))
    assert full is not None
    assert not full.causal
    assert show_expr(full.scale) == "2"
    window = tuned(one("0 <= t - s < W", softmax, "normalize sum"))
    assert window is not None
    assert window.window == 4


@pytest.mark.parametrize(
    ("mask", "weight", "more"),
    [
        ("causal", "exp(q[t] @ k[s] + b[s])", ("normalize sum",)),
        ("causal", "exp(q[t] @ k[s])", ("normalize sum + 1e-6",)),
        ("causal", "exp(q[t] @ k[s])", ()),
        ("causal", "exp(q[t] @ k[s])", ("decay f", "normalize sum")),
        ("causal", "exp(q[t] @ k[s] * (head + 1))", ("normalize sum",)),
        ("s < t or s == 0", "exp(q[t] @ k[s])", ("normalize sum",)),
        ("causal and doc[t] == doc[s]", "exp(q[t] @ k[s])", ("normalize sum",)),
    ],
)
def test_what_the_engine_does_not_take(mask: str, weight: str, more: tuple[str, ...]) -> None:
    assert tuned(one(mask, weight, *more)) is None


REFUSED = {
    "its mask reads heads": ("mask causal and s < heads", "weight exp(q[t] @ k[s])"),
    "differs from head to head": ("mask causal and t - s <= head", "weight exp(q[t] @ k[s])"),
}


@pytest.mark.parametrize("reason", sorted(REFUSED))
def test_what_is_refused_says_why(reason: str) -> None:
    found = algebra(*REFUSED[reason], "state cache")
    assert found.attention is None
    assert all(reason in mode.reason for mode in found.modes if not mode.legal)
