"""Specs in, files out: read whole or refused in one line, written whole or not at all."""

import os
import tempfile
from pathlib import Path

from mixerc.cli.report import usage
from mixerc.source import Source, read_source


def source_of(spec: str) -> Source:
    """The spec's text; a file that cannot be read is a mistake of usage."""
    if not spec or "\n" in spec:
        usage("a spec is a file, or the name of a spec that mixerc ships")
    try:
        return read_source(spec)
    except FileNotFoundError:
        usage(f"there is no file and no shipped spec {spec!r}")
    except UnicodeDecodeError:
        usage(f"{spec} is not UTF-8 text")
    except OSError as error:
        usage(f"{spec} cannot be read: {error.strerror}")
    except ValueError as error:
        usage(f"{spec} cannot be read: {error}")


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file beside its place and moves it there: it is never seen half written."""
    try:
        place = path.resolve()
        if place.exists() and not place.is_file():
            usage(f"{path} is not a file")
        _replace(place, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        usage(f"{path} cannot be written: {error.strerror}")


def _replace(place: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name[:64]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, place.stat().st_mode & 0o777 if place.exists() else 0o644)
        os.replace(name, place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def folder_for(path: Path) -> None:
    """Makes a folder; one that cannot be made is a mistake of usage."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        usage(f"{path} cannot be a folder: {error.strerror}")
