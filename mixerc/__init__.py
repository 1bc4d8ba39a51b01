"""mixerc: sequence mixers, written as equations, compiled to PyTorch modules.

Names are imported on first use, so that `import mixerc` brings in neither torch, SymPy nor Lark.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "ModeError": "mixerc.runtime.mixer",
    "Pipeline": "mixerc.pipeline",
    "SpecError": "mixerc.diagnostics.diagnostic",
    "compile": "mixerc.api",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """Import the module that defines a public name, and return the name's value."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """The public names, whether or not they have been imported yet."""
    return sorted(__all__)
