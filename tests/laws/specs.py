"""Random specs of linear mixers, as texts: a decay, what is read and written, what is divided by.

Each part says which lines it needs above the core. Two parts that no spec may join are kept apart
here; all else meets by chance.
"""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of a core: its text and the lines that define what it reads."""

    text: str
    lines: tuple[str, ...] = ()
    axis: str = ""


def part(text: str, *lines: str, axis: str = "") -> Part:
    return Part(text=text, lines=lines, axis=axis)


# What a step keeps, by the axis that it lies along.
CONSTANT = (
    part("0.9"),
    part("gamma", "gamma = 1 - 2^(-1 - head)"),
    part("exp(-exp(w0))", "param w0 = normal"),
    part("lam", "lam[K] = exp(-1 - arange(K))", axis="K"),
    part("exp(-exp(w1))", "param w1[K] = normal", axis="K"),
    part("w2", "buffer w2[V] = uniform(0, 1)", axis="V"),
)
GATES = (
    part("a", "a = x | linear | sigmoid"),
    part("exp(-dt)", "dt = x | linear | softplus"),
    part("tanh(turn)", "turn = x | linear"),
    part("where(start, 0, 1)", "input start bool"),
    part("f", "input f in [0, 1]"),
    part("ak", "ak[K] = (x | linear | sigmoid) ^ (1/4)", axis="K"),
    part("a2 ^ 2", "a2 = x | linear | sigmoid"),
    part("(1 - zk)", "zk[K] = x | linear | sigmoid", axis="K"),
    part("exp(-exp(A) * dk)", "param A = normal", "dk[K] = x | linear | softplus", axis="K"),
    part("fk", "input fk[K] in (0, 1]", axis="K"),
    part("av", "av[V] = x | linear | sigmoid", axis="V"),
)

# Features: what they turn K into, and whether they are positive.
FEATURES = (
    ("1 + elu(z)", "K", True, ()),
    ("exp(z)", "K", True, ()),
    ("relu(z) + z * z", "K", True, ()),
    ("softmax[K](z)", "K", True, ()),
    ("tanh(z) - z / 2", "K", False, ()),
    ("exp(W @ z - z @ z / 2)", "M", True, ("buffer W[M, K] = normal",)),
    ("W @ tanh(z)", "M", False, ("param W[M, K] = normal",)),
    ("concat(sigmoid(z), exp(-z))", "F", True, ()),
)

WRITES = (
    part("k * v"),
    part("k * v / sqrt(K)"),
    part("beta * k * tanh(v)", "beta = x | linear | sigmoid"),
    part("k * v - k2 * v2", "k2[K] = x | linear", "v2[V] = x | linear"),
    part("(k + head * k) * (2 * v + 1)"),
    part("softmax[K](k) * v + eps * k", "param eps = normal"),
)

# What a step erases, on keys of length 1: with the same key or another, from the state as it was or
# as it decayed, once or several times.
E, C = "e[K] = x | linear | l2norm", "c[K] = x | linear | l2norm"
BETA = "beta = x | linear | sigmoid"
ERASERS = (
    part("- beta * e * (e @ {old})", E, BETA),
    part("- beta * e * (c @ {old}) / 2", E, C, BETA),
    part("- e * (c @ S[t-1]) / 4 - c * sum[K](e * S[t-1]) / 4", E, C),
    part("- beta * e * (e @ {old}) + beta * e * tanh(v)", E, BETA),
    part("- e * (c @ (S[t-1] - beta * c * (e @ S[t-1]))) / 2", E, C, BETA),
)

READS = (
    part("q @ S[t]"),
    part("q @ S[t-1]"),
    part("q @ (S[t-1] + u * k * v)", "param u[K] = normal"),
    part("(q / sqrt(K)) @ S[t] + D * v", "param D = normal"),
    part("q @ S[t] - r @ S[t-1]", "r[K] = x | linear"),
    part("sum[K](q * S[t]) * g", "g[V] = x | linear | sigmoid"),
    part("tanh(q @ S[t]) + exp(i) * (q @ S[t-1])", "i = x | linear | sigmoid"),
)

HEADERS = (
    "K, V, M, F = 2 * K",
    "K = 4, V = 2 * K, M = 3, F = 2 * K",
    "K = d_model / heads, V = d_model / heads, M = 5, F = K + K",
)
KEYS = (
    ("q[K], k[K] = x | linear", "v[V] = x | linear"),
    ("grouped(G) q[K], k[K] = x | linear", "v[V] = x | linear"),
    ("q[K] = x | linear", "grouped(G) k[K] = x | linear", "grouped(G) v[V] = x | linear"),
)


def spec(header: str, lines: tuple[str, ...], core: tuple[str, ...], whole: bool) -> str:
    """The text, from lines that define names and lines of the core; `whole` with an output."""
    text = "\n".join((*lines, *core))
    sizes = [size for size in header.split(", ") if f"[{size[0]}" in text or f"{size[0]}]" in text]
    grouped = ["G = 1"] if "grouped" in text else []
    tail = ("", "y = o | linear") if whole else ()
    order = sorted(dict.fromkeys(lines), key=lambda line: not line.startswith("input"))
    head = f"mixer random({', '.join((*sizes, *grouped))})"
    return "\n".join((head, '"A random mixer"', "", *order, "", *core, *tail)) + "\n"


def decays(axes: tuple[str, ...]) -> SearchStrategy[tuple[Part, ...]]:
    """No decay, one, or two; constant or of the token; along these axes."""
    fit = [p for p in (*CONSTANT, *GATES) if p.axis in ("", *axes)]
    return st.lists(st.sampled_from(fit), max_size=2, unique=True).map(tuple)


def needs(parts: tuple[Part, ...]) -> tuple[str, ...]:
    return tuple(line for p in parts for line in p.lines)


@st.composite
def recurrences(draw: DrawFn) -> str:
    """S[t] = decays * S[t-1] + writes, read before or after; perhaps a second state."""
    kept = draw(decays(("K", "V")))
    write, read = draw(st.sampled_from(WRITES)), draw(st.sampled_from(READS))
    beside, more, output = draw(st.sampled_from(_second_states(kept, read.text)))
    old = " * ".join((*(p.text for p in kept), "S[t-1]"))
    states = [f"state S[{draw(st.sampled_from(('K, V', 'V, K')))}]", *beside]
    core = [*states, f"S[t] = {old} + {write.text}", *more, *output]
    lines = (*draw(st.sampled_from(KEYS)), *needs((*kept, write, read)))
    return spec(draw(st.sampled_from(HEADERS)), lines, tuple(core), draw(st.booleans()))


Lines = tuple[str, ...]


def _second_states(kept: tuple[Part, ...], read: str) -> tuple[tuple[Lines, Lines, Lines], ...]:
    """Nothing beside S; a state with a decay of its own; a sum of keys; what stands before o."""
    plain = (f"o[V] = {read}",)
    own = ("R[t] = 0.5 * R[t-1] - k * v",)
    found = [
        ((), (), plain),
        (("state R[K, V]",), own, (f"o[V] = {read} + q @ R[t-1]",)),
        ((), (), (f"p[V] = {read}", "o[V] = p * sigmoid(p) - p")),
    ]
    if not any(p.axis == "V" for p in kept):
        old = " * ".join((*(p.text for p in kept), "n[t-1]"))
        divided = (f"o[V] = ({read}) / max(abs(q @ n[t]), 1)",)
        found.append((("state n[K]",), (f"n[t] = {old} + k",), divided))
    return tuple(found)


@st.composite
def deltas(draw: DrawFn) -> str:
    """What is kept, less what is erased, from the state as it was or decays; and a write."""
    kept = draw(decays(("K",)))
    write, read = draw(st.sampled_from(WRITES)), draw(st.sampled_from(READS))
    gates, erased = " * ".join(p.text for p in kept) or "1", draw(st.sampled_from(ERASERS))
    inside = erased.text.format(old="S[t-1]")
    update = draw(
        st.sampled_from(
            (
                f"{gates} * S[t-1] {inside}",
                f"{gates} * (S[t-1] {inside})",
                f"{gates} * S[t-1] {erased.text.format(old=f'({gates} * S[t-1])')}",
            )
        )
    )
    state = f"state S[{draw(st.sampled_from(('K, V', 'V, K')))}]"
    core = (state, f"S[t] = {update} + {write.text}", f"o[V] = {read.text}")
    lines = (*draw(st.sampled_from(KEYS)), *needs((*kept, write, read, erased)))
    return spec(draw(st.sampled_from(HEADERS)), lines, core, draw(st.booleans()))


@st.composite
def blends(draw: DrawFn) -> str:
    """S[t] = lerp(S[t-1], new, z): what is kept and what is written share a gate."""
    gate = draw(st.sampled_from(("z", "zk")))
    line = "z = x | linear | sigmoid" if gate == "z" else "zk[K] = x | linear | sigmoid"
    read = draw(st.sampled_from(READS))
    core = ("state S[K, V]", f"S[t] = lerp(S[t-1], k * v, {gate})", f"o[V] = {read.text}")
    lines = (*draw(st.sampled_from(KEYS)), line, *read.lines)
    return spec(draw(st.sampled_from(HEADERS)), lines, core, draw(st.booleans()))


@st.composite
def clauses(draw: DrawFn) -> str:
    """mask, feature, weight, value, decay, normalize."""
    function, axis, positive, lines = draw(st.sampled_from(FEATURES))
    kept = draw(decays((axis, "V")))
    scalar = all(not p.axis for p in kept)
    strict = draw(st.booleans())
    weight = draw(st.sampled_from(_weights(scalar)))
    value = draw(st.sampled_from(("", "value v[s] * b[s]", "value tanh(v[s]) / 2")))
    divisors = ["", "max(abs(sum), 1)", "sqrt(1 + sum * sum)", *(["sum + 1"] if positive else [])]
    if positive and not strict:
        divisors.append("sum")
    signed = any("tanh" in p.text for p in kept)
    divisor = "max(abs(sum), 1)" if signed else draw(st.sampled_from(divisors))
    core = [
        f"mask {'s < t' if strict else 'causal'}",
        f"feature phi(z)[{axis}] = {function}",
        f"weight {weight.text}",
        value,
        f"decay {' * '.join(p.text for p in kept)}" if kept else "",
        f"normalize {divisor}" if divisor else "",
        f"state S[{axis}, {axis}', V]" if weight.axis else f"state S[{axis}, V]",
    ]
    more = ("b = x | linear",) if "b[s]" in value else ()
    lines = (*draw(st.sampled_from(KEYS)), *lines, *more, *weight.lines)
    text = tuple(line for line in core if line)
    header = draw(st.sampled_from(HEADERS))
    return spec(header, (*lines, *needs(kept)), text, draw(st.booleans()))


def _weights(scalar: bool) -> tuple[Part, ...]:
    """A decay along the features stands inside one sum: then the weight has one alone."""
    one = (
        part("phi(q[t]) @ phi(k[s])"),
        part("phi(q[t] / sqrt(K)) @ phi(k[s]) / 2"),
        part("exp(i[s]) * (phi(q[t]) @ phi(k[s]))", "i = x | linear | sigmoid"),
    )
    several = (
        part("(phi(q[t]) @ phi(k[s]))^2", axis="'"),
        part("1 + phi(q[t]) @ phi(k[s]) + (phi(q[t]) @ phi(k[s]))^2 / 2"),
    )
    return (*one, *several) if scalar else one


def linear_specs() -> SearchStrategy[str]:
    """Any of them."""
    return st.one_of(recurrences(), clauses(), blends())
