"""How large the tiles of a sweep are, by hardware, width of a head and bytes of a number.

From what compilers say of the kernels of the shipped specs (tests/golden/resources): the largest
tiles that stay in registers and in shared memory. Nothing is tuned when a kernel runs.
"""

from collections.abc import Iterator

from mixerc.backends.triton.tiling import Hardware

Tiling = tuple[int, int, int, int]
"""Tokens of a program, tokens of a step of its walk, warps, steps loaded ahead."""

KINDS = ("forward", "rows", "keys", "token")
STAGES = 2
SIDES = {
    ("forward", 64): (64, 64, 4),
    ("forward", 128): (64, 64, 8),
    ("forward", 256): (64, 32, 8),
    ("rows", 64): (64, 32, 8),
    ("rows", 128): (64, 32, 8),
    ("rows", 256): (32, 32, 8),
    ("keys", 64): (32, 32, 4),
    ("keys", 128): (32, 32, 8),
    ("keys", 256): (32, 16, 8),
    ("token", 64): (16, 64, 4),
    ("token", 128): (16, 64, 4),
    ("token", 256): (16, 32, 4),
}
"""Tokens of a program and of a step for numbers of two bytes, and warps."""


def tiling(hardware: Hardware, kind: str, width: int, size: int) -> Tiling:
    """The tiles of a kernel."""
    narrower = {2: 1, 4: 2, 8: 4}[size]
    here, there, warps = SIDES[kind, width]
    return max(here // narrower, 16), max(there // narrower, 16), warps, STAGES


def tiles_lines(hardware: Hardware) -> Iterator[str]:
    """The table in a generated file."""
    registers = {"maxnreg": hardware.registers} if hardware.registers else {}
    yield f"REGISTERS = {registers}".replace("'", '"')
    yield "TILES = {"
    for kind in KINDS:
        for width in (64, 128, 256):
            for size in (2, 4, 8):
                found = tiling(hardware, kind, width, size)
                yield f'    ("{kind}", {width}, {size}): {found},'
    yield "}"
