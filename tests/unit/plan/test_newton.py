"""Steps of Newton's method as data: the tangent of every update, over any numbers."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import sympy

from mixerc.algebra.classify import classify
from mixerc.compiler import front
from mixerc.ir.mixer import Mixer
from mixerc.plan import nodes as n
from mixerc.plan.distribute import Schedule
from mixerc.plan.evaluate import RING, evaluate
from mixerc.plan.newton import Step
from mixerc.plan.recurrence import recurrence_plan, row_function
from mixerc.source import Source

ALONE = """mixer m(E)
a[E], u[E] = x | linear
state h[E]
h[t] = a * h[t-1] * h[t-1] * h[t-1] - u * h[t-1] + a
o[E] = h[t] * h[t-1]
"""
TOGETHER = """mixer m(E)
a[E], u[E] = x | linear
state g[E], h[E]
g[t] = a * g[t-1] * h[t-1] + u
h[t] = h[t-1] * h[t-1] - g[t] * u
o[E] = g[t] + h[t]
"""
CASCADE = """mixer m(E)
a[E], u[E] = x | linear
state f[E], g[E], h[E], k[E]
f[t] = a * f[t-1] + u
g[t] = g[t-1] * g[t-1] * f[t-1] + f[t]
h[t] = u * h[t-1] + g[t] * g[t-1]
k[t] = k[t-1] * k[t-1] * h[t] - a
o[E] = k[t] + h[t-1]
"""
TEXTS = {"alone": ALONE, "together": TOGETHER, "cascade": CASCADE}


def step_of(text: str) -> tuple[n.ChunkFunction, n.ChunkFunction, tuple[n.Carry, ...]]:
    """The equations over rows, those of a step, and the states that it is given."""
    mixer = front(Source(text=text, file="m", folder=None))
    assert isinstance(mixer, Mixer)
    found = classify(mixer).recurrence
    assert found is not None
    function = row_function(found)
    step = Step(function, found.bent)
    return function, step.function(), tuple(step.guesses)


def symbols(names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """One row and one place of each."""
    return {name: np.array([[sympy.Symbol(name)]], dtype=object) for name in names}


def run(function: n.ChunkFunction, carries: dict[str, np.ndarray]):
    return evaluate(function, symbols(("a", "u")), carries, RING, number=sympy.Rational)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_step_is_the_tangent_of_every_update(text: str) -> None:
    """Affine in the new states, with the update's own value and slopes where they are the guess."""
    function, step, guesses = step_of(text)
    names = tuple(carry.state for carry, _ in function.carries)
    guessed = tuple(carry.state for carry in guesses)
    new = {name: f"new_{name}" if name in guessed else name for name in names}
    _, exact = run(function, symbols(names))
    _, tangent = run(step, symbols((*guessed, *new.values())))
    there = {sympy.Symbol(new[name]): sympy.Symbol(name) for name in names}
    for name in names:
        update, line = exact[name][0, 0], tangent[new[name]][0, 0]
        assert sympy.expand(line.subs(there) - update) == 0
        for one, other in product(guessed, repeat=2):
            pair = sympy.Symbol(new[one]), sympy.Symbol(new[other])
            own = {one, other} <= {name} or text == TOGETHER
            assert not own or sympy.expand(sympy.diff(line, *pair)) == 0
        for other in guessed if name in guessed else ():
            slope = sympy.diff(line, sympy.Symbol(new[other])).subs(there)
            assert sympy.expand(slope - sympy.diff(update, sympy.Symbol(other))) == 0


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_step_is_scans_alone(text: str) -> None:
    mixer = front(Source(text=text, file="m", folder=None))
    assert isinstance(mixer, Mixer)
    found = classify(mixer).recurrence
    assert found is not None
    plan = recurrence_plan(found).newton
    assert plan is not None
    assert {k.schedule for k in plan.program.kernels} == {Schedule.ROW_MAP, Schedule.AFFINE_SCAN}


def test_the_solution_is_where_a_step_stays() -> None:
    """Exactly: from the states of the recurrence itself, in rational numbers."""
    function, step, _ = step_of(TOGETHER)
    inputs = {"a": np.array([[Fraction(1, 3)]]), "u": np.array([[Fraction(-2, 5)]])}
    before = {"g": np.array([[Fraction(3, 7)]]), "h": np.array([[Fraction(-5, 11)]])}
    o, after = evaluate(function, inputs, before, RING, number=Fraction)
    moved = {**before, "new_g": before["g"], "new_h": before["h"]}
    again, found = evaluate(step, inputs, moved, RING, number=Fraction)
    assert again["o"] == o["o"]
    assert found["new_g"] == after["g"]
    assert found["new_h"] == after["h"]


REFUSED = {
    "full": ("h[t] = tanh(R @ h[t-1] + u)", "`R @ h[t-1]` takes places of a state together"),
    "summed": ("h[t] = tanh(u * sum[E](h[t-1]))", "takes places of a state together"),
    "complex": ("h[t] = imag(complex(u, u) * h[t-1])", "makes a complex number of a state"),
}


@pytest.mark.parametrize(("update", "reason"), REFUSED.values(), ids=REFUSED)
def test_wide_slopes_are_refused_with_the_place(update: str, reason: str) -> None:
    param = "param R[E, E'] = normal\n" if "R" in update else ""
    text = f"mixer m(E)\n{param}u[E] = x | linear\nstate h[E]\n{update}\no[E] = h[t]\n"
    mixer = front(Source(text=text, file="m", folder=None))
    assert isinstance(mixer, Mixer)
    mode = next(mode for mode in classify(mixer).modes if mode.name == "newton")
    assert not mode.legal
    assert reason in mode.reason
    assert mode.span.line == text.count("\n") - 1


def test_what_newton_can_not_do_says_why() -> None:
    complex_text = """mixer m(E)
u[E] = x | linear
state h[E] complex
h[t] = conj(h[t-1]) * h[t-1] + u
o[E] = real(h[t])
"""
    five = """mixer m(E)
u[E] = x | linear
state a[E], b[E], c[E], d[E], e[E]
a[t] = tanh(e[t-1] + u)
b[t] = tanh(a[t-1])
c[t] = tanh(b[t-1])
d[t] = tanh(c[t-1])
e[t] = tanh(d[t-1])
o[E] = e[t]
"""
    over_maximum = """mixer m(E)
i[E], f[E], z[E] = x | linear
state c[E], n[E], h[E]
c[t] = sigmoid(f + h[t-1]) * c[t-1] + exp(i) * z
n[t] = sigmoid(f + h[t-1]) * n[t-1] + exp(i)
h[t] = c[t] / n[t]
o[E] = h[t]
"""
    refused = (
        (complex_text, "is no complex number"),
        (five, "more than 4"),
        (over_maximum, "c and h and n feed a running maximum"),
    )
    for text, reason in refused:
        mixer = front(Source(text=text, file="m", folder=None))
        assert isinstance(mixer, Mixer)
        mode = next(mode for mode in classify(mixer).modes if mode.name == "newton")
        assert reason in mode.reason
