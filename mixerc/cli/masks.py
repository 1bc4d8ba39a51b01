"""`explain --mask`: the masks of a mixer in the terminal, or as a picture in a file."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import typer

from mixerc.algebra.masks.drawing import drawn_tables, length_shown, picture, text_picture
from mixerc.algebra.masks.of_mixer import Mask, masks_of
from mixerc.algebra.masks.translate import MaskError
from mixerc.cli.app import later
from mixerc.cli.files import write_whole
from mixerc.cli.report import refuse, usage
from mixerc.explain import numeric_sizes
from mixerc.ir.mixer import Mixer

FORMATS = ("svg", "png")
PIXELS = 512
MOST_SHOWN = 4


def show_masks(mixer: Mixer, given: Mapping[str, float], file: Path | None) -> None:
    """Draws the masks: of heads that differ, the first few."""
    if not mixer.core.branches:
        refuse(f"{mixer.name} is a recurrence, which has no mask")
    sizes = numeric_sizes(mixer, given)
    try:
        masks = _different(masks_of(mixer, sizes))
        if file is None:
            _print(mixer, masks, sizes, given)
        else:
            _write(mixer, masks, sizes, given, file)
    except MaskError as error:
        refuse(f"the mask of {mixer.name} has no value: {error}")


def _different(masks: tuple[Mask, ...]) -> list[Mask]:
    first = {(mask.branch, mask.condition): mask for mask in reversed(masks)}
    return [mask for mask in masks if mask in first.values()][:MOST_SHOWN]


def _title(mixer: Mixer, mask: Mask) -> str:
    branch = f", {mask.branch}" if len(mixer.core.branches) > 1 else ""
    return f"{mixer.name}{branch}" + ("" if mask.head is None else f", head {mask.head}")


def _length(mask: Mask, given: Mapping[str, float]) -> int:
    return int(given.get("length", length_shown(mask.condition)))


def _print(
    mixer: Mixer,
    masks: list[Mask],
    sizes: Mapping[str, float | Fraction],
    given: Mapping[str, float],
) -> None:
    for mask in masks:
        length = _length(mask, given)
        values = drawn_tables(mixer, mask, sizes, length)
        typer.echo(_title(mixer, mask))
        typer.echo("\n".join(text_picture(mask.condition, length, values)))


def _write(
    mixer: Mixer,
    masks: list[Mask],
    sizes: Mapping[str, float | Fraction],
    given: Mapping[str, float],
    file: Path,
) -> None:
    form = file.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        usage(f"a picture is a file .svg or .png, not {str(file)!r}")
    try:
        draw, panel = later("draw"), later("Panel")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise
        usage("a picture needs matplotlib: pip install 'mixerc[pictures]'")
    panels = []
    for mask in masks:
        length = _length(mask, given)
        values = drawn_tables(mixer, mask, sizes, length)
        classes = picture(mask.condition, length, PIXELS, values)
        panels.append(panel(title=_title(mixer, mask), length=length, classes=classes))
    write_whole(file, draw(panels, form))
    typer.echo(f"{file}: {mixer.name}")
