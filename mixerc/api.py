"""`mixerc.compile`: from a spec to a compiled mixer, through the cache.

A spec that was compiled before costs a look at the cache: nothing of the compiler is imported
until something that the generated file does not hold is asked for.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import mixerc
from mixerc.request import Request
from mixerc.runtime.cache import find
from mixerc.runtime.hardware import HARDWARE, SHORTEST, gpu_target, hardware
from mixerc.runtime.load import load_module
from mixerc.runtime.mixer import Backing, CompiledMixer, of_module
from mixerc.source import read_source

TARGETS = ("auto", "torch", "triton", *(f"triton:{name}" for name in HARDWARE))


def compile(
    spec: str | Path,
    *,
    target: str = "auto",
    chunk: int | None = None,
    **sizes: float,
) -> CompiledMixer:
    """A mixer from a spec's file, its text, or the name of a spec that mixerc ships.

    `sizes` are header sizes by name. `chunk`, a power of two, is the number of tokens that the
    parallel mode works on at once. `target` is "torch", "triton" (kernels for this machine's GPU;
    "triton:sm_90" and the like for another), or "auto": Triton for tensors on a GPU where it is
    installed, torch elsewhere. Raises SpecError for a spec with mistakes.
    """
    if target not in TARGETS:
        raise ValueError(f"there is no target {target!r}; there are {', '.join(TARGETS)}")
    if chunk is not None:
        checked_chunk(chunk)
    request = Request(
        source=read_source(spec),
        chunk=chunk,
        sizes=dict(sizes),
        target=f"triton:{hardware()}" if target == "triton" else target,
    )
    path = find(request.key("layer"))
    if path is None:
        made: CompiledMixer = mixerc.Pipeline(request).compiled()  # or a ReferenceStack
        return made
    return of_module(load_module(path), request.sizes, Deferred(request))


def checked_chunk(chunk: int) -> int:
    """The chunk length; raises ValueError where the algebra has no levels for it."""
    if chunk < 2 or chunk & (chunk - 1):
        raise ValueError(f"a chunk is a power of two of at least 2 tokens, not {chunk}")
    return chunk


class Deferred:
    """Stands for a pipeline that nothing has needed yet."""

    def __init__(self, request: Request) -> None:
        self.request = request

    @cached_property
    def pipeline(self) -> Backing:
        """The pipeline itself, from the spec's text."""
        made: Backing = mixerc.Pipeline(self.request)
        return made

    def emitted(self, chunk: int | None, logarithms: frozenset[str]) -> Path:
        """A generated file, from the cache or made now."""
        chunk = chunk or self.request.chunk
        known = find(self.request.core_key(chunk, logarithms))
        return known or self.pipeline.emitted(chunk, logarithms)

    def on_gpu(self, chunk: int | None, logarithms: frozenset[str]) -> Path | None:
        """The file for tensors on a GPU, where this one is not for them."""
        target = gpu_target(self.request.target)
        if target is None or (chunk or self.request.chunk or SHORTEST) < SHORTEST:
            return None
        return Deferred(replace(self.request, target=target)).emitted(chunk, logarithms)

    def layer_file(self) -> Path:
        """The generated file that holds the layer."""
        return find(self.request.key("layer")) or self.pipeline.layer_file()

    def reference(
        self, inputs: Mapping[str, Any], state: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        """The equations in float64."""
        return self.pipeline.reference(inputs, state)

    def explain(self) -> str:
        """What `mixerc explain` prints."""
        return self.pipeline.explain()

    def check_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Raises ValueError for a value outside its declared range, or a decay beyond 1."""
        self.pipeline.check_inputs(inputs)
