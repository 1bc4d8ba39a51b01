"""Random specs of recurrences: states that read one another, affine or not, real or complex."""

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

HEAD = """mixer m(E, N)
"A recurrence by chance."

"""
LINES = {
    "a": "a[E] = x | linear | sigmoid",
    "u": "u[E] = x | linear",
    "g": "g = x | linear | softplus",
    "b": "b[N] = x | linear",
    "w": "param w[E] = normal",
    "R": "param R[E, E'] = normal / 2",
    "start": "input start bool",
    "A": "param A[E, N] = normal",
    "z": "z[E] = x | linear",
}
# Coefficients and addends of a scan over [E], over [E, N]; updates that are none.
FACTORS = (
    *("a", "exp(-g)", "(1 - a ^ 2)", "tanh(u)", "where(start, 0, a)", "sigmoid(w)", "1", "-0.5"),
    *("exp(-exp(w) * g)", "a / (1 + g)"),
)
WIDE = ("exp(-exp(A) * g)", "sigmoid(A) * a", "0.9", "tanh(b)", "a")
ADDENDS = ("u", "sqrt(1 - a ^ 2) * u", "g * w", "expm1(-g) * z", "0")
WIDE_ADDENDS = ("u * b", "A * g", "(z + u) * b", "a * u * b")
TURNS = ("exp(complex(-g, w))", "complex(a, u) / 3", "complex(0, a)")
NONLINEAR = (
    "tanh(u + R @ {s}[t-1])",
    "a * {s}[t-1] + (1 - a) * tanh(u + w * {s}[t-1])",
    "sigmoid(z + {s}[t-1]) * {s}[t-1] + u",
    "{s}[t-1] / (1 + abs({s}[t-1])) + u",
)
FED = st.sampled_from(("tanh({})", "a * {} / 2", "sigmoid(z) * {} / 3"))
"""How a state feeds another: so that two of them are nonlinear, or one affine step."""

TURN = """mixer turn(E)
a[E] = x | linear | sigmoid
w[E], u[E] = x | linear
state p[E], q[E]
p[t] = a * cos(w) * p[t-1] - a * sin(w) * q[t-1] + u
q[t] = a * sin(w) * p[t-1] + a * cos(w) * q[t-1]
o[E] = p[t] * q[t-1]
"""
"""A turn written with two real states."""
WAVES = """mixer waves(E)
a[E] = x | linear | sigmoid
w[E], u[E] = x | linear
state p[E], q[E] complex
p[t] = complex(a / 2, w / 9) * p[t-1] - complex(0, a / 4) * q[t-1] + u
q[t] = a * p[t] / 3 + complex(a, a) / 4 * q[t-1]
o[E] = real(p[t]) + imag(q[t-1])
"""
"""Two complex states, of which one reads the other at its own token."""
FOUR = """mixer four(E)
a[E] = x | linear | sigmoid
u[E] = x | linear
state p[E], q[E], r[E], v[E]
p[t] = a * p[t-1] / 2 + v[t-1] / 4 + u
q[t] = lerp(q[t-1], p[t], a)
r[t] = -q[t-1] / 3 + u * r[t-1] / 9
v[t] = where(u > 0, r[t], 0) / 2 - a * v[t-1]
o[E] = p[t] + q[t] + r[t] + v[t-1]
"""
"""As many as are solved together, in a ring: most factors are 0."""
RING = """mixer ring(E)
a[E] = x | linear | sigmoid
u[E] = x | linear
state p[E], q[E], r[E]
p[t] = a * p[t-1] / 2 + r[t-1] / 4 + u
q[t] = p[t-1] / 3 + u * a
r[t] = q[t] / 2 - a * r[t-1]
o[E] = p[t] + q[t] + r[t-1]
"""
"""One of them forgets everything at each token: it is made of those that do not."""
TOGETHER = {"turn": TURN, "waves": WAVES, "four": FOUR, "ring": RING}

BEHIND = """mixer behind(E)
a[E] = x | linear | sigmoid
w[E], u[E] = x | linear
state g[E] complex
state f[E], h[E]
f[t] = a * f[t-1] + u
h[t] = tanh(a * h[t-1] + f[t] - f[t-1] * w)
g[t] = complex(a / 2, w / 9) * g[t-1] + h[t] * u
o[E] = real(g[t]) + h[t-1] * imag(g[t-1])
"""
"""A nonlinear state between a scan that feeds it and a complex one that it feeds."""
WILD = """mixer wild(E)
u[E] = x | linear
state h[E]
h[t] = 1 - 1.9 * h[t-1] * h[t-1] + u / 1000
o[E] = h[t]
"""
"""A map whose states part by a factor at each token: there is no guess to start from."""


@st.composite
def recurrent_specs(draw: DrawFn) -> str:
    """One to three states; a later one may read an earlier one, before or after its update, and
    an earlier one a later one before it."""
    count = draw(st.integers(1, 3))
    kinds = [draw(st.sampled_from(("real", "real", "wide", "complex"))) for _ in range(count)]
    names = [f"h{i}" for i in range(count)]
    updates = [_update(draw, i, kinds) for i in range(count)]
    output = " + ".join(_read(draw, name, kind) for name, kind in zip(names, kinds, strict=True))
    states = ", ".join(
        f"{name}[E, N]" if kind == "wide" else f"{name}[E]"
        for name, kind in zip(names, kinds, strict=True)
        if kind != "complex"
    )
    waves = ", ".join(f"{n}[E]" for n, kind in zip(names, kinds, strict=True) if kind == "complex")
    body = "\n".join((*updates, f"o[E] = {output}"))
    lines = [line for name, line in LINES.items() if _used(name, body)]
    declared = [f"state {states}"] * bool(states) + [f"state {waves} complex"] * bool(waves)
    sizes = "E, N" if "[E, N]" in "".join((*declared, *lines)) or "[N]" in "".join(lines) else "E"
    head = HEAD.replace("E, N", sizes)
    inputs = [line for line in lines if line.startswith("input")]
    params = [line for line in lines if line.startswith("param")]
    streams = [line for line in lines if line not in inputs + params]
    return head + "\n".join((*inputs, *params, *streams, *declared, body)) + "\n"


def _update(draw: DrawFn, index: int, kinds: list[str]) -> str:
    name, kind = f"h{index}", kinds[index]
    earlier = [i for i in range(index) if kinds[i] == "real"]
    later = [i for i in range(index + 1, len(kinds)) if kinds[i] == "real"]
    if kind == "wide":
        addend = draw(st.sampled_from(WIDE_ADDENDS))
        if earlier and draw(st.booleans()):
            addend += f" + h{draw(st.sampled_from(earlier))}[t] * b"
        return f"{name}[t] = {draw(st.sampled_from(WIDE))} * {name}[t-1] + {addend}"
    if kind == "complex":
        addend = draw(st.sampled_from(("complex(u, z)", "u", "complex(z, -u) * a")))
        if earlier and draw(st.booleans()):
            addend += f" + complex(h{draw(st.sampled_from(earlier))}[t-1], u)"
        factor = draw(st.sampled_from(TURNS))
        return f"{name}[t] = {factor} * {name}[t-1] + {addend}"
    if draw(st.integers(0, 3)) == 0:
        return f"{name}[t] = {draw(st.sampled_from(NONLINEAR)).format(s=name)}"
    addend = draw(st.sampled_from(ADDENDS))
    if earlier and draw(st.booleans()):
        at = draw(st.sampled_from(("t", "t-1")))
        addend += f" + {draw(FED).format(f'h{draw(st.sampled_from(earlier))}[{at}]')}"
    if later and draw(st.integers(0, 2)) == 0:
        addend += f" - {draw(FED).format(f'h{draw(st.sampled_from(later))}[t-1]')}"
    return f"{name}[t] = {draw(st.sampled_from(FACTORS))} * {name}[t-1] + {addend}"


def _read(draw: DrawFn, name: str, kind: str) -> str:
    at = draw(st.sampled_from(("t", "t", "t-1")))
    match kind:
        case "wide":
            return f"{name}[{at}] @ b"
        case "complex":
            part = draw(st.sampled_from(("real({})", "imag({} * complex(a, u))", "abs({} + 1)")))
            return part.format(f"{name}[{at}]")
        case _:
            return draw(st.sampled_from((f"{name}[{at}]", f"u * tanh({name}[{at}])")))


def _used(name: str, text: str) -> bool:
    words = "".join(c if c.isalnum() or c == "_" else " " for c in text).split()
    return name in words
