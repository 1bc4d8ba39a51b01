"""Emitted layers around a stand-in core: the reference, run for each sequence by itself."""

import sys
from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from mixerc.backends.module.layer import helpers_text, layer_text
from mixerc.ir.mixer import Mixer
from mixerc.reference.interpret import run_core
from mixerc.reference.sources import source_of

HEADER = "import math\n\nimport torch\nfrom torch.nn import functional\n\n\n"


def emitted(mixer: Mixer) -> str:
    """The file of a layer without its core; all inputs go in as logarithms that can."""
    layer = layer_text(mixer, frozenset(mixer.core.inputs))
    return f"{HEADER}{helpers_text(layer)}\n\n{layer}"


def load(mixer: Mixer, sizes: dict[str, Any]) -> Any:
    """The class Layer of the emitted file, its `mix` the reference."""
    module = ModuleType(f"layer_of_{mixer.name}")
    sys.modules[module.__name__] = module
    exec(compile(emitted(mixer), f"{mixer.name}.py", "exec"), module.__dict__)
    module.__dict__["mix"] = stand_in(mixer, sizes, module.__dict__["State"])
    return module.__dict__["Layer"]


def stand_in(mixer: Mixer, sizes: dict[str, Any], state_type: Any) -> Callable[..., Any]:
    """A `mix` that runs the reference; its state is a list of the sequences' states."""

    def mix(
        *,
        state: Any = None,
        mode: str = "parallel",
        chunk: int | None = None,
        cu_seqlens: Tensor | None = None,
        in_place: bool = False,
        **inputs: Tensor,
    ) -> tuple[Tensor, Any]:
        assert mode in ("parallel", "recurrent")
        assert not in_place
        given = {name.removeprefix("log_"): value for name, value in inputs.items()}
        for name in inputs:
            if name.startswith("log_"):
                assert inputs[name].dtype in (torch.float32, torch.float64)
                given[name.removeprefix("log_")] = inputs[name].exp()
        parts = _sequences(mixer, given, cu_seqlens)
        states = state["core"] if state is not None else [None] * len(parts)
        done = [run_core(mixer, a, sizes, state=s) for a, s in zip(parts, states, strict=True)]
        o = torch.cat([o for o, _ in done], 0 if cu_seqlens is None else 1)
        like = next(value for value in inputs.values() if value.is_floating_point())
        dtype = o.dtype if o.is_complex() else like.dtype
        return o.to(dtype), state_type(core=[after for _, after in done])

    return mix


def _sequences(
    mixer: Mixer, inputs: dict[str, Tensor], cu_seqlens: Tensor | None
) -> list[dict[str, Tensor]]:
    streams = [name for name in inputs if source_of(mixer, name).stream]
    if cu_seqlens is None:
        batch = inputs[streams[0]].shape[0]
        cuts: list[Any] = [slice(i, i + 1) for i in range(batch)]
    else:
        cuts = [(slice(None), slice(a, b)) for a, b in pairwise(cu_seqlens.tolist())]
    return [{n: a[cut] if n in streams else a for n, a in inputs.items()} for cut in cuts]
