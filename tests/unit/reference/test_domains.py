"""The two domains: complete, and the same numbers."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from mixerc.ir.primitives import PRIMITIVES
from mixerc.reference.domain import Domain
from mixerc.reference.exact import EXACT
from mixerc.reference.float64 import FLOAT64

SAMPLES = [Fraction(n, 7) for n in (1, 3, 5, 9)]
CONDITIONS = [True, False, True, False]
TAKES_CONDITIONS = {"and": (0, 1), "or": (0, 1), "not": (0,), "where": (0,)}


@pytest.mark.parametrize("domain", [FLOAT64, EXACT], ids=lambda domain: domain.name)
def test_every_primitive_is_computed(domain: Domain) -> None:
    assert set(domain.primitives) == set(PRIMITIVES)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_domains_agree(name: str) -> None:
    operands = []
    for place in range(PRIMITIVES[name].arity):
        shifted = SAMPLES[place:] + SAMPLES[:place]
        operands.append(CONDITIONS if place in TAKES_CONDITIONS.get(name, ()) else shifted)
    real = FLOAT64.primitives[name](*[_float(values) for values in operands])
    exact = EXACT.primitives[name](*[EXACT.convert(np.array(v, dtype=object)) for v in operands])
    assert real.shape == exact.shape
    for a, b in zip(real.reshape(-1).tolist(), exact.reshape(-1).tolist(), strict=True):
        assert a == pytest.approx(
            complex(b)
            if isinstance(a, complex)
            else float(bool(b) if PRIMITIVES[name].result == "bool" else b),
            rel=1e-14,
        )


def _float(values: list[Fraction] | list[bool]) -> torch.Tensor:
    return torch.tensor(
        [v if isinstance(v, bool) else float(v) for v in values],
        dtype=torch.bool if isinstance(values[0], bool) else torch.float64,
    )


@pytest.mark.parametrize("name", ["sum", "max", "softmax"])
def test_reductions_agree(name: str) -> None:
    rows = [[Fraction(1, 2), Fraction(3), Fraction(-2, 3)], [Fraction(0), Fraction(5), Fraction(1)]]
    exact = EXACT.reductions[name](EXACT.convert(np.array(rows, dtype=object)), 1)
    real = FLOAT64.reductions[name](_float_rows(rows), 1)
    flat = [float(entry) for entry in exact.reshape(-1)]
    assert real.reshape(-1).tolist() == pytest.approx(flat, rel=1e-14)


def _float_rows(rows: list[list[Fraction]]) -> torch.Tensor:
    return torch.tensor([[float(v) for v in row] for row in rows], dtype=torch.float64)


def test_exact_keeps_rationals() -> None:
    third = EXACT.convert(np.array(Fraction(1, 3), dtype=object))
    product = EXACT.primitives["mul"](third, EXACT.number(3))
    assert product.item() == 1


def test_functions_stay_symbolic() -> None:
    value = EXACT.primitives["log"](EXACT.primitives["exp"](EXACT.number(Fraction(2, 3))))
    assert value.item() == Fraction(2, 3)


def test_larger_of_two_shares_the_gradient_of_a_tie() -> None:
    a = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    b = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    FLOAT64.primitives["max"](a, b).backward()
    assert (a.grad, b.grad) == (torch.tensor(0.5), torch.tensor(0.5))
