"""What is wrong with a spec, as data; `render` turns it into text."""

from dataclasses import dataclass

from mixerc.diagnostics.span import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """Another place that has to do with the mistake, and what it is."""

    span: Span
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One mistake: what is wrong (`message`), where (`span`, with a short `label` under it),
    why (`notes`), and what to write instead (`helps`). `slug` names the kind of mistake.

    A diagnostic of the severity `note` is of a spec that may be meant so, and stops nothing.
    """

    slug: str
    message: str
    span: Span
    label: str = ""
    related: tuple[Related, ...] = ()
    notes: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()
    severity: str = "error"


class SpecError(Exception):
    """A stage found mistakes in a spec; it carries all of them, in the order of the text."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__("; ".join(f"{d.slug}: {d.message}" for d in diagnostics))
        self.diagnostics = diagnostics
