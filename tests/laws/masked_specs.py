"""Random specs of masked sums, as texts: masks of a few atoms, weights, decays, normalisers.

Every mask lets a token see itself, so that no sum is divided by nothing. Parts that no spec may
join are kept apart here; all else meets by chance.
"""

import re

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.laws.specs import Part, needs, part

MARK, DOC = "input mark bool", "input doc int"
LAYOUT, LINK = "input layout[t // B, s // B] bool", "buffer link[t // B, s // B] = choose(2)"

# Conditions that hold where t = s.
BASES = (
    part("causal"),
    part("0 <= t - s < W"),
    part("causal and t // B == s // B"),
    part("causal and (t - s < W or s < C)"),
)
AHEAD = (
    part("full"),
    part("-W <= t - s <= W"),
    part("-2 * W < 3 * (t - s) < W"),
    part("t // B == s // B or s >= T - B"),
    part("-1 <= t // B - s // B <= 1"),
    part("causal or mark[s]", MARK),
    part("t == s or mark[t] and s < T - C", MARK),
)
NARROWER = (
    part("t // B == s // B"),
    part("(t - s) % R == 0"),
    part("doc[t] == doc[s]", DOC),
    part("(mark[s] or t == s)", MARK),
    part("not (mark[t] and s < t)", MARK),
    part("(s % B >= B - C or t - s < W)"),
    part("(layout or t == s)", LAYOUT),
    part("(link or t // B == s // B)", LINK),
    part("(t + s) % R != 1"),
    part("(t - s < W or s % B == t % B)"),
    part("abs(t - s) <= max(W, s // 2)"),
)

# Weights, and whether they are positive; the second group reads positions or values of its own.
POSITIVE = (
    part("exp(q[t] @ k[s] / sqrt(D))"),
    part("exp(q[t] @ k[s] / D - slope * abs(t - s))", "slope = 2^(-head - 1)"),
    part("exp(2 * tanh(q[t] @ k[s] / 2))"),
    part("exp(q[t] @ k[s] / D + off * (s - t))", "param off = normal / 9"),
    part("exp(q[t] @ k[s] / D + b[s] - b[t])", "b = x | linear"),
    part("exp(q[t] @ k[s] / D) * sigmoid(c[s] + own)", "c = x | linear", "param own = normal"),
    part("exp(-sum[D]((q[t] - k[s])^2) / 4)"),
    part("phi(q[t]) @ phi(k[s])"),
    part("sigmoid(q[t] @ k[s] + level)", "param level = normal"),
    part("exp(q[t] @ (scale * k[s]))", "param scale[D] = normal / 4"),
    part("exp(q[t] @ k[s] / D) + 1"),
    part("1 / (1 + (q[t] @ k[s])^2)"),
)
SIGNED = (
    part("relu(q[t] @ k[s])^2"),
    part("(q[t] @ k[s]) * sigmoid(q[t] @ k[s])"),
    part("q[t] @ k[s] - b[s] / (1 + t)", "b = x | linear"),
    part("b[s] * exp(q[t] @ k[s] / D)", "b = x | linear"),
)
DIVISORS = (
    part("sum"),
    part("sum + 1e-6"),
    part("2 * sum + exp(sink)", "param sink = normal"),
    part("max(abs(sum), exp(b))", "b = x | linear"),
)
ANY_DIVISORS = (
    part(""),
    part("max(abs(sum), 1)"),
    part("sqrt(1 + sum * sum)"),
    part("1 + exp(b)", "b = x | linear"),
)
DECAYS = (
    part("f", "f = x | linear | sigmoid"),
    part("exp(-dt)", "dt = x | linear | softplus"),
    part("0.9"),
    part("gamma", "gamma = 1 - 2^(-1 - head)"),
    part("f * g", "f = x | linear | sigmoid", "input g in [0, 1]"),
    part("exp(-exp(A) * dt)", "param A = normal", "dt = x | linear | softplus"),
    part("where(start, 0, 1)", "input start bool"),
    part("f", "grouped(G) f = x | linear | sigmoid"),
)
VALUES = (
    part(""),
    part("v[s] * b[s]", "b = x | linear"),
    part("tanh(v[s]) / 2"),
    part("v[s] + s"),
    part("(1 + head) * v[s] - u", "param u[D] = normal"),
    part("2 * b[s]", "b = x | linear"),
)
KEYS = (
    ("q[D], k[D], v[D] = x | linear",),
    ("q[D] = x | linear", "grouped(G) k[D], v[D] = x | linear"),
    ("grouped(G) q[D], k[D] = x | linear", "v[D] = x | linear"),
    ("q[D], v[D] = x | linear", "input k[D]"),
)
JOINS = (
    part("where(mark, {}, {})", MARK),
    part("{} + {}"),
    part("sigmoid(w) * {} - {} / sqrt(D)", "w = x | linear"),
    part("where(mark, {}, 2 * {}) + v", MARK),
    part("{} * r - W * tanh({})", "param r[D] = normal"),
)
SIZES = ("D", "W = 3", "B = 4", "C = 2", "R = 3", "G = 1")


@st.composite
def masks(draw: DrawFn, ordered: bool) -> Part:
    """A base with narrower conditions, or wider ones; those that are ordered look back only."""
    base = draw(st.sampled_from(BASES if ordered else (*BASES, *AHEAD)))
    found = draw(st.lists(st.sampled_from(NARROWER), max_size=2, unique=True))
    glue = draw(st.sampled_from((" and ", " or ")))
    if not found:
        return base
    inner = glue.join(p.text for p in found)
    if ordered or draw(st.booleans()):
        return part(f"{base.text} and ({inner})", *needs((base, *found)))
    return part(f"{base.text} or ({inner}) and s < 2 * t + 1", *needs((base, *found)))


@st.composite
def sums(draw: DrawFn, scalar: bool) -> tuple[tuple[str, ...], tuple[Part, ...]]:
    """The clauses of one sum, and its parts."""
    ordered = draw(st.booleans())
    positive = draw(st.integers(0, 3)) > 0
    weight = draw(st.sampled_from(POSITIVE if positive else SIGNED))
    divisor = draw(st.sampled_from((*DIVISORS, *ANY_DIVISORS) if positive else ANY_DIVISORS))
    decay = draw(st.sampled_from((part(""), *DECAYS))) if ordered else part("")
    value = draw(st.sampled_from(VALUES if scalar else VALUES[:-1]))
    mask = draw(masks(ordered))
    named = (
        ("mask", mask),
        ("weight", weight),
        ("value", value),
        ("decay", decay),
        ("normalize", divisor),
    )
    clauses = tuple(f"{name} {p.text}" for name, p in named if p.text)
    return (*clauses, "state cache"), tuple(p for _, p in named)


@st.composite
def masked(draw: DrawFn) -> str:
    """One sum."""
    clauses, parts = draw(sums(scalar=True))
    return _text(draw, clauses, parts)


@st.composite
def joined(draw: DrawFn) -> str:
    """Two sums, and the line that joins them."""
    found = [draw(sums(scalar=False)) for _ in range(2)]
    join = draw(st.sampled_from(JOINS))
    core = []
    for name, (clauses, _) in zip(("near", "far"), found, strict=True):
        value = () if any(c.startswith("value") for c in clauses) else ("value v[s]",)
        core += [f"branch {name}", *(f"  {clause}" for clause in (*clauses, *value))]
    parts = (*(p for _, each in found for p in each), join)
    return _text(draw, (*core, f"o[D] = {join.text.format('near', 'far')}"), parts)


def _text(draw: DrawFn, core: tuple[str, ...], parts: tuple[Part, ...]) -> str:
    """The spec; a feature stands among its clauses."""
    lines = list(dict.fromkeys((*draw(st.sampled_from(KEYS)), *needs(parts))))
    lines.sort(key=lambda line: not line.startswith("input"))
    if "phi(" in "\n".join(core):
        core = ("feature phi(z)[D] = exp(z / 2)", *core)
    text = "\n".join((*lines, *core))
    sizes = [size for size in SIZES if re.search(rf"\b{size[0]}\b", text)]
    head = (f"mixer random({', '.join(sizes)})", '"A random mixer"', "")
    tail = ("", "y = o | linear") if draw(st.booleans()) else ()
    return "\n".join((*head, *lines, "", *core, *tail)) + "\n"


def masked_specs() -> SearchStrategy[str]:
    """Any of them."""
    return st.one_of(masked(), joined())
