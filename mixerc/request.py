"""What was asked for: a spec, sizes, a chunk length; and the cache keys that follow from these."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from mixerc.runtime.cache import key_of
from mixerc.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A spec with the header sizes given for it, a chunk length if one was chosen, a target."""

    source: Source
    chunk: int | None
    sizes: Mapping[str, float]
    target: str = "torch"

    def key(self, *variant: str) -> str:
        """The cache key of a generated file."""
        sizes = repr(sorted(self.sizes.items()))
        return key_of(self.target, self.source.text, *variant, str(self.chunk), sizes)

    def core_key(self, chunk: int | None, logarithms: frozenset[str]) -> str:
        """The key of a file for this chunk length, with these decays given as logarithms."""
        return self.key("core", str(chunk), *sorted(logarithms))


def checked_sizes(sizes: Mapping[str, float], known: tuple[str, ...]) -> None:
    """Raises TypeError for a size that the spec's header does not have."""
    for name in sizes:
        if name not in known:
            lowered = {one.lower(): one for one in known}
            near = difflib.get_close_matches(name.lower(), lowered, 1)
            hint = f"; did you mean {lowered[near[0]]}?" if near else ""
            listed = ", ".join(known) or "none"
            raise TypeError(f"the spec has the sizes {listed}, and no {name!r}{hint}")
