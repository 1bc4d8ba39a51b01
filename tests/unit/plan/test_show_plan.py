"""The text of a plan."""

from pathlib import Path

from mixerc.algebra.classify import classify
from mixerc.compiler import front, plan, read_source
from mixerc.plan.show import show_plan

SPECS = Path(__file__).parents[3] / "specs"


def test_the_plan_of_gla(golden) -> None:
    linear = classify(front(read_source(SPECS / "gla.mix"))).linear
    assert linear is not None
    golden("gla/plan.txt", show_plan(plan(linear, chunk=4, logarithms=frozenset({"a"}))))
