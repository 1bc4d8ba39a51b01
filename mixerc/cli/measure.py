"""`verify` and `bench`: the commands that run a compiled mixer, for seconds or minutes."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

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
    target: Annotated[
        str, typer.Option(help="torch, or triton: on a GPU, or interpreted.")
    ] = "torch",
    device: Annotated[str, typer.Option(help="Where the mixer runs: cpu or cuda.")] = "cpu",
) -> None:
    """Check every law that a compiled mixer obeys."""
    if device not in ("cpu", "cuda"):
        usage(f"there is no device {device!r}; there are cpu, cuda")
    if device == "cuda" and not later("has_gpu")():
        usage("there is no GPU here that this torch can use")
    if target not in EMITTERS:
        usage(f"there is no target {target!r}; there are {', '.join(EMITTERS)}")

    def lawful(spec: str, source: Source) -> bool:
        fitting(front(source), {})
        run = partial(later("verify"), spec, quick=quick, target=target, device=device)
        report = _reported(run, spec)
        typer.echo(report.text)
        return bool(report.passed)

    of_each(specs, lawful)


Tokens = Annotated[
    int | None,
    typer.Option(min=1, help="Length of the sequence: 4096 on a CPU, 1k to 64k on a GPU."),
]
Heads = Annotated[int | None, typer.Option(min=1, help="4 on a CPU, 16 on a GPU.")]
Size = Annotated[int, typer.Option(min=1, help="Length of every axis of the core.")]
Batch = Annotated[
    int | None, typer.Option(min=1, help="1 on a CPU; on a GPU what makes 65,536 tokens.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: a GPU if there is one.")]
Dtype = Annotated[
    str | None, typer.Option(help="bfloat16 (on a GPU), float16 or float32 (on a CPU).")
]


@app.command()
def bench(
    spec: Spec,
    tokens: Tokens = None,
    heads: Heads = None,
    size: Size = 64,
    batch: Batch = None,
    device: Device = "auto",
    dtype: Dtype = None,
) -> None:
    """Time a mixer, as ratios: on a CPU against a loop over tokens and causal attention, or what
    others offer for its mask; on a GPU against fla's kernels, causal attention and its floor."""
    source = source_of(spec)
    with reading(source):
        checked = front(source)
        if isinstance(checked, Stack):
            refuse(f"{checked.name} has no fast form to time")
        fitting(checked, {})
        _available(device, dtype)
        timed = partial(
            later("bench"),
            spec,
            tokens=tokens,
            heads=heads,
            size=size,
            batch=batch,
            device=device,
            dtype=dtype,
        )
        typer.echo(_reported(timed, spec, moving=False).text)


def _reported(run: Callable[..., Any], spec: str, *, moving: bool = True) -> Any:
    """The report, with what runs shown meanwhile; refuses what the target has no kernels for."""
    with progress_bar(moving=moving) as progress:
        task = progress.add_task(spec, total=None)
        refresh = {} if moving else {"refresh": True}
        try:
            return run(progress=lambda text: progress.update(task, description=text, **refresh))
        except ValueError as error:
            refuse(str(error))


def _available(device: str, dtype: str | None) -> None:
    """Refuses a device or a dtype that is not to be had here."""
    try:
        later("chosen")(device, dtype)
    except ValueError as error:
        usage(str(error))
