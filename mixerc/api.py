"""`mixerc.compile`: from a spec to a compiled mixer, through the cache."""

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from mixerc.algebra.classify import Algebra, classify
from mixerc.algebra.linear import decay_names
from mixerc.algebra.logarithm import logarithm
from mixerc.backends.torch.emit import emit
from mixerc.compiler import Source, front, plan, read_source
from mixerc.explain import explain_mixer
from mixerc.ir.expr import Number
from mixerc.ir.mixer import Mixer, SizeDef, Stack, Value
from mixerc.runtime.bounds import check_inputs
from mixerc.runtime.cache import find, key_of, store
from mixerc.runtime.load import load_module
from mixerc.runtime.mixer import CompiledMixer, CoreSignature

TARGETS = ("auto", "torch")


def compile(
    spec: str | Path,
    *,
    target: str = "auto",
    chunk: int | None = None,
    **sizes: float,
) -> CompiledMixer:
    """A mixer from a spec's file, its text, or the name of a spec that mixerc ships.

    `sizes` are header sizes by name. `chunk`, a power of two, is the number of tokens that the
    parallel mode works on at once. Raises SpecError for a spec with mistakes.
    """
    if target not in TARGETS:
        raise ValueError(f"there is no target {target!r}; there are {', '.join(TARGETS)}")
    if chunk is not None and (chunk < 2 or chunk & (chunk - 1)):
        raise ValueError(f"a chunk is a power of two of at least 2 tokens, not {chunk}")
    return Pipeline(source=read_source(spec), chunk=chunk, sizes=dict(sizes)).compiled()


@dataclass(frozen=True)
class Pipeline:
    """One spec on its way through the compiler; each stage is computed when first asked for."""

    source: Source
    chunk: int | None
    sizes: Mapping[str, float]

    @cached_property
    def mixer(self) -> Mixer:
        """The checked mixer."""
        checked = front(self.source)
        if isinstance(checked, Stack):
            raise ValueError(
                f"{checked.name} is a stack: this version runs stacks in the reference alone"
            )
        self._check_sizes(tuple(size.name for size in checked.sizes))
        return replace(checked, sizes=tuple(self._sized(size) for size in checked.sizes))

    def _sized(self, size: SizeDef) -> SizeDef:
        """The size with the value that was given for it as its default."""
        if size.name not in self.sizes:
            return size
        return replace(size, default=Number(value=Fraction(self.sizes[size.name])))

    @cached_property
    def algebra(self) -> Algebra:
        """Its class."""
        return classify(self.mixer)

    @cached_property
    def layer_logarithms(self) -> frozenset[str]:
        """The decays that the layer passes as logarithms: those that it can write exactly."""
        if self.algebra.linear is None:
            return frozenset()
        decays = decay_names(self.algebra.linear)
        return frozenset(
            line.name
            for line in self.mixer.lines
            if isinstance(line, Value) and line.name in decays and logarithm(line.expr) is not None
        )

    def compiled(self) -> CompiledMixer:
        """The compiled mixer; with the file in the cache the spec is not even parsed."""
        path = find(self._key("layer"))
        if path is None and self.algebra.linear is None:
            return self._without_files()
        module = load_module(path or self.layer_file())
        signature = CoreSignature(
            streams=module.STREAMS, params=module.PARAMS, decays=module.DECAYS
        )
        modes = dict.fromkeys(("parallel", "recurrent", "reference"), "")
        return CompiledMixer(module.NAME, self.sizes, signature, modes, self)

    def _without_files(self) -> CompiledMixer:
        """A mixer that only the reference runs."""
        mixer = self.mixer
        inputs = {line.name: line for line in mixer.lines if line.name in mixer.core.inputs}
        streams = tuple(name for name, line in inputs.items() if line.sort.times)
        streams = (("x",) if "x" in mixer.core.inputs else ()) + streams
        params = tuple(name for name in inputs if name not in streams)
        signature = CoreSignature(streams=streams, params=params, decays=())
        modes = {mode.name: "" if mode.legal else mode.reason for mode in self.algebra.modes}
        return CompiledMixer(mixer.name, self.sizes, signature, modes, self)

    def _key(self, *variant: str) -> str:
        sizes = sorted(self.sizes.items())
        return key_of("torch", self.source.text, *variant, str(self.chunk), repr(sizes))

    def layer_file(self) -> Path:
        """The generated file that holds the layer."""
        key = self._key("layer")
        return find(key) or store(key, self._text(self.chunk, self.layer_logarithms))

    def emitted(self, chunk: int | None, logarithms: frozenset[str]) -> Path:
        """A generated file, from the cache or made now."""
        chunk = chunk or self.chunk
        key = self._key("core", str(chunk), *sorted(logarithms))
        return find(key) or store(key, self._text(chunk, logarithms))

    def _text(self, chunk: int | None, logarithms: frozenset[str]) -> str:
        linear = self.algebra.linear
        assert linear is not None, "the mode was legal"
        made = plan(linear, chunk=chunk, logarithms=logarithms)
        return emit(self.mixer, linear, made, self.source.text).text

    def reference(
        self, inputs: Mapping[str, Any], state: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        """The equations in float64; logarithms of decays are exponentiated first."""
        torch, interpret = map(importlib.import_module, ("torch", "mixerc.reference.interpret"))
        given = {}
        for name, value in inputs.items():
            wide = torch.float64 if value.is_floating_point() else value.dtype
            if name not in self.mixer.core.inputs and name.startswith("log_"):
                given[name.removeprefix("log_")] = value.to(wide).exp()
            else:
                given[name] = value.to(wide)
        result: tuple[Any, Any] = interpret.run_core(self.mixer, given, self.sizes, state=state)
        return result

    def explain(self) -> str:
        """What `mixerc explain` prints."""
        return explain_mixer(self.mixer, self.algebra, self.sizes)

    def check_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Raises ValueError for a value outside its declared range, or a decay beyond 1."""
        check_inputs(self.mixer, self.algebra, inputs)

    def _check_sizes(self, known: tuple[str, ...]) -> None:
        for name in self.sizes:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                sizes = ", ".join(known) or "none"
                raise TypeError(f"the spec has the sizes {sizes}, and no {name!r}{hint}")
