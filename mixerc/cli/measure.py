"""`verify` and `bench`: the commands that run a compiled mixer, for seconds or minutes."""

from typing import Annotated

import typer

from mixerc.algebra.classify import classify
from mixerc.cli.app import Spec, Specs, app, later
from mixerc.cli.files import source_of
from mixerc.cli.judge import of_each
from mixerc.cli.report import progress_bar, reading, refuse, usage
from mixerc.cli.sizes import fitting
from mixerc.compiler import EMITTERS, front
from mixerc.ir.mixer import Stack
from mixerc.source import Source


@app.command()
def verify(
    specs: Specs,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and smaller cases.")] = False,
    target: Annotated[str, typer.Option(help="torch, or triton in its interpreter.")] = "torch",
) -> None:
    """Check every law that a compiled mixer obeys."""
    if target not in EMITTERS:
        usage(f"there is no target {target!r}; there are {', '.join(EMITTERS)}")

    def lawful(spec: str, source: Source) -> bool:
        fitting(front(source), {})
        with progress_bar() as progress:
            task = progress.add_task(spec, total=None)
            report = later("verify")(
                spec,
                quick=quick,
                target=target,
                progress=lambda text: progress.update(task, description=text),
            )
        typer.echo(report.text)
        return bool(report.passed)

    of_each(specs, lawful)


@app.command()
def bench(
    spec: Spec,
    tokens: Annotated[int, typer.Option(min=1, help="Length of the sequence.")] = 4096,
) -> None:
    """Time a mixer against a loop over tokens and against causal attention, as ratios."""
    source = source_of(spec)
    with reading(source):
        checked = front(source)
        if isinstance(checked, Stack) or classify(checked).linear is None:
            refuse(f"{checked.name} has no fast form to time")
        fitting(checked, {})
        with progress_bar(moving=False) as progress:
            task = progress.add_task(spec, total=None)
            report = later("bench")(
                spec,
                tokens=tokens,
                progress=lambda text: progress.update(task, description=text, refresh=True),
            )
    typer.echo(report.text)
