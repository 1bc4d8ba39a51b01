"""Diagnostics as text."""

from hypothesis import given
from hypothesis import strategies as st

from mixerc.diagnostics.diagnostic import Diagnostic, Related
from mixerc.diagnostics.render import render
from mixerc.diagnostics.span import NOWHERE, Span

TEXT = "mixer m(K)\n" * 5 + "gate a[V] = f(g)\n\nstate S[K, V]\n"


def place(line: int, column: int, end: int, *, lines: int = 1, file: str = "gla.mix") -> Span:
    """A span of one line, or of several."""
    return Span(file=file, line=line, column=column, end_line=line + lines - 1, end_column=end)


def test_related_places_stand_in_one_snippet_in_the_order_of_lines() -> None:
    diagnostic = Diagnostic(
        slug="shape-mismatch",
        message="the state has no axis V",
        span=place(8, 7, 14),
        label="used here",
        related=(
            Related(span=place(6, 6, 10), label="has axes [V]"),
            Related(span=place(8, 1, 6), label="declared here"),
        ),
        notes=("a note",),
        helps=("one help", "another"),
    )
    assert (
        render([diagnostic], {"gla.mix": TEXT})
        == """\
error[shape-mismatch]: the state has no axis V
  --> gla.mix:8:7
   |
 6 | gate a[V] = f(g)
   |      ---- has axes [V]
 8 | state S[K, V]
   | ----- declared here
   |       ^^^^^^^ used here
   = note: a note
   = help: one help
   = help: another
"""
    )


def test_the_gutter_is_as_wide_as_the_largest_number() -> None:
    diagnostic = Diagnostic(
        slug="a",
        message="m",
        span=place(9, 1, 2),
        related=(Related(span=place(10, 1, 2), label=""),),
    )
    assert (
        render([diagnostic], {"gla.mix": "x\n" * 10})
        == """\
error[a]: m
   --> gla.mix:9:1
    |
  9 | x
    | ^
 10 | x
    | -
"""
    )


def test_another_file_has_a_snippet_of_its_own() -> None:
    diagnostic = Diagnostic(
        slug="a",
        message="m",
        span=place(1, 1, 2),
        related=(Related(span=place(1, 1, 2, file="other.mix"), label="there"),),
    )
    assert (
        render([diagnostic], {"gla.mix": "x", "other.mix": "z"})
        == """\
error[a]: m
  --> gla.mix:1:1
   |
 1 | x
   | ^
  ::: other.mix:1:1
   |
 1 | z
   | - there
"""
    )


def test_a_span_of_several_lines_is_underlined_to_the_end_of_its_first() -> None:
    diagnostic = Diagnostic(slug="a", message="m", span=place(6, 13, 3, lines=3))
    assert "   |             ^^^^\n" in render([diagnostic], {"gla.mix": TEXT})


def test_columns_count_what_a_terminal_shows() -> None:
    diagnostic = Diagnostic(slug="a", message="m", span=place(1, 4, 6))
    assert render([diagnostic], {"gla.mix": "\té宽xy"}).endswith(" 1 |     é宽xy\n   |        ^^\n")


def test_a_diagnostic_without_a_place_or_a_source_is_still_told() -> None:
    nowhere = Diagnostic(slug="a", message="m", span=NOWHERE, helps=("h",))
    unknown = Diagnostic(slug="b", message="m", span=place(1, 1, 2))
    assert render([nowhere, unknown], {}) == (
        "error[a]: m\n   = help: h\n\nerror[b]: m\n  --> gla.mix:1:1\n   |\n 1 |\n   | ^\n"
    )
    assert render([], {}) == ""


spans = st.builds(
    Span,
    file=st.sampled_from(["", "a", "b"]),
    line=st.integers(-1, 9),
    column=st.integers(-1, 20),
    end_line=st.integers(-1, 9),
    end_column=st.integers(-1, 20),
)


@given(
    st.builds(
        Diagnostic,
        slug=st.just("a"),
        message=st.text(),
        span=spans,
        label=st.text(),
        related=st.lists(st.builds(Related, span=spans, label=st.text()), max_size=3).map(tuple),
    ),
    st.text(),
)
def test_any_span_can_be_drawn(diagnostic: Diagnostic, text: str) -> None:
    drawn = render([diagnostic], {"a": text})
    assert drawn.startswith("error[a]: ")
    assert drawn.endswith("\n")
