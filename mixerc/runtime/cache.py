"""Generated files on disk, found again by what they were made from.

An entry is one file named by a key; its last line holds the digest of what stands above it, so a
torn or edited entry is seen and made again. Entries are written beside their place and moved
there, so that two processes at once both end with a whole file.
"""

import hashlib
import os
import tempfile
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import platformdirs

from mixerc import resources

_SEAL = "# sha256 "


def cache_folder() -> Path:
    """Where entries are kept: MIXERC_CACHE, or the user's cache folder."""
    given = os.environ.get("MIXERC_CACHE")
    return Path(given) if given else Path(platformdirs.user_cache_dir("mixerc"))


def key_of(*parts: str) -> str:
    """The key of an entry made by this compiler from these texts."""
    digest = hashlib.sha256(_compiler_digest().encode())
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()[:32]


def find(key: str) -> Path | None:
    """The entry's file, if there is one and it is whole."""
    path = cache_folder() / f"m_{key}.py"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    body, _, seal = text.rpartition(_SEAL)
    return path if body and seal.strip() == _digest(body) else None


def store(key: str, text: str) -> Path:
    """Writes an entry whole, or not at all."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"m_{key}.py"
    body = text if text.endswith("\n") else f"{text}\n"
    handle, name = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f"{body}{_SEAL}{_digest(body)}\n")
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=1)
def _compiler_digest() -> str:
    """A digest of the compiler itself: another version of any file makes other entries."""
    digest = hashlib.sha256()
    roots = (files("mixerc"), resources.folder("templates"), resources.folder("grammar"))
    for root in roots:
        for path in sorted(_texts(root), key=str):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _texts(root: Traversable) -> list[Traversable]:
    found: list[Traversable] = []
    for item in root.iterdir():
        if item.is_dir():
            found += _texts(item) if item.name not in ("__pycache__", "_data") else []
        elif item.name.endswith((".py", ".j2", ".lark", ".toml")):
            found.append(item)
    return found
