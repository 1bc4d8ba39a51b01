"""A compiled mixer: the function over the core's inputs, and the layer."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from mixerc.runtime.load import load_module


class ModeError(ValueError):
    """A mode that the mixer's algebra, or this version, does not give; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreSignature:
    """What the core takes: names of streams and of parameters, decays that may be logarithms."""

    streams: tuple[str, ...]
    params: tuple[str, ...]
    decays: tuple[str, ...]


class Backing(Protocol):
    """How a compiled mixer gets what it does not hold: made on first use, by the compiler."""

    def emitted(self, chunk: int | None, logarithms: frozenset[str]) -> Path:
        """A generated file for this chunk length, with these decays given as logarithms."""

    def layer_file(self) -> Path:
        """The generated file that holds the layer."""

    def on_gpu(self, chunk: int | None, logarithms: frozenset[str]) -> Path | None:
        """The file for tensors on a GPU, where the others are not for them."""

    def reference(
        self, inputs: Mapping[str, Any], state: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        """The equations themselves."""

    def explain(self) -> str:
        """What `mixerc explain` prints."""

    def check_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Raises ValueError for a value outside its range."""


class CompiledMixer:
    """`o, state = mixer(q=q, k=k, v=v, …)` with streams [B, T, H, axes…].

    The inputs are the names that the core reads; a decay `a` may come as its logarithm `log_a`.
    `mode` is "parallel" (chunks), "recurrent" (token by token, the same function), "newton" (a
    recurrence that no scan solves, over all tokens at once; `state.newton` says in how many steps)
    or "reference" (float64, slow, the meaning). `state` is what an earlier call returned.
    """

    def __init__(
        self,
        name: str,
        sizes: Mapping[str, float],
        signature: CoreSignature,
        modes: Mapping[str, str],
        backing: Backing,
    ) -> None:
        self.name = name
        self.sizes = dict(sizes)
        self.signature = signature
        self._modes = dict(modes)
        self._backing = backing

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the inputs that change from token to token."""
        return self.signature.streams

    @property
    def params(self) -> tuple[str, ...]:
        """Names of the inputs that do not: parameters, and tables over the times."""
        return self.signature.params

    @property
    def modes(self) -> dict[str, str]:
        """Every mode: "legal", or why it does not exist."""
        return {name: reason or "legal" for name, reason in self._modes.items()}

    @property
    def _fastest(self) -> str:
        """The mode for whole sequences: an algebra may only go from token to token."""
        return (
            "recurrent" if self._modes["parallel"] and not self._modes["recurrent"] else "parallel"
        )

    def explain(self) -> str:
        """The class, the modes and why, what is kept, what it costs."""
        return self._backing.explain()

    @cached_property
    def module(self) -> ModuleType:
        """The generated module that holds the layer."""
        self._require(self._fastest)
        module = load_module(self._backing.layer_file())
        taken = inspect.signature(module.mix).parameters
        logarithms = frozenset(d for d in module.DECAYS if f"log_{d}" in taken)
        return self._served(module, None, logarithms)

    @property
    def source(self) -> str:
        """The text of the generated file."""
        return Path(str(self.module.__file__)).read_text(encoding="utf-8")

    @property
    def Layer(self) -> Any:
        """The nn.Module: `Layer(d_model=512, heads=8)`."""
        layer = getattr(self.module, "Layer", None)
        if layer is None:
            raise ModeError(f"{self.name} has no layer: its spec has no `y`")
        return layer

    def __call__(
        self,
        *,
        state: Mapping[str, Any] | None = None,
        mode: str | None = None,
        chunk: int | None = None,
        cu_seqlens: Any = None,
        in_place: bool = False,
        check: bool = False,
        **inputs: Any,
    ) -> tuple[Any, Any]:
        """Output [B, T, H, axes…] and the state after the last token.

        Without a `mode`, parallel where there is that mode, else recurrent.
        With `in_place`, in recurrent mode and without gradients, the state given is moved on in
        its own memory, and returned. Raises ValueError where it cannot be.
        """
        mode = mode or self._fastest
        self._require(mode)
        logarithms = self._logarithms(inputs)
        if check:
            self._backing.check_inputs(inputs)
        if mode == "reference":
            if in_place:
                raise ModeError("the reference changes nothing in place")
            return self._reference(inputs, state, cu_seqlens)
        module = load_module(self._backing.emitted(chunk, logarithms))
        self._served(module, chunk, logarithms)
        result: tuple[Any, Any] = module.mix(
            **inputs, state=state, mode=mode, cu_seqlens=cu_seqlens, in_place=in_place
        )
        return result

    def _served(
        self, module: ModuleType, chunk: int | None, logarithms: frozenset[str]
    ) -> ModuleType:
        """The module, which hands tensors on a GPU to another where there is one for them."""
        if getattr(module, "ELSEWHERE", None) == {}:
            file = self._backing.on_gpu(chunk, logarithms)
            if file is not None:
                module.ELSEWHERE["cuda"] = load_module(file).mix
        return module

    def _reference(
        self, inputs: Mapping[str, Any], state: Mapping[str, Any] | None, cu_seqlens: Any
    ) -> tuple[Any, Any]:
        if cu_seqlens is not None:
            raise ModeError("the reference runs one sequence after another: split them first")
        return self._backing.reference(inputs, state)

    def _require(self, mode: str) -> None:
        if mode not in self._modes:
            known = ", ".join(self._modes)
            raise ModeError(f"{self.name} has no mode {mode!r}; there are {known}")
        reason = self._modes[mode]
        if reason:
            raise ModeError(f"{self.name} has no {mode} mode: {reason}")

    def _logarithms(self, inputs: Mapping[str, Any]) -> frozenset[str]:
        """Which decays come as logarithms; complains of inputs that are missing or unknown."""
        wanted = (*self.streams, *self.params)
        logarithms = frozenset(d for d in self.signature.decays if f"log_{d}" in inputs)
        names = {f"log_{name}" if name in logarithms else name for name in wanted}
        for name in inputs:
            if name not in names:
                raise TypeError(f"{self.name} takes {', '.join(wanted)}; not {name!r}")
        missing = [name for name in wanted if name not in inputs and name not in logarithms]
        if missing:
            raise TypeError(f"{self.name} also needs {', '.join(missing)}")
        return logarithms

    def __repr__(self) -> str:
        return f"<mixer {self.name}({', '.join(self.streams + self.params)})>"


NEWTON = "newton"
MODE_NAMES = ("parallel", NEWTON, "recurrent", "reference")
"""All modes; Newton's method is spoken of only where no scan solves a recurrence."""


def of_module(module: ModuleType, sizes: Mapping[str, float], backing: Backing) -> CompiledMixer:
    """The compiled mixer of a generated file, which tells what it takes."""
    signature = CoreSignature(streams=module.STREAMS, params=module.PARAMS, decays=module.DECAYS)
    without = getattr(module, "WITHOUT", {})
    told = {*getattr(module, "MODES", ()), *without}
    modes = {name: without.get(name, "") for name in MODE_NAMES if name != NEWTON or name in told}
    return CompiledMixer(module.NAME, sizes, signature, modes, backing)
