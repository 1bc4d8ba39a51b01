"""The core of every spec: it runs, forward and backward, it carries, it looks back only."""

import pytest
import torch

from mixerc.reference.interpret import run_core
from tests.unit.reference.small import (
    BATCH,
    LOOK_AHEAD,
    MIXERS,
    close,
    core_inputs,
    cut,
    differentiable,
    is_stream,
    mixer,
    sizes_of,
)

T = 7
CAUSAL = [name for name in MIXERS if name not in LOOK_AHEAD]


@pytest.mark.parametrize("name", MIXERS)
def test_runs_forward_and_backward(name: str) -> None:
    spec = mixer(name)
    sizes = sizes_of(spec)
    inputs = differentiable(core_inputs(spec, sizes, T))
    o, _ = run_core(spec, inputs, sizes)
    assert o.shape[:2] == (BATCH, T)
    assert torch.isfinite(torch.view_as_real(o) if o.is_complex() else o).all()
    total = (o * o.conj()).real.sum() if o.is_complex() else (o * o).sum()
    total.backward()
    for key, array in inputs.items():
        if array.requires_grad:
            assert array.grad is not None, key
            assert torch.isfinite(
                torch.view_as_real(array.grad) if array.is_complex() else array.grad
            ).all()
            assert array.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", CAUSAL)
def test_parts_are_the_whole(name: str) -> None:
    spec = mixer(name)
    sizes = sizes_of(spec)
    inputs = core_inputs(spec, sizes, T)
    whole, final = run_core(spec, inputs, sizes)
    state, outputs = None, []
    for part in (slice(0, 1), slice(1, 1), slice(1, 4), slice(4, T)):
        o, state = run_core(spec, cut(spec, inputs, part), sizes, state=state)
        outputs.append(o)
    close(torch.cat(outputs, 1), whole)
    assert state is not None
    assert state.keys() == final.keys()
    for key, value in final.items():
        assert state[key] == value if key == "t" else torch.allclose(state[key], value)


@pytest.mark.parametrize("name", CAUSAL)
def test_later_tokens_do_not_reach_earlier_ones(name: str) -> None:
    spec = mixer(name)
    sizes = sizes_of(spec)
    inputs, others = core_inputs(spec, sizes, T), core_inputs(spec, sizes, T, seed=1)
    changed = {}
    for key, array in inputs.items():
        streams = is_stream(spec, key)
        changed[key] = torch.cat([array[:, :4], others[key][:, 4:]], 1) if streams else array
    o, _ = run_core(spec, inputs, sizes)
    p, _ = run_core(spec, changed, sizes)
    assert torch.equal(o[:, :4], p[:, :4])
    assert not torch.allclose(o[:, 4:], p[:, 4:])


@pytest.mark.parametrize("name", MIXERS)
def test_no_tokens(name: str) -> None:
    spec = mixer(name)
    sizes = sizes_of(spec)
    o, _ = run_core(spec, cut(spec, core_inputs(spec, sizes, 2), slice(0, 0)), sizes)
    assert o.shape[:2] == (BATCH, 0)
