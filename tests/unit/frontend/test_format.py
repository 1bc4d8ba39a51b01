"""`mixerc fmt` makes one text of all who write the same spec."""

from pathlib import Path

import pytest
from hypothesis import given

from mixerc.diagnostics.diagnostic import SpecError
from mixerc.frontend.format import format_spec
from mixerc.frontend.parser import parse
from mixerc.frontend.syntax import Spec
from tests.unit.frontend.trees import SPECS, nearly_specs, specs

# The specs of the language's description, which say what a well-formatted spec looks like.
EXAMPLES = ("gla", "mistral", "longformer", "gated_deltanet", "mamba", "griffin")


def formatted(text: str) -> str:
    """The canonical text of a text."""
    return format_spec(parse(text, "text"))


def same(one: Spec, two: Spec) -> bool:
    """Whether two specs say the same, in whichever order."""
    sizes = [[(name, size) for name, size, _ in spec.header.sizes] for spec in (one, two)]
    heads = [(spec.header.stack, spec.header.name, spec.header.citation) for spec in (one, two)]
    lines = [sorted(map(repr, spec.statements)) for spec in (one, two)]
    return sizes[0] == sizes[1] and heads[0] == heads[1] and lines[0] == lines[1]


@pytest.mark.parametrize("path", [each for each in SPECS if each.stem in EXAMPLES], ids=str)
def test_the_examples_of_the_language_stay_as_they_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert formatted(text) == text.rstrip("\n") + "\n"


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_keeps_its_meaning(path: Path) -> None:
    spec = parse(path.read_text(encoding="utf-8"), "text")
    text = format_spec(spec)
    assert same(parse(text, "text"), spec)
    assert formatted(text) == text


@given(specs())
def test_what_is_printed_is_read_as_the_same(spec: Spec) -> None:
    text = format_spec(spec)
    assert same(parse(text, "text"), spec)
    assert formatted(text) == text


@given(nearly_specs())
def test_formatting_is_done_after_once(text: str) -> None:
    try:
        spec = parse(text, "text")
    except SpecError:
        return
    once = format_spec(spec)
    assert formatted(once) == once
    kept = sorted(each.text for each in parse(once, "text").comments)
    assert kept == sorted(each.text for each in spec.comments)


def test_lines_are_put_in_order() -> None:
    text = """
mixer m(K=64,V = 2*K)
"A citation."
y = o|linear
state S[K,V]
weight exp(i[s])*(q[t]@k[s])
decay a
mask causal
param b = 1/2
i,a = x|linear
input f[K] in (0,1]
q[K],k[K] = x|linear|silu
c = 2 * K
v[V] = x|linear
"""
    assert (
        formatted(text)
        == """mixer m(K = 64, V = 2 * K)
"A citation."

input f[K] in (0, 1]
c       = 2 * K
param b = 1/2

i, a       = x | linear
q[K], k[K] = x | linear | silu
v[V]       = x | linear

mask   causal
weight exp(i[s]) * (q[t] @ k[s])
decay  a
state  S[K, V]

y = o | linear
"""
    )


def test_no_line_moves_above_one_that_it_uses() -> None:
    text = "mixer m(K)\n\nc = 2 * K\ninput a in [0, c)\ninput b in [0, K)\n"
    moved = "mixer m(K)\n\ninput b in [0, K)\nc = 2 * K\ninput a in [0, c)\n"
    assert formatted(text) == formatted(moved) == moved


def test_comments_go_with_their_lines() -> None:
    text = """# the file
mixer m(K)# the header
# the output
y = o | linear

# the stream,
# in two lines
v[K] = x | linear#beside
state S[K]#state
mask causal#mask
# the end
"""
    assert (
        formatted(text)
        == """# the file
mixer m(K)   # the header

# the stream,
# in two lines
v[K] = x | linear   #beside

mask  causal   #mask
state S[K]     #state

# the output
y = o | linear

# the end
"""
    )


def test_line_breaks_before_operators_stay() -> None:
    text = "mixer m(K)\n\nv[K] = x | linear\n  | silu\n  | f(x\n  + 1)\n"
    assert formatted(text.replace("\n  ", "\n      ")) == text


@pytest.mark.parametrize(
    ("text", "spaced"),
    [
        ("1 / 16", "1/16"),
        ("2 ^ (1 / 4)", "2^(1/4)"),
        ("(a+b)^2", "(a + b)^2"),
        ("exp(a)^(1/2)", "exp(a) ^ (1/2)"),
        ("S[t - 1]", "S[t-1]"),
        ("S[t - 2*J]", "S[t - 2 * J]"),
        ("((a+b))*c", "(a + b) * c"),
        ("- a", "-a"),
        ("not   a", "not a"),
        ("f(b=1, a)", "f(a, b = 1)"),
        ("fold[J](U=1, a)", "fold[J](U = 1, a)"),
    ],
)
def test_spacing(text: str, spaced: str) -> None:
    assert formatted(f"mixer m(K)\ny = {text}") == f"mixer m(K)\n\ny = {spaced}\n"
