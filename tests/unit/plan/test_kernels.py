"""How chunk functions are cut into kernels, and the primitives' derivatives."""

import math

import pytest
import sympy

from mixerc.ir.primitives import PRIMITIVES
from mixerc.plan import nodes as n
from mixerc.plan.cost import cost
from mixerc.plan.distribute import Schedule
from mixerc.plan.plan import make_plan
from tests.unit.plan.linears import DECAYS, linear

SIZES = {"K": 64, "V": 64}


def planned(kind: str, chunk: int = 64):
    return make_plan(linear(DECAYS[kind], before=False), chunk=chunk, logarithms=frozenset())


@pytest.mark.parametrize("kind", DECAYS)
def test_between_chunks_nothing_is_contracted(kind: str) -> None:
    for name in ("forward", "states", "backward"):
        program = dict(planned(kind).programs)[name]
        scans = [k for k in program.kernels if k.schedule == Schedule.CHUNK_SCAN]
        assert len(scans) == 1
        assert not any(isinstance(node, n.Contract) for node in scans[0].body)


@pytest.mark.parametrize("kind", DECAYS)
def test_a_token_scan_keeps_the_state_on_chip(kind: str) -> None:
    kernels = planned(kind).recurrent.kernels
    scan = next(k for k in kernels if k.schedule == Schedule.TOKEN_SCAN)
    assert not any(isinstance(node, n.Carry) for node in scan.stores)
    assert sum(isinstance(node, n.Contract) for node in scan.body) == 1


def test_the_scores_of_all_levels_cost_what_one_triangle_does() -> None:
    """A dyadic tower has C - 1 keys a row on average one half of: no more than the full tile."""
    plain = cost(planned("identity").forward, SIZES).contractions
    tower = cost(planned("keys").forward, SIZES).contractions
    assert tower < plain


def test_operations_by_hand() -> None:
    """Identity, C = K = V = 64: scores, their product with v, the state's read and its write."""
    found = cost(planned("identity").forward, SIZES)
    assert found.contractions == 4 * 2 * 64 * 64
    assert found.floor_bytes == 4 * 4 * 64


CHECKED = [name for name, row in PRIMITIVES.items() if row.partials is not None]
SYMPY = {
    "neg": lambda x: -x,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "expm1": lambda x: sympy.exp(x) - 1,
    "sigmoid": lambda x: 1 / (1 + sympy.exp(-x)),
    "logsigmoid": lambda x: -sympy.log(1 + sympy.exp(-x)),
    "silu": lambda x: x / (1 + sympy.exp(-x)),
    "gelu": lambda x: x * (1 + sympy.erf(x / sympy.sqrt(2))) / 2,
    "gelu_tanh": lambda x: (
        x
        * (1 + sympy.tanh(sympy.sqrt(2 / sympy.pi) * (x + sympy.Rational(44715, 10**6) * x**3)))
        / 2
    ),
    "relu": lambda x: sympy.Piecewise((x, x > 0), (0, True)),
    "elu": lambda x: sympy.Piecewise((x, x > 0), (sympy.exp(x) - 1, True)),
    "softplus": lambda x: sympy.log(1 + sympy.exp(x)),
    "abs": sympy.Abs,
    "sign": sympy.sign,
    "where": lambda c, a, b: sympy.Piecewise((a, c), (b, True)),
    "max": lambda a, b: sympy.Piecewise((a, a > b), (b, True)),
    "min": lambda a, b: sympy.Piecewise((a, a < b), (b, True)),
    "lerp": lambda a, b, w: a + (b - a) * w,
    "gt": lambda a, b: a > b,
    "eq": sympy.Eq,
    "pi": lambda: sympy.pi,
}


def by_sympy(name: str, *operands):
    function = SYMPY.get(name) or getattr(sympy, name)
    return function(*(sympy.sympify(x) if not isinstance(x, float) else x for x in operands))


@pytest.mark.parametrize("name", CHECKED)
def test_derivatives(name: str) -> None:
    """Each partial of the table is the derivative that SymPy finds, at points either side of 0."""
    row = PRIMITIVES[name]
    symbols = sympy.symbols(f"x0:{row.arity}", real=True)
    if name == "where":
        symbols = (sympy.true, *symbols[1:])
    function = by_sympy(name, *symbols)
    for i, partial in enumerate(row.partials(by_sympy, *symbols)):
        if partial is None:
            continue
        wanted = sympy.diff(function, symbols[i])
        for point in ((0.7, 1.3, 0.4), (1.9, 0.6, 1.5)):
            signs = (1,) if name in ("log", "sqrt", "pow") else (1, -1)
            for sign in signs:
                at = {s: sign * p for s, p in zip(symbols, point, strict=False) if s != sympy.true}
                found = sympy.sympify(partial).subs(at).evalf()
                assert math.isclose(float(found), float(wanted.subs(at).evalf()), rel_tol=1e-9)
