"""Report files over 300 lines and functions over 25; fail over 400 and 40.

`python tests/sizes.py mixerc` reports on the package alone: generated text and tests may be long.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Size(NamedTuple):
    """A file or a function, its length in lines, and the length at which the build stops."""

    place: str
    lines: int
    usual: int
    stop: int


def file_sizes(path: Path) -> Iterator[Size]:
    """The size of a source file and of each function in it."""
    text = path.read_text(encoding="utf-8")
    yield Size(str(path), len(text.splitlines()), usual=300, stop=400)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Size(f"{path}:{node.lineno} {node.name}", lines, usual=25, stop=40)


def main(folders: list[str]) -> int:
    """Print what is long, longest first; 1 if anything is over its stop."""
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*.py"))
    sizes = [size for path in paths for size in file_sizes(path)]
    for size in sorted(sizes, key=lambda size: -size.lines / size.usual):
        if size.lines > size.usual:
            word = "TOO LONG" if size.lines > size.stop else "long"
            print(f"{word:8} {size.lines:4} lines  {size.place}")
    total = sum(size.lines for size in sizes if size.usual == 300)
    print(f"sizes: {len(paths)} files, {total} lines")
    return int(any(size.lines > size.stop for size in sizes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
