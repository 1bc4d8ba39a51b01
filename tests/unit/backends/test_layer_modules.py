"""Emitted layers under torch.compile, functional calls, checkpoints and pytrees."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.utils import _pytree
from torch.utils.checkpoint import checkpoint

from mixerc.ir.mixer import Mixer
from tests.unit.backends import layers
from tests.unit.reference.small import mixer, sizes_of

# Rope and positions, token shifts, convolutions and groups, rope with groups.
NAMES = ["retnet", "rwkv6", "mamba2", "gqa"]
OUTPUT = {"retnet": "v", "rwkv6": "v", "mamba2": "u", "gqa": "q"}


def build(spec: Mixer) -> Any:
    """A layer whose core is a running sum of one of its inputs."""
    sizes = sizes_of(spec)
    own = {name: sizes[name] for name in sizes if name in {size.name for size in spec.sizes}}
    own.pop("heads", None)
    layer_type = layers.load(spec, sizes)
    module = layer_type.forward.__globals__
    module["mix"] = running_sum(OUTPUT[spec.name], module["State"])
    torch.manual_seed(0)
    return layer_type(16, sizes["heads"], **own)


def running_sum(name: str, state_type: Any) -> Any:
    def mix(
        *,
        state: Any = None,
        mode: str = "parallel",
        chunk: int | None = None,
        cu_seqlens: Tensor | None = None,
        in_place: bool = False,
        **inputs: Tensor,
    ) -> tuple[Tensor, Any]:
        o = inputs[name].cumsum(1)
        if state is not None and cu_seqlens is None:
            o = o + state["S"][:, None]
        return o, state_type({"S": o[:, -1]})

    return mix


def tokens(count: int = 6) -> Tensor:
    return torch.randn(2, count, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
def test_compiles_without_a_break(name: str) -> None:
    layer = build(mixer(name))
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = tokens()
    want, state = layer(x)
    got, compiled_state = compiled(x)
    state, compiled_state = state.detach(), compiled_state.detach()
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(dict(compiled_state), dict(state))
    torch.testing.assert_close(compiled(x, compiled_state)[0], layer(x, state)[0])
    bounds = torch.tensor([0, 2, 6])
    torch.testing.assert_close(
        compiled(x[:1], cu_seqlens=bounds)[0], layer(x[:1], cu_seqlens=bounds)[0]
    )
    step = torch.compile(layer.step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(step(x[:, 0], state)[0], layer.step(x[:, 0], state)[0])


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_each_sample(name: str) -> None:
    layer = build(mixer(name))
    weights = dict(layer.named_parameters())

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        y, _ = functional_call(layer, weights, (x[None],))
        return (y * y).sum()

    x = tokens()
    each = vmap(grad(loss), (None, 0))(weights, x)
    for key in weights:
        want = torch.stack([grad(loss)(weights, row)[key] for row in x])
        torch.testing.assert_close(each[key], want)


@pytest.mark.parametrize("name", NAMES)
def test_checkpoint(name: str) -> None:
    layer, x = build(mixer(name)), tokens()
    layer(x)[0].sum().backward()
    used = [(key, weight) for key, weight in layer.named_parameters() if weight.grad is not None]
    want = {key: weight.grad.clone() for key, weight in used}
    assert "y_linear.weight" in want
    layer.zero_grad()
    checkpoint(layer, x, use_reentrant=False)[0].sum().backward()
    for key, weight in used:
        torch.testing.assert_close(weight.grad, want[key])


def test_states_are_pytrees() -> None:
    layer, x = build(mixer("mamba2")), tokens()
    _, state = layer(x)
    leaves, structure = _pytree.tree_flatten(state)
    again = _pytree.tree_unflatten(leaves, structure)
    assert type(again) is type(state)
    assert list(again) == list(state)
    assert state.bytes == sum(leaf.numel() * leaf.element_size() for leaf in leaves)
    assert state.detach()["u_conv"].grad_fn is None
    assert state.to(torch.float64)["u_conv"].dtype == torch.float64
    assert state.clone()["u_conv"].data_ptr() != state["u_conv"].data_ptr()
    _, state = build(mixer("retnet"))(x)
    assert state.to(torch.float16)["position"].dtype == torch.int64


def test_a_size_must_be_whole() -> None:
    layer_type = layers.load(mixer("gla"), sizes_of(mixer("gla")))
    with pytest.raises(ValueError, match=r"K is 1\.5, which is not a whole number"):
        layer_type(12, 4)
