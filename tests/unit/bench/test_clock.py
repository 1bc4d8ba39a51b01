"""Runs take turns, warm-up rounds do not count, medians do: by a clock that is told the times."""

import torch

from mixerc.bench.calls import usable
from mixerc.bench.clock import WARMING, DeviceClock, HostClock, interleaved


class Scripted:
    """A clock that runs the run, and takes its time from it."""

    def seconds(self, run) -> float:
        return run()


def test_runs_take_turns_and_medians_count() -> None:
    order: list[str] = []
    times = {"a": iter([100.0, 100.0, 3.0, 1.0, 2.0]), "b": iter([50.0, 50.0, 9.0, 7.0, 8.0])}

    def taking(name: str):
        return lambda: order.append(name) or next(times[name])

    rounds: list[int] = []
    runs = {name: taking(name) for name in times}
    assert interleaved(runs, 3, rounds.append, Scripted()) == {"a": 2.0, "b": 8.0}
    assert order == ["a", "b"] * (3 + WARMING)
    assert rounds == list(range(3 + WARMING))


def test_the_clock_of_the_host_measures_the_call() -> None:
    assert HostClock().seconds(lambda: sum(range(1000))) > 0


def test_what_cannot_run_is_left_out_and_said() -> None:
    def cannot() -> None:
        raise MemoryError("too large\nsecond line")

    makers = {"good": lambda: lambda: 1.0, "bad": lambda: cannot, "unmade": cannot}
    said: list[str] = []
    assert list(usable(makers, Scripted(), said.append)) == ["good"]
    assert said == ["bad: MemoryError: too large", "unmade: MemoryError: too large"]


def test_the_clock_of_a_device_fills_its_caches_then_stands_around_the_run(monkeypatch) -> None:
    order: list[str] = []

    class Event:
        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            order.append("event")

        def synchronize(self) -> None:
            order.append("wait")

        def elapsed_time(self, other: "Event") -> float:
            return 250.0

    class Buffer:
        def zero_(self) -> None:
            order.append("fill")

    monkeypatch.setattr(torch, "empty", lambda *_, **__: Buffer())
    monkeypatch.setattr("torch.cuda.Event", Event)
    assert DeviceClock().seconds(lambda: order.append("run")) == 0.25
    assert order == ["fill", "event", "run", "event", "wait"]
