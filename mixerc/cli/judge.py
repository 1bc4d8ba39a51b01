"""`check` and `explain`: what is known of a spec without running it. Neither needs torch."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from mixerc.algebra.classify import classify
from mixerc.algebra.masks.mistakes import mask_notes
from mixerc.cli.app import Sizes, Spec, Specs, app
from mixerc.cli.files import source_of
from mixerc.cli.masks import show_masks
from mixerc.cli.report import reading, refuse, show, usage
from mixerc.cli.sizes import fitting, numbers
from mixerc.compiler import front
from mixerc.explain import EXAMPLE, explain_mixer, explain_stack
from mixerc.frontend.growth import growing
from mixerc.ir.mixer import Stack
from mixerc.source import Source


def of_each(specs: Iterable[str], work: Callable[[str, Source], bool]) -> None:
    """Does the work for every spec, a bad one or not; exit code 1 if any is bad or fails."""
    failed = False
    for spec, source in [(spec, source_of(spec)) for spec in specs]:
        try:
            with reading(source):
                failed |= not work(spec, source)
        except typer.Exit as leaving:
            if leaving.exit_code != 1:
                raise
            failed = True
    if failed:
        raise typer.Exit(1)


@app.command()
def check(specs: Specs) -> None:
    """Say of each spec what is wrong, or its class and modes."""
    of_each(specs, _checked)


def _checked(spec: str, source: Source) -> bool:
    checked = front(source)
    if isinstance(checked, Stack):
        names = ", ".join(mixer.name for mixer in checked.mixers)
        typer.echo(f"{source.file}: a stack of {names or 'blocks alone'}")
        return True
    algebra = classify(checked)
    typer.echo(f"{source.file}: {algebra.family}")
    for mode in algebra.modes:
        typer.echo(f"  {mode.name:<10} {'legal' if mode.legal else f'no: {mode.reason}'}")
    notes = (*growing(checked), *mask_notes(checked))
    if notes:
        show(notes, source)
    return True


@app.command()
def explain(
    spec: Spec,
    file: Annotated[
        Path | None, typer.Argument(help="With --mask: the picture to write, .svg or .png.")
    ] = None,
    mask: Annotated[bool, typer.Option("--mask", help="Draw who sees whom instead.")] = False,
    size: Sizes = [],  # noqa: B006 - typer reads the default
) -> None:
    """Print the class, each mode and why, what is kept, what it costs; or draw the mask."""
    source = source_of(spec)
    if file is not None and not mask:
        usage("a picture is of the mask: --mask FILE")
    sizes = numbers(size)
    with reading(source):
        checked = front(source)
        fitting(checked, sizes, also=EXAMPLE)
        if isinstance(checked, Stack):
            if mask:
                refuse(f"{checked.name} is a stack: its mixers have the masks")
            typer.echo(explain_stack(checked))
        elif mask:
            show_masks(checked, sizes, file)
        else:
            typer.echo(explain_mixer(checked, classify(checked), sizes))
