"""Cores of masked attention against torch's own attention and against plain loops.

Other masks stand in test_flex.py, whole layers in test_masked_layers.py.
"""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right

from tests.parity import loops
from tests.parity.fastest import compiled, fastest, gradients, modes, worst
from tests.parity.harness import heads_first, relative_rms

EXACT = 1e-10
BATCH, HEADS, SIZE = 2, 4, 8
FAST = ("parallel", "recurrent")


def draw(tokens: int, groups: int = HEADS) -> dict[str, Tensor]:
    """Queries, and keys and values in groups, [B, T, H, D] in float64."""
    generator = torch.Generator().manual_seed(11)
    return {
        name: torch.randn(BATCH, tokens, copies, SIZE, generator=generator, dtype=torch.float64)
        for name, copies in (("q", HEADS), ("k", groups), ("v", groups))
    }


def part(inputs: Mapping[str, Tensor], start: int, end: int | None = None) -> dict[str, Tensor]:
    """Some of the tokens."""
    return {name: x[:, start:end] for name, x in inputs.items()}


# scaled_dot_product_attention

GROUPS = [pytest.param("attention", HEADS, id="attention")]
GROUPS += [pytest.param("gqa", groups, id=f"gqa-{groups}") for groups in (1, 2, HEADS)]


def mixer_of(spec: str, groups: int) -> Any:
    """The spec; `attention` has no groups to be told of."""
    return compiled(spec, D=SIZE, **({"G": groups} if spec == "gqa" else {}))


def sdpa(inputs: Mapping[str, Tensor], start: int = 0) -> Tensor:
    """torch's attention of the queries from `start` over all keys, its groups by torch too."""
    q, k, v = heads_first(*(inputs[name] for name in "qkv"))
    q = q[:, :, start:]
    bias = causal_lower_right(q.shape[2], k.shape[2]) if start else None
    o = F.scaled_dot_product_attention(
        q, k, v, attn_mask=bias, is_causal=not start, enable_gqa=k.shape[1] != HEADS
    )
    return o.transpose(1, 2)


@pytest.mark.parametrize(("spec", "groups"), GROUPS)
@pytest.mark.parametrize("tokens", [1, 21, 200])
def test_sdpa(spec: str, groups: int, tokens: int) -> None:
    """Outputs in every mode, gradients of all inputs."""
    inputs, mixer = draw(tokens, groups), mixer_of(spec, groups)
    want = sdpa(inputs)
    for mode in modes(mixer):
        assert relative_rms(mixer(**inputs, mode=mode)[0], want) < EXACT, mode
    rows = {name: x.requires_grad_() for name, x in inputs.items()}
    got = gradients(mixer(**rows, mode=fastest(mixer))[0], rows)
    error, name = worst(got, gradients(sdpa(rows), rows))
    assert error < EXACT, name


@pytest.mark.parametrize(("spec", "groups"), GROUPS)
@pytest.mark.parametrize("first", [1, 13, 150])
@pytest.mark.parametrize("more", [1, 8, 50])
def test_sdpa_from_a_cache(spec: str, groups: int, first: int, more: int) -> None:
    """New queries over old and new keys, which torch aligns at the bottom right: in every mode
    from the state of every mode that keeps it alike, and the new tokens' gradients."""
    inputs, mixer = draw(first + more, groups), mixer_of(spec, groups)
    want = sdpa(inputs, first)
    for before, after in pairs(mixer):
        _, state = mixer(**part(inputs, 0, first), mode=before)
        got, _ = mixer(**part(inputs, first), state=state, mode=after)
        assert relative_rms(got, want) < EXACT, (before, after)
    new = {name: x.requires_grad_() for name, x in part(inputs, first).items()}
    old = part(inputs, 0, first)
    mode = fastest(mixer)
    _, state = mixer(**old, mode=mode)
    got = gradients(mixer(**new, state=state, mode=mode)[0], new)
    both = {name: torch.cat([old[name], x], dim=1) for name, x in new.items()}
    error, name = worst(got, gradients(sdpa(both, first), new))
    assert error < EXACT, name


def pairs(mixer: Any) -> list[tuple[str, str]]:
    """Modes that may follow one another: the reference keeps its past in another form."""
    fast = [mode for mode in modes(mixer) if mode in FAST]
    return [("reference", "reference"), *((one, other) for one in fast for other in fast)]


# Forgetting attention

GATES = {"one": [5], "several": [3, 4, 11], "first": [0], "last": [20], "every": list(range(21))}


def forgetful(tokens: int, zeros: list[int]) -> dict[str, Tensor]:
    """Inputs whose gate is exactly 0 at some tokens, and exactly 1 at others."""
    generator = torch.Generator().manual_seed(13)
    f = torch.rand(BATCH, tokens, HEADS, generator=generator, dtype=torch.float64)
    f[:, 7::5] = 1.0
    f[0, zeros] = 0.0  # in one of the sequences
    return {**draw(tokens), "f": f}


@pytest.mark.parametrize("zeros", GATES.values(), ids=GATES)
def test_a_gate_of_zero(zeros: list[int]) -> None:
    """A gate that forgets everything before: outputs and gradients, the gate's own among them."""
    inputs, mixer = forgetful(21, zeros), compiled("forgetting_attention", D=SIZE)
    want = loops.forgetting_attention(**inputs)[0]
    assert want.isfinite().all()
    for mode in modes(mixer):
        assert relative_rms(mixer(**inputs, mode=mode)[0], want) < EXACT, mode
    rows = {name: x.requires_grad_() for name, x in inputs.items()}
    got = gradients(mixer(**rows, mode=fastest(mixer))[0], rows)
    error, name = worst(got, gradients(loops.forgetting_attention(**rows)[0], rows))
    assert error < EXACT, name


@pytest.mark.parametrize("cut", [5, 20, 130])
def test_a_gate_of_zero_begins_anew(cut: int) -> None:
    """What follows it is as if nothing had come before."""
    tokens = cut + 20
    inputs, mixer = forgetful(tokens, []), compiled("forgetting_attention", D=SIZE)
    inputs["f"][:, cut] = 0.0
    for mode in modes(mixer):
        whole, _ = mixer(**inputs, mode=mode)
        alone, _ = mixer(**part(inputs, cut), mode=mode)
        assert relative_rms(whole[:, cut:], alone) < EXACT, mode


@pytest.mark.parametrize("zeros", GATES.values(), ids=GATES)
def test_the_logarithm_of_a_gate_of_zero(zeros: list[int]) -> None:
    """Minus infinity, where gates may be given as logarithms; others' code gives NaN there."""
    inputs, mixer = forgetful(21, zeros), compiled("forgetting_attention", D=SIZE)
    mode = fastest(mixer)
    assert mode == "parallel"
    want = loops.forgetting_attention(**inputs)[0]
    inputs["log_f"] = inputs.pop("f").log()
    assert relative_rms(mixer(**inputs, mode=mode)[0], want) < EXACT


# Linformer, with landmarks of each head


def linformer(q: Tensor, k: Tensor, v: Tensor, E: Tensor, F: Tensor) -> Tensor:
    """Token by token onto the landmarks, then head by head a softmax over them."""
    heads = []
    for h in range(q.shape[2]):
        keys = sum(E[h, :, s, None] * k[:, s, None, h] for s in range(q.shape[1]))
        values = sum(F[h, :, s, None] * v[:, s, None, h] for s in range(q.shape[1]))
        scores = q[:, :, h] @ keys.transpose(1, 2) / q.shape[-1] ** 0.5
        heads.append(scores.softmax(-1) @ values)
    return torch.stack(heads, dim=2)


@pytest.mark.parametrize(("tokens", "length"), [(1, 1), (13, 21), (21, 21), (150, 150)])
def test_linformer(tokens: int, length: int) -> None:
    """Outputs, and gradients of the tables too; a shorter sequence uses the first columns."""
    generator = torch.Generator().manual_seed(17)
    tables = {
        name: torch.randn(HEADS, 5, length, generator=generator, dtype=torch.float64)
        for name in "EF"
    }
    inputs, mixer = draw(tokens) | tables, compiled("linformer", D=SIZE, M=5)
    want = linformer(**inputs)
    for mode in modes(mixer):
        assert relative_rms(mixer(**inputs, mode=mode)[0], want) < EXACT, mode
    rows = {name: x.requires_grad_() for name, x in inputs.items()}
    got = gradients(mixer(**rows, mode=fastest(mixer))[0], rows)
    error, name = worst(got, gradients(linformer(**rows), rows))
    assert error < EXACT, name
