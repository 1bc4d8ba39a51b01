"""A spec's text and where it comes from."""

from dataclasses import dataclass
from pathlib import Path

from mixerc import resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A spec's text, the name to show for it, and the folder where its neighbours stand."""

    text: str
    file: str
    folder: Path | None


def read_source(spec: str | Path) -> Source:
    """A spec from a file, or from text if it has more than one line."""
    if isinstance(spec, str) and "\n" in spec:
        return Source(text=spec, file="<text>", folder=None)
    path = Path(spec)
    if not path.exists() and path.suffix in ("", ".mix") and path.name == str(path):
        return shipped(path.stem)
    return Source(text=path.read_text(encoding="utf-8"), file=str(spec), folder=path.parent)


def shipped(name: str) -> Source:
    """A spec that comes with the compiler, by its name."""
    text = resources.read("specs", f"{name}.mix")
    return Source(text=text, file=f"{name}.mix", folder=None)
