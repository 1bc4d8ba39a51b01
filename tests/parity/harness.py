"""How other people's code is loaded and run: without a GPU's kernels, in float64."""

import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

P = ParamSpec("P")
R = TypeVar("R")
WIDER = {torch.float32: torch.float64, torch.complex64: torch.complex128}


def _widen(value: Any) -> Any:
    """float64 for float32, complex128 for complex64, anything else unchanged."""
    return WIDER.get(value, value) if isinstance(value, torch.dtype) else value


class Double(TorchFunctionMode):
    """Run code that says float32 in float64."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`, or its float64 counterpart."""
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        named = {name: _widen(value) for name, value in (kwargs or {}).items()}
        return func(*map(_widen, args), **named)


@contextmanager
def float64() -> Iterator[None]:
    """Make float64 the default dtype and the meaning of float32."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with Double():
            yield
    finally:
        torch.set_default_dtype(before)


def in_float64(function: Callable[P, R]) -> Callable[P, R]:
    """The function, run under `float64`."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with float64():
            return function(*args, **kwargs)

    return run


@contextmanager
def foreign() -> Iterator[None]:
    """Import other people's code: its warnings ignored, and no GPU kernels for it to bind.

    transformers takes the kernels of these packages where it can import them, on any device.
    """
    kernels = ("fla", "mamba_ssm", "causal_conv1d")
    before = {name: sys.modules[name] for name in kernels if name in sys.modules}
    sys.modules.update(dict.fromkeys(kernels))  # type: ignore[arg-type]
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for name in kernels:
            del sys.modules[name]
        sys.modules.update(before)


def fla(path: str) -> ModuleType:
    """One file of fla.ops by itself: importing the package would look for a GPU."""
    package = importlib.util.find_spec("fla")
    folders = package.submodule_search_locations if package else None
    if not folders:
        raise ModuleNotFoundError("fla-core is not installed: see tests/parity/requirements.txt")
    name = f"fla_ops_{path.replace('/', '_')}"
    spec = importlib.util.spec_from_file_location(name, Path(folders[0], "ops", f"{path}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def heads_first(*streams: Tensor) -> tuple[Tensor, ...]:
    """[B, T, H, ...] to [B, H, T, ...], or back."""
    return tuple(stream.transpose(1, 2) for stream in streams)


def relative_rms(got: Tensor, want: Tensor) -> float:
    """|got - want| over |want|, both as root mean squares."""
    got, want = got.detach(), want.detach()
    error = (got - want).abs().square().mean().sqrt()
    return float(error / want.abs().square().mean().sqrt().clamp_min(1e-300))
