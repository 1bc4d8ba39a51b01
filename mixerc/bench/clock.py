"""How long a run takes: the clock of a CPU, the clock of a GPU, and runs in turn by either.

Times on a shared machine drift by half: runs that are compared take turns, and medians count.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import torch

Run: TypeAlias = Callable[[], Any]

WARMING = 2
"""Rounds that are not counted: the allocator, the threads and the tuners settle in them."""

FLUSHED = 512 * 2**20
"""Bytes written before each run on a GPU: more than any of its caches hold."""


class Clock(Protocol):
    """Measures one run."""

    def seconds(self, run: Run) -> float:
        """Runs it, and says how long it took."""


class HostClock:
    """The clock of the machine, for work that is done when its call returns."""

    def seconds(self, run: Run) -> float:
        """The time of the call."""
        start = time.perf_counter()
        run()
        return time.perf_counter() - start


class DeviceClock:
    """The clock of a GPU: two events on its stream, CUDA's or HIP's, its caches cold.

    The write that empties the caches also keeps the GPU busy while the host queues the run, so
    that launching counts only where it takes longer than that.
    """

    def __init__(self) -> None:
        self._flushed = torch.empty(FLUSHED, dtype=torch.uint8, device="cuda")

    def seconds(self, run: Run) -> float:
        """The time between the events around the run."""
        start: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._flushed.zero_()
        start.record()
        run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3


def interleaved(
    runs: Mapping[str, Run], repeats: int, told: Callable[[int], None], clock: Clock
) -> dict[str, float]:
    """The median of each run in seconds, all of them in turn, after rounds that warm up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(repeats + WARMING):
        told(i)
        for name, run in runs.items():
            seconds = clock.seconds(run)
            if i >= WARMING:
                times[name].append(seconds)
    return {name: statistics.median(found) for name, found in times.items()}
