"""Laws are checked on poisoned memory."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _poison(poisoned_memory: None) -> None:
    """Every law starts from memory full of NaN."""
