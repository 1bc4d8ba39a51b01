"""What every test can use: golden files, Hypothesis profiles, the gpu mark, poisoned memory."""

import os

# Before anything imports Triton: its kernels run in its interpreter, on any machine.
os.environ.setdefault("TRITON_INTERPRET", "1")

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

GOLDEN = Path(__file__).parent / "golden"

settings.register_profile(
    "local", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --update-golden, which writes the golden files instead of comparing with them."""
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden/ instead of comparing"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use golden files; skip those that need a GPU where there is none."""
    for item in items:
        if "golden" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.golden)
    needs_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if needs_gpu and not pytest.importorskip("torch").cuda.is_available():
        for item in needs_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with a file under tests/golden: `golden("gla/4-plan.txt", text)`."""
    update = request.config.getoption("--update-golden")

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists():
            pytest.fail(f"no golden file {name}: run `make golden`, then read it")
        else:
            assert text == path.read_text(encoding="utf-8"), f"{name} differs: see `make golden`"

    return compare


@pytest.fixture(scope="module")
def poisoned_memory() -> Iterator[None]:
    """Fill fresh memory with NaN, so that reading what nobody wrote shows in the result.

    torch does this itself in deterministic mode, for every allocation and under torch.compile
    too. Module scope, to stand beside Hypothesis, which runs a test's body many times.
    """
    torch = pytest.importorskip("torch")
    assert torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)
