"""Matrix states with an exponential gate: over a running maximum, where that cancels."""

import pytest
import torch

import mixerc
from mixerc.algebra.classify import classify
from mixerc.algebra.linear import Linear
from mixerc.compiler import front
from mixerc.ir.mixer import Mixer
from mixerc.ir.show import show_expr
from mixerc.source import Source, read_source
from mixerc.verify.cases import Case
from mixerc.verify.modes import reference_law, states_law
from mixerc.verify.subject import Subject
from tests.laws.subjects import check, subject_of_text

HEAD = """mixer m(K, V)
q[K], k[K] = x | linear
v[V]       = x | linear
i          = x | linear
f          = x | linear | sigmoid
"""
UPDATES = """state S[K, V], z[K]
S[t] = f * S[t-1] + exp(i) * k * v
z[t] = f * z[t-1] + exp(i) * k
"""
SAME = {
    "a ratio": "o[V] = (q @ S[t]) / (q @ z[t])",
    "a bound": "o[V] = (q @ S[t]) / max(abs(q @ z[t]), 1)",
    "read before": "o[V] = (q @ S[t-1]) / max(abs(q @ z[t-1]), exp(i))",
}
OTHERS = {
    "no ratio": "o[V] = (q @ S[t]) + (q @ z[t])",
    "a read as another's query": "o[V] = (tanh(q @ z[t]) * q) @ S[t] / max(abs(q @ z[t]), 1)",
}


def linear_of(text: str) -> Linear:
    mixer = front(Source(text=text, file="m", folder=None))
    assert isinstance(mixer, Mixer)
    made = classify(mixer).linear
    assert made is not None
    return made


def steep(output: str, target: str = "torch") -> Subject:
    return subject_of_text(f"{HEAD}{UPDATES}{output}\n", target)


@pytest.mark.parametrize("case", SAME)
@pytest.mark.parametrize("target", ["torch", "triton"])
def test_a_maximum_is_found_before_the_chunks(case: str, target: str) -> None:
    of = steep(SAME[case], target)
    assert of.linear.scaled is not None
    check(reference_law(of, Case(tokens=1, batch=1, heads=1, axes={"K": 3, "V": 4})))
    tokens = 70 if target == "torch" else 18
    check(states_law(of, Case(tokens=tokens, batch=2, heads=1, axes={"K": 3, "V": 4})))


@pytest.mark.parametrize("case", OTHERS)
def test_where_it_would_not_cancel_there_is_none(case: str) -> None:
    assert linear_of(f"{HEAD}{UPDATES}{OTHERS[case]}\n").scaled is None


def test_gates_that_cannot_grow_need_none() -> None:
    text = f"{HEAD}{UPDATES}{SAME['a ratio']}\n".replace("exp(i)", "exp(sigmoid(i))")
    assert linear_of(text).scaled is None


def test_the_shipped_spec() -> None:
    mixer = front(read_source("mlstm"))
    assert isinstance(mixer, Mixer)
    made = classify(mixer).linear
    assert made is not None
    assert made.scaled is not None
    assert made.scaled.names == {"S", "sum"}
    assert show_expr(made.scaled.update) == "max(peak_before + log(f), i)"


@pytest.mark.parametrize("size", [80.0, 400.0])
@pytest.mark.parametrize("mode", ["parallel", "recurrent"])
@pytest.mark.parametrize("log", [False, True])
def test_steep_gates(size: float, mode: str, log: bool) -> None:
    """Gates of ±80 and ±400 in float32, and decays of 0 and of 1: finite and right."""
    mixer = mixerc.compile("mlstm", target="torch", K=8, V=8)
    generator = torch.Generator().manual_seed(3)
    wide = {"generator": generator, "dtype": torch.float64}
    inputs = {name: torch.rand(1, 150, 2, 8, **wide).float() for name in "qkv"}
    inputs["i"] = (size * (2 * torch.rand(1, 150, 2, **wide) - 1)).float()
    f = torch.rand(1, 150, 2, **wide)
    f[:, [5, 70]], f[:, 9] = 0, 1
    inputs["log_f" if log else "f"] = f.log().float() if log else f.float()
    made = []
    for kind in (torch.float32, torch.float64):
        leaves = {n: x.to(kind).requires_grad_() for n, x in inputs.items()}
        o, _ = mixer(**leaves, mode=mode if kind is torch.float32 else "reference")
        wanted = [leaves[name] for name in "qkv"]
        made.append((o, *torch.autograd.grad(o.double().sin().sum(), wanted)))
    for got, want in zip(*made, strict=True):
        assert got.isfinite().all()
        assert (got.double() - want).norm() <= 3e-4 * want.norm()


def test_a_state_holds_its_maximum() -> None:
    mixer = mixerc.compile("mlstm", target="torch", K=4, V=4)
    inputs = {name: torch.randn(1, 20, 2, 4, dtype=torch.float64) for name in "qkv"}
    inputs |= {"i": 9 * torch.randn(1, 20, 2, dtype=torch.float64)}
    inputs |= {"f": torch.rand(1, 20, 2, dtype=torch.float64)}
    whole, _ = mixer(**inputs)
    _, state = mixer(**{n: x[:, :9] for n, x in inputs.items()})
    assert list(state) == ["S", "sum", "peak"]
    raised = state["peak"].exp()[:, :, None]
    plain = {"S": state["S"] * raised[..., None], "sum": state["sum"] * raised}
    for given in (state, plain):
        for mode in ("parallel", "recurrent"):
            rest = {n: x[:, 9:] for n, x in inputs.items()}
            o, _ = mixer(**rest, state=given, mode=mode)
            torch.testing.assert_close(o, whole[:, 9:], rtol=1e-11, atol=1e-11)


def test_names_that_the_spec_has_taken() -> None:
    text = f"{HEAD}{UPDATES}{SAME['a bound']} * peak_after\n"
    text = (
        text.replace("i          = x", "i, peak_after = x")
        .replace("z[", "peak[")
        .replace("z", "peak")
    )
    of = subject_of_text(text)
    assert of.linear.scaled is not None
    assert of.linear.scaled.peak == "peak_"
    check(states_law(of, Case(tokens=9, batch=1, heads=2, axes={"K": 3, "V": 4})))


def test_a_write_without_a_gate_beside_one_with() -> None:
    text = f"{HEAD}{UPDATES}{SAME['a bound']}\n".replace("* v\n", "* v + k * v\n")
    of = subject_of_text(text.replace("exp(i) * k\n", "exp(i) * k + k\n"))
    assert of.linear.scaled is not None
    assert show_expr(of.linear.scaled.update) == "max(max(peak_before + log(f), i), 0)"
    check(states_law(of, Case(tokens=9, batch=1, heads=2, axes={"K": 3, "V": 4})))


@pytest.mark.parametrize("target", ["torch", "triton"])
def test_a_state_is_moved_on_in_place(target: str) -> None:
    mixer = mixerc.compile("mlstm", target=target, K=4, V=4)
    inputs = {name: torch.randn(1, 6, 2, 4, dtype=torch.float64) for name in "qkv"}
    inputs |= {"i": torch.randn(1, 6, 2, dtype=torch.float64)}
    inputs |= {"f": torch.rand(1, 6, 2, dtype=torch.float64)}
    with torch.no_grad():
        _, state = mixer(**{n: x[:, :5] for n, x in inputs.items()}, mode="recurrent")
        one = {n: x[:, 5:] for n, x in inputs.items()}
        wanted, after = mixer(**one, state=state.clone(), mode="recurrent")
        o, _ = mixer(**one, state=state, mode="recurrent", in_place=True)
    torch.testing.assert_close(o, wanted)
    for name, x in after.items():
        torch.testing.assert_close(state[name], x)
