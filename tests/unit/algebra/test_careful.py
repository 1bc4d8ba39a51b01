"""Expressions that cancel, and what is computed instead: the same function, with its digits."""

import pytest
import sympy
import torch

import mixerc
from mixerc.algebra.careful import careful
from mixerc.compiler import front
from mixerc.ir.mixer import Mixer
from mixerc.ir.show import show_expr
from mixerc.reference.evaluate import Scope, evaluate, no_step
from mixerc.reference.exact import EXACT
from mixerc.reference.named import Named
from mixerc.source import Source

SPEC = """mixer m(E)
a[E] = x | linear | sigmoid
z[E] = x | linear
state h[E]
h[t] = a * h[t-1] + ({text})
o[E] = h[t] + z
"""
REWRITTEN = {
    "1 - exp(z)": "-expm1(z)",
    "exp(z) - 1": "--expm1(z)",
    "1 - a ^ 2": "(1 - a) * (1 + a)",
    "1 - a * a": "(1 - a) * (1 + a)",
    "sqrt(1 - a ^ 2)": "sqrt(1 - a) * sqrt(1 + a)",
    "1 - exp(z) ^ 2": "-expm1(2 * z)",
    "1 - sigmoid(z)": "sigmoid(-z)",
    "log(1 + exp(z))": "softplus(z)",
    "log(exp(z) + 1)": "softplus(z)",
    "log(sigmoid(z))": "logsigmoid(z)",
    "log(exp(z))": "z",
    "sqrt(exp(z))": "exp(0.5 * z)",
    "sqrt((1 - a) * (1 + z))": "sqrt((1 - a) * (1 + z))",
    "a - a ^ 2": "a - a^2",
    "2 - exp(z)": "2 - exp(z)",
}


def addend(text: str):
    mixer = front(Source(text=SPEC.format(text=text), file="m", folder=None))
    assert isinstance(mixer, Mixer)
    return mixer.core.lines[0].expr.operands[1]


@pytest.mark.parametrize("text", REWRITTEN)
def test_what_is_rewritten(text: str) -> None:
    assert show_expr(careful(addend(text))) == REWRITTEN[text]


@pytest.mark.parametrize("text", REWRITTEN)
def test_it_is_the_same_function(text: str) -> None:
    """In SymPy, at 60 digits."""
    names = {"a": sympy.Rational(3, 7), "z": sympy.Rational(-5, 3)}
    scope = Scope(
        domain=EXACT,
        sizes={},
        read=lambda name, time: Named(EXACT.number(names[name]), ()),
        position=lambda time: Named(EXACT.number(0), ()),
        step=no_step,
    )
    before = addend(text)
    values = [evaluate(e, scope).array.ravel()[0] for e in (before, careful(before))]
    assert abs(sympy.N(values[0] - values[1], 60)) < sympy.Float(10) ** -50


def test_digits_that_were_lost() -> None:
    """A step close to 0 and a decay close to 1, in float32."""
    text = SPEC.format(text="(1 - exp(z)) + sqrt(1 - a ^ 2)")
    mixer = mixerc.compile(text, target="torch")
    a = torch.full((1, 1, 1, 4), 1 - 2**-20)
    z = torch.full((1, 1, 1, 4), -1e-6)
    o, _ = mixer(a=a, z=z)
    exact, _ = mixer(a=a, z=z, mode="reference")
    torch.testing.assert_close(o.double(), exact.double(), rtol=2e-7, atol=0)
