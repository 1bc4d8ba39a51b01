"""Long statements are broken as a formatter would, and mean the same."""

import ast

import pytest

from mixerc.backends.module.layout import laid_out

LONG = "a_rather_long_name"
STATEMENTS = [
    f"y = f({LONG}, {LONG}, {LONG}, g({LONG}, {LONG}), {LONG}, {LONG}, {LONG})",
    f"y = ({LONG} + {LONG}) * f({LONG}, {LONG}) + {LONG} * {LONG} * {LONG} + {LONG}",
    f"y = {LONG} + f({LONG}(({LONG} - {LONG}) * {LONG})) * (1 - {LONG}) * {LONG}",
    f"self.x.copy_({LONG} * ({LONG} + {LONG} - {LONG} * {LONG}) / {LONG} ** {LONG})",
    f"y = f({LONG}).g({LONG}, {LONG})[..., None].h({LONG}, {LONG}, {LONG}, {LONG})",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_long_statements_mean_the_same(statement: str) -> None:
    lines = laid_out(statement, 8, "gla.mix:1")
    assert lines[0] == "# gla.mix:1"
    assert max(map(len, lines)) <= 92
    assert ast.dump(ast.parse("\n".join(lines))) == ast.dump(ast.parse(statement))


def test_short_statements_stay() -> None:
    assert laid_out("y = f(x)", 8, "gla.mix:1") == ("y = f(x)  # gla.mix:1",)
    assert laid_out("y = f(x)", 8) == ("y = f(x)",)


def test_sums_are_broken_at_their_operators() -> None:
    assert laid_out(f"y = f({LONG}) + g({LONG}) + {LONG} * {LONG}", 40) == (
        "y = (",
        f"    f({LONG})",
        f"    + g({LONG})",
        f"    + {LONG} * {LONG}",
        ")",
    )
