"""The application that the commands belong to, and what they share."""

from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer

from mixerc import __version__

app = typer.Typer(
    name="mixerc",
    help="Compile sequence mixers, written as equations, to PyTorch modules.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_LATER = {
    "aot": "mixerc.ahead",
    "Panel": "mixerc.pictures",
    "bench": "mixerc.bench",
    "checked_chunk": "mixerc.api",
    "chosen": "mixerc.bench",
    "draw": "mixerc.pictures",
    "has_gpu": "mixerc.runtime.hardware",
    "Pipeline": "mixerc.pipeline",
    "stages": "mixerc.dump",
    "verify": "mixerc.verify",
}

Specs = Annotated[list[str], typer.Argument(help="Files, or names of specs that mixerc ships.")]
Spec = Annotated[str, typer.Argument(help="A file, or the name of a spec that mixerc ships.")]
Sizes = Annotated[list[str], typer.Option("--size", help="A header size: K=64.")]


def later(name: str) -> Callable[..., Any]:
    """What only some commands import."""
    found: Callable[..., Any] = getattr(import_module(_LATER[name]), name)
    return found


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mixerc {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Compile sequence mixers, written as equations, to PyTorch modules."""
