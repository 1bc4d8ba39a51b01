"""Cores from their specs against the papers' formulas, written out here."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mixerc.reference.exact import EXACT
from mixerc.reference.interpret import run_core
from tests.unit.reference.small import close, core_inputs, mixer, sizes_of

T = 7


def run(name: str, **given: int) -> tuple[dict[str, Tensor], Tensor]:
    spec = mixer(name)
    sizes = sizes_of(spec, **given)
    inputs = core_inputs(spec, sizes, T)
    return inputs, run_core(spec, inputs, sizes)[0]


def outer(k: Tensor, v: Tensor) -> Tensor:
    return k[..., :, None] * v[..., None, :]


def read_out(q: Tensor, state: Tensor) -> Tensor:
    return torch.einsum("bhk,bhkv->bhv", q, state)


def softmax_under(inputs: dict[str, Tensor], mask: Tensor) -> Tensor:
    q, k, v = (inputs[name].transpose(1, 2) for name in "qkv")
    o = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    return o.transpose(1, 2)


def positions() -> tuple[Tensor, Tensor]:
    t = torch.arange(T)
    return t[:, None], t


def test_gla() -> None:
    x, o = run("gla")
    state = torch.zeros(*x["k"].shape[::2], 4, 6, dtype=torch.float64)
    for t in range(T):
        state = x["a"][:, t, :, :, None] * state + outer(x["k"][:, t], x["v"][:, t])
        close(o[:, t], read_out(x["q"][:, t], state) / math.sqrt(4))


def test_retnet() -> None:
    x, o = run("retnet")
    t, s = positions()
    gamma = 1 - 2 ** (-5 - torch.arange(4, dtype=torch.float64))
    kept = torch.where(t >= s, gamma[:, None, None] ** (t - s).clamp(min=0), 0)
    scores = torch.einsum("bthk,bshk->bhts", x["q"], x["k"]) / 2 * kept
    close(o, torch.einsum("bhts,bshv->bthv", scores, x["v"]))


def test_linear_attention() -> None:
    x, o = run("linear_attention")
    q, k = 1 + F.elu(x["q"]), 1 + F.elu(x["k"])
    state, total = torch.zeros(2, 4, 4, 6).double(), torch.zeros(2, 4, 4).double()
    for t in range(T):
        state = state + outer(k[:, t], x["v"][:, t])
        total = total + k[:, t]
        divisor = (q[:, t] * total).sum(-1, keepdim=True) + 1e-6
        close(o[:, t], read_out(q[:, t], state) / divisor)


def test_rwkv6() -> None:
    x, o = run("rwkv6")
    state = torch.zeros(2, 4, 4, 6).double()
    for t in range(T):
        now = outer(x["k"][:, t], x["v"][:, t])
        close(o[:, t], read_out(x["r"][:, t], state + x["u"][:, :, None] * now))
        state = x["w"][:, t, :, :, None] * state + now


def test_kda_erases_from_the_decayed_state() -> None:
    x, o = run("kda")
    state = torch.zeros(2, 4, 4, 6).double()
    for t in range(T):
        k, v, beta = x["k"][:, t], x["v"][:, t], x["beta"][:, t, :, None]
        state = x["a"][:, t, :, :, None] * state
        state = state + outer(k, beta * (v - read_out(k, state)))
        close(o[:, t], read_out(x["q"][:, t], state) / 2)


def test_deltaproduct() -> None:
    x, o = run("deltaproduct")
    state = torch.zeros(2, 4, 4, 6).double()
    for t in range(T):
        state = x["a"][:, t, :, None, None] * state
        for j in range(2):
            k, v, beta = x["k"][:, t, :, j], x["v"][:, t, :, j], x["beta"][:, t, :, j, None]
            state = state + outer(k, beta * (v - read_out(k, state)))
        close(o[:, t], read_out(x["q"][:, t], state) / 2)


def test_mlstm_divides_by_at_least_one() -> None:
    x, o = run("mlstm")
    state, total = torch.zeros(2, 4, 4, 6).double(), torch.zeros(2, 4, 4).double()
    for t in range(T):
        f, i = x["f"][:, t, :, None], x["i"][:, t, :, None].exp()
        state = f[..., None] * state + outer(i * x["k"][:, t], x["v"][:, t])
        total = f * total + i * x["k"][:, t]
        divisor = ((x["q"][:, t] * total).sum(-1, keepdim=True) / 2).abs().clamp(min=1)
        close(o[:, t], read_out(x["q"][:, t], state) / 2 / divisor)


def test_performer_features() -> None:
    x, o = run("performer")

    def phi(z: Tensor) -> Tensor:
        z = z / 4**0.25
        return torch.exp(
            torch.einsum("hmk,bthk->bthm", x["W"], z) - (z * z).sum(-1, keepdim=True) / 2
        ) / math.sqrt(5)

    t, s = positions()
    scores = torch.einsum("bthm,bshm->bhts", phi(x["q"]), phi(x["k"])) * (t >= s)
    close(o, torch.einsum("bhts,bshv->bthv", scores / scores.sum(-1, keepdim=True), x["v"]))


def test_mistral_sees_its_window() -> None:
    x, o = run("mistral")
    t, s = positions()
    close(o, softmax_under(x, (t >= s) & (t - s < 3)))


def test_streaming_sees_window_and_sinks() -> None:
    x, o = run("streaming")
    t, s = positions()
    close(o, softmax_under(x, (t >= s) & ((t - s < 3) | (s < 1))))


def test_block_sparse_reads_its_table() -> None:
    x, o = run("block_sparse")
    t, s = positions()
    seen = x["layout"][t // 2, s // 2] | (t // 2 == s // 2)
    close(o, softmax_under(x, (t >= s) & seen))


def test_documents_do_not_see_one_another() -> None:
    x, o = run("documents")
    t, s = positions()
    doc = x["doc"]
    mask = (doc[:, :, None] == doc[:, None]) & (t >= s)
    close(o, softmax_under(x, mask[:, None]))


def test_longformer_counts_a_global_key_once() -> None:
    x, o = run("longformer")
    t, s = positions()
    near = ((2 * (t - s)).abs() <= 3) | x["mark"][:, None]
    far = softmax_under({"q": x["qg"], "k": x["kg"], "v": x["vg"]}, torch.ones(T, T).bool())
    close(o, torch.where(x["mark"][..., None, None], far, softmax_under(x, near[:, None])))


def test_forgetting_attention() -> None:
    x, o = run("forgetting_attention")
    logs = x["f"].log().cumsum(1)
    bias = (logs[:, :, None] - logs[:, None]).permute(0, 3, 1, 2)
    t, s = positions()
    close(o, softmax_under(x, torch.where(t >= s, bias, -math.inf)))


def test_linformer_projects_along_time() -> None:
    x, o = run("linformer", length=T)
    keys = torch.einsum("hms,bshd->bhmd", x["E"], x["k"])
    values = torch.einsum("hms,bshd->bhmd", x["F"], x["v"])
    scores = torch.einsum("bthd,bhmd->bthm", x["q"], keys) / 2
    close(o, torch.einsum("bthm,bhmd->bthd", scores.softmax(-1), values))


def test_s4d_is_its_zero_order_hold() -> None:
    x, o = run("s4d")
    h = torch.zeros(2, 16, 3, dtype=torch.complex128)
    for t in range(T):
        h = x["a"] * h + (x["a"] - 1) / x["A"] * x["x"][:, t, :, None]
        close(o[:, t], 2 * (x["C"] * h).sum(-1).real + x["D"] * x["x"][:, t])


def test_mamba() -> None:
    x, o = run("mamba")
    h = torch.zeros(2, 1, 5, 3).double()
    for t in range(T):
        dt, u = x["dt"][:, t, ..., None], x["u"][:, t, ..., None]
        h = torch.exp(-x["A_log"].exp() * dt) * h + dt * u * x["B"][:, t, :, None]
        close(o[:, t], (h * x["C"][:, t, :, None]).sum(-1) + x["D"] * x["u"][:, t])


@pytest.mark.parametrize(("name", "gates"), [("gru", "rzn"), ("lstm", "ifgp")])
def test_torch_cells(name: str, gates: str) -> None:
    x, o = run(name)
    count = 5 * len(gates)
    cell = getattr(torch.nn, name.upper())(count, 5, batch_first=True).double()
    with torch.no_grad():
        cell.weight_ih_l0.copy_(torch.eye(count))
        cell.weight_hh_l0.copy_(torch.cat([x["R" + gate][0] for gate in gates]))
        cell.bias_ih_l0.zero_()
        cell.bias_hh_l0.zero_()
        if name == "gru":
            cell.bias_hh_l0[10:] = x["b"][0]
    close(o[:, :, 0], cell(torch.cat([x["u" + gate][:, :, 0] for gate in gates], -1))[0])


EXACT_SPECS = [
    "gla", "retnet", "linear_attention", "mistral", "gated_deltanet", "rwkv5", "rwkv6",
    "deltaproduct", "mamba2", "gateloop", "hgrn2",
]  # fmt: skip


@pytest.mark.parametrize("name", EXACT_SPECS)
def test_exact_numbers_are_the_floats(name: str) -> None:
    spec = mixer(name)
    sizes = sizes_of(spec, K=2, D=2, V=2, N=2, P=2, E=2, heads=2, G=1) | {"M": 2}
    inputs = core_inputs(spec, sizes, 3)
    rounded = {n: (16 * a).round() / 16 if a.is_floating_point() else a for n, a in inputs.items()}
    real, _ = run_core(spec, rounded, sizes)
    exact, _ = run_core(spec, rounded, sizes, domain=EXACT)
    numbers = [float(entry.evalf(20)) for entry in exact.reshape(-1)]
    close(real.reshape(-1), torch.tensor(numbers, dtype=torch.float64))
