"""Generated files as modules: imported from disk, once each, under a name of their own."""

import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType

_LOCK = threading.RLock()


def load_module(path: Path) -> ModuleType:
    """The module of a generated file; the same file gives the same module."""
    name = f"mixerc_generated_{path.stem}"
    with _LOCK:
        known = sys.modules.get(name)
        if known is not None:
            return known
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module
