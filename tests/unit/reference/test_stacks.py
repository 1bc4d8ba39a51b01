"""Stacks: every one runs and trains; paths of weights; sharing; depth."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mixerc.ir.expr import Expr, Number, UseMixer
from mixerc.ir.mixer import Stack
from mixerc.ir.walk import map_children
from mixerc.reference.layer import run_layer
from mixerc.reference.stack import init_stack, run_stack
from tests.unit.reference.build import X, num
from tests.unit.reference.small import (
    BATCH,
    STACKS,
    close,
    differentiable,
    mixer,
    stack,
    uniform,
)

SIZES = {"d_model": 16, "F": 6, "N": 1}
T = 5


def shrink(spec: Stack) -> Stack:
    """The stack with small sizes for the mixers that it uses."""
    small = {"heads": 4, "D": 4, "W": 3, "G": 2}

    def change(expr: Expr) -> Expr:
        expr = map_children(expr, change)
        if not isinstance(expr, UseMixer):
            return expr
        given = tuple((n, Number(value=Fraction(small[n]))) for n, _ in expr.sizes)
        return replace(expr, sizes=given)

    blocks = tuple(replace(block, expr=change(block.expr)) for block in spec.blocks)
    return replace(spec, blocks=blocks, y=change(spec.y))


def tokens() -> Tensor:
    return uniform(torch.Generator().manual_seed(0), BATCH, T, 16)


def drawn(spec: Stack) -> dict[str, Tensor]:
    return init_stack(spec, SIZES, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", STACKS)
def test_every_stack_trains(name: str) -> None:
    spec = shrink(stack(name))
    weights = differentiable(drawn(spec))
    x = tokens().requires_grad_()
    y = run_stack(spec, weights, x, SIZES)
    assert y.shape == x.shape
    y.pow(2).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    for key, weight in weights.items():
        assert weight.grad is not None, key
        assert torch.isfinite(weight.grad).all(), key


@pytest.mark.parametrize("name", STACKS)
def test_stacks_look_back_only(name: str) -> None:
    spec = shrink(stack(name))
    weights, x = drawn(spec), tokens()
    other = torch.cat([x[:, :3], x[:, 3:] + 1], 1)
    y, z = run_stack(spec, weights, x, SIZES), run_stack(spec, weights, other, SIZES)
    assert torch.equal(y[:, :3], z[:, :3])
    assert not torch.allclose(y[:, 3:], z[:, 3:])


def test_transformer_is_its_blocks() -> None:
    spec = shrink(stack("transformer"))
    w, x = drawn(spec), tokens()
    attention = next(mixer for mixer in spec.mixers if mixer.name == "gqa")
    inner = {n.removeprefix("0.gqa."): a for n, a in w.items() if n.startswith("0.gqa.")}
    normed = F.rms_norm(x, (16,), w["0.att_rmsnorm.weight"], 1e-5)
    x = x + run_layer(attention, inner, normed, {"heads": 4, "D": 4, "G": 2})
    normed = F.rms_norm(x, (16,), w["1.mlp_rmsnorm.weight"], 1e-5)
    gate, up = (normed @ w["1.mlp_linear.weight"].T).chunk(2, -1)
    x = x + (F.silu(gate) * up) @ w["1.mlp_linear_2.weight"].T
    y = F.rms_norm(x, (16,), w["y_rmsnorm.weight"], 1e-5)
    close(run_stack(spec, w, tokens(), SIZES), y)


def test_a_repeat_has_weights_of_its_own() -> None:
    spec = shrink(stack("transformer"))
    w = init_stack(spec, SIZES | {"N": 2}, torch.Generator().manual_seed(1))
    assert {name.split(".")[0] for name in w} == {"0", "1", "2", "3", "y_rmsnorm"}
    assert not torch.equal(w["1.mlp_linear.weight"], w["3.mlp_linear.weight"])


def test_a_shared_block_has_one_set_of_weights() -> None:
    spec = shrink(stack("zamba"))
    w = init_stack(spec, SIZES | {"N": 2}, torch.Generator().manual_seed(1))
    mamba = {str(index) for index in (*range(6), *range(8, 14))}
    assert {name.split(".")[0] for name in w} == mamba | {"att", "mlp", "y_rmsnorm"}
    assert w["att.att_linear.weight"].shape == (16, 32)


def test_layers_know_their_depth_and_the_first_one() -> None:
    """Two layers of rwkv7: initial values by depth, and the first layer's values in the second."""
    spec = mixer("rwkv7")
    given = (("heads", num(4)),)
    y: Expr = X
    for _ in range(2):
        y = UseMixer(source=y, mixer="rwkv7", sizes=given, sort=X.sort)
    deep = Stack(name="deep", citation=(), sizes=(), blocks=(), y=y, mixers=(spec,))
    w, x, sizes = init_stack(deep, SIZES, torch.Generator().manual_seed(1)), tokens(), {"heads": 4}
    for name in w:
        w[name] = w[name] + 0.1
    parts = [
        {name.split(".", 1)[1]: a for name, a in w.items() if name.startswith(f"{layer}.")}
        for layer in range(2)
    ]
    assert not torch.equal(parts[0]["w0"], parts[1]["w0"])
    middle = run_layer(spec, parts[0], x, sizes, layers=2)
    before = F.pad(x, (0, 0, 1, 0))[:, :-1]
    first = (x + (before - x) * parts[0]["mu_v"]) @ parts[0]["v0_linear.weight"].T
    first = first.unflatten(-1, (4, 4))
    last = run_layer(spec, parts[1], middle, sizes, layer=1, layers=2, first={"v0": first})
    close(run_stack(deep, w, x, SIZES), last)
