"""Running maxima: where one is found, that the function stays the same, and that it is finite."""

import pytest
import torch

import mixerc
from mixerc.algebra.classify import classify
from mixerc.algebra.stages import Peak, Running
from mixerc.compiler import front, read_source
from mixerc.ir.mixer import Mixer
from mixerc.source import Source

HEAD = """mixer m(E)
k[E], v[E] = x | linear
f[E] = x | linear | sigmoid
"""
RATIO = "num[t] = f * num[t-1] + exp(k) * v\nden[t] = f * den[t-1] + exp(k)\n"
STATES = "state num[E], den[E]\n"
SAME = {
    "a ratio": "o[E] = num[t] / den[t]",
    "read before": "o[E] = (num[t-1] + exp(z + k) * v) / (den[t-1] + exp(z + k))",
    "a bound": "o[E] = num[t] / max(abs(den[t]), 1)",
    "a sum beside": "o[E] = num[t] / (den[t] + 1) + v",
    "chosen": "o[E] = where(z > 0, num[t], num[t-1]) / den[t]",
    "inside a function": "o[E] = tanh(num[t] / den[t])",
}
OTHERS = {
    "no ratio": "o[E] = num[t] + den[t]",
    "a square": "o[E] = num[t] * num[t] / den[t]",
    "a sum along the maximum": "o[E] = num[t] / sum[E](den[t])",
    "a function of a state": "o[E] = num[t] / (den[t] + tanh(den[t]))",
}


def text(output: str, updates: str = RATIO) -> str:
    z = "z[E] = x | linear\n" if "z" in output else ""
    return HEAD + z + STATES + updates + output + "\n"


def found(spec: str):
    mixer = front(Source(text=spec, file="m", folder=None))
    assert isinstance(mixer, Mixer)
    made = classify(mixer).recurrence
    assert made is not None
    return made


@pytest.mark.parametrize("case", SAME)
def test_a_maximum_is_carried(case: str) -> None:
    made = found(text(SAME[case]))
    assert made.peak == Peak("peak", ("num", "den"))
    assert made.stages[0].scan == Running()
    assert made.obstacle is None


@pytest.mark.parametrize("case", OTHERS)
def test_where_it_would_not_cancel_there_is_none(case: str) -> None:
    assert found(text(OTHERS[case])).peak is None


def test_other_states_may_stand_before_them() -> None:
    """One with another factor, and none of the gates, is left as it is."""
    beside = text(SAME["a ratio"] + " + mean[t]", "mean[t] = 0.9 * mean[t-1] + v\n" + RATIO)
    made = found(beside.replace("state num", "state mean[E], num"))
    assert made.peak == Peak("peak", ("num", "den"))


def test_a_sum_beside_the_maximum_keeps_it() -> None:
    """Along an axis that the exponents do not have, sums are of the same scale."""
    spec = HEAD.replace("m(E)", "m(E, N)")
    spec += "b[N] = x | linear\nstate num[E, N], den[E]\n"
    spec += RATIO.replace("exp(k) * v", "exp(k) * v * b") + "o[E] = (num[t] @ b) / den[t]\n"
    made = found(spec)
    assert made.peak == Peak("peak", ("num", "den"))
    mixer, generator = mixerc.compile(spec, target="torch"), torch.Generator().manual_seed(1)
    axes = {"k": 3, "v": 3, "f": 3, "b": 2}
    inputs = {
        n: torch.rand(2, 20, 2, axes[n], generator=generator, dtype=torch.float64)
        for n in mixer.streams
    }
    got, want = (mixer(**inputs, mode=mode)[0] for mode in ("parallel", "reference"))
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_gates_that_are_bounded_need_none() -> None:
    bounded = RATIO.replace("exp(k)", "exp(-f) * k")
    assert found(text(SAME["a ratio"], bounded)).peak is None


def test_states_with_different_factors_do_not_share_one() -> None:
    other = RATIO.replace("den[t] = f *", "den[t] = f ^ 2 *")
    assert found(text(SAME["a ratio"], other)).peak is None


@pytest.mark.parametrize("case", SAME)
@pytest.mark.parametrize("mode", ["parallel", "recurrent"])
def test_the_same_function(case: str, mode: str) -> None:
    """Outputs and gradients, from a state as in the equations, in float64."""
    mixer = mixerc.compile(text(SAME[case]), target="torch")
    generator = torch.Generator().manual_seed(3)

    def drawn(*shape: int) -> torch.Tensor:
        x = torch.randn(shape, generator=generator, dtype=torch.float64)
        return x.requires_grad_()

    inputs = {name: drawn(2, 40, 2, 3) for name in "kvz"}
    inputs["f"] = torch.rand(2, 40, 2, 3, generator=generator, dtype=torch.float64)
    inputs["f"][:, ::7] = 0
    inputs["f"].requires_grad_()
    state = {"num": drawn(2, 2, 3), "den": drawn(2, 2, 3).detach().abs().requires_grad_()}
    inputs = {name: x for name, x in inputs.items() if name in mixer.streams}
    leaves = [*(x for n, x in inputs.items() if (case, n) != ("chosen", "z")), *state.values()]
    made = []
    for way in (mode, "reference"):
        o, _ = mixer(**inputs, state=state, mode=way)
        made.append((o, *torch.autograd.grad(o.square().sum(), leaves)))
    torch.testing.assert_close(*made, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 80.0), (torch.float16, 20.0)])
@pytest.mark.parametrize("mode", ["parallel", "recurrent"])
def test_steep_keys(dtype: torch.dtype, size: float, mode: str) -> None:
    """Keys of ±80 in float32 and of ±20 in float16, in RWKV-4: finite and right."""
    mixer = mixerc.compile("rwkv4", target="torch")
    generator = torch.Generator().manual_seed(5)
    k = (size * (2 * torch.rand(1, 300, 1, 16, generator=generator) - 1)).to(dtype)
    k[:, :5] = -size
    v = torch.randn(1, 300, 1, 16, generator=generator).to(dtype)
    u, w = torch.randn(1, 16, generator=generator), torch.rand(1, 16, generator=generator)
    inputs = {"k": k, "v": v, "u": u.to(dtype), "w": w.to(dtype)}
    made = []
    for kind in (dtype, torch.float64):
        leaves = {n: x.to(kind).requires_grad_() for n, x in inputs.items()}
        o, _ = mixer(**leaves, mode=mode if kind is dtype else "reference")
        made.append((o, *torch.autograd.grad(o.double().square().sum(), list(leaves.values()))))
    bound = 1e-3 if dtype is torch.float32 else 2e-3
    for got, want in zip(*made, strict=True):
        assert (got.double() - want).norm() <= bound * want.norm()


def test_a_state_holds_its_maximum() -> None:
    """It is carried from call to call; without it the states are taken as in the equations."""
    mixer = mixerc.compile("rwkv4", target="torch")
    k, v = (torch.randn(1, 20, 1, 4, dtype=torch.float64) for _ in "kv")
    u, w = torch.randn(1, 4, dtype=torch.float64), torch.rand(1, 4, dtype=torch.float64)
    whole, _ = mixer(k=k, v=v, u=u, w=w)
    _, state = mixer(k=k[:, :9], v=v[:, :9], u=u, w=w)
    assert list(state) == ["peak", "num", "den"]
    plain = {name: state[name] * state["peak"].exp() for name in ("num", "den")}
    for given in (state, plain):
        o, _ = mixer(k=k[:, 9:], v=v[:, 9:], u=u, w=w, state=given)
        torch.testing.assert_close(o, whole[:, 9:], rtol=1e-12, atol=1e-12)


def test_the_shipped_specs_that_have_one() -> None:
    for name in ("rwkv4", "slstm"):
        mixer = front(read_source(name))
        assert isinstance(mixer, Mixer)
        made = classify(mixer).recurrence
        assert made is not None
        assert made.peak is not None
