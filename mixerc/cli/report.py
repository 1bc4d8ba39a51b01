"""What goes to stderr: mistakes of usage in one line, the diagnostics of a spec, progress."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mixerc.diagnostics.diagnostic import Diagnostic, SpecError
from mixerc.diagnostics.render import render
from mixerc.source import Source

errors = Console(stderr=True, highlight=False, soft_wrap=True)


def told(message: str, code: int) -> NoReturn:
    """One line on stderr, and the exit code."""
    errors.print(f"mixerc: {message}", markup=False)
    raise typer.Exit(code)


def usage(message: str) -> NoReturn:
    """A mistake of usage."""
    told(message, 2)


def refuse(message: str) -> NoReturn:
    """A spec that does not give what was asked for."""
    told(message, 1)


@contextmanager
def reading(source: Source) -> Iterator[None]:
    """Diagnostics go to stderr, with exit code 1; a file that cannot be used, with 2."""
    try:
        yield
    except SpecError as error:
        show(error.diagnostics, source)
        raise typer.Exit(1) from None
    except UnicodeDecodeError:
        usage(f"a spec that {source.file} uses is not UTF-8 text")
    except BrokenPipeError:
        raise
    except OSError as error:
        usage(f"{error.filename}: {error.strerror}")


def show(diagnostics: Sequence[Diagnostic], source: Source) -> None:
    """The diagnostics on stderr, with the lines that they are about."""
    errors.print(render(diagnostics, _texts(diagnostics, source)), markup=False)


def _texts(diagnostics: Sequence[Diagnostic], source: Source) -> dict[str, str]:
    """The spec's text, and that of every other file which the diagnostics point into."""
    texts = {source.file: source.text}
    for diagnostic in diagnostics:
        for span in (diagnostic.span, *(related.span for related in diagnostic.related)):
            if span.file not in texts and Path(span.file).is_file():
                texts[span.file] = Path(span.file).read_text(encoding="utf-8")
    return texts


def progress_bar(*, moving: bool = True) -> Progress:
    """A line that says what runs and for how long; nothing where stderr is not a terminal.

    One that is not `moving` is drawn when it is told to: no thread runs beside a measurement.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    return Progress(
        *columns,
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
        auto_refresh=moving,
    )
