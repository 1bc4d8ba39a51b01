"""Several tokens at once from a state, the state in its own memory, and which file serves whom."""

import inspect

import pytest
import torch

import mixerc
from mixerc.runtime.load import load_module
from mixerc.runtime.mixer import CompiledMixer
from tests.laws.subjects import every_linear

TARGETS = ("torch", "triton")


def layer_and_state(name: str, target: str) -> tuple[torch.nn.Module, torch.Tensor, dict]:
    torch.manual_seed(0)
    layer = mixerc.compile(name, target=target).Layer(d_model=16, heads=2)
    x = torch.randn(2, 9, 16)
    with torch.no_grad():
        _, state = layer(x[:, :4])
    return layer, x[:, 4:], state


@every_linear
@pytest.mark.parametrize("target", TARGETS)
def test_a_state_in_its_own_memory(name: str, target: str) -> None:
    layer, x, state = layer_and_state(name, target)
    places = {key: value.data_ptr() for key, value in state.items()}
    core = set(mixerc.compile(name).module.mix.__kwdefaults__) and "S" in state
    assert core
    with torch.no_grad():
        wanted, after = layer(x, state.clone(), mode="recurrent")
        got, moved = layer(x, state, mode="recurrent", in_place=True)
        one, _ = layer.step(x[:, 0], moved, in_place=True)
    torch.testing.assert_close(got, wanted)
    assert moved["S"].data_ptr() == places["S"]
    again, _ = layer.step(x[:, 0], after)
    torch.testing.assert_close(one, again)


@pytest.mark.parametrize("target", TARGETS)
def test_what_cannot_be_in_place(target: str) -> None:
    gla = mixerc.compile("gla", target=target)
    inputs = {name: torch.rand(1, 3, 2, 4) for name in "qkva"}
    _, state = gla(**inputs)
    with pytest.raises(ValueError, match="in_place needs a state, and the recurrent mode"):
        gla(**inputs, state=state, in_place=True)
    with pytest.raises(ValueError, match="in_place needs a state, and the recurrent mode"):
        gla(**inputs, mode="recurrent", in_place=True)
    with pytest.raises(ValueError, match=r"in_place needs states of torch\.float32"):
        gla(**inputs, state=state.to(torch.bfloat16), mode="recurrent", in_place=True)
    inputs["q"].requires_grad_()
    with pytest.raises(ValueError, match="in_place gives no gradients"):
        gla(**inputs, state=state, mode="recurrent", in_place=True)
    with pytest.raises(mixerc.ModeError, match="nothing in place"):
        gla(**inputs, state=state, mode="reference", in_place=True)


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose torch says that it has an H100; nothing is run on it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *rest: (9, 0))


def test_auto_hands_tensors_on_a_gpu_to_triton(with_gpu: None) -> None:
    """To a file for the same logarithms and chunk."""
    gla = mixerc.compile("gla", K=4)
    inputs = {name: torch.rand(1, 3, 2, 4) for name in "qkva"}
    wanted, _ = gla(**inputs)
    module = load_module(gla._backing.emitted(None, frozenset()))
    assert set(module.ELSEWHERE) == {"cuda"}
    got, _ = module.ELSEWHERE["cuda"](**inputs)
    torch.testing.assert_close(got, wanted)
    assert "triton.jit" in inspect.getsource(inspect.getmodule(gla.module.ELSEWHERE["cuda"]))


def test_auto_dispatches_by_device(with_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    gla = mixerc.compile("gla", K=4)
    inputs = {name: torch.rand(1, 3, 2, 4) for name in "qkva"}
    gla(**inputs)
    module = load_module(gla._backing.emitted(None, frozenset()))
    seen = {}
    monkeypatch.setitem(module.ELSEWHERE, "cpu", lambda **given: seen.update(given) or (1, 2))
    assert gla(**inputs, mode="recurrent") == (1, 2)
    assert seen["q"] is inputs["q"]
    assert (seen["mode"], seen["state"], seen["in_place"]) == ("recurrent", None, False)
    assert "chunk" not in seen


@pytest.mark.parametrize(("capability", "chunk"), [((7, 5), None), ((9, 0), 8)])
def test_what_has_no_kernels_stays_with_torch(
    with_gpu: None,
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    chunk: int | None,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *rest: capability)
    gla = mixerc.compile("gla", chunk=chunk, K=5 + capability[0])
    assert gla.module.ELSEWHERE == {}


def test_auto_without_a_gpu_is_torch() -> None:
    assert mixerc.compile("gla", K=3).module.ELSEWHERE == {}


def test_an_explicit_target_stays() -> None:
    mixer: CompiledMixer = mixerc.compile("gla", target="torch")
    assert not hasattr(mixer.module, "ELSEWHERE")
