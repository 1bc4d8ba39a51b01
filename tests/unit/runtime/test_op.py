"""The op boundary: what PyTorch's own machinery may do with a compiled mixer."""

import copy
from pathlib import Path

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import mixerc
from mixerc.runtime.load import load_module

SPECS = Path(__file__).parents[3] / "specs"
KINDS = ("gla", "retnet", "rwkv6", "performer", "mamba2")
DOUBLE = torch.float64


UNSUPPORTED = """mixer m(E)
u[E] = x | linear
a[E] = x | linear | sigmoid
state h[E]
h[t] = a * h[t-1] + u[t-1]
o[E] = h[t]
"""


def compiled(name: str):
    return mixerc.compile(SPECS / f"{name}.mix")


def core_inputs(name: str, *, rows: int = 2, tokens: int = 21, seed: int = 0):
    """Small float64 inputs of a core, requiring gradients."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int):
        return torch.randn(*shape, generator=generator, dtype=DOUBLE)

    def positive(*shape: int):
        return torch.rand(*shape, generator=generator, dtype=DOUBLE)

    q, k, v = drawn(rows, tokens, 2, 3), drawn(rows, tokens, 2, 3), drawn(rows, tokens, 2, 4)
    groups = drawn(rows, tokens, 1, 3), drawn(rows, tokens, 1, 3)
    inputs = {
        "gla": {"q": q, "k": k, "v": v, "a": positive(rows, tokens, 2, 3)},
        "retnet": {"q": q, "k": k, "v": v},
        "rwkv6": {"r": q, "k": k, "v": v, "w": positive(rows, tokens, 2, 3), "u": drawn(2, 3)},
        "performer": {"q": q, "k": k, "v": v, "W": drawn(2, 5, 3)},
        "mamba2": {
            "C": groups[0],
            "B": groups[1],
            "u": v,
            "dt": positive(rows, tokens, 2),
            "a": positive(rows, tokens, 2),
        },
    }[name]
    return {key: value.requires_grad_() for key, value in inputs.items()}


def layer_of(name: str, dtype=DOUBLE):
    torch.manual_seed(0)
    sizes = {"gla": {"K": 3, "V": 4}, "retnet": {"K": 4, "V": 4}, "performer": {"M": 6}}
    sizes |= {"mamba2": {"N": 3, "P": 4}, "rwkv6": {}}
    return compiled(name).Layer(d_model=8, heads=2, dtype=dtype, **sizes[name])


@pytest.fixture
def tokens():
    return torch.randn(2, 21, 8, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)


def flat(name: str, inputs):
    """The op's own arguments, taken on their way to it."""
    module = compiled(name)
    generated = torch_module(module, inputs)
    seen = []
    original = generated.FORWARD
    generated.FORWARD = lambda *args: seen.append(args) or original(*args)
    try:
        generated.mix(**inputs)
    finally:
        generated.FORWARD = original
    return generated, seen[0]


def torch_module(mixer, inputs):
    """The generated module that serves these inputs."""
    return load_module(mixer._backing.emitted(None, frozenset()))


@pytest.mark.parametrize("name", KINDS)
def test_opcheck_forward_and_backward(name: str) -> None:
    generated, arguments = flat(name, core_inputs(name))
    streams, constants, states, given, cu_seqlens, recurrent = arguments
    detached = [[x.detach() for x in group] for group in (streams, constants, states)]
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(
        generated.FORWARD.default,
        (*detached, list(given), cu_seqlens, recurrent),
        test_utils=checks,
    )
    outputs = generated.FORWARD(*detached, list(given), cu_seqlens, recurrent)
    cotangents = [torch.ones_like(x) for x in outputs]
    torch.library.opcheck(
        generated.BACKWARD.default,
        (*detached, cotangents, list(given), cu_seqlens),
        test_utils=checks,
    )


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("mode", ["parallel", "recurrent"])
def test_gradcheck(name: str, mode: str) -> None:
    mixer = compiled(name)
    inputs = core_inputs(name, rows=1, tokens=5)
    names = list(inputs)

    def run(*values):
        o, state = mixer(**dict(zip(names, values, strict=True)), mode=mode, chunk=4)
        return (o, *state.values())

    assert torch.autograd.gradcheck(run, tuple(inputs.values()))


@pytest.mark.parametrize("name", KINDS)
def test_torch_compile_whole_graph_over_lengths(name: str) -> None:
    torch._dynamo.reset()
    layer = layer_of(name)
    graphs = []

    def counted(graph, example):
        graphs.append(graph)
        return graph.forward

    fast = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for length in (7, 64, 65, 130):
        x = torch.randn(2, length, 8, dtype=DOUBLE, requires_grad=True)
        y, _ = fast(x)
        expected, _ = layer(x)
        (found,) = torch.autograd.grad(y.square().sum(), x)
        (wanted,) = torch.autograd.grad(expected.square().sum(), x)
        torch.testing.assert_close(y, expected)
        torch.testing.assert_close(found, wanted)
    torch._dynamo.reset()
    once = torch.compile(layer, fullgraph=True, dynamic=True, backend=counted)
    for length in (7, 33, 65, 130):
        once(torch.randn(2, length, 8, dtype=DOUBLE))
    assert len(graphs) == 1, "another length must not compile again"


@pytest.mark.parametrize("name", KINDS)
def test_per_sample_gradients(name: str, tokens) -> None:
    layer = layer_of(name)
    weights = {key: value.detach() for key, value in layer.named_parameters()}
    buffers = dict(layer.named_buffers())

    def loss(values, x):
        y, _ = torch.func.functional_call(layer, (values, buffers), (x[None],))
        return y.square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, tokens)
    for row in range(tokens.shape[0]):
        one = torch.func.grad(loss)(weights, tokens[row])
        for key, value in one.items():
            torch.testing.assert_close(each[key][row], value)


@pytest.mark.parametrize("strict", [False, True])
def test_export_with_any_length(strict: bool, tokens) -> None:
    layer = layer_of("gla").eval()
    length = torch.export.Dim("length", min=2, max=4096)
    program = torch.export.export(
        layer, (tokens,), dynamic_shapes={"x": {1: length}}, strict=strict
    )
    longer = torch.randn(2, 90, 8, dtype=DOUBLE)
    y, _ = program.module()(longer)
    torch.testing.assert_close(y, layer(longer)[0])


@pytest.mark.parametrize("name", KINDS)
def test_autocast(name: str) -> None:
    layer = layer_of(name, torch.float32)
    x = torch.randn(2, 21, 8)
    plain, _ = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        y, state = layer(x)
        y.float().sum().backward()
    assert all(value.dtype != torch.bfloat16 for value in state.values() if value.dim() > 3)
    torch.testing.assert_close(y.float(), plain, rtol=0.1, atol=0.1)
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("name", KINDS)
def test_copies_and_state_dicts(name: str, tokens) -> None:
    layer = layer_of(name)
    twin = copy.deepcopy(layer)
    torch.testing.assert_close(twin(tokens)[0], layer(tokens)[0])
    other = layer_of(name)
    other.reset_parameters()
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(tokens)[0], layer(tokens)[0])


@pytest.mark.parametrize("name", KINDS)
def test_activation_checkpointing(name: str, tokens) -> None:
    layer = layer_of(name)
    x = tokens.clone().requires_grad_()
    (plain,) = torch.autograd.grad(layer(x)[0].square().sum(), x)
    y, _ = checkpoint(layer, x, use_reentrant=False)
    (again,) = torch.autograd.grad(y.square().sum(), x)
    torch.testing.assert_close(again, plain)


def test_second_derivatives_are_refused(tokens) -> None:
    layer = layer_of("gla")
    x = tokens.clone().requires_grad_()
    (slope,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no derivative of its own"):
        slope.sum().backward()


def test_strided_inputs_and_cotangents() -> None:
    inputs = core_inputs("gla")
    mixer = compiled("gla")
    strided = {
        key: value.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
        for key, value in inputs.items()
    }
    o, _ = mixer(**inputs)
    p, _ = mixer(**strided)
    torch.testing.assert_close(o, p)
    found = torch.autograd.grad(p.sum(), list(strided.values()))
    wanted = torch.autograd.grad(o.sum(), list(inputs.values()))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_inputs_that_are_missing_or_unknown() -> None:
    inputs = core_inputs("gla")
    mixer = compiled("gla")
    with pytest.raises(TypeError, match="also needs k"):
        mixer(**{key: value for key, value in inputs.items() if key != "k"})
    with pytest.raises(TypeError, match="not 'beta'"):
        mixer(**inputs, beta=inputs["q"])
    with pytest.raises(ValueError, match="no mode 'chunked'"):
        mixer(**inputs, mode="chunked")


def test_a_stack_runs_in_the_reference_and_says_why_not_elsewhere() -> None:
    stack = compiled("griffin")
    sizes = {"d_model": 32, "heads": 2, "N": 1}
    weights = stack.init(**sizes)
    x = torch.randn(1, 5, 32, dtype=DOUBLE)
    y = stack(x=x, weights=weights, **{k: v for k, v in sizes.items() if k != "d_model"})
    assert y.shape == x.shape
    with pytest.raises(ValueError, match="stacks have no fast form"):
        stack(x=x, weights=weights, mode="parallel")


def test_a_mode_that_does_not_exist_says_why() -> None:
    mixer = mixerc.compile(UNSUPPORTED)
    assert "no fast form for the class" in mixer.modes["parallel"]
    inputs = {name: torch.rand(1, 4, 2, 8) for name in mixer.streams}
    with pytest.raises(ValueError, match="no fast form for the class"):
        mixer(**inputs)
    with pytest.raises(ValueError, match="no fast form for the class"):
        _ = mixer.Layer
    o, _ = mixer(**inputs, mode="reference")
    assert o.shape == (1, 4, 2, 8)


@pytest.mark.parametrize("name", KINDS)
def test_autocast_makes_no_product_narrow(name: str) -> None:
    """What goes in keeps its dtype, and so does everything inside."""
    inputs = {key: value.detach().float() for key, value in core_inputs(name).items()}
    o, _ = compiled(name)(**inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        p, _ = compiled(name)(**inputs)
    assert torch.equal(o, p)
