"""What the checker and the resolver accept and refuse, beyond the bad specs of tests/bad."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mixerc.diagnostics.diagnostic import Diagnostic, SpecError
from mixerc.frontend import syntax
from mixerc.frontend.check import check
from mixerc.frontend.parser import parse
from mixerc.frontend.resolve import resolve
from mixerc.ir.mixer import Mixer, Stack

ROOT = Path(__file__).parents[3]
SPECS = sorted((ROOT / "specs").glob("*.mix"))
BAD = ROOT / "tests" / "bad"
BESIDE = sorted((BAD / "beside").glob("*.mix"))


def loader(specs: dict[str, str]) -> Callable[[str], syntax.Spec | None]:
    """Finds specs by name among texts."""

    def load(name: str) -> syntax.Spec | None:
        return parse(specs[name], f"{name}.mix") if name in specs else None

    return load


SHIPPED = loader({path.stem: path.read_text(encoding="utf-8") for path in (*SPECS, *BESIDE)})


def mistakes(text: str, specs: dict[str, str] | None = None) -> list[Diagnostic]:
    """What is wrong with a spec, all of it."""
    try:
        check(resolve(parse(text, "test.mix"), loader(specs or {})))
    except SpecError as error:
        return list(error.diagnostics)
    return []


def summed(*clauses: str, lines: str = "", header: str = "K = 16, V = 8") -> list[Diagnostic]:
    """What is wrong with a sum of these clauses."""
    text = [
        f"mixer m({header})",
        "q[K], k[K] = x | linear",
        "v[V] = x | linear",
        "z = x | linear",
        "w[V] = z * v",
        *lines.split("\n"),
        *clauses,
        "state S[K, V]",
        "y = o * w | linear",
    ]
    return mistakes("\n".join(text))


def with_decay(line: str) -> list[Diagnostic]:
    """What is wrong where `a`, defined by a line, is the decay."""
    return summed("mask causal", "weight q[t] @ k[s]", "decay a", lines=line)


def with_mask(mask: str, *others: str, lines: str = "", header: str = "K = 16, V = 8") -> list[str]:
    """The slugs of what is wrong with a mask."""
    found = summed(f"mask {mask}", "weight q[t] @ k[s]", *others, lines=lines, header=header)
    return [diagnostic.slug for diagnostic in found]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_spec_is_right(path: Path) -> None:
    spec = parse(path.read_text(encoding="utf-8"), path.name)
    checked = check(resolve(spec, SHIPPED))
    assert isinstance(checked, Stack if spec.header.stack else Mixer)
    assert checked.name == path.stem


@pytest.mark.parametrize(
    "line",
    [
        "a = z | sigmoid",
        "a = exp(-softplus(z))",
        "a = sigmoid(z) ^ (1/16)",
        "a = z | tanh",
        "a = z | cos",
        "a = 1 - sigmoid(z)",
        "a = exp(-exp(z))",
        "param p = 1\na = exp(-exp(p) * softplus(z))",
        "low = layer / layers\na = low + (1 - low) * sigmoid(z)",
        "f, i = x | linear | sigmoid\na = f / (f + i)",
        "a = lerp(sigmoid(z), 1, 0.5)",
        "a = min(max(z, -1), 1)",
        "a = where(z > 0, 1, 0)",
        "a[K] = k | sigmoid",
        "a[V] = v | sigmoid",
        "a = 1 - 2^(-5 - head)",
        "input a in (0, 1]",
        "input a in [-1, 1]",
        "buffer a = uniform(0.5, 1)",
    ],
)
def test_a_bounded_decay_is_accepted(line: str) -> None:
    assert with_decay(line) == []


def test_what_is_neither_proven_nor_refuted_is_accepted() -> None:
    """The values of a call are checked."""
    assert with_decay("a = z / max(abs(z), 1)") == []


@pytest.mark.parametrize(
    ("line", "example"),
    [
        ("input a", "1.5, where a = 1.5"),
        ("input a in [0, inf)", "1.5, where a = 1.5"),
        ("input a in (0, 1.25]", "1.25, where a = 1.25"),
        ("input a in (-3, 0)", "-1.5, where a = -1.5"),
        ("param a = 0.5", "1.5, where a = 1.5"),
        ("buffer a = uniform(1, 2)", "1.5"),
        ("a = z", "1.5"),
        ("a = 1 + z * z", "3.25"),
        ("a = z | exp", "4.482"),
        ("a = 1.25 + head", "1.25"),
        ("a = 1 + 1e-9", "1.000000001"),
        ("input u in [0, 1]\ninput p in [0, 1]\na = u + p", "2, where u = 1 and p = 1"),
    ],
)
def test_a_decay_beyond_one_is_shown(line: str, example: str) -> None:
    (found,) = with_decay(line)
    assert found.slug == "decay-exceeds-one"
    assert found.message == f"this decay can be {example}"


def test_a_complex_decay_is_bounded_by_its_absolute_value() -> None:
    def turned(radius: str) -> list[str]:
        found = with_decay(f"r = {radius}\nc = complex(r * cos(z), r * sin(z))\na = c")
        return [each.slug for each in found if not each.slug.startswith("complex")]

    assert turned("sigmoid(z)") == []
    assert turned("1 + exp(z)") == ["decay-exceeds-one"]


@pytest.mark.parametrize(
    "mask",
    [
        "causal",
        "s < t",
        "0 <= t - s < 4",
        "causal and (t - s < 4 or s < 2)",
        "t // 4 > s // 4 or causal",
        "s == t",
        "not s > t",
        "causal and p[s]",
    ],
)
def test_a_decay_with_an_ordered_mask_is_accepted(mask: str) -> None:
    lines = "input p bool\na = z | sigmoid\nr = where(p, z, 0)"
    found = summed(f"mask {mask}", "weight q[t] @ k[s] * sum1(1)", "decay a", lines=lines)
    slugs = {each.slug for each in found}
    assert "decay-without-order" not in slugs


@pytest.mark.parametrize(
    ("mask", "pair"),
    [
        ("full", "t = 0 sees s = 1"),
        ("t - s < 4", "t = 0 sees s = 1"),
        ("s <= t + 2", "t = 0 sees s = 1"),
        ("s <= t or s == 5", "t = 0 sees s = 5"),
        ("causal or p[s]", "t = 0 may see s = 1"),
        ("t // B == s // B", "t = 0 sees s = 1, where B = 4"),
    ],
)
def test_a_decay_without_an_order_is_shown(mask: str, pair: str) -> None:
    lines = "input p bool\na = where(p, 1, sigmoid(z))"
    clauses = (f"mask {mask}", "weight q[t] @ k[s] / B", "decay a")
    (found,) = summed(*clauses, lines=lines, header="K = 16, V = 8, B = 4")
    assert found.slug == "decay-without-order"
    assert found.message.endswith(f": {pair}")
    assert found.related[0].span.line == 10


@pytest.mark.parametrize(
    ("mask", "normalizer", "expected"),
    [
        ("causal", "sum", []),
        ("s < t", "sum", ["empty-mask-row"]),
        ("s < t", "sum + 1e-6", []),
        ("s < t", "max(abs(sum), 1)", []),
        ("s < t", "sqrt(sum)", ["empty-mask-row"]),
        ("s < t or s == 0", "sum", []),
        ("s > t", "sum", ["empty-mask-row"]),
        ("s == 3", "sum", ["empty-mask-row"]),
        ("causal and p[s]", "sum", []),
        ("s < t and p[s]", "sum", ["empty-mask-row"]),
        ("s == T - 1 - t", "sum", []),
    ],
)
def test_rows_without_keys(mask: str, normalizer: str, expected: list[str]) -> None:
    lines = "input p bool\nr[V] = where(p, v, w)"
    assert with_mask(mask, "value r[s]", f"normalize {normalizer}", lines=lines) == expected


def test_a_row_is_looked_for_in_each_head() -> None:
    assert with_mask("causal and t - s < 2^head", "normalize sum") == []
    (found,) = summed("mask causal and head > 0", "weight q[t] @ k[s]", "normalize sum")
    assert found.message == "a token sees none: t = 0, where head = 0"


def test_a_misspelt_name_is_one_mistake() -> None:
    assert [each.slug for each in with_decay("b = z | sigmoid")] == ["unknown-name"]
    assert [each.slug for each in summed("mask casual", "weight q[t] @ k[s]")] == ["unknown-name"]


NEAR = """mixer m(K = 16, V = 8)
q[K], k[K] = x | linear
v[V] = x | linear
branch near
  mask causal
  weight q[t] @ k[s]
  state S[K, V]
branch far
  mask causal
  weight {weight}
  decay {decay}
  state Z[K, V]
o[V] = near + far
y = o | linear
"""


@pytest.mark.parametrize(
    ("weight", "decay", "expected"),
    [
        ("q[t] @ k[s]", "0.5", []),
        ("q[t] @ k[s] * sum[V](near[t])", "0.5", []),
        ("q[t] @ k[s] * sum[V](near[s])", "0.5", ["core-value-time"]),
        ("q[t] @ k[s]", "sigmoid(near)", ["core-value-in-clause"]),
    ],
)
def test_a_sum_that_reads_another(weight: str, decay: str, expected: list[str]) -> None:
    found = mistakes(NEAR.format(weight=weight, decay=decay))
    assert [diagnostic.slug for diagnostic in found] == expected


def test_a_cache_alone_is_one_mistake() -> None:
    text = "mixer m(E = 8)\nu[E] = x | linear\nstate cache\no[E] = u\ny = o | linear"
    assert [each.slug for each in mistakes(text)] == ["missing-clause"]


def test_a_size_is_taken_at_its_default() -> None:
    window, sized = "0 <= t - s < W", "K = 16, V = 8, W = {}"
    assert with_mask(window, "normalize sum", header=sized.format(1)) == []
    assert with_mask(window, "normalize sum", header=sized.format(0)) == ["empty-mask-row"]
    assert with_mask(window, "normalize sum", header=sized.format("K - 16")) == ["empty-mask-row"]
    assert with_mask(window, "normalize sum", header="K = 16, V = 8, W") == []


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("K = 16, V = K", []),
        ("K = d_model / heads / 2, V = 2 ^ 3", []),
        ("K = 2 ^ 31, V = length", []),
        ("K = 0, V = K", ["size-not-positive"]),
        ("K = 16, V = 1 / 0", ["division-by-zero"]),
        ("K = 16, V = 8 % (K - 16)", ["division-by-zero"]),
        ("K = 16, V = 0 ^ (-2)", ["division-by-zero"]),
        ("K = 16, V = (-8) ^ (1/3)", ["size-without-value"]),
        ("K = 16, V = log(K - 16)", ["size-without-value"]),
        ("K = 2 ^ 31 + 1, V = 8", ["size-too-large"]),
        ("K = 16, V = 2.5", ["size-not-whole"]),
        ("K = 16, V = 2 ^ (-20000)", ["size-not-whole"]),
        ("K = 16, V = abs(-8)", ["size-form"]),
        ("heads = 0, K = 16, V = 8", ["size-not-positive"]),
    ],
)
def test_what_the_sizes_of_a_header_are_worth(header: str, expected: list[str]) -> None:
    assert with_mask("causal", header=header) == expected


@pytest.mark.parametrize(
    ("default", "as_constant", "as_count"),
    [
        ("2", [], []),
        ("5 / 2", [], ["size-not-whole"]),
        ("0", [], ["size-not-positive"]),
        ("-1", ["size-not-positive"], ["size-not-positive"]),
        ("2 ^ 40", [], ["size-too-large"]),
        ("10 ^ 400", ["size-too-large"], ["size-too-large"]),
    ],
)
def test_a_constant_of_the_header_counts_nothing(
    default: str, as_constant: list[str], as_count: list[str]
) -> None:
    header = f"K = 16, V = 8, c = {default}"
    read = "p[V] = {}\nr[V] = v * p * z"
    for line, expected in (
        ("cos(v * c)", as_constant),
        ("x | linear(c) | linear", as_count),
        ("v | conv(c)", as_count),
    ):
        assert with_mask("causal", "value r[s]", lines=read.format(line), header=header) == expected
    lines = "grouped(c) p[V] = x | linear\nr[V] = v * p"
    assert with_mask("causal", "value r[s]", lines=lines, header=header) == as_count


BLOCKS = "stack m(d_model = 64, N = 2)\nblock a = x + (x | rmsnorm | {})\ny = x | repeat(N, a)"
WINDOW = """mixer window(W, D = 8)
q[D], k[D], v[D] = x | linear
mask 0 <= t - s < W
weight exp(q[t] @ k[s])
normalize sum
state cache
y = o | linear
"""


def used(step: str, **others: str) -> list[str]:
    """The slugs of what is wrong with a stack of this step."""
    found = mistakes(BLOCKS.format(step), {"window": WINDOW, **others})
    return [diagnostic.slug for diagnostic in found]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("window(W = 4)", []),
        ("window(W = 4, heads = 2, D = d_model / heads)", []),
        ("window", ["missing-size"]),
        ("window(D = 4)", ["missing-size"]),
        ("window(4)", ["positional-size", "missing-size"]),
        ("window(W = 4, N = 2)", ["unknown-size"]),
        ("window(W = 4, W = 8)", ["repeated-argument"]),
        ("windov(W = 4)", ["unknown-mixer"]),
        ("m", ["recursive-stack"]),
        ("linear | silu", []),
    ],
)
def test_the_mixers_of_a_stack(step: str, expected: list[str]) -> None:
    assert used(step) == expected


def test_a_stack_holds_the_mixers_it_uses_once_each() -> None:
    text = BLOCKS.format("window(W = 4) | window(W = 8)") + " | window(W = 2)"
    stack = check(resolve(parse(text, "m.mix"), loader({"window": WINDOW})))
    assert isinstance(stack, Stack)
    assert [mixer.name for mixer in stack.mixers] == ["window"]


def test_a_mixer_is_resolved_already() -> None:
    spec = parse(WINDOW, "window.mix")
    assert resolve(spec, loader({})) is spec


def test_a_stack_in_a_stack() -> None:
    other = "stack other(d_model = 64)\nblock a = x + (x | {})\ny = x | a"
    assert used("other", other=other.format("linear")) == ["stack-in-stack"]
    assert used("other", other=other.format("m")) == ["recursive-stack"]
    third = "stack third(d_model = 64)\nblock a = x + (x | m)\ny = x | a"
    assert used("other", other=other.format("third"), third=third) == ["recursive-stack"]


def test_a_file_with_another_name_is_no_mixer() -> None:
    assert used("frame(W = 4)", frame=WINDOW) == ["unknown-mixer"]


def test_mistakes_of_a_mixer_are_reported_once() -> None:
    broken = WINDOW.replace("k[s]", "k[s] +")
    assert len(used("window(W = 1) | window(W = 2)", window=broken)) == 1


@pytest.mark.parametrize("stage", ["check", "resolve"])
def test_every_bad_spec_has_its_one_mistake(stage: str) -> None:
    for path in sorted((BAD / stage).glob("*.mix")):
        with pytest.raises(SpecError) as caught:
            check(resolve(parse(path.read_text(encoding="utf-8"), path.name), SHIPPED))
        (found,) = caught.value.diagnostics
        assert f"{path.stem}-".startswith(f"{found.slug}-")


def test_checking_needs_neither_torch_nor_sympy() -> None:
    code = (
        "import sys, mixerc.frontend.check, mixerc.frontend.resolve;"
        "sys.exit(bool({'torch', 'sympy', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
