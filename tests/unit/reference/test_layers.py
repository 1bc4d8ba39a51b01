"""Whole layers: every spec, against hand-written layers, and their steps against torch."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mixerc.reference import steps
from mixerc.reference.initial import init_weights
from mixerc.reference.layer import run_layer
from tests.unit.reference.small import (
    BATCH,
    LOOK_AHEAD,
    MIXERS,
    close,
    differentiable,
    layer_inputs,
    mixer,
    sizes_of,
    uniform,
)

T, D_MODEL = 8, 16


def tokens(seed: int = 0, count: int = T) -> Tensor:
    return uniform(torch.Generator().manual_seed(seed), BATCH, count, D_MODEL)


def drawn(name: str) -> dict[str, Tensor]:
    spec = mixer(name)
    return init_weights(spec, sizes_of(spec), torch.Generator().manual_seed(1))


def noisy(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights that start at 0 or 1, and biases, moved away from there."""
    generator = torch.Generator().manual_seed(2)
    return {
        name: w if w.dtype == torch.bool else w + 0.1 * uniform(generator, *w.shape)
        for name, w in weights.items()
    }


@pytest.mark.parametrize("name", MIXERS)
def test_every_layer_trains(name: str) -> None:
    spec = mixer(name)
    weights = differentiable(noisy(drawn(name)))
    x = tokens().requires_grad_()
    first = {"v0": uniform(torch.Generator().manual_seed(3), BATCH, T, 4, 6)}
    inputs = layer_inputs(spec, T)
    y = run_layer(spec, weights, x, sizes_of(spec), inputs=inputs, layer=1, layers=3, first=first)
    assert y.shape == x.shape
    (y * y).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    for key, weight in weights.items():
        if weight.requires_grad:
            assert weight.grad is not None, key
            assert torch.isfinite(weight.grad).all(), key
            assert weight.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", MIXERS)
def test_packed_is_separate(name: str) -> None:
    spec = mixer(name)
    sizes, weights, x = sizes_of(spec), drawn(name), tokens()[:1]
    inputs = {n: a[:1] if a.shape[0] == BATCH else a for n, a in layer_inputs(spec, T).items()}
    packed = run_layer(spec, weights, x, sizes, inputs=inputs, cu_seqlens=[0, 3, 3, T])
    parts = []
    for part in (slice(0, 3), slice(3, T)):
        given = {n: a[:, part] if a.shape[0] == 1 else a for n, a in inputs.items()}
        parts.append(run_layer(spec, weights, x[:, part], sizes, inputs=given))
    assert torch.equal(packed, torch.cat(parts, 1))


@pytest.mark.parametrize("name", [name for name in MIXERS if name not in LOOK_AHEAD])
def test_layers_look_back_only(name: str) -> None:
    spec = mixer(name)
    sizes, weights, inputs = sizes_of(spec), drawn(name), layer_inputs(spec, T)
    x = tokens()
    other = torch.cat([x[:, :5], tokens(seed=1)[:, 5:]], 1)
    y = run_layer(spec, weights, x, sizes, inputs=inputs)
    assert torch.equal(y[:, :5], run_layer(spec, weights, other, sizes, inputs=inputs)[:, :5])


def heads(x: Tensor, weight: Tensor, count: int) -> Tensor:
    return (x @ weight.T).unflatten(-1, (count, -1))


def turn(x: Tensor) -> Tensor:
    """Rotation by complex numbers, the pair (i, i + D/2) as real and imaginary part."""
    half = x.shape[-1] // 2
    frequency = 10000 ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(x.shape[1], dtype=torch.float64)[:, None] * frequency
    z = (
        torch.complex(x[..., :half], x[..., half:])
        * torch.polar(torch.ones_like(angle), angle)[:, None]
    )
    return torch.cat([z.real, z.imag], -1)


def test_gqa_layer() -> None:
    w, x = drawn("gqa"), tokens()
    q = turn(heads(x, w["q_linear.weight"], 4)).transpose(1, 2)
    k = turn(heads(x, w["k_linear.weight"], 2)).transpose(1, 2)
    v = heads(x, w["v_linear.weight"], 2).transpose(1, 2)
    o = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    y = o.transpose(1, 2).flatten(2) @ w["y_linear.weight"].T
    close(run_layer(mixer("gqa"), w, x, sizes_of(mixer("gqa"))), y)


def test_gla_layer() -> None:
    w, x, spec = noisy(drawn("gla")), tokens(), mixer("gla")
    q, k = (heads(x, w[f"{name}_linear.weight"], 4) for name in "qk")
    v = heads(x, w["v_linear.weight"], 4)
    low = x @ w["a_linear.weight"].T @ w["a_linear_2.weight"].T + w["a_linear_2.bias"]
    a = torch.sigmoid(low).unflatten(-1, (4, 4)) ** (1 / 16)
    state, rows = torch.zeros(BATCH, 4, 4, 6).double(), []
    for t in range(T):
        state = a[:, t, ..., None] * state + k[:, t, ..., None] * v[:, t, :, None]
        rows.append(torch.einsum("bhk,bhkv->bhv", q[:, t], state) / 2)
    o = F.rms_norm(torch.stack(rows, 1), (6,), w["y_rmsnorm.weight"], 1e-5)
    y = (o * F.silu(heads(x, w["g_linear.weight"], 4))).flatten(2) @ w["y_linear.weight"].T
    close(run_layer(spec, w, x, sizes_of(spec)), y)


def test_mamba2_layer_joins_heads_in_its_norm() -> None:
    w, x, spec = noisy(drawn("mamba2")), tokens(), mixer("mamba2")

    def convolved(name: str, count: int) -> Tensor:
        z = (x @ w[f"{name}_linear.weight"].T).mT
        weight, bias = w[f"{name}_conv.weight"], w[f"{name}_conv.bias"]
        z = F.conv1d(F.pad(z, (3, 0)), weight[:, None], bias, groups=len(weight))
        return F.silu(z.mT).unflatten(-1, (count, -1))

    b, c = (convolved(name, 2).repeat_interleave(2, dim=2) for name in "BC")
    u = convolved("u", 4)
    dt = F.softplus(x @ w["dt_linear.weight"].T + w["dt_linear.bias"])
    a = torch.exp(-w["A_log"].exp() * dt)
    state, rows = torch.zeros(BATCH, 4, 3, 6).double(), []
    for t in range(T):
        new = b[:, t, ..., None] * (dt[:, t, :, None] * u[:, t])[:, :, None]
        state = a[:, t, :, None, None] * state + new
        rows.append(torch.einsum("bhn,bhnp->bhp", c[:, t], state))
    o = torch.stack(rows, 1) + w["D"][:, None] * u
    o = o * F.silu(heads(x, w["z_linear.weight"], 4))
    o = F.rms_norm(o.reshape(BATCH, T, 2, 12), (12,), None, 1e-5).reshape(BATCH, T, 4, 6)
    o = o * w["y_rmsnorm.weight"]
    close(run_layer(spec, w, x, sizes_of(spec)), o.flatten(2) @ w["y_linear.weight"].T)


def test_blocks_are_separate_matrices() -> None:
    x = tokens()
    weight = uniform(torch.Generator().manual_seed(0), 4, 3, 4)
    y = steps.linear(x, {"l.weight": weight}, "l")
    close(y, x @ torch.block_diag(*weight).T)


def test_conv_is_torch_conv1d() -> None:
    x, generator = tokens().reshape(BATCH, T, 4, 4), torch.Generator().manual_seed(0)
    w = {"c.weight": uniform(generator, 16, 3), "c.bias": uniform(generator, 16)}
    padded = F.pad(x.flatten(2).mT, (2, 0))
    expected = F.conv1d(padded, w["c.weight"][:, None], w["c.bias"], groups=16).mT
    close(steps.conv(x, w, "c").flatten(2), expected)


def test_neighbours_rotate_when_interleaved() -> None:
    x = tokens().reshape(BATCH, T, 4, 4)
    order = [0, 2, 1, 3]
    halves = steps.rope(x[..., order], torch.tensor(10000.0).double(), False)
    close(steps.rope(x, torch.tensor(10000.0).double(), True), halves[..., order])
    close(halves, turn(x[..., order]))


def test_layernorm_with_groups_is_group_norm() -> None:
    w, x, spec = noisy(drawn("rwkv5")), tokens(), mixer("rwkv5")
    assert w["y_layernorm.weight"].shape == (4, 6)
    y = run_layer(spec, w, x, sizes_of(spec), layer=1, layers=3)
    flat = {n: a.reshape(-1) for n, a in w.items() if n.startswith("y_layernorm")}
    o = uniform(torch.Generator().manual_seed(3), BATCH * T, 24)
    expected = F.group_norm(o, 4, flat["y_layernorm.weight"], flat["y_layernorm.bias"], 64e-5)
    node = next(step for step, n in steps.named_steps("y", spec.y) if n == "y_layernorm")
    close(
        steps.norm(o.reshape(BATCH, T, 4, 6), node, 4, True, w, "y_layernorm"),
        expected.reshape(BATCH, T, 4, 6),
    )
    assert torch.isfinite(y).all()


def test_first_layer_values_are_used_after_the_first() -> None:
    spec = mixer("rwkv7")
    w, x, sizes = noisy(drawn("rwkv7")), tokens(), sizes_of(spec)
    before = F.pad(x, (0, 0, 1, 0))[:, :-1]
    own = heads(x + (before - x) * w["mu_v"], w["v0_linear.weight"], 4)
    alone = run_layer(spec, w, x, sizes)
    close(run_layer(spec, w, x, sizes, first={"v0": own}), alone)
    assert not torch.allclose(run_layer(spec, w, x, sizes, first={"v0": own + 1}), alone)


def test_initial_values() -> None:
    spec = mixer("gated_deltanet")
    w = init_weights(spec, sizes_of(spec, heads=16), torch.Generator().manual_seed(0))
    assert w["A_log"].shape == (16,)
    assert (w["A_log"] < math.log(16)).all()
    dt = F.softplus(w["dt_linear.bias"])
    assert ((dt >= 0.001) & (dt <= 0.1)).all()
    assert w["q_linear.weight"].shape == (8, D_MODEL)
    assert w["q_linear.weight"].abs().max() <= 1 / math.sqrt(D_MODEL)
    assert w["q_conv.weight"].shape == (8, 4)
    assert w["q_conv.weight"].abs().max() <= 1 / 2
    assert torch.equal(w["y_rmsnorm.weight"], torch.ones(6).double())


def test_orthogonal_rows_in_blocks() -> None:
    spec = mixer("performer")
    w = init_weights(spec, sizes_of(spec, M=10), torch.Generator().manual_seed(0))["W"]
    assert w.shape == (4, 10, 4)
    for rows in (w[:, :4], w[:, 4:8]):
        close(rows @ rows.mT / 4, torch.eye(4).double().expand(4, 4, 4))


def test_choose_marks_so_many_blocks_of_each_row() -> None:
    link = drawn("bigbird")["link"]
    assert link.dtype == torch.bool
    assert link.shape == (4, 4, 4)
    assert (link.sum(-1) == 2).all()
    assert not torch.equal(link[0], link[1])


def test_initial_weights_are_the_generator_s() -> None:
    first, second = drawn("mamba"), drawn("mamba")
    assert all(torch.equal(first[name], second[name]) for name in first)
