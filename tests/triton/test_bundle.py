"""A bundle's launches, against a driver that writes down what it is told."""

import ctypes
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import mixerc
from mixerc.pipeline import Pipeline
from mixerc.request import Request
from mixerc.runtime.load import load_module
from mixerc.source import read_source


class Driver:
    """Stands for the calls of a GPU's driver."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.loaded: list[str] = []
        self.launched: list[tuple[list[int], list[int]]] = []

    def calls(self) -> tuple[Callable[..., int], ...]:
        return self.load, self.get, lambda *rest: 0, self.launch

    def load(self, module: Any, image: bytes) -> int:
        return self.code

    def get(self, function: Any, module: Any, name: bytes) -> int:
        self.loaded.append(name.decode())
        return 0

    def launch(self, function: Any, *rest: Any) -> int:
        *sizes, _, pointers, _ = rest
        values = [ctypes.cast(p, ctypes.POINTER(ctypes.c_uint32))[0] for p in pointers]
        self.launched.append(([size.value for size in sizes], values))
        return 0


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, Driver]:
    """The file of a bundle for gla, with a record of every launch of a small call."""
    request = Request(source=read_source("gla"), chunk=None, sizes={}, target="bundle:sm_90")
    module = load_module(Pipeline(request).layer_file())
    driver = Driver()
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(module, "driver", driver.calls)
    module.binaries.cache_clear()
    module.loaded.cache_clear()
    return module, driver


def inputs() -> dict[str, torch.Tensor]:
    names = {"q": "q", "k": "k", "v": "v", "log_a": "log_a"}
    return {name: torch.zeros(1, 5, 2, 16, dtype=torch.bfloat16) for name in names}


def recorded(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The launches of one call."""
    found: list[tuple[Any, ...]] = []
    with monkeypatch.context() as patch:
        patch.setattr(module, "start", lambda *launch: found.append(launch))
        module.mix(**inputs(), mode="parallel")
    return found


def write(module: ModuleType, launches: list[tuple[Any, ...]], folder: Path) -> None:
    record = []
    for kernel, _, _, arguments, dtype in launches:
        passed = [
            n for n, x in arguments.items() if isinstance(x, torch.Tensor) or module.passed(n)
        ]
        asked = module.asked(kernel, arguments, dtype)
        one = {"asked": asked, "name": kernel.__name__, "file": "one.cubin", "target": "sm_90"}
        record.append({**one, "passed": passed, "threads": 256, "shared": 1 << 16})
    (folder / "one.cubin").write_bytes(b"binary")
    (folder / "kernels.json").write_text(json.dumps(record))


def test_what_is_passed(
    bundle: tuple[ModuleType, Driver], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, driver = bundle
    launches = recorded(module, monkeypatch)
    write(module, launches, tmp_path)
    kernel, programs, _, arguments, dtype = launches[0]
    function, one = module.loaded(module.asked(kernel, arguments, dtype), 0)
    module.launch(function, one, programs, 7, [arguments[name] for name in one["passed"]])
    sizes, values = driver.launched[0]
    assert driver.loaded == [kernel.__name__]
    assert sizes == [programs, 1, 1, 256, 1, 1, 1 << 16]
    wanted = [arguments[name] for name in one["passed"]]
    low = [x.data_ptr() & 0xFFFFFFFF if isinstance(x, torch.Tensor) else x for x in wanted]
    assert values == [*low, 0, 0]


def test_heads_and_tokens_are_in_no_binary(
    bundle: tuple[ModuleType, Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _ = bundle
    kernel, _, _, arguments, dtype = recorded(module, monkeypatch)[0]
    asked = module.asked(kernel, arguments, dtype)
    others = {**arguments, "HEADS": 64, "length": 4096, "k_heads": 1}
    assert module.asked(kernel, others, dtype) == asked
    assert module.asked(kernel, {**arguments, "K": 32}, dtype) != asked
    assert module.asked(kernel, arguments, torch.float16) != asked


def test_what_there_is_no_binary_for(
    bundle: tuple[ModuleType, Driver], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _ = bundle
    write(module, recorded(module, monkeypatch), tmp_path)
    with pytest.raises(RuntimeError, match=r"there is no binary for\n  other\nbut for\n  forward"):
        module.loaded("other", 0)


def test_an_error_of_the_driver(
    bundle: tuple[ModuleType, Driver], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, driver = bundle
    driver.code = 209
    launches = recorded(module, monkeypatch)
    write(module, launches, tmp_path)
    kernel, _, _, arguments, dtype = launches[0]
    with pytest.raises(RuntimeError, match=r"one\.cubin, made for sm_90: the driver's error 209"):
        module.loaded(module.asked(kernel, arguments, dtype), 0)


def test_a_bundle_does_not_run_on_a_cpu(bundle: tuple[ModuleType, Driver]) -> None:
    with pytest.raises(RuntimeError, match="the tensors are on a CPU"):
        bundle[0].mix(**inputs(), mode="parallel")


def test_the_layer_of_a_bundle_is_that_of_the_mixer(bundle: tuple[ModuleType, Driver]) -> None:
    ours = bundle[0].Layer(d_model=16, heads=2).state_dict()
    assert ours.keys() == mixerc.compile("gla").Layer(d_model=16, heads=2).state_dict().keys()
