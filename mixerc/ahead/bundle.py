"""A bundle: a generated file, the binaries of its kernels, and kernels.json, which the file reads.

The file is run once on small tensors with its launches written down instead of done; each is then
compiled as its first call would compile it. Batch, tokens and heads are in no binary; the header's
sizes, the dtype, and whether sequences are packed are.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias
from warnings import catch_warnings

import torch

from mixerc.ahead.binaries import TARGETS, Binary, compiled, written
from mixerc.ir.expr import Number
from mixerc.ir.mixer import Mixer
from mixerc.ir.sorts import Kind
from mixerc.pipeline import Pipeline
from mixerc.runtime.load import load_module

Launch: TypeAlias = tuple[Any, Mapping[str, Any], Mapping[str, Any], torch.dtype]
"""A kernel, the compiler's options for it, its arguments by name, the dtype of products."""

Choice: TypeAlias = tuple[Mapping[str, float], str]
"""Header sizes, and the dtype of the inputs."""

HEADS, TOKENS, LENGTH = 4, 70, 64


def aot(
    pipeline: Pipeline, folder: Path, choices: Iterable[Choice], *, packed: bool = True
) -> tuple[Binary, ...]:
    """Writes the binaries of a mixer's kernels, and kernels.json about them, into a folder.

    The pipeline's target is `bundle:` and the hardware. For each choice the binaries serve header
    sizes (64 for an axis that is not given one) and a dtype; with `packed`, packed sequences too.
    Raises ValueError where Triton's kernels are interpreted in this process.
    """
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise ValueError("kernels are interpreted where TRITON_INTERPRET=1 is set: unset it first")
    module = load_module(pipeline.layer_file())
    target = pipeline.request.target.partition(":")[2]
    made: dict[str, Binary] = {}
    for sizes, dtype in choices:
        inputs = _inputs(pipeline, module, sizes, getattr(torch, dtype))
        for launch in launches(module, inputs, packed=packed):
            asked = module.asked(launch[0], *launch[2:])
            if asked not in made:
                place = folder / f"{len(made):02}_{launch[0].__name__}"
                made[asked] = _binary(module, launch, asked, target, place)
    record = [asdict(one) for one in made.values()]
    (folder / "kernels.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return tuple(made.values())


def _binary(module: ModuleType, launch: Launch, asked: str, target: str, place: Path) -> Binary:
    kernel, options, arguments, _ = launch
    # The file counts in the lanes of this machine's torch, which may not be the target's.
    warps = options["num_warps"] * module.LANES // TARGETS[target].warp_size
    names = [parameter.name for parameter in kernel.params]
    passed = tuple(
        name for name in names if isinstance(arguments[name], torch.Tensor) or module.passed(name)
    )
    found = compiled(kernel, arguments, target, {**options, "num_warps": warps})
    return written(found, asked, target, passed, place)


def _inputs(
    pipeline: Pipeline, module: ModuleType, sizes: Mapping[str, float], dtype: torch.dtype
) -> dict[str, Any]:
    """Small inputs of a file's `mix`, of the shapes that a layer gives it."""
    mixer = pipeline.mixer
    given: dict[str, Any] = {name: _length(mixer, name, sizes) for name in module.GIVEN}
    if "x" in module.STREAMS:
        width = int(_length(mixer, "d_model", sizes))
        given["x"] = torch.zeros((1, TOKENS, width), dtype=dtype, requires_grad=True)
    for line in mixer.lines:
        if line.name not in (*module.STREAMS, *module.PARAMS):
            continue
        copies = () if line.sort.heads.shared else (1 if line.sort.heads.group else HEADS,)
        lengths = (int(_length(mixer, axis.rstrip("'"), sizes)) for axis in line.sort.axes)
        shape = (*((1, TOKENS) if line.sort.times else ()), *copies, *lengths)
        name = f"log_{line.name}" if line.name in pipeline.layer_logarithms else line.name
        # Layers give logarithms in float32 at least.
        kind = torch.promote_types(dtype, torch.float32) if name != line.name else dtype
        kind = torch.complex64 if line.sort.kind is Kind.COMPLEX else kind
        given[name] = torch.zeros(shape, dtype=kind, requires_grad=True)
    return given


def _length(mixer: Mixer, name: str, sizes: Mapping[str, float]) -> float:
    """A header size: the one given, or a plain number of the header, or 64."""
    default = next((s.default for s in mixer.sizes if s.name == name), None)
    number = float(default.value) if isinstance(default, Number) else LENGTH
    return sizes.get(name, number)


def _modes(module: ModuleType) -> list[str]:
    """The modes of a file; masked attention says which there are not."""
    modes = getattr(module, "MODES", ("parallel", "recurrent"))
    return [mode for mode in modes if mode not in getattr(module, "WITHOUT", {})]


def launches(
    module: ModuleType, inputs: Mapping[str, Any], *, packed: bool = False
) -> list[Launch]:
    """What a call would launch, forward and backward, in all modes that there are; with `packed`,
    also for packed sequences."""
    found: list[Launch] = []
    real = vars(module)["start"]
    vars(module)["start"] = lambda kernel, programs, *launch: found.append((kernel, *launch))
    try:
        for cu_seqlens in (None, torch.tensor([0, TOKENS]))[: 1 + packed]:
            for mode in _modes(module):
                with catch_warnings(action="ignore"):  # nothing is computed here that could settle
                    o, _ = module.mix(**inputs, mode=mode, cu_seqlens=cu_seqlens)
                o.abs().sum().backward()
    finally:
        vars(module)["start"] = real
    return found
