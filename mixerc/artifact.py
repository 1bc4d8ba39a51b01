"""What the compiler makes: one self-contained file, as text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedModule:
    """The text of a generated file; `digest` names its content (64 hexadecimal digits)."""

    mixer: str
    target: str
    text: str
    digest: str
