"""Runs take turns, warm-up rounds do not count, medians do: by a clock that is told the times."""

from mixerc.bench.calls import usable
from mixerc.bench.clock import WARMING, HostClock, interleaved


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
