"""What the compiler makes: one self-contained file, as text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedModule:
    """The text of a generated file; `digest` names its content (64 hexadecimal digits).

    `fits` is whether each kernel's tiles are few enough for the registers of its hardware, by the
    target's own estimate.
    """

    mixer: str
    target: str
    text: str
    digest: str
    fits: bool = True
