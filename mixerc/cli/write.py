"""`compile`, `new` and `fmt`: the commands that write a file."""

from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from mixerc.algebra.classify import classify
from mixerc.backends.triton.tiling import HARDWARE
from mixerc.cli.app import Sizes, Spec, Specs, app, later
from mixerc.cli.files import folder_for, source_of, write_whole
from mixerc.cli.judge import of_each
from mixerc.cli.report import reading, refuse, usage
from mixerc.cli.sizes import alternatives, fitting
from mixerc.compiler import EMITTERS, front, parse
from mixerc.diagnostics.diagnostic import SpecError
from mixerc.explain import STACKS
from mixerc.frontend.format import format_spec
from mixerc.ir.mixer import Mixer, Stack
from mixerc.request import Request
from mixerc.source import Source

_TARGETS = tuple(name for name in EMITTERS if name.partition(":")[0] in ("torch", "triton"))
DTYPES = ("bfloat16", "float16", "float32")


@app.command(name="compile")
def compile_command(
    spec: Spec,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write; with --aot, the folder.")
    ],
    target: Annotated[str, typer.Option(help="torch or triton.")] = "torch",
    aot: Annotated[
        str | None, typer.Option(help=f"Also binaries of the kernels: {', '.join(HARDWARE)}.")
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="Of the binaries' inputs; several with commas.")
    ] = "bfloat16",
    chunk: Annotated[int | None, typer.Option(help="Tokens a chunk, a power of two.")] = None,
    size: Sizes = [],  # noqa: B006 - typer reads the default
    dump: Annotated[Path | None, typer.Option(help="A folder for every stage as text.")] = None,
) -> None:
    """Write the generated module: one file that needs torch (and triton, for that target).

    With --aot a folder with the file and its kernels' binaries, which need no compiler;
    `--size K=64,128` makes them for several sizes.
    """
    source, choices = source_of(spec), alternatives(size)
    _check_chunk(chunk)
    _check_target(target, aot, dtype, len(choices))
    with reading(source):
        checked = front(source)
        for sizes in choices:
            fitting(checked, sizes)
        target = f"bundle:{aot}" if aot else target
        sizes = choices[0] if len(choices) == 1 else {}
        request = Request(source=source, chunk=chunk, sizes=sizes, target=target)
        pipeline = later("Pipeline")(request)
        if dump is not None:
            _write_stages(dump, later("stages")(pipeline))
        _refuse_without_file(checked)
        if aot is None:
            write_whole(output, _text(pipeline))
        else:
            _bundle(pipeline, output, tuple(product(choices, dtype.split(","))))
    typer.echo(f"{output}: {checked.name}")


def _text(pipeline: Any) -> str:
    """The generated file, or why there is none."""
    try:
        text: str = pipeline.layer_file().read_text(encoding="utf-8")
    except ValueError as error:
        refuse(str(error))
    return text


def _bundle(pipeline: Any, folder: Path, choices: tuple[Any, ...]) -> None:
    """A folder with the generated file and its kernels' binaries."""
    text = _text(pipeline)
    folder_for(folder)
    try:
        made = later("aot")(pipeline, folder, choices)
    except ValueError as error:
        refuse(str(error))
    write_whole(folder / f"{pipeline.mixer.name}.py", text)
    for one in made:
        typer.echo(
            f"  {one.file}: {one.registers} registers, {one.stack} bytes of stack, "
            f"{one.shared} bytes shared, {one.matrix} matrix instructions"
        )


def _check_target(target: str, aot: str | None, dtype: str, choices: int) -> None:
    if aot is None and choices > 1:
        usage("several sizes are for --aot: a file is made for one")
    if target not in _TARGETS:
        usage(f"there is no target {target!r}; there are {', '.join(_TARGETS)}")
    if aot is not None and aot not in HARDWARE:
        usage(f"there is no hardware {aot!r}; there are {', '.join(HARDWARE)}")
    for one in dtype.split(","):
        if one not in DTYPES:
            usage(f"there is no dtype {one!r}; there are {', '.join(DTYPES)}")


def _check_chunk(chunk: int | None) -> None:
    if chunk is None:
        return
    try:
        later("checked_chunk")(chunk)
    except ValueError as error:
        usage(str(error))


def _write_stages(folder: Path, texts: dict[str, str]) -> None:
    folder_for(folder)
    for name, text in texts.items():
        write_whole(folder / name, text)


def _refuse_without_file(checked: Mixer | Stack) -> None:
    """A spec that only the reference runs has no generated file."""
    if isinstance(checked, Stack):
        refuse(f"{checked.name} has no parallel mode: {STACKS}")
    algebra = classify(checked)
    if not algebra.fast:
        first = algebra.modes[0]
        refuse(f"{checked.name} has no {first.name} mode: {first.reason}")


STARTER = """mixer {name}(K = d_model / heads, V = d_model / heads)
"What it is, and the paper it comes from"

# Streams: what each head makes of the layer's input x. An axis stands in brackets.
q[K], k[K] = x | linear
v[V]       = x | linear
a[K]       = x | linear | sigmoid   # what is kept of each key feature in a step

# The core: o[t] sums weight * (product of decay[j], s < j <= t) * v[s] over what the mask lets in.
mask   causal
weight q[t] @ k[s] / sqrt(K)
decay  a
state  S[K, V]   # what is kept between tokens

# The layer's output.
y = (o | rmsnorm) | linear
"""


@app.command()
def new(name: Annotated[str, typer.Argument(help="The mixer's name.")]) -> None:
    """Write NAME.mix, a small spec to start from."""
    path = Path(f"{name}.mix")
    if not (name.isidentifier() and name.isascii()):
        usage(f"{name!r} is not a name: letters, digits and _, no digit first")
    text = STARTER.format(name=name)
    try:
        front(Source(text=text, file=str(path), folder=None))
    except SpecError as error:
        usage(f"{name} is no name for a mixer: {error.diagnostics[0].message}")
    if path.exists() or path.is_symlink():
        usage(f"{path} exists already")
    write_whole(path, text)
    typer.echo(f"{path}: next, mixerc check {path}")


@app.command()
def fmt(
    specs: Specs,
    check_only: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if a file would change.")
    ] = False,
) -> None:
    """Rewrite each spec as the one text that all agree on."""
    for spec in specs:
        if not Path(spec).is_file():
            usage(f"there is no file {spec!r}")
    of_each(specs, _keep if check_only else _rewrite)


def _formatted(source: Source) -> str:
    return format_spec(parse(source.text, source.file))


def _keep(spec: str, source: Source) -> bool:
    if _formatted(source) == source.text:
        return True
    typer.echo(f"{spec}: would change")
    return False


def _rewrite(spec: str, source: Source) -> bool:
    text = _formatted(source)
    if text != source.text:
        write_whole(Path(spec), text)
        typer.echo(f"{spec}: formatted")
    return True
