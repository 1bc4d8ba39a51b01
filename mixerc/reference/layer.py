"""A mixer as a layer, in float64: its pipes, its core and its output, over whole sequences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, assert_never

import torch
from torch import Tensor

from mixerc.ir.expr import (
    Conv,
    Draw,
    Expr,
    FirstLayer,
    Glu,
    Linear,
    Norm,
    Read,
    Repeat,
    Rope,
    UseBlock,
    UseMixer,
)
from mixerc.ir.mixer import Input, Mixer, Param, Value
from mixerc.ir.sorts import FEATURES, Sort, Time
from mixerc.reference import named, steps
from mixerc.reference.evaluate import Scope, Step, evaluate
from mixerc.reference.float64 import FLOAT64
from mixerc.reference.interpret import run_core
from mixerc.reference.named import BATCH, KEYS, TIME, Named, head_dims
from mixerc.reference.sequence import Table, as_table, look_up, table_dims
from mixerc.reference.sizes import Sizes, count_of, dim_length, lengths, resolve
from mixerc.reference.sources import source_of
from mixerc.reference.steps import Weights, named_steps

Values = dict[str, Named]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipes:
    """The lines of a layer or a stack as they are computed: whole sequences [B, T, …].

    `values` are the lines so far, `first` those of the same mixer's first layer (empty in that
    layer). `names` are the paths of the current line's steps, by the identity of their nodes:
    equal steps have weights of their own. `use` runs blocks and mixers, in stacks.
    """

    sizes: Sizes
    weights: Weights
    values: Values
    batch: int
    count: int
    first: Mapping[str, Tensor] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    use: Callable[[Scope, UseBlock | UseMixer | Repeat], Named] | None = None


def run_layer(
    mixer: Mixer,
    weights: Weights,
    x: Tensor,
    sizes: Sizes,
    *,
    inputs: Mapping[str, Any] | None = None,
    cu_seqlens: Sequence[int] | None = None,
    layer: int = 0,
    layers: int = 1,
    first: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """y [B, T, d_model] of x [B, T, d_model].

    `inputs` are the spec's input lines by name. With `cu_seqlens` x [1, T, d_model] packs
    documents, document i at [cu_seqlens[i], cu_seqlens[i+1]): each is a run of its own.
    `first` are the streams [B, T, heads, axes] of the stack's first layer, for `first_layer`.
    """
    known = {"d_model": x.shape[-1], "layer": layer, "layers": layers, **sizes}
    given = dict(inputs or {})
    if cu_seqlens is None:
        return layer_values(mixer, weights, x, known, given, first or {})[1]
    bounds = [int(bound) for bound in cu_seqlens]
    parts = []
    for start, end in pairwise(bounds):
        part = {name: _slice(mixer, name, value, start, end) for name, value in given.items()}
        before = {name: value[:, start:end] for name, value in (first or {}).items()}
        parts.append(layer_values(mixer, weights, x[:, start:end], known, part, before)[1])
    return torch.cat(parts, dim=1)


def _slice(mixer: Mixer, name: str, value: Any, start: int, end: int) -> Any:
    return value[:, start:end] if source_of(mixer, name).stream else value


def layer_values(
    mixer: Mixer,
    weights: Weights,
    x: Tensor,
    sizes: Sizes,
    inputs: Mapping[str, Any],
    first: Mapping[str, Tensor],
) -> tuple[Values, Tensor]:
    """All values of a layer's lines, and y."""
    if mixer.y is None:
        raise ValueError(f"{mixer.name} has no y, so it is a core and no layer")
    known = resolve(mixer.sizes, {"d_model": x.shape[-1], **sizes})
    pipes = Pipes(
        sizes=known,
        weights={name: FLOAT64.convert(value) for name, value in weights.items()},
        values={"x": Named(FLOAT64.convert(x), (BATCH, TIME, "d_model"))},
        batch=x.shape[0],
        count=x.shape[1],
        first=first,
    )
    for line in mixer.lines:
        match line:
            case Input(name=name):
                if name not in inputs:
                    raise ValueError(f"{mixer.name} has the input {name}, which is not given")
                _take_in(pipes, mixer, name, inputs[name])
            case Param(name=name):
                _take_in(pipes, mixer, name, weights[name])
            case Value(name=name, sort=sort, expr=expr):
                pipes.values[name] = _settle(pipes, run_line(pipes, name, expr), sort)
            case _:
                assert_never(line)
    pipes.values["o"] = _core(pipes, mixer)
    return pipes.values, tensor_of(pipes, run_line(pipes, "y", mixer.y), _Y)


_Y = Sort(axes=("d_model",))


def _take_in(pipes: Pipes, mixer: Mixer, name: str, value: Any) -> None:
    """Give a name to a tensor from outside, in the layout of its kind."""
    source, array = source_of(mixer, name), FLOAT64.convert(value)
    if source.index:
        table = Named(array, table_dims(source))
        pipes.tables[name] = as_table(table, source, pipes.sizes)
        return
    dims = (*head_dims(source.sort.heads), *source.sort.axes)
    pipes.values[name] = Named(array, (BATCH, TIME, *dims) if source.stream else dims)


def _core(pipes: Pipes, mixer: Mixer) -> Named:
    """Run the core on the lines that it reads."""
    inputs = {}
    for name in mixer.core.inputs:
        source = source_of(mixer, name)
        if source.index:
            inputs[name] = pipes.tables[name].value.array
        elif source.stream:
            inputs[name] = tensor_of(pipes, pipes.values[name], source.sort)
        else:
            inputs[name] = pipes.values[name].array
    o, _ = run_core(mixer, inputs, pipes.sizes)
    sort = mixer.core.output.sort
    return Named(o, (BATCH, TIME, *head_dims(sort.heads), *sort.axes))


def _settle(pipes: Pipes, value: Named, sort: Sort) -> Named:
    """A line's value with all heads and axes of its sort."""
    varies = tuple(dim for dim in (BATCH, TIME) if dim in value.dims)
    dims = (*varies, *head_dims(sort.heads), *sort.axes)
    sizes = {d: value.size(d) for d in value.dims} | lengths(pipes.sizes, dims[len(varies) :])
    return named.conform(FLOAT64, value, dims, sizes)


def tensor_of(pipes: Pipes, value: Named, sort: Sort) -> Tensor:
    """A value as a tensor [B, T, heads, axes]."""
    dims = (BATCH, TIME, *head_dims(sort.heads), *sort.axes)
    sizes = {BATCH: pipes.batch, TIME: pipes.count}
    for dim in dims[2:]:
        sizes[dim] = value.size(dim) if dim == FEATURES else dim_length(pipes.sizes, dim)
    tensor: Tensor = named.conform(FLOAT64, value, dims, sizes).array
    return tensor


def run_line(pipes: Pipes, line: str, expr: Expr, x: Named | None = None) -> Named:
    """The value of the line that defines `line`; with `x`, of a block applied to it."""
    names = {id(step): name for step, name in named_steps(line, expr)}
    values = pipes.values if x is None else {**pipes.values, "x": x}
    scope = Scope(
        domain=FLOAT64,
        sizes=pipes.sizes,
        read=lambda name, time: _read(pipes, values, name, time),
        position=lambda time: _position(pipes, time),
        step=lambda inner, step: run_step(pipes, inner, step, names),
        tokens=pipes.count,
    )
    return evaluate(expr, scope)


def _position(pipes: Pipes, time: Time) -> Named:
    return Named(FLOAT64.arange(pipes.count), (KEYS if time is Time.S else TIME,))


def _read(pipes: Pipes, values: Mapping[str, Named], name: str, time: Time) -> Named:
    if name in pipes.tables:
        every = list(range(pipes.count))
        return look_up(FLOAT64, pipes.tables[name], every, every)
    value = values[name]
    if time is Time.S:
        return named.rename(value, TIME, KEYS)
    if time is Time.PREVIOUS:
        order = (BATCH, TIME, *(dim for dim in value.dims if dim not in (BATCH, TIME)))
        return Named(steps.shift(named.aligned(FLOAT64, value, order), 1), order)
    return value


def run_step(pipes: Pipes, scope: Scope, step: Step, names: Mapping[int, str]) -> Named:
    """The value of a layer's step."""
    match step:
        case UseBlock() | UseMixer() | Repeat():
            if pipes.use is None:
                raise ValueError("blocks and mixers are used in stacks only")
            return pipes.use(scope, step)
        case Draw(distribution=distribution):
            raise ValueError(f"{distribution} is drawn when a layer is built, not when it runs")
        case FirstLayer(source=source):
            return _first_layer(pipes, evaluate(source, scope), source)
        case Linear() | Conv() | Norm() | Rope() | Glu():
            tensor = tensor_of(pipes, evaluate(step.source, scope), step.source.sort)
            return _step_value(pipes, step, _apply(pipes, scope, step, tensor, names))
        case _:
            assert_never(step)


def _first_layer(pipes: Pipes, own: Named, source: Expr) -> Named:
    """The first layer's value of the same name; in the first layer the value itself."""
    if not isinstance(source, Read) or source.name not in pipes.first:
        return own
    dims = (BATCH, TIME, *head_dims(source.sort.heads), *source.sort.axes)
    return Named(FLOAT64.convert(pipes.first[source.name]), dims)


def _apply(
    pipes: Pipes,
    scope: Scope,
    step: Linear | Conv | Norm | Rope | Glu,
    x: Tensor,
    names: Mapping[int, str],
) -> Tensor:
    match step:
        case Linear():
            return steps.linear(x, pipes.weights, names[id(step)])
        case Conv():
            return steps.conv(x, pipes.weights, names[id(step)])
        case Norm():
            return _norm(pipes, scope, step, x, names.get(id(step)))
        case Rope(base=base, interleaved=interleaved):
            return steps.rope(x, evaluate(base, scope).array, interleaved)
        case Glu(gate=gate):
            return steps.glu(x, gate)
        case _:
            assert_never(step)


def _norm(pipes: Pipes, scope: Scope, step: Norm, x: Tensor, name: str | None) -> Tensor:
    groups = None
    if step.groups is not None:
        groups = count_of("groups", evaluate(step.groups, scope).array.item())
    return steps.norm(x, step, groups, not step.source.sort.heads.shared, pipes.weights, name)


def _step_value(pipes: Pipes, step: Linear | Conv | Norm | Rope | Glu, y: Tensor) -> Named:
    """A step's tensor with the dimensions of its sort."""
    sort = step.sort if isinstance(step, Linear | Glu) else step.source.sort
    dims = (*head_dims(sort.heads), *sort.axes)
    if FEATURES not in dims:
        y = y.reshape(*y.shape[:2], *lengths(pipes.sizes, dims).values())
    return Named(y, (BATCH, TIME, *dims))
