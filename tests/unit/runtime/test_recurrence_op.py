"""Compiled recurrences as PyTorch sees them: ops, transforms, whole graphs, layers, decoding."""

import copy
from functools import cache
from random import Random

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mixerc.ir.mixer import Stack
from mixerc.source import read_source
from mixerc.verify.cases import draw, random_case
from mixerc.verify.subject import Subject, subject_of

KINDS = ("mingru", "lru", "mamba", "rwkv4", "gru", "s4d", "paralstm")
DOUBLE = torch.float64


@cache
def compiled(name: str) -> Subject:
    found = subject_of(read_source(name))
    assert not isinstance(found, Stack)
    return found


def inputs_of(name: str, *, rows: int = 2, tokens: int = 9) -> dict[str, Tensor]:
    of = compiled(name)
    case = random_case(of, Random(4), tokens=tokens, batch=rows)
    return draw(of, case)


def scalar(o: Tensor) -> Tensor:
    return o.abs().square().sum()


def gradients(run, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    leaves = {n: x.detach().clone().requires_grad_() for n, x in inputs.items()}
    return dict(
        zip(leaves, torch.autograd.grad(scalar(run(**leaves)), [*leaves.values()]), strict=True)
    )


@pytest.mark.parametrize("name", KINDS)
def test_gradcheck(name: str) -> None:
    mixer, inputs = compiled(name).run, inputs_of(name, rows=1, tokens=4)
    for mode in compiled(name).modes:

        def run(*values: Tensor, mode: str = mode) -> tuple[Tensor, ...]:
            o, state = mixer(**dict(zip(inputs, values, strict=True)), mode=mode)
            return (o, *(x for n, x in state.items() if n != "peak" and name != "rwkv4"))

        leaves = tuple(x.detach().clone().requires_grad_() for x in inputs.values())
        assert torch.autograd.gradcheck(run, leaves)


@pytest.mark.parametrize("name", KINDS)
def test_opcheck(name: str) -> None:
    for mode in compiled(name).modes:
        check_ops(name, mode)


def check_ops(name: str, mode: str) -> None:
    of = compiled(name)
    module, found = of.run.module, []
    apply = module.Mix.apply
    module.Mix.apply = lambda *given: found.append(given) or apply(*given)
    try:
        own = {n: x for n, x in of.sizes.items() if n in module.GIVEN}
        module.mix(**inputs_of(name), **own, mode=mode)
    finally:
        module.Mix.apply = apply
    settings, cu_seqlens, *tensors = found[0]
    streams, constants, states, _ = module.parts(tensors)
    checks = ("test_schema", "test_faketensor")
    given = (settings[1:], cu_seqlens)
    forward = (streams, constants, states, *given, bool(settings[0]))
    torch.library.opcheck(module.FORWARD.default, forward, test_utils=checks)
    made = module.FORWARD(*forward)
    cotangents = [*module.saved_of(made), *map(torch.ones_like, made)]
    backward = (streams, constants, states, cotangents, *given)
    torch.library.opcheck(module.BACKWARD.default, backward, test_utils=checks)


@pytest.mark.parametrize(
    ("name", "mode"),
    [(name, "parallel") for name in ("mingru", "mamba", "rwkv4")]
    + [("gru", "recurrent"), ("paralstm", "newton")],
)
def test_torch_compile_whole_graph_over_lengths(name: str, mode: str) -> None:
    torch._dynamo.reset()
    of = compiled(name)
    mix, own = of.run.module.mix, {n: x for n, x in of.sizes.items() if n in of.run.module.GIVEN}
    graph = torch.compile(
        lambda **given: mix(**given, **own, mode=mode)[0],
        fullgraph=True,
        dynamic=True,
        backend="aot_eager",
    )
    for tokens in (9, 5):
        inputs = inputs_of(name, tokens=tokens)
        want = gradients(lambda **given: of.run(**given, mode=mode)[0], inputs)
        got = gradients(graph, inputs)
        for n, d in want.items():
            torch.testing.assert_close(got[n], d)


@pytest.mark.parametrize("name", ["mingru", "lru", "rwkv4", "paralstm"])
def test_per_sample_gradients(name: str) -> None:
    of, inputs = compiled(name), inputs_of(name)
    mode = of.modes[0]
    streams = {n: x for n, x in inputs.items() if n in of.run.streams}
    others = {n: x for n, x in inputs.items() if n not in streams}
    want = gradients(lambda **given: of.run(**given, **others, mode=mode)[0], streams)

    def loss(given: dict[str, Tensor]) -> Tensor:
        own = {n: x[None] for n, x in given.items()}
        return scalar(of.run(**own, **others, mode=mode)[0])

    got = torch.func.vmap(torch.func.grad(loss))(streams)
    for n, d in want.items():
        torch.testing.assert_close(got[n], d)


@pytest.mark.parametrize("name", KINDS)
def test_a_layer_in_pytorchs_hands(name: str) -> None:
    """Copies, state dicts, checkpointing, autocast, steps in place."""
    torch.manual_seed(0)
    sizes = {"d_model": 32, "heads": 1, "dtype": DOUBLE}
    layer, other = (compiled(name).run.Layer(**sizes) for _ in "ab")
    tokens = torch.randn(2, 11, 32, dtype=DOUBLE)
    y, state = layer(tokens)
    torch.testing.assert_close(copy.deepcopy(layer)(tokens)[0], y)
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(tokens)[0], y)
    again = checkpoint(lambda x: layer(x)[0], tokens.clone().requires_grad_(), use_reentrant=False)
    torch.testing.assert_close(again, y)
    with torch.no_grad():
        held, step = layer(tokens[:, :7])[1], []
        where = {n: held[n].data_ptr() for n, _, _ in compiled(name).states}
        for t in range(7, 11):
            y1, held = layer.step(tokens[:, t], held, in_place=True)
            step.append(y1)
        assert all(held[n].data_ptr() == place for n, place in where.items())
    torch.testing.assert_close(torch.stack(step, 1), y[:, 7:])
    for n, x in state.items():
        torch.testing.assert_close(held[n], x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer.float()(tokens.float())[0].isfinite().all()
