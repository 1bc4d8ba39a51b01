"""What `mixerc verify` prints: one line a law, then what does not apply, then the verdict."""

from dataclasses import dataclass

from mixerc.verify.result import Result, Skipped

_HEADER = ("law", "cases", "worst", "bound", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Every law that was tried on a spec, every case by itself, and the laws that do not apply."""

    title: str
    results: tuple[Result, ...]
    skipped: tuple[Skipped, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every law held in every case."""
        return all(result.passed for result in self.results)

    @property
    def text(self) -> str:
        """The whole report as plain text."""
        parts = [self.title, "", *_table([_HEADER, *map(self._row, self._laws())])]
        failures = [result for result in self.results if not result.passed]
        if failures:
            parts += ["", *(_failure(result) for result in failures)]
        if self.skipped:
            parts += ["", *_reasons(self.skipped)]
        return "\n".join((*parts, "", self._verdict(failures)))

    def _laws(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(result.law for result in self.results))

    def _row(self, law: str) -> tuple[str, ...]:
        of_law = [result for result in self.results if result.law == law]
        worst = max(of_law, key=lambda result: (not result.passed, result.worst))
        found = f"{worst.worst:.1e}" if worst.bound else f"{worst.worst:.0f} failures"
        bound = f"{worst.bound:.1e}" if worst.bound else "none"
        return (law, str(len(of_law)), found, bound, "holds" if worst.passed else "FAILS")

    def _verdict(self, failures: list[Result]) -> str:
        laws, cases = len(self._laws()), len(self.results)
        counted = f"{laws} laws, {cases} cases, {self.seconds:.0f} s"
        return f"{counted}: {len(failures)} cases fail" if failures else f"{counted}: all hold"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """The rows with their columns aligned: names to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADER))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:4], widths[1:4], strict=True)]
        lines.append("  ".join((*cells, row[4])).rstrip())
    return lines


def _failure(result: Result) -> str:
    return f"{result.law} fails: {result.worst:.3g} > {result.bound:.3g}, {result.detail}"


def _reasons(skipped: tuple[Skipped, ...]) -> list[str]:
    """Laws with the same reason share a line."""
    together: dict[str, list[str]] = {}
    for skip in skipped:
        together.setdefault(skip.reason, []).append(skip.law)
    return [f"not applied: {', '.join(laws)}: {why}" for why, laws in together.items()]
