"""Triton kernels in the interpreter, in float64: no wrong formula agrees to 1e-10."""

from random import Random

import pytest
import torch

import mixerc
from mixerc.runtime.mixer import CompiledMixer
from mixerc.verify.carry import carry_law, packed_law
from mixerc.verify.cases import Case, random_case
from mixerc.verify.causality import rows_law
from mixerc.verify.generality import generality_law
from mixerc.verify.modes import chunk_law, logarithm_law, reference_law, states_law
from mixerc.verify.subject import FAST
from tests.laws.subjects import check, every_linear, subject, subject_of_text

WIDE = """mixer wide(K, V)

q[K], k[K] = x | linear
v[V]       = x | linear
a[K]       = x | linear | sigmoid
b[V]       = x | linear | sigmoid

mask   causal
weight q[t] @ k[s]
decay  a * b
state  S[K, V]

y = o | linear
"""


def a_case(name: str, tokens: int, batch: int = 2) -> Case:
    return random_case(subject(name, "triton"), Random(tokens), tokens=tokens, batch=batch)


@every_linear
@pytest.mark.parametrize("tokens", [1, 21])
def test_modes_agree_with_the_equations(name: str, tokens: int) -> None:
    check(reference_law(subject(name, "triton"), a_case(name, tokens)))


@every_linear
def test_states_go_in_and_come_out(name: str) -> None:
    check(states_law(subject(name, "triton"), a_case(name, 70, batch=1)))


@every_linear
@pytest.mark.parametrize("mode", FAST)
def test_packed_sequences_are_apart(name: str, mode: str) -> None:
    check(packed_law(subject(name, "triton"), a_case(name, 20), (0, 3, 3, 20), mode))


@pytest.mark.parametrize("name", ["gla", "retnet", "linear_attention", "rwkv6", "mamba2"])
@pytest.mark.parametrize("chunk", [2, 32])
def test_any_chunk(name: str, chunk: int) -> None:
    check(chunk_law(subject(name, "triton"), a_case(name, 37, batch=1), chunk))


@every_linear
def test_a_chunk_of_16(name: str) -> None:
    check(chunk_law(subject(name, "triton"), a_case(name, 37, batch=1), 16))


@pytest.mark.parametrize("name", ["gla", "hgrn2", "rwkv5", "based", "mamba2"])
def test_kernels_that_were_cut(name: str) -> None:
    """On the hardware with the fewest places for tiles."""
    check(states_law(subject(name, "triton:sm_80"), a_case(name, 70, batch=1)))


@pytest.mark.parametrize("name", ["linear_attention", "retnet", "gla"])
def test_more_general_transitions(name: str) -> None:
    check(generality_law(subject(name, "triton"), a_case(name, 9, batch=1)))


@pytest.mark.parametrize("name", ["gla", "retnet", "mamba2"])
def test_a_run_in_two_parts(name: str) -> None:
    for first in FAST:
        for second in FAST:
            check(carry_law(subject(name, "triton"), a_case(name, 20), 9, first, second))


@pytest.mark.parametrize("name", ["gla", "rwkv6"])
def test_decays_as_logarithms(name: str) -> None:
    check(logarithm_law(subject(name, "triton"), a_case(name, 20)))


@pytest.mark.parametrize("name", ["gla", "linear_attention"])
def test_a_nan_stays_in_its_row(name: str) -> None:
    check(rows_law(subject(name, "triton"), a_case(name, 20, batch=3)))


def test_decays_along_both_axes() -> None:
    wide = subject_of_text(WIDE, "triton")
    check(states_law(wide, random_case(wide, Random(5), tokens=20, batch=1)))


@pytest.mark.parametrize("sizes", [(40, 20), (16, 70)])
def test_axes_of_several_blocks(sizes: tuple[int, int]) -> None:
    """Sizes above a block, and none a power of two."""
    K, V = sizes
    q, k, a = (torch.rand(1, 21, 2, K, dtype=torch.float64) for _ in range(3))
    v = torch.rand(1, 21, 2, V, dtype=torch.float64)
    inputs = {"q": q, "k": k, "v": v, "a": a}
    for mode in FAST:
        found, wanted = (
            gradients(mixerc.compile("gla", target=target), inputs, mode)
            for target in ("triton", "torch")
        )
        for got, want in zip(found, wanted, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)


def gradients(
    mixer: CompiledMixer, inputs: dict[str, torch.Tensor], mode: str
) -> list[torch.Tensor]:
    """The output, the state and what flows back to each input."""
    leaves = {name: x.clone().requires_grad_() for name, x in inputs.items()}
    o, state = mixer(**leaves, mode=mode)
    (o.sin().sum() + state["S"].cos().sum()).backward()
    return [
        o.detach(),
        state["S"].detach(),
        *(x.grad for x in leaves.values() if x.grad is not None),
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_narrow_dtypes_are_close(dtype: torch.dtype) -> None:
    """Against the torch target on the same numbers, whose error the laws bound."""
    torch.manual_seed(1)
    draws = {name: torch.randn(1, 40, 2, 16) / 4 for name in ("q", "k", "v")}
    inputs = {**draws, "a": torch.rand(1, 40, 2, 16)}
    narrow = {name: x.to(dtype) for name, x in inputs.items()}
    wide = {name: x.double() for name, x in narrow.items()}
    found = gradients(mixerc.compile("gla", target="triton"), narrow, "parallel")
    wanted = gradients(mixerc.compile("gla", target="torch"), wide, "parallel")
    for got, want in zip(found, wanted, strict=True):
        error = (got.double() - want).norm() / want.norm()
        assert error < 4 * torch.finfo(dtype).eps


def test_states_beyond_float16_are_no_operands_of_its_products() -> None:
    """A state of 80,000 is read by queries of 1e-5."""
    tokens = 40
    v = torch.full((1, tokens, 1, 16), 2000.0, dtype=torch.float16)
    k = torch.zeros(1, tokens, 1, 16, dtype=torch.float16)
    k[..., 0] = 1
    a, q = torch.ones_like(k), k * 1e-5
    o, state = mixerc.compile("gla", target="triton", chunk=16)(q=q, k=k, v=v, a=a)
    assert state["S"].max() == 80_000
    expected = torch.arange(1, tokens + 1) * 2000 * q[0, 0, 0, 0].double() / 4
    torch.testing.assert_close(o[0, :, 0, 0].double(), expected, rtol=2e-3, atol=0)


def test_the_same_inputs_give_the_same_bits() -> None:
    inputs = {name: torch.rand(2, 21, 2, 8) for name in ("q", "k", "v", "a")}
    mixer = mixerc.compile("gla", target="triton")
    for first, second in zip(
        gradients(mixer, inputs, "parallel"), gradients(mixer, inputs, "parallel"), strict=True
    ):
        assert torch.equal(first, second)


def test_no_tokens() -> None:
    inputs = {name: torch.rand(2, 0, 2, 8) for name in ("q", "k", "v", "a")}
    for mode in FAST:
        o, state = mixerc.compile("gla", target="triton")(**inputs, mode=mode)
        assert o.shape == (2, 0, 2, 8)
        assert not state["S"].any()


def test_a_layer_trains() -> None:
    layer = mixerc.compile("gla", target="triton").Layer(d_model=16, heads=2)
    x = torch.randn(1, 9, 16, requires_grad=True)
    y, _ = layer(x)
    y.sum().backward()
    assert x.grad is not None
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


def test_rows_that_no_sequence_covers_have_a_gradient_of_zero() -> None:
    gla = mixerc.compile("gla", target="triton")
    inputs = {n: torch.rand(1, 9, 2, 4, dtype=torch.float64, requires_grad=True) for n in "qkva"}
    o, _ = gla(**inputs, cu_seqlens=torch.tensor([0, 3, 6]))
    o[:, :6].sum().backward()
    for x in inputs.values():
        assert x.grad is not None
        assert not x.grad[:, 6:].any()
        assert x.grad[:, :6].isfinite().all()


@pytest.mark.parametrize("name", ["linear_attention", "performer", "gla"])
def test_decoding_with_sizes_that_are_no_powers_of_two(name: str) -> None:
    on = mixerc.compile(name, target="triton"), mixerc.compile(name, target="torch")
    torch.manual_seed(0)
    layers = [mixer.Layer(d_model=192, heads=2, dtype=torch.float64) for mixer in on]
    layers[1].load_state_dict(layers[0].state_dict())
    x = torch.randn(1, 2, 192, dtype=torch.float64)
    (got, _), (want, _) = (layer(x, mode="recurrent") for layer in layers)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


def test_packed_sequences_without_tokens() -> None:
    inputs = {name: torch.rand(1, 0, 2, 8) for name in ("q", "k", "v", "a")}
    o, state = mixerc.compile("gla", target="triton")(**inputs, cu_seqlens=torch.tensor([0, 0, 0]))
    assert o.shape == (1, 0, 2, 8)
    assert state["S"].shape[0] == 2
    assert not state["S"].any()


@pytest.mark.parametrize("target", ["torch", "triton"])
def test_rows_that_no_sequence_covers_are_zero(target: str) -> None:
    inputs = {name: torch.rand(1, 9, 2, 4) for name in "qkva"}
    bounds = torch.tensor([[0, 3, 6], [0, 0, 0]]).T[:, 0]  # strided
    o, _ = mixerc.compile("gla", target=target)(**inputs, cu_seqlens=bounds)
    assert not o[:, 6:].any()
    assert o[:, :6].all()


def test_a_tensor_elsewhere_is_refused() -> None:
    module = mixerc.compile("gla", target="triton").module
    run = module.Run([torch.rand(1, 3, 2, 4)], [], 16, None)
    with pytest.raises(ValueError, match="a tensor is on meta, and the first stream on cpu"):
        run.check([torch.empty(1, device="meta")])


@pytest.mark.parametrize("target", ["torch", "triton"])
def test_what_compilers_are_told_of_cotangents(target: str) -> None:
    """They lie in one piece, as the real ones do, for inputs that do not."""
    module = mixerc.compile("gla", target=target).module
    streams = [torch.rand(1, 2, 3, 4).transpose(1, 2) for _ in range(4)]
    states = [torch.rand(1, 4, 2, 4).transpose(1, 2)]
    ends = [torch.rand(1, 3, 2, 4), torch.rand(1, 2, 4, 4)]
    told = module.backward_shapes(streams, [], states, ends, (), None)
    made = module.backward(streams, [], states, ends, (), None)
    for one, other in zip(told, made, strict=True):
        assert one.is_contiguous()
        assert (one.shape, one.dtype, one.stride()) == (other.shape, other.dtype, other.stride())


def test_a_batch_without_rows() -> None:
    inputs = {name: torch.rand(0, 3, 2, 4) for name in "qkva"}
    o, _ = mixerc.compile("gla", target="triton")(**inputs)
    assert o.shape == (0, 3, 2, 4)
