"""How large the tiles of a sweep are, by hardware, width of a head and bytes of a number.

From what compilers say of the kernels of the shipped specs (tests/golden/resources): the largest
tiles that stay in registers and in shared memory. Nothing is tuned when a kernel runs.
"""

from collections.abc import Iterator

from mixerc.backends.triton.tiling import Hardware

Tiling = tuple[int, int, int, int]
"""Tokens of a program, tokens of a step of its walk, warps, steps loaded ahead."""

KINDS = ("forward", "rows", "keys", "token")


def tiling(hardware: Hardware, kind: str, width: int, size: int) -> Tiling:
    """The tiles of a kernel."""
    side = {64: 64, 128: 64, 256: 32}[width] // (1 if size == 2 else 2)
    return side, side, 4, 2


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
