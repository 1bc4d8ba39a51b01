"""Masked attention at PyTorch's boundary, its caches in use, and who computes it."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import mixerc

SPECS = Path(__file__).parents[3] / "specs"
SIZES: dict[str, dict[str, int]] = {
    "attention": {},
    "mistral": {"W": 3, "G": 1},
    "documents": {"G": 1},
    "forgetting_attention": {},
    "longformer": {"W": 4},
}
KINDS = tuple(SIZES)
KEPT = ("attention", "mistral", "documents", "forgetting_attention")
DOUBLE = torch.float64


def compiled(name: str, target: str = "torch"):
    sizes: dict[str, Any] = SIZES[name]
    return mixerc.compile(SPECS / f"{name}.mix", target=target, **sizes)


def inputs_of(name: str, *, rows: int = 2, tokens: int = 9, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(rows, tokens, *shape, generator=generator, dtype=DOUBLE)

    chance = torch.rand(rows, tokens, generator=generator)
    keys = SIZES[name].get("G", 2)
    found = {"q": drawn(2, 4), "k": drawn(keys, 4), "v": drawn(keys, 4)}
    match name:
        case "documents":
            found["doc"] = (chance < 0.3).long().cumsum(1)
        case "forgetting_attention":
            found["log_f"] = drawn(2).sigmoid().log()
        case "longformer":
            found |= {n: drawn(2, 4) for n in ("qg", "kg", "vg")} | {"mark": chance < 0.3}
    return found


def leaves(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n: x.clone().requires_grad_(x.is_floating_point()) for n, x in inputs.items()}


def gradients(run, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    given = leaves(inputs)
    run(**given).square().sum().backward()
    return {n: x.grad for n, x in given.items() if x.grad is not None}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("recurrent", [False, True])
def test_opcheck(name: str, recurrent: bool) -> None:
    if recurrent and name not in KEPT:
        return
    module = compiled(name).module
    inputs = inputs_of(name)
    streams = [x.unsqueeze(2) if x.dim() == 2 else x for x in map(inputs.get, module.OF_TOKENS)]
    states = module.caches_of(None, streams, None)
    given = [2.0, *(float(SIZES[name][n]) for n in module.GIVEN)]
    checks = ("test_schema", "test_faketensor")
    arguments = (streams, [], states, given, None)
    torch.library.opcheck(module.FORWARD.default, (*arguments, recurrent), test_utils=checks)
    made = module.FORWARD(*arguments, recurrent)
    cotangents = [*made[: 3 * len(module.SWEEPS)], *made]
    torch.library.opcheck(
        module.BACKWARD.default,
        (streams, [], states, cotangents, given, None),
        test_utils=checks,
    )


@pytest.mark.parametrize("name", KINDS)
def test_gradcheck(name: str) -> None:
    mixer, inputs = compiled(name), inputs_of(name, rows=1, tokens=5)
    real = [n for n, x in inputs.items() if x.is_floating_point()]
    for mode in ("parallel", "recurrent") if name in KEPT else ("parallel",):

        def run(*values: Tensor, mode: str = mode) -> tuple[Tensor, ...]:
            given = inputs | dict(zip(real, values, strict=True))
            o, state = mixer(**given, mode=mode)
            return (o, *(x for x in state.values() if x.is_floating_point()))

        assert torch.autograd.gradcheck(run, tuple(leaves(inputs)[n] for n in real))


@pytest.mark.parametrize("name", KINDS)
def test_torch_compile_whole_graph_over_lengths(name: str) -> None:
    torch._dynamo.reset()
    mix, sizes = compiled(name).module.mix, SIZES[name]
    own = {n: x for n, x in sizes.items() if n in compiled(name).module.GIVEN}
    graph = torch.compile(
        lambda **given: mix(**given, **own)[0], fullgraph=True, dynamic=True, backend="aot_eager"
    )
    for tokens in (9, 14, 5):
        inputs = inputs_of(name, tokens=tokens)
        want = gradients(lambda **given: compiled(name)(**given)[0], inputs)
        got = gradients(graph, inputs)
        for n, d in want.items():
            torch.testing.assert_close(got[n], d)


@pytest.mark.parametrize("name", ["attention", "mistral", "forgetting_attention"])
def test_per_sample_gradients(name: str) -> None:
    mixer, inputs = compiled(name), inputs_of(name)
    want = gradients(lambda **given: mixer(**given)[0], inputs)

    def loss(given: dict[str, Tensor]) -> Tensor:
        return mixer(**{n: x[None] for n, x in given.items()})[0].square().sum()

    got = torch.func.vmap(torch.func.grad(loss))(inputs)
    for n, d in want.items():
        torch.testing.assert_close(got[n], d)


def layer_of(name: str):
    torch.manual_seed(0)
    sizes = {"D": 4, **SIZES[name]}
    return compiled(name).Layer(d_model=8, heads=2, dtype=DOUBLE, **sizes)


@pytest.fixture
def tokens() -> Tensor:
    return torch.randn(2, 11, 8, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)


@pytest.mark.parametrize("name", ["attention", "mistral", "forgetting_attention"])
def test_a_layer_in_pytorchs_hands(name: str, tokens) -> None:
    """Copies, state dicts, checkpointing, autocast, export, steps."""
    layer = layer_of(name)
    y, _ = layer(tokens)
    torch.testing.assert_close(copy.deepcopy(layer)(tokens)[0], y)
    other = layer_of(name)
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(tokens)[0], y)
    again = checkpoint(lambda x: layer(x)[0], tokens.clone().requires_grad_(), use_reentrant=False)
    torch.testing.assert_close(again, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer.float()(tokens.float())[0].isfinite().all()
    layer.double()
    length = torch.export.Dim("length", min=2, max=64)
    exported = torch.export.export(layer, (tokens,), dynamic_shapes={"x": {1: length}})
    longer = torch.cat((tokens, tokens), 1)
    torch.testing.assert_close(exported.module()(longer)[0], layer(longer)[0])
    first, state = layer(tokens[:, :4])
    steps = [first]
    for i in range(4, 11):
        made, state = layer.step(tokens[:, i], state)
        steps.append(made.unsqueeze(1))
    torch.testing.assert_close(torch.cat(steps, 1), y)


def test_rows_that_have_seen_different_numbers_of_tokens() -> None:
    """Packed first, then one batch: a ring with pinned slots, in blocks and token by token."""
    mixer = mixerc.compile(SPECS / "streaming.mix", target="torch", W=4, sinks=2)
    generator = torch.Generator().manual_seed(0)
    lengths, more = (3, 9, 1), 15
    whole = [
        {n: torch.randn(1, t + more, 2, 5, generator=generator, dtype=DOUBLE) for n in "qkv"}
        for t in lengths
    ]
    starts = {
        n: torch.cat([x[n][:, :t] for x, t in zip(whole, lengths, strict=True)], 1) for n in "qkv"
    }
    _, state = mixer(**starts, cu_seqlens=torch.tensor([0, 3, 12, 13]))
    assert state["seen"].tolist() == list(lengths)
    assert state["k"].shape == (3, 2, 6, 5)
    made, at = [], 0
    for count, mode in ((1, "recurrent"), (5, "parallel"), (7, "recurrent"), (2, "parallel")):
        block = {
            n: torch.cat(
                [x[n][:, t + at : t + at + count] for x, t in zip(whole, lengths, strict=True)]
            )
            for n in "qkv"
        }
        o, state = mixer(**block, state=state, mode=mode)
        made.append(o)
        at += count
    for row, (x, t) in enumerate(zip(whole, lengths, strict=True)):
        torch.testing.assert_close(torch.cat(made, 1)[row : row + 1], mixer(**x)[0][:, t:])


@pytest.mark.parametrize("name", KEPT)
def test_a_cache_is_moved_on_in_place(name: str) -> None:
    mixer, inputs = compiled(name), inputs_of(name, tokens=40)
    with torch.no_grad():
        whole, _ = mixer(**inputs)
        o, state = mixer(**{n: x[:, :3] for n, x in inputs.items()})
        made = [o]
        for i in range(3, 40):
            token = {n: x[:, i : i + 1] for n, x in inputs.items()}
            o, after = mixer(**token, state=state, mode="recurrent", in_place=True)
            assert after is state
            made.append(o)
    torch.testing.assert_close(torch.cat(made, 1), whole)
    assert state["seen"].tolist() == [40, 40]


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32, torch.bfloat16])
def test_the_engine_and_the_tiles_agree(groups: int, dtype: torch.dtype) -> None:
    """Outputs, gradients and states of the two ways to compute the same."""
    ours = mixerc.compile(SPECS / "gqa.mix", target="torch", G=groups)
    theirs = mixerc.compile(SPECS / "gqa.mix", target="auto", G=groups)
    generator = torch.Generator().manual_seed(0)
    inputs = {
        n: torch.randn(2, 33, h, 8, generator=generator).to(dtype)
        for n, h in (("q", 4), ("k", groups), ("v", groups))
    }
    close = {} if dtype is not torch.bfloat16 else {"rtol": 0.05, "atol": 0.05}
    want = gradients(lambda **given: ours(**given)[0], inputs)
    got = gradients(lambda **given: theirs(**given)[0], inputs)
    for n, d in want.items():
        torch.testing.assert_close(got[n], d, **close)
    (o, state), (p, other) = ours(**inputs), theirs(**inputs)
    torch.testing.assert_close(o, p, **close)
    for n in state:
        assert torch.equal(state[n], other[n])
    torch.testing.assert_close(
        ours(**inputs, state=other)[0], theirs(**inputs, state=state)[0], **close
    )


def test_the_engine_is_called_only_for_what_it_has(monkeypatch) -> None:
    mixer = mixerc.compile(SPECS / "mistral.mix", target="auto", W=5, G=2)
    calls = []
    original = functional.scaled_dot_product_attention
    monkeypatch.setattr(
        functional,
        "scaled_dot_product_attention",
        lambda *a, **k: calls.append(k) or original(*a, **k),
    )
    q = torch.randn(1, 6, 2, 4)
    _, state = mixer(q=q, k=q, v=q)  # longer than the window
    mixer(q=q[:, :2], k=q[:, :2], v=q[:, :2], state=state)
    mixer(q=q[:, :2], k=q[:, :2], v=q[:, :2], mode="recurrent")
    mixer(q=q, k=q, v=q, cu_seqlens=torch.tensor([0, 3, 6]))
    mixer(q=q.double(), k=q, v=q)
    assert not calls
    mixer(q=q[:, :5], k=q[:, :5], v=q[:, :5])
    assert calls == [{"is_causal": True, "scale": 0.5, "enable_gqa": False}]


def test_sizes_of_a_mask_are_those_it_was_made_for() -> None:
    layer = compiled("mistral").Layer(d_model=8, heads=2, D=4, G=1, W=7)
    with pytest.raises(ValueError, match="this file's mask is for W = 3, not 7"):
        layer(torch.randn(1, 4, 8))


def test_there_are_no_chunks_to_choose() -> None:
    with pytest.raises(ValueError, match="no chunks"):
        compiled("mistral")(**inputs_of("mistral"), chunk=16)


def test_a_mode_that_does_not_exist_says_why() -> None:
    mixer = compiled("longformer")
    assert "may see the later key" in mixer.modes["recurrent"]
    with pytest.raises(ValueError, match="no recurrent mode: Query t = 0"):
        mixer(**inputs_of("longformer"), mode="recurrent")
    landmarks = mixerc.compile(SPECS / "linformer.mix")
    assert "sums over every token" in landmarks.modes["recurrent"]
    with pytest.raises(ValueError, match="one by one"):
        landmarks.module.mix(**dict.fromkeys(("E", "F", "q", "k", "v")), mode="recurrent")
