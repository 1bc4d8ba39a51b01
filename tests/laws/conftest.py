"""Laws are checked on poisoned memory, with a cache of generated files of their own."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _poison(poisoned_memory: None) -> None:
    """Every law starts from memory full of NaN."""


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Random specs leave no files in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXERC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
