"""Any text gives a spec or a SpecError, and the spec that it gives is the one that is written."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mixerc.diagnostics.diagnostic import SpecError
from mixerc.diagnostics.render import render
from mixerc.frontend.mistakes import error_of, find, read_mistakes
from mixerc.frontend.parser import DEEPEST, language, parse
from mixerc.frontend.syntax import (
    Binary,
    Bounds,
    Call,
    Clause,
    Compare,
    Define,
    Expr,
    Indexed,
    InputLine,
    Name,
    Number,
    Paren,
    Pipe,
    Recurrence,
    Spec,
    Statement,
    Unary,
)
from tests.unit.frontend.trees import nearly_specs

HEADER = "mixer m(K)\n"
OPERATORS = ("|", "+", "-", "*", "/", "//", "%", "@", "^", "<", "<=", ">", ">=", "==", "!=")
OPERATORS += ("and", "or")
KEYWORDS = ("mixer", "stack", "input", "param", "buffer", "grouped", "mask", "feature", "weight")
KEYWORDS += ("value", "decay", "normalize", "state", "cache", "branch", "block", "shared", "in")
KEYWORDS += ("not", "bool", "int", "complex", "t", "s")
OTHERS = ("x", "K", "exp", "1", "1e-5", "(", ")", "[", "]", ",", "=", "'", '"', "#", "$", "é")
WORDS = (*OPERATORS, *KEYWORDS, *OTHERS, "\n", "\n  ")


def read(text: str) -> Spec | None:
    """The spec, or None where the text is refused; the refusal can be drawn."""
    try:
        return parse(text, "text")
    except SpecError as error:
        drawn = render(error.diagnostics, {"text": text})
    assert drawn.startswith("error[")
    return None


def only(line: str) -> Statement:
    """The one statement below a header."""
    (statement,) = parse(HEADER + line, "text").statements
    return statement


def value_of(text: str) -> Expr:
    """The expression that a text is."""
    statement = only(f"y = {text}")
    assert isinstance(statement, Define)
    return statement.expr


@given(st.text())
@example("")
@example("\0")
@example("\ufeff" + HEADER)
@example(HEADER + '"')
@example(HEADER + "y = \ud800")
@example(HEADER + "y = x\r z = x")
@example(HEADER + "\t\ty = x")
@example(HEADER + "y = " + "9" * 5000)
@example(HEADER + "y = 1e999999999")
@example(HEADER + "y = 1e-" + "9" * 5000)
@example(HEADER + "branch b\n  mask full\n weight 1")
@example(HEADER + "y = x" + " | f" * 5000)
@example(HEADER + "y = " + "-" * 5000 + "x")
@example(HEADER + "y = " + "2^" * 5000 + "x")
@example("mixer m(K" + "\n" * 5000)
def test_any_text_is_read_or_refused(text: str) -> None:
    read(text)
    read(HEADER + text)


@pytest.mark.parametrize("opening", ["(", "[", "x[", "f(", "f[K]("])
def test_deep_nesting_is_refused(opening: str) -> None:
    closing = {"(": ")", "[": "]"}[opening[-1]]
    assert read(HEADER + "y = " + opening * 10000) is None
    assert read(HEADER + "y = " + opening * 10000 + "x" + closing * 10000) is None


@pytest.mark.parametrize("opening", ["(", "x[", "f("])
def test_nesting_below_the_bound_is_read(opening: str) -> None:
    depth = DEEPEST - 5
    closing = {"(": ")", "[": "]"}[opening[-1]]
    assert read(HEADER + "y = " + opening * depth + "x" + closing * depth)


@given(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join))
def test_any_words_are_read_or_refused(text: str) -> None:
    read(HEADER + text)


@given(nearly_specs())
def test_a_damaged_spec_is_read_or_refused(text: str) -> None:
    read(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("4096", 4096), ("0.001", Fraction(1, 1000)), ("1e-5", Fraction(1, 100000)), ("2E+2", 200)],
)
def test_numbers_are_exact(text: str, value: Fraction) -> None:
    match only(f"y = {text}"):
        case Define(expr=Number() as number):
            assert (number.value, number.text) == (value, text)
        case other:
            pytest.fail(str(other))


@pytest.mark.parametrize(
    ("text", "bracketed"),
    [
        ("a + b * c", "a + (b * c)"),
        ("a - b - c", "(a - b) - c"),
        ("a / b * c", "(a / b) * c"),
        ("a @ b * c", "(a @ b) * c"),
        ("-a @ b", "-(a @ b)"),
        ("-a ^ b", "-(a ^ b)"),
        ("a ^ b ^ c", "a ^ (b ^ c)"),
        ("a ^ -b ^ c", "a ^ (-(b ^ c))"),
        ("a @ b ^ c", "a @ (b ^ c)"),
        ("a + b < c", "(a + b) < c"),
        ("not a < b", "not (a < b)"),
        ("not a and b", "(not a) and b"),
        ("a or b and c", "a or (b and c)"),
        ("a or b | f", "(a or b) | f"),
        ("a | f | g", "(a | f) | g"),
    ],
)
def test_precedence(text: str, bracketed: str) -> None:
    assert shape(value_of(text)) == shape(value_of(bracketed))


def shape(expr: Expr) -> str:
    """The expression with brackets round every operation, whatever brackets are written."""
    match expr:
        case Paren(inner=inner):
            return shape(inner)
        case Name(id=name):
            return name
        case Unary(operator=operator, operand=operand):
            return f"({operator} {shape(operand)})"
        case Binary(operator=operator, left=left, right=right):
            return f"({shape(left)} {operator} {shape(right)})"
        case Compare(operands=(left, right), operators=(operator,)):
            return f"({shape(left)} {operator} {shape(right)})"
        case Pipe(source=source, step=step):
            return f"({shape(source)} | {shape(step)})"
    raise AssertionError(expr)


def test_comparisons_chain() -> None:
    match only("mask 0 <= t - s < K"):
        case Clause(expr=Compare(operands=operands, operators=operators)):
            assert len(operands) == 3
            assert operators == ("<=", "<")
        case other:
            pytest.fail(str(other))


def test_a_bracket_is_a_time_or_an_axis_of_a_reduction() -> None:
    match only("y = k[s] + sum[s](k[t-1]) + sum[N'](k)"):
        case Define(
            expr=Binary(
                left=Binary(left=Indexed(id="k", index=Name(id="s")), right=Call(axis="s")),
                right=Call(axis="N'"),
            )
        ):
            pass
        case other:
            pytest.fail(str(other))


def test_what_stands_at_the_left_is_a_recurrence_if_its_bracket_is_a_time() -> None:
    assert isinstance(only("S[t] = x"), Recurrence)
    assert isinstance(only("S[t+1] = x"), Recurrence)
    assert isinstance(only("S[K] = x"), Define)
    assert isinstance(only("S[t, s] = x"), Define)


def test_a_range_may_be_open_on_either_side() -> None:
    match only("input a[K] in (0, 1]"):
        case InputLine(bounds=Bounds(low_open=True, high_open=False)):
            pass
        case other:
            pytest.fail(str(other))
    match only("input a int in [-1, K)"):
        case InputLine(kind="int", bounds=Bounds(low=Unary(), low_open=False, high_open=True)):
            pass
        case other:
            pytest.fail(str(other))


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_line_that_begins_with_an_operator_continues_the_one_above(operator: str) -> None:
    one = parse(f"{HEADER}y = x {operator} f\nz = x\n", "text")
    two = parse(f"{HEADER}y = x  # a | b\n\n  # c | d\n{operator} f\nz = x\n", "text")
    assert one == two


def test_a_bracket_continues_its_line() -> None:
    one = parse(f"{HEADER}y = f(x, K)\n", "text")
    assert one == parse(f"{HEADER}y = f(\nx,  # mask full\n  K\n)\r\n", "text")


def test_a_keyword_ends_where_its_word_ends() -> None:
    match only("tt = sss + maskx + in_"):
        case Define(declared=(left,)):
            assert left.name == "tt"
        case other:
            pytest.fail(str(other))


def test_comments_and_citations_are_kept() -> None:
    spec = parse('# a\nmixer m(K)  # b\n"#1"\n"two"  # c\ny = x # d\n', "text")
    assert spec.header.citation == ("#1", "two")
    assert [comment.text for comment in spec.comments] == ["# a", "# b", "# c", "# d"]
    assert [comment.alone for comment in spec.comments] == [True, False, False, False]


def test_spans_point_at_what_they_name() -> None:
    text = HEADER + "q[K], k[K] = (x | linear)\n"
    (statement,) = parse(text, "text").statements
    assert isinstance(statement, Define)
    spans = [statement.span, statement.declared[1].name_span, statement.expr.span]
    line = text.split("\n")[1]
    assert [line[span.column - 1 : span.end_column - 1] for span in spans] == [
        "q[K], k[K] = (x | linear)",
        "k",
        "(x | linear)",
    ]


def test_several_lines_have_their_mistakes_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        parse(HEADER + "a = x +\nb = (x\nc = x $ x\nd[] = x\ny = x\n", "text")
    slugs = [diagnostic.slug for diagnostic in caught.value.diagnostics]
    assert slugs == ["missing-operand", "missing-close", "unknown-character", "empty-axes"]


def test_every_example_of_a_mistake_finds_it() -> None:
    for mistake in read_mistakes():
        for text in mistake.texts():
            found = find(language(), error_of(language(), text))
            assert found is not None
            assert found.slug == mistake.slug, text
