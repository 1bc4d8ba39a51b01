"""The table of primitives in torch: complete, rightly bracketed, right in value."""

import ast
import math
from fractions import Fraction

import pytest
import torch
from torch.nn import functional

from mixerc.backends.module.printer import (
    NUMBER_TEXTS,
    TENSOR_TEXTS,
    apply_text,
    is_number,
    number_text,
    within,
)
from mixerc.ir.primitives import PRIMITIVES
from mixerc.reference.float64 import FLOAT64

NAMES = {"torch": torch, "functional": functional, "math": math}
CONDITIONS = ("and", "or", "not")
REAL = [n for n in PRIMITIVES if n not in (*CONDITIONS, "real", "imag", "conj", "complex", "pi")]


def test_every_primitive_is_printed() -> None:
    assert TENSOR_TEXTS.keys() == PRIMITIVES.keys()
    assert NUMBER_TEXTS.keys() == PRIMITIVES.keys()


@pytest.mark.parametrize("name", REAL)
def test_tensors_and_numbers_agree_with_the_reference(name: str) -> None:
    values = (0.7, 0.4, 0.9)[: PRIMITIVES[name].arity]
    tensors = [torch.tensor(value, dtype=torch.float64) for value in values]
    if name == "where":
        tensors[0] = tensors[0] > 0
    operands = ("a", "b", "c")[: len(values)]
    want = FLOAT64.primitives[name](*tensors)
    text = apply_text(name, operands)
    got = eval(text, {**NAMES, **dict(zip(operands, tensors, strict=True))})
    assert float(got) == pytest.approx(float(want), rel=1e-8)
    text = apply_text(name, operands, frozenset(operands))
    assert "torch" not in text
    got = eval(text, {**NAMES, **dict(zip(operands, values, strict=True))})
    assert float(got) == pytest.approx(float(want), rel=1e-8)


@pytest.mark.parametrize(
    ("primitive", "operands", "text"),
    [
        ("mul", ("a + b", "c"), "(a + b) * c"),
        ("sub", ("a", "b - c"), "a - (b - c)"),
        ("add", ("a * b", "-0.5"), "a * b - 0.5"),
        ("neg", ("a + b",), "-(a + b)"),
        ("pow", ("-x", "-0.5"), "(-x) ** -0.5"),
        ("pow", ("a", "(1 - b) / 2"), "a ** ((1 - b) / 2)"),
        ("and", ("a < b", "c < d"), "(a < b) & (c < d)"),
        ("max", ("x", "1"), "torch.clamp(x, min=1)"),
        ("min", ("K", "x"), "torch.clamp(x, max=K)"),
        ("max", ("x", "y"), "torch.maximum(x, y)"),
        ("where", ("c", "1", "0"), "torch.where(c, 1, 0)"),
        ("sqrt", ("K",), "math.sqrt(K)"),
        ("mul", ("(a) + (b)", "(a + b)"), "((a) + (b)) * (a + b)"),
    ],
)
def test_texts(primitive: str, operands: tuple[str, ...], text: str) -> None:
    assert apply_text(primitive, operands, frozenset({"K"})) == text
    ast.parse(text)


def test_numbers() -> None:
    assert [number_text(Fraction(n)) for n in ("2", "1/16", "-0.5")] == ["2", "0.0625", "-0.5"]
    assert is_number("math.sqrt(2) / 3")
    assert not is_number("x + 1")
    assert within("a + b") == "(a + b)"
    assert within("(a + b).sum()") == "(a + b).sum()"
