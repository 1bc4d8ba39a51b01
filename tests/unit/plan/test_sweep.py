"""The parts of a masked sum: what is done once a query, once a key, and for each pair."""

from pathlib import Path

import numpy as np
import pytest

from mixerc.algebra.classify import classify
from mixerc.compiler import front
from mixerc.plan import nodes as n
from mixerc.plan.evaluate import evaluate
from mixerc.plan.show import show_sweeps
from mixerc.plan.sweep import Sweep, SweepPlan, kept_names, key_names, row_names, sweep_plan
from mixerc.source import read_source

SPECS = Path(__file__).parents[3] / "specs"
MASKED = (
    *("alibi", "attention", "bigbird", "block_sparse", "dilated", "documents", "fixed"),
    *("forgetting_attention", "gqa", "longformer", "mistral", "prefix_lm", "softcap", "streaming"),
)


def plan_of(name: str, logarithms: frozenset[str] = frozenset()) -> SweepPlan:
    attention = classify(front(read_source(SPECS / f"{name}.mix"))).attention
    assert attention is not None
    return sweep_plan(attention, logarithms=logarithms)


def sweeps() -> list[tuple[str, Sweep]]:
    return [(f"{name} {sweep.name}", sweep) for name in MASKED for sweep in plan_of(name).sweeps]


every_sweep = pytest.mark.parametrize(
    "sweep", [sweep for _, sweep in sweeps()], ids=[name for name, _ in sweeps()]
)


@every_sweep
def test_queries_and_keys_are_apart(sweep: Sweep) -> None:
    assert not any(n.KEY_ROW in node.axes for node in sweep.queries.function.nodes)
    assert not any(n.ROW in node.axes for node in sweep.keys.function.nodes)
    pairs = [x for x in sweep.scores.function.nodes if {n.ROW, n.KEY_ROW} <= set(x.axes)]
    assert pairs, "a score of pairs"


@every_sweep
def test_a_number_multiplies_queries_and_not_scores(sweep: Sweep) -> None:
    """There are fewer of them; what follows a product of a query and a key is no factor of it."""
    products = [x for x in sweep.scores.function.nodes if isinstance(x, n.Contract)]
    for node in sweep.scores.function.nodes:
        if isinstance(node, n.Map) and node.primitive in ("mul", "div") and len(products) == 1:
            assert not (products[0] in node.args and any(not arg.axes for arg in node.args))


@every_sweep
def test_every_value_that_pairs_read_gets_a_cotangent(sweep: Sweep) -> None:
    back = sweep.scores.backward
    assert back is not None
    real = {x.name for x in sweep.scores.loads if x.name not in ("t", "s")}
    assert {name.removeprefix("d_") for name, _ in back.outputs} == real
    for name, node in back.outputs:
        load = next(x for x in sweep.scores.loads if f"d_{x.name}" == name)
        assert set(node.axes) == set(load.axes)


def test_names_of_streams() -> None:
    (sweep,) = plan_of("documents").sweeps
    assert row_names(sweep) == ("q", "doc")
    assert key_names(sweep) == ("k", "v", "doc")
    (sweep,) = plan_of("bigbird").sweeps
    assert (row_names(sweep), key_names(sweep)) == (("q",), ("k", "v"))
    assert sweep.tables == (("link", 64, 64),)
    assert kept_names(plan_of("forgetting_attention")) == ("k", "v", "f")
    assert kept_names(plan_of("forgetting_attention", frozenset({"f"}))) == ("k", "v", "log_f")


def test_a_plan_runs_over_numbers() -> None:
    """The parts of softcap, put together, against its score written out."""
    (sweep,) = plan_of("softcap").sweeps
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 4)), rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
    functions = {
        "div": lambda a, b: a / b,
        "mul": lambda a, b: a * b,
        "tanh": np.tanh,
        "sqrt": np.sqrt,
    }
    sizes = {"D": 4, "cap": 50}
    rows, _ = evaluate(sweep.queries.function, {"q": q}, {}, functions, float, sizes)
    keys, _ = evaluate(sweep.keys.function, {"k": k, "v": v}, {}, functions, float, sizes)
    both = {**rows, **keys}
    found, _ = evaluate(sweep.scores.function, both, {}, functions, float, sizes)
    np.testing.assert_allclose(found["score"], 50 * np.tanh(q @ k.T / 2 / 50), rtol=1e-14)


def test_the_same_plan_has_the_same_text() -> None:
    assert show_sweeps(plan_of("longformer")) == show_sweeps(plan_of("longformer"))
    assert "a running maximum is taken out" in show_sweeps(plan_of("longformer"))
