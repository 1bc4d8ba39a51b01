"""One spec on its way through the compiler, each stage computed when it is first asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from mixerc.algebra.classify import Algebra, classify
from mixerc.algebra.logarithm import logarithm
from mixerc.artifact import GeneratedModule
from mixerc.compiler import (
    emit_landmarks,
    front,
    lowered,
    lowered_attention,
    lowered_recurrence,
)
from mixerc.explain import STACKS, explain_mixer
from mixerc.ir.expr import Number
from mixerc.ir.mixer import Input, LayerLine, Mixer, Param, SizeDef, Stack, Value
from mixerc.plan.plan import Plan
from mixerc.plan.recurrence import RecurrencePlan
from mixerc.plan.sweep import SweepPlan
from mixerc.reference.interpret import run_core
from mixerc.reference.whole import ReferenceStack
from mixerc.request import Request, checked_sizes
from mixerc.runtime.bounds import check_inputs
from mixerc.runtime.cache import find, store
from mixerc.runtime.hardware import SHORTEST, gpu_target
from mixerc.runtime.load import load_module
from mixerc.runtime.mixer import CompiledMixer, CoreSignature, of_module


def _of_token(line: LayerLine) -> bool:
    """Whether a line gives a value for each token; a table over times is one for all of them."""
    table = isinstance(line, Input | Param) and bool(line.index)
    return bool(line.sort.times) and not table


@dataclass(frozen=True)
class Pipeline:
    """The stages of one request, and what a compiled mixer asks of its compiler."""

    request: Request

    @cached_property
    def spec(self) -> Mixer | Stack:
        """The checked spec, with the sizes that were given as its defaults."""
        checked = front(self.request.source)
        checked_sizes(self.request.sizes, tuple(size.name for size in checked.sizes))
        return replace(checked, sizes=tuple(self._sized(size) for size in checked.sizes))

    @property
    def mixer(self) -> Mixer:
        """The checked mixer."""
        assert isinstance(self.spec, Mixer), "stacks are compiled by `compiled`"
        return self.spec

    def _sized(self, size: SizeDef) -> SizeDef:
        """The size with the value that was given for it as its default."""
        if size.name not in self.request.sizes:
            return size
        return replace(size, default=Number(value=Fraction(self.request.sizes[size.name])))

    @cached_property
    def algebra(self) -> Algebra:
        """Its class."""
        return classify(self.mixer)

    @cached_property
    def layer_logarithms(self) -> frozenset[str]:
        """The decays that the layer passes as logarithms: those that it can write exactly."""
        decays = self.algebra.decays
        return frozenset(
            line.name
            for line in self.mixer.lines
            if isinstance(line, Value) and line.name in decays and logarithm(line.expr) is not None
        )

    def compiled(self) -> CompiledMixer | ReferenceStack:
        """The compiled mixer; its generated file is in the cache afterwards."""
        if isinstance(self.spec, Stack):
            return ReferenceStack(self.spec, STACKS)
        if not self.algebra.fast:
            return self._without_files()
        return of_module(load_module(self.layer_file()), self.request.sizes, self)

    def _without_files(self) -> CompiledMixer:
        """A mixer that only the reference runs."""
        mixer = self.mixer
        inputs = {line.name: line for line in mixer.lines if line.name in mixer.core.inputs}
        streams = tuple(name for name, line in inputs.items() if _of_token(line))
        streams = (("x",) if "x" in mixer.core.inputs else ()) + streams
        params = tuple(name for name in inputs if name not in streams)
        signature = CoreSignature(streams=streams, params=params, decays=())
        modes = {mode.name: "" if mode.legal else mode.reason for mode in self.algebra.modes}
        return CompiledMixer(mixer.name, self.request.sizes, signature, modes, self)

    def layer_file(self) -> Path:
        """The generated file that holds the layer."""
        key = self.request.key("layer")
        return find(key) or store(key, self._text(self.request.chunk, self.layer_logarithms))

    def emitted(self, chunk: int | None, logarithms: frozenset[str]) -> Path:
        """A generated file, from the cache or made now."""
        chunk = chunk or self.request.chunk
        key = self.request.core_key(chunk, logarithms)
        return find(key) or store(key, self._text(chunk, logarithms))

    def _text(self, chunk: int | None, logarithms: frozenset[str]) -> str:
        return self.lowered(chunk, logarithms)[1].text

    def on_gpu(self, chunk: int | None, logarithms: frozenset[str]) -> Path | None:
        """The file for tensors on a GPU, where this one is not for them."""
        target = gpu_target(self.request.target)
        if target is None or (chunk or self.request.chunk or SHORTEST) < SHORTEST:
            return None
        return Pipeline(replace(self.request, target=target)).emitted(chunk, logarithms)

    def lowered(
        self, chunk: int | None, logarithms: frozenset[str]
    ) -> tuple[Plan | SweepPlan | RecurrencePlan | None, GeneratedModule]:
        """The plan for a chunk length (by default the best one), and the file made from it."""
        linear, attention = self.algebra.linear, self.algebra.attention
        target, text = self.request.target, self.request.source.text
        if linear is None and chunk is not None:
            raise ValueError(f"there are no chunks to choose in {self.mixer.name}")
        if self.algebra.landmarks is not None:
            return None, emit_landmarks(self.mixer, self.algebra.landmarks, text)
        if attention is not None:
            return lowered_attention(target, self.mixer, attention, text, logarithms)
        if self.algebra.recurrence is not None:
            return lowered_recurrence(target, self.mixer, self.algebra.recurrence, text)
        assert linear is not None, "the mode was legal"
        return lowered(target, self.mixer, linear, text, chunk=chunk, logarithms=logarithms)

    def reference(
        self, inputs: Mapping[str, Any], state: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        """The equations in float64; logarithms of decays are exponentiated first."""
        given = {}
        for name, value in inputs.items():
            wide = torch.float64 if value.is_floating_point() else value.dtype
            if name not in self.mixer.core.inputs and name.startswith("log_"):
                given[name.removeprefix("log_")] = value.to(wide).exp()
            else:
                given[name] = value.to(wide)
        return run_core(self.mixer, given, self.request.sizes, state=state)

    def explain(self) -> str:
        """What `mixerc explain` prints."""
        return explain_mixer(self.mixer, self.algebra, self.request.sizes)

    def check_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Raises ValueError for a value outside its declared range, or a decay beyond 1."""
        check_inputs(self.mixer, self.algebra, inputs)
