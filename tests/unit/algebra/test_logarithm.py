"""Logarithms by rewriting: what has one, what has none, and that they are right."""

from fractions import Fraction

import pytest
import torch

from mixerc.algebra.logarithm import logarithm
from mixerc.ir.expr import Apply, Expr, Number, Read, Size
from mixerc.ir.sorts import EACH, Kind, Sort, Time
from mixerc.reference.evaluate import Scope, evaluate, no_step
from mixerc.reference.float64 import FLOAT64
from mixerc.reference.named import Named

Z = Read(name="z", time=Time.T, sort=Sort(axes=("K",), heads=EACH, times=frozenset({"t"})))
A_LOG = Read(name="w", time=Time.NONE, sort=Sort(heads=EACH))


def f(primitive: str, *operands: Expr) -> Apply:
    axes = tuple(dict.fromkeys(axis for operand in operands for axis in operand.sort.axes))
    return Apply(primitive=primitive, operands=operands, sort=Sort(axes=axes, heads=EACH))


def n(value: str) -> Number:
    return Number(value=Fraction(value))


def value(expr: Expr) -> torch.Tensor:
    values = {
        "z": Named(torch.tensor([-2.0, 0.3, 1.5], dtype=torch.float64), ("K",)),
        "w": Named(torch.tensor(0.7, dtype=torch.float64), ()),
    }
    scope = Scope(
        domain=FLOAT64,
        sizes={"heads": 4},
        read=lambda name, time: values[name],
        position=lambda time: values["w"],
        step=no_step,
    )
    array: torch.Tensor = evaluate(expr, scope).array
    return array


EXACT = {
    "gla": f("pow", f("sigmoid", Z), f("div", n("1"), n("16"))),
    "mamba": f("exp", f("mul", f("neg", f("exp", A_LOG)), f("softplus", Z))),
    "rwkv": f("exp", f("neg", f("exp", Z))),
    "complement": f("sub", n("1"), f("sigmoid", Z)),
    "product": f("mul", f("sigmoid", Z), f("exp", A_LOG)),
    "quotient": f("div", f("exp", Z), f("sqrt", n("2"))),
    "number": n("0.9"),
    "power": f("pow", f("exp", Z), n("3")),
    "heads": Size(name="heads"),
}
NONE = {
    "sum": f("add", n("0.1"), f("sigmoid", Z)),
    "read": Z,
    "negative": n("-1"),
    "complement": f("sub", n("1"), f("exp", Z)),
    "product": f("mul", f("sigmoid", Z), Z),
    "complex": Apply(primitive="exp", operands=(Z,), sort=Sort(kind=Kind.COMPLEX)),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact(name: str) -> None:
    rewritten = logarithm(EXACT[name])
    assert rewritten is not None
    torch.testing.assert_close(value(rewritten), torch.log(value(EXACT[name])))
    assert set(rewritten.sort.axes) == set(EXACT[name].sort.axes)


@pytest.mark.parametrize("name", NONE)
def test_none(name: str) -> None:
    assert logarithm(NONE[name]) is None


def test_no_underflow() -> None:
    rewritten = logarithm(f("pow", f("sigmoid", f("mul", n("1000"), Z)), n("2")))
    assert rewritten is not None
    assert torch.isfinite(value(rewritten)).all()
