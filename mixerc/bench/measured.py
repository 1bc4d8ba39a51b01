"""What the benchmark of a GPU measures, as data: its table is written from this alone."""

from collections.abc import Mapping
from dataclasses import dataclass

from mixerc.plan.floor import Floor, Rates

OURS, FLA, ATTENTION = "mixer", "fla", "attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One length: medians in seconds of what could run, and the floor of the plan."""

    tokens: int
    batch: int
    seconds: Mapping[str, float]
    floor: Floor


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """One token for each of `batch` sequences; `moved` bytes: states read and written, streams."""

    batch: int
    moved: float
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A whole run. `about` says what ran and on what; `notes` what could not run, and why.

    `difference` is the relative RMS between our output and fla's, where both ran.
    """

    about: tuple[str, ...]
    rates: Rates
    forward: tuple[Row, ...]
    both: tuple[Row, ...]
    decoding: Decoding
    difference: float | None
    notes: tuple[str, ...]

    @property
    def medians(self) -> dict[str, float]:
        """Every median in seconds: `mixer at 1024`, `fla at 1024 with backward`, `fla decode`."""
        found = {}
        for rows, end in ((self.forward, ""), (self.both, " with backward")):
            for row in rows:
                for name, seconds in row.seconds.items():
                    found[f"{name} at {row.tokens}{end}"] = seconds
        return found | {f"{name} decode": value for name, value in self.decoding.seconds.items()}
