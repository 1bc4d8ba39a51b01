"""Masks as files of pictures, SVG or PNG. Needs matplotlib, the extra `pictures`."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

FORMATS = ("svg", "png")
COLOURS = ("#f4f4f4", "#8ab4d8", "#1f4e79", "#e8a33d")
KINDS = ("no pair", "some pairs", "all pairs", "hangs on values")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel:
    """One mask: the classes of its tiles (empty, partial, full, open: 0 to 3) and the length."""

    title: str
    length: int
    classes: NDArray[np.uint8]


def draw(panels: Sequence[Panel], form: str) -> bytes:
    """The masks side by side, queries downwards and keys to the right."""
    with matplotlib.rc_context({"svg.hashsalt": "mixerc", "svg.fonttype": "none"}):
        figure = Figure(figsize=(4.5 * len(panels), 5.0), layout="constrained")
        for place, panel in enumerate(panels, start=1):
            axes = figure.add_subplot(1, len(panels), place)
            axes.imshow(
                panel.classes,
                cmap=ListedColormap(COLOURS),
                vmin=0,
                vmax=len(COLOURS) - 1,
                interpolation="nearest",
                extent=(0, panel.length, panel.length, 0),
            )
            axes.set_title(panel.title)
            axes.set_xlabel("key s")
            axes.set_ylabel("query t")
        found = sorted({int(kind) for panel in panels for kind in np.unique(panel.classes)})
        keys = [Patch(facecolor=COLOURS[kind], label=KINDS[kind]) for kind in found]
        figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False)
        buffer = BytesIO()
        metadata = {"Date": None} if form == "svg" else None
        figure.savefig(buffer, format=form, metadata=metadata)
    return buffer.getvalue()
