"""Masks as text: made at random, and evaluated pair by pair by Python, whose `//` and `%` are ours.

The sequence has T tokens; streams `mark` and `doc` and a table `link` of blocks of BLOCK tokens.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from mixerc.algebra.masks.conditions import Condition
from mixerc.algebra.masks.of_mixer import masks_of
from mixerc.algebra.masks.values import Values, known
from mixerc.compiler import front
from mixerc.ir.mixer import Mixer
from mixerc.source import Source

SPECS = Path(__file__).parents[4] / "specs"
BLOCK = 3
INPUTS = {
    "mark": "input mark bool",
    "doc": "input doc int",
    "link": f"input link[t // {BLOCK}, s // {BLOCK}] bool",
}


def condition(mask: str) -> Condition:
    """The mask of a small mixer, through the whole front of the compiler."""
    return masks_of(mixer(mask), {})[0].condition


def mixer(mask: str) -> Mixer:
    """A mixer with this mask and no normalizer."""
    inputs = [line for name, line in INPUTS.items() if name in mask]
    lines = ["mixer m(D = 4)", *inputs, "q[D], k[D], v[D] = x | linear", f"mask {mask}"]
    lines += ["weight q[t] @ k[s]", "state cache", "y = o | linear"]
    found = front(Source(text="\n".join(lines) + "\n", file="m.mix", folder=None))
    assert isinstance(found, Mixer)
    return found


@dataclass(frozen=True)
class Given:
    """Values for one sequence."""

    mark: np.ndarray
    doc: np.ndarray
    link: np.ndarray

    @property
    def values(self) -> Values:
        return known({"mark": self.mark, "doc": self.doc, "link": self.link})


def given(length: int, seed: int) -> Given:
    """Random values; documents are runs of tokens for even seeds."""
    random = np.random.default_rng(seed)
    blocks = -(-length // BLOCK)
    doc = random.integers(0, 3, length)
    return Given(
        mark=random.random(length) < 0.3,
        doc=doc if seed % 2 else np.sort(doc),
        link=random.random((blocks, blocks)) < 0.4,
    )


class _Table:
    def __init__(self, table: np.ndarray, t: int, s: int) -> None:
        self.holds = bool(table[t // BLOCK, s // BLOCK])

    def __bool__(self) -> bool:
        return self.holds


def brute(mask: str, length: int, values: Given) -> np.ndarray:
    """Which keys each query sees [T, T]: the text, evaluated for every pair."""
    code = compile(mask.replace("causal", "(s <= t)").replace("full", "True"), "mask", "eval")
    found = np.zeros((length, length), dtype=bool)
    streams = {"mark": values.mark.tolist(), "doc": values.doc.tolist(), "T": length}
    names = {**streams, "max": max, "min": min, "abs": abs}
    for t in range(length):
        for s in range(length):
            link = _Table(values.link, t, s)
            found[t, s] = bool(eval(code, {**names, "t": t, "s": s, "link": link}))
    return found


numbers = st.integers(-3, 12).map(str)
positive = st.integers(1, 6).map(str)


def _combined(inner):
    return st.one_of(
        st.tuples(inner, st.sampled_from("+-"), inner).map(lambda x: f"({x[0]} {x[1]} {x[2]})"),
        st.tuples(numbers, inner).map(lambda x: f"({x[0]}) * {x[1]}"),
        st.tuples(inner, st.sampled_from(["//", "%"]), positive).map(
            lambda x: f"({x[0]} {x[1]} {x[2]})"
        ),
        st.tuples(st.sampled_from(["max", "min"]), inner, inner).map(
            lambda x: f"{x[0]}({x[1]}, {x[2]})"
        ),
        inner.map(lambda x: f"abs({x})"),
    )


terms = st.recursive(
    st.sampled_from(["t", "s", "t", "s", "(t - s)", "T"]) | numbers, _combined, max_leaves=4
)
products = st.tuples(terms, terms).map(lambda x: f"({x[0]}) * ({x[1]})")
compared = st.tuples(
    terms | products, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), terms
).map(lambda x: f"({x[0]}) {x[1]} ({x[2]})")
linear = st.sampled_from(
    [
        "causal",
        "t - s < 3",
        "s < 2",
        "s - t <= 4",
        "t // 4 == s // 4",
        "-1 <= t // 3 - s // 3 <= 1",
        "t < 3",
        "s >= T - 2",
        "(t - s) % 2 == 0",
        "s % 5 >= 3",
        "2 * (t - s) <= 7",
    ]
)
reads = st.sampled_from(
    ["mark[s]", "mark[t]", "doc[t] == doc[s]", "doc[s] > doc[t]", "doc[t] % 2 == 1", "link"]
)


def _joined(atoms):
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
                lambda x: f"({x[0]}) {x[1]} ({x[2]})"
            ),
            inner.map(lambda x: f"not ({x})"),
        ),
        max_leaves=5,
    )


static_masks = _joined(compared | linear)
masks = _joined(compared | linear | reads)
plain_masks = _joined(linear)

FAMILIES = {
    "causal": "causal",
    "full": "full",
    "window": "0 <= t - s < 7",
    "fixed": "causal and (t // 8 == s // 8 or s % 8 >= 6)",
    "strided": "causal and (t - s < 8 or (t - s) % 8 == 0)",
    "dilated": "0 <= t - s < 12 and (t - s) % 2 == 0",
    "dilated3": "0 <= t - s < 21 and (t - s) % 3 == 0",
    "block_sparse": "causal and (link or t // 3 == s // 3)",
    "longformer": "-9 <= 2 * (t - s) <= 9 or mark[s]",
    "bigbird": "link or -1 <= t // 3 - s // 3 <= 1 or t < 3 or s < 3 or t >= T - 3 or s >= T - 3",
    "documents": "causal and doc[t] == doc[s]",
    "prefix_lm": "causal or mark[s]",
    "streaming": "causal and (t - s < 6 or s < 2)",
    "blocks": "causal and t // 6 == s // 6",
    "two_blocks": "causal and t // 6 - s // 6 <= 1",
    "band": "abs(t - s) <= 4",
    "anti": "t + s < T",
}
STATIC = {name: mask for name, mask in FAMILIES.items() if not any(r in mask for r in INPUTS)}
