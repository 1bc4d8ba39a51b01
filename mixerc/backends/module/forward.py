"""The lines of a layer's forward: streams from x, the call of the core, y."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import assert_never

from mixerc.algebra.careful import careful
from mixerc.algebra.logarithm import logarithm
from mixerc.backends.module.dimensions import (
    BATCH,
    TIME,
    Text,
    own_dims,
)
from mixerc.backends.module.expression import Scope
from mixerc.backends.module.identifiers import attribute, identifier
from mixerc.backends.module.pipes import named_steps, printed_step
from mixerc.backends.module.stepwise import stepwise
from mixerc.backends.module.weights import table_dims
from mixerc.diagnostics.span import NOWHERE, Span
from mixerc.ir.expr import Expr, Read
from mixerc.ir.mixer import Input, Mixer, Param, Value
from mixerc.ir.sorts import Kind, Sort, Time
from mixerc.ir.walk import walk

_D_MODEL = Sort(axes=("d_model",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One assignment of the forward; the first of a spec's line knows where that stands."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """What a forward does before the core, the core's arguments, and what it does after."""

    before: tuple[Statement, ...]
    arguments: tuple[str, ...]
    after: tuple[Statement, ...]


def forward_of(mixer: Mixer, logarithms: frozenset[str], sizes: tuple[str, ...]) -> Forward:
    """The forward of a layer; the core inputs in `logarithms` are passed as `log_NAME`.

    An input whose logarithm cannot be written (see `logarithm`) is passed as it is.
    """
    logs = _logarithms(mixer, logarithms)
    needed = _needed(mixer, frozenset(mixer.core.inputs) - logs.keys(), frozenset(logs))
    values: dict[str, Text] = {"x": Text(text="x", dims=(BATCH, TIME, "d_model"))}
    before: list[Statement] = []
    for line in mixer.lines:
        match line:
            case Input() | Param():
                values[line.name] = _given(line)
            case Value(name=name) if name in logs:
                before += _log_line(replace(line, expr=logs[name]), values, read=name in needed)
            case Value(name=name, expr=expr):
                exact = replace(line, expr=careful(expr))
                before += _line(exact, values) if name in needed else ()
            case _:
                assert_never(line)
    arguments = tuple(
        f"log_{name}=log_{name}" if name in logs else f"{identifier(name)}={_entire(values[name])}"
        for name in mixer.core.inputs
    )
    given = tuple(f"{identifier(size)}={identifier(size)}" for size in sizes)
    after = tuple(_output(mixer, values))
    return Forward(before=tuple(before), arguments=(*arguments, *given), after=after)


def _logarithms(mixer: Mixer, wanted: frozenset[str]) -> dict[str, Expr]:
    """The logarithms that can be written, of the lines that the core reads."""
    logs = {}
    for line in mixer.lines:
        if isinstance(line, Value) and line.name in wanted.intersection(mixer.core.inputs):
            log = logarithm(line.expr)
            if log is not None:
                logs[line.name] = log
    return logs


def _needed(mixer: Mixer, outside: frozenset[str], logs: frozenset[str]) -> frozenset[str]:
    """The values that the layer must compute: for the core, for y, and for these."""
    needed = set(outside)
    if mixer.y is not None:
        needed |= _reads(mixer.y)
    for line in reversed(mixer.lines):
        if isinstance(line, Value) and (line.name in needed or line.name in logs):
            needed |= _reads(line.expr)
    return frozenset(needed)


def _reads(expr: Expr) -> set[str]:
    return {node.name for node in walk(expr) if isinstance(node, Read)}


def _given(line: Input | Param) -> Text:
    """A value that a layer is given or holds."""
    is_complex = line.sort.kind is Kind.COMPLEX
    name = f"self.{attribute(line.name)}" if isinstance(line, Param) else identifier(line.name)
    if not line.index:
        stream = isinstance(line, Input)
        dims = (BATCH, TIME, *own_dims(line.sort)) if stream else own_dims(line.sort)
        return Text(text=name, dims=dims, is_complex=is_complex)
    dims = table_dims(line)
    if all(block is None for _, block in line.index):
        name = f"{name}[..., {', '.join(':T' for _ in line.index)}]"
    return Text(text=name, dims=dims, is_complex=is_complex)


def _entire(value: Text) -> str:
    """What is passed to the core: tables entire."""
    return value.text.partition("[")[0] if "[" in value.text else value.text


def _line(line: Value, values: dict[str, Text]) -> Iterator[Statement]:
    """The statements of a line: shifts that it is the first to read, then the value."""
    yield from _shifts(line.expr, values)
    name, scope = identifier(line.name), _scope(line.name, line.expr, values)
    value, texts = stepwise(name, line.expr, scope, line.sort)
    yield from _statements(texts, line.span)
    values[line.name] = replace(value, is_complex=line.sort.kind is Kind.COMPLEX)


def _log_line(line: Value, values: dict[str, Text], *, read: bool) -> Iterator[Statement]:
    """The statements of a line that is computed as its logarithm; the value too if it is read."""
    yield from _shifts(line.expr, values)
    scope = replace(_scope(line.name, line.expr, values), wide=True)
    value, texts = stepwise(f"log_{line.name}", line.expr, scope, line.sort)
    yield from _statements(texts, line.span)
    values[line.name] = replace(value, text=identifier(line.name))
    if read:
        text = f"{identifier(line.name)} = torch.exp(log_{line.name})"
        yield Statement(text=text, span=NOWHERE)


def _statements(texts: tuple[str, ...], span: Span) -> Iterator[Statement]:
    for place, text in enumerate(texts):
        yield Statement(text=text, span=NOWHERE if place else span)


def _scope(line: str, expr: Expr, values: dict[str, Text]) -> Scope:
    names = {id(step): name for step, name in named_steps(line, expr)}
    return Scope(values=values, step=printed_step, names=names)


def _shifts(expr: Expr, values: dict[str, Text]) -> Iterator[Statement]:
    for node in walk(expr):
        match node:
            case Read(name=name, time=Time.PREVIOUS) if f"{name}[t-1]" not in values:
                value, shifted = values[name], f"{name}_previous"
                values[f"{name}[t-1]"] = replace(value, text=shifted)
                text = f'{shifted} = past.shift("{shifted}", {value.text})'
                yield Statement(text=text, span=NOWHERE)
            case _:
                pass


def _output(mixer: Mixer, values: dict[str, Text]) -> Iterator[Statement]:
    if mixer.y is None:
        raise ValueError(f"{mixer.name} has no y, so it is a core and no layer")
    sort = mixer.core.output.sort
    values["o"] = Text(
        text="o", dims=(BATCH, TIME, *own_dims(sort)), is_complex=sort.kind is Kind.COMPLEX
    )
    yield from _shifts(mixer.y, values)
    _, texts = stepwise("y", mixer.y, _scope("y", mixer.y, values), _D_MODEL)
    yield from _statements(texts, mixer.y.span)
