"""How large the tiles of a sweep are, by hardware, width of a head and what a kernel has to hold.

From what compilers say of the kernels of the shipped specs (tests/golden/resources): the largest of
a few tiles that stay in registers and in shared memory. Nothing is tuned when a kernel runs.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from mixerc.algebra.masks.conditions import TRUE
from mixerc.backends.triton.tiling import Hardware
from mixerc.backends.triton.walks import Walk
from mixerc.plan import nodes as n
from mixerc.plan.sweep import Sweep

Tiling = tuple[int, int, int, int]
"""Tokens of a program, tokens of a step of its walk, warps, steps loaded ahead."""

WIDTHS = (64, 128, 256)

MEASURED: Mapping[tuple[str, str], Mapping[str, tuple[Tiling, Tiling, Tiling]]] = MappingProxyType(
    {
        ("sm_80", "plain"): {
            "forward": ((128, 64, 8, 2), (128, 64, 8, 2), (64, 32, 8, 2)),
            "rows": ((64, 64, 8, 2), (64, 64, 4, 2), (64, 64, 8, 2)),
            "keys": ((32, 64, 8, 2), (64, 32, 8, 2), (32, 32, 8, 1)),
            "token": ((16, 64, 4, 2), (16, 64, 4, 2), (16, 64, 4, 2)),
        },
        ("sm_80", "more"): {
            "forward": ((128, 64, 8, 2), (64, 32, 4, 2), (64, 32, 8, 2)),
            "rows": ((64, 32, 8, 2), (64, 64, 8, 2), (64, 32, 8, 2)),
            "keys": ((32, 64, 8, 2), (32, 32, 8, 2), (32, 32, 8, 1)),
            "token": ((16, 64, 4, 2), (16, 64, 4, 2), (16, 64, 4, 2)),
        },
        ("sm_80", "decay"): {
            "forward": ((64, 32, 4, 2), (64, 32, 4, 2), (64, 32, 8, 2)),
            "rows": ((64, 32, 8, 2), (32, 32, 8, 2), (32, 16, 8, 1)),
            "keys": ((32, 64, 8, 2), (32, 32, 8, 2), (16, 32, 8, 1)),
            "token": ((16, 64, 4, 2), (16, 64, 4, 2), (16, 64, 4, 2)),
        },
        ("sm_90", "plain"): {
            "forward": ((128, 64, 8, 2), (128, 64, 8, 2), (64, 32, 4, 2)),
            "rows": ((128, 64, 8, 2), (128, 64, 8, 2), (64, 32, 4, 2)),
            "keys": ((64, 64, 8, 2), (64, 32, 8, 2), (32, 32, 8, 2)),
            "token": ((16, 64, 4, 2), (16, 64, 4, 2), (16, 32, 4, 2)),
        },
        ("sm_90", "more"): {
            "forward": ((128, 64, 8, 2), (64, 32, 4, 2), (64, 32, 8, 2)),
            "rows": ((128, 64, 8, 2), (64, 64, 8, 2), (64, 32, 8, 2)),
            "keys": ((64, 32, 8, 2), (32, 32, 8, 2), (32, 32, 8, 2)),
            "token": ((16, 64, 4, 2), (16, 64, 4, 2), (16, 32, 4, 2)),
        },
        ("sm_90", "decay"): {
            "forward": ((128, 64, 8, 2), (64, 32, 4, 2), (64, 32, 8, 2)),
            "rows": ((64, 32, 8, 2), (64, 32, 8, 2), (32, 32, 8, 2)),
            "keys": ((32, 64, 8, 2), (32, 64, 8, 2), (32, 32, 8, 2)),
            "token": ((16, 64, 4, 2), (16, 64, 4, 2), (16, 32, 4, 2)),
        },
        ("sm_100", "plain"): {
            "forward": ((128, 64, 8, 2), (64, 64, 8, 2), (64, 32, 8, 2)),
            "rows": ((128, 64, 8, 2), (128, 64, 8, 2), (64, 64, 8, 2)),
            "keys": ((64, 32, 4, 2), (64, 32, 4, 2), (32, 32, 8, 2)),
            "token": ((16, 64, 4, 2), (16, 64, 4, 2), (16, 32, 4, 2)),
        },
        ("sm_100", "more"): {
            "forward": ((128, 64, 8, 2), (64, 32, 4, 2), (64, 32, 8, 2)),
            "rows": ((128, 64, 8, 2), (64, 64, 8, 2), (64, 32, 8, 2)),
            "keys": ((64, 32, 8, 2), (32, 32, 8, 2), (32, 32, 8, 2)),
            "token": ((16, 64, 4, 2), (16, 64, 4, 2), (16, 32, 4, 2)),
        },
        ("sm_100", "decay"): {
            "forward": ((128, 64, 8, 2), (64, 32, 4, 2), (64, 32, 8, 2)),
            "rows": ((64, 64, 8, 2), (64, 32, 8, 2), (32, 32, 8, 2)),
            "keys": ((64, 64, 8, 2), (32, 64, 8, 2), (32, 32, 8, 2)),
            "token": ((16, 64, 4, 2), (16, 64, 4, 2), (16, 32, 4, 2)),
        },
        ("gfx942", "plain"): {
            "forward": ((128, 64, 8, 2), (128, 64, 8, 2), (64, 32, 4, 2)),
            "rows": ((128, 64, 8, 2), (64, 64, 8, 2), (32, 32, 8, 2)),
            "keys": ((64, 32, 8, 2), (32, 32, 8, 2), (32, 16, 8, 1)),
            "token": ((16, 64, 4, 2), (16, 64, 4, 2), (16, 32, 4, 2)),
        },
        ("gfx942", "more"): {
            "forward": ((128, 64, 8, 2), (128, 64, 8, 2), (64, 32, 4, 2)),
            "rows": ((128, 64, 8, 2), (64, 64, 8, 2), (32, 32, 8, 2)),
            "keys": ((32, 32, 8, 2), (32, 16, 8, 1), (32, 16, 8, 1)),
            "token": ((16, 64, 4, 2), (16, 64, 4, 2), (16, 32, 4, 2)),
        },
        ("gfx942", "decay"): {
            "forward": ((128, 64, 8, 2), (128, 64, 8, 2), (64, 32, 4, 2)),
            "rows": ((64, 64, 8, 2), (32, 32, 8, 2), (32, 16, 8, 1)),
            "keys": ((64, 64, 8, 2), (32, 32, 8, 2), (16, 32, 8, 1)),
            "token": ((16, 64, 4, 2), (16, 64, 4, 2), (16, 32, 4, 2)),
        },
    }
)
"""By hardware and load (`plain`, `more`, `decay`), for each kind of kernel the tiles of
WIDTHS, for numbers of 16 bits. With decays, queries and keys have the same tiles."""


def load_of(sweep: Sweep, walk: Walk | None) -> str:
    """What the kernels of a sum hold beside scores and values: nothing where a mask is one band
    and the adjoint of the scores reads nothing that was made of pairs; else more."""
    if sweep.decay is not None:
        return "decay"
    if walk is None or walk.documents or len(walk.bands.bands) > 1 or _kept(sweep):
        return "more"
    return "plain" if walk.bands.bands[0].guard == TRUE else "more"


def _kept(sweep: Sweep) -> bool:
    """Whether the adjoint of the scores reads tiles that these were made of."""
    back = sweep.scores.backward
    made = [x for x in sweep.scores.function.nodes if {n.ROW, n.KEY_ROW} <= set(x.axes)]
    read = {arg for node in (back.nodes if back else ()) for arg in node.args}
    return any(isinstance(node, n.Map | n.Contract) and node in read for node in made)


WIDE: tuple[Tiling, Tiling, Tiling] = ((32, 32, 8, 1), (16, 16, 8, 1), (16, 16, 8, 1))
"""The same for numbers of 32 and 64 bits, in every kernel."""


def tiling(hardware: Hardware, load: str, kind: str, width: int, size: int) -> Tiling:
    """The tiles of a kernel."""
    tiles = MEASURED[hardware.name, load][kind] if size == 2 else WIDE
    return tiles[WIDTHS.index(width)]


def tiles_lines(hardware: Hardware, load: str) -> Iterator[str]:
    """The table of a sum in a generated file, by kind, width and bytes of a number."""
    for kind in MEASURED[hardware.name, load]:
        for width in WIDTHS:
            for size in (2, 4, 8):
                yield f'("{kind}", {width}, {size}): {tiling(hardware, load, kind, width, size)},'
