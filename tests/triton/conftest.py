"""Kernels are tried on poisoned memory, with a cache of generated files of their own."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _poison(poisoned_memory: None) -> None:
    """What a kernel does not write is NaN."""


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXERC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
