"""The command line: `mixerc check|explain|compile|verify|bench|new|fmt`.

Exit codes: 0, 1 for a bad spec or a failed law, 2 for usage. What needs torch is imported by the
commands that need it, through the table below, so that check, explain and fmt never do.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mixerc import __version__
from mixerc.algebra.classify import Algebra, classify
from mixerc.compiler import front, parse, read_source
from mixerc.diagnostics.diagnostic import SpecError
from mixerc.diagnostics.render import render
from mixerc.explain import explain_mixer, explain_stack
from mixerc.frontend.format import format_spec
from mixerc.ir.mixer import Stack
from mixerc.source import Source

app = typer.Typer(
    name="mixerc",
    help="Compile sequence mixers, written as equations, to PyTorch modules.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

_LATER = {
    "bench": "mixerc.bench",
    "compile": "mixerc.api",
    "dump": "mixerc.dump",
    "verify": "mixerc.verify",
}

Specs = Annotated[list[str], typer.Argument(help="Files, or names of specs that mixerc ships.")]
Spec = Annotated[str, typer.Argument(help="A file, or the name of a spec that mixerc ships.")]
Sizes = Annotated[list[str], typer.Option("--size", help="A header size: K=64.")]


def later(name: str) -> Callable[..., Any]:
    """A function that only some commands import."""
    found: Callable[..., Any] = getattr(import_module(_LATER[name]), name)
    return found


def usage(message: str) -> NoReturn:
    """One line on stderr, exit code 2."""
    errors.print(f"mixerc: {message}", markup=False)
    raise typer.Exit(2)


def source_of(spec: str) -> Source:
    """The spec's text; a file that cannot be read is a mistake of usage."""
    try:
        return read_source(spec)
    except FileNotFoundError:
        usage(f"there is no file and no shipped spec {spec!r}")
    except UnicodeDecodeError:
        usage(f"{spec} is not UTF-8 text")
    except (OSError, ValueError) as error:
        usage(f"{spec} cannot be read: {error}")


def complain(error: SpecError, sources: Iterable[Source]) -> None:
    """The diagnostics of a bad spec, on stderr."""
    texts = {source.file: source.text for source in sources}
    errors.print(render(error.diagnostics, texts), markup=False)


def numbers(pairs: list[str]) -> dict[str, float]:
    """`K=64` as a size."""
    sizes = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            sizes[name] = float(value)
        except ValueError:
            usage(f"a size is NAME=NUMBER, not {pair!r}")
    return sizes


def write_whole(path: Path, text: str) -> None:
    """Writes a file beside its place and moves it there: it is never seen half written."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        usage(f"{path} cannot be written: {error.strerror}")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(name, path.stat().st_mode if path.exists() else 0o644)
    os.replace(name, path)


@app.command()
def check(specs: Specs) -> None:
    """Say of each spec what is wrong, or its class and modes."""
    failed = False
    for spec in specs:
        source = source_of(spec)
        try:
            lines = _verdict(source)
        except SpecError as error:
            complain(error, [source])
            failed = True
            continue
        typer.echo("\n".join(lines))
    if failed:
        raise typer.Exit(1)


def _verdict(source: Source) -> list[str]:
    checked = front(source)
    if isinstance(checked, Stack):
        names = ", ".join(mixer.name for mixer in checked.mixers)
        return [f"{source.file}: a stack of {names or 'blocks alone'}"]
    algebra = classify(checked)
    return [f"{source.file}: {algebra.family}", *_modes(algebra)]


def _modes(algebra: Algebra) -> list[str]:
    return [
        f"  {mode.name:<10} {'legal' if mode.legal else f'no: {mode.reason}'}"
        for mode in algebra.modes
    ]


@app.command()
def explain(spec: Spec, size: Sizes = []) -> None:  # noqa: B006 - typer reads the default
    """Print the class, each mode and why, what is kept, what it costs."""
    source = source_of(spec)
    sizes = numbers(size)
    try:
        checked = front(source)
        if isinstance(checked, Stack):
            typer.echo(explain_stack(checked))
        else:
            typer.echo(explain_mixer(checked, classify(checked), sizes))
    except SpecError as error:
        complain(error, [source])
        raise typer.Exit(1) from None


@app.command(name="compile")
def compile_command(
    spec: Spec,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    chunk: Annotated[int | None, typer.Option(help="Tokens a chunk, a power of two.")] = None,
    size: Sizes = [],  # noqa: B006 - typer reads the default
    dump: Annotated[Path | None, typer.Option(help="A folder for every stage as text.")] = None,
) -> None:
    """Write the generated module: one file that needs torch and nothing else."""
    source = source_of(spec)
    try:
        mixer = later("compile")(spec, chunk=chunk, **numbers(size))
        if dump is not None:
            later("dump")(source, dump, chunk)
        write_whole(output, mixer.source)
    except SpecError as error:
        complain(error, [source])
        raise typer.Exit(1) from None
    except (TypeError, ValueError) as error:
        errors.print(f"mixerc: {error}", markup=False)
        raise typer.Exit(1) from None
    typer.echo(f"{output}: {mixer.name}")


@app.command()
def verify(
    specs: Specs,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and smaller cases.")] = False,
) -> None:
    """Check every law that a compiled mixer obeys."""
    failed = False
    for spec in specs:
        source = source_of(spec)
        try:
            with _progress() as progress:
                task = progress.add_task(f"{spec}", total=None)
                report = later("verify")(
                    spec,
                    quick=quick,
                    progress=lambda text, task=task: progress.update(task, description=text),
                )
        except SpecError as error:
            complain(error, [source])
            failed = True
            continue
        typer.echo(report.text)
        failed |= not report.passed
    if failed:
        raise typer.Exit(1)


@app.command()
def bench(
    spec: Spec,
    tokens: Annotated[int, typer.Option(help="Length of the sequence.")] = 4096,
) -> None:
    """Time a mixer against a loop over tokens and against causal attention, as ratios."""
    source = source_of(spec)
    try:
        with _progress() as progress:
            task = progress.add_task(spec, total=None)
            report = later("bench")(
                spec,
                tokens=tokens,
                progress=lambda text: progress.update(task, description=text),
            )
    except SpecError as error:
        complain(error, [source])
        raise typer.Exit(1) from None
    except ValueError as error:
        errors.print(f"mixerc: {error}", markup=False)
        raise typer.Exit(1) from None
    typer.echo(report.text)


def _progress() -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    return Progress(*columns, console=errors, transient=True)


STARTER = """mixer {name}(K = d_model / heads, V = d_model / heads)
"What it is, and the paper it comes from"

q[K], k[K] = x | linear
v[V]       = x | linear
a[K]       = x | linear | sigmoid   # what is kept of each key feature in a step

mask   causal
weight q[t] @ k[s] / sqrt(K)
decay  a
state  S[K, V]

y = (o | rmsnorm) | linear
"""


@app.command()
def new(name: Annotated[str, typer.Argument(help="The mixer's name.")]) -> None:
    """Write NAME.mix, a small spec to start from."""
    path = Path(f"{name}.mix")
    if not (name.isidentifier() and name.isascii()):
        usage(f"{name!r} is not a name: letters, digits and _, a letter first")
    if path.exists():
        usage(f"{path} exists already")
    write_whole(path, STARTER.format(name=name))
    typer.echo(f"{path}: next, mixerc check {path}")


@app.command()
def fmt(
    specs: Specs,
    check_only: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if a file would change.")
    ] = False,
) -> None:
    """Rewrite each spec as the one text that all agree on."""
    failed = False
    for spec in specs:
        path = Path(spec)
        if not path.is_file():
            usage(f"there is no file {spec}")
        source = source_of(spec)
        try:
            text = format_spec(parse(source.text, source.file))
        except SpecError as error:
            complain(error, [source])
            failed = True
            continue
        if text != source.text:
            failed |= check_only
            typer.echo(f"{spec}: {'would change' if check_only else 'formatted'}")
            if not check_only:
                write_whole(path, text)
    if failed:
        raise typer.Exit(1)


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


def main() -> None:
    """The entry point of the `mixerc` script."""
    sys.exit(app())
