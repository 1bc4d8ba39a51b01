"""The weights that a layer starts with, drawn as its spec says."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Generator, Tensor

from mixerc import naming
from mixerc.ir.expr import Concat, Conv, Draw, Expr, Fold, Glu, Linear, Node, Norm, Read
from mixerc.ir.mixer import Input, Mixer, Param, Value
from mixerc.ir.sorts import FEATURES, Kind, Time
from mixerc.ir.walk import children, walk
from mixerc.reference import named
from mixerc.reference.draws import draw, kaiming
from mixerc.reference.evaluate import Scope, Step, evaluate
from mixerc.reference.float64 import FLOAT64
from mixerc.reference.named import KEYS, TIME, Dims, Named, head_dims
from mixerc.reference.sequence import table_dims
from mixerc.reference.sizes import Sizes, count_of, dim_length, length, number_of, resolve
from mixerc.reference.sources import Source, source_of
from mixerc.reference.steps import Weighted, named_steps

_OUT, _IN, _BLOCK = "@out", "@in", "@block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What initial values may read: sizes, and the constants and parameters above them."""

    sizes: Sizes
    values: Mapping[str, Named]
    generator: Generator


def init_weights(mixer: Mixer, sizes: Sizes, generator: Generator) -> dict[str, Tensor]:
    """Initial values of every parameter, buffer and step of a layer, by name, in float64."""
    values: dict[str, Named] = {}
    drawing = Drawing(sizes=resolve(mixer.sizes, sizes), values=values, generator=generator)
    weights: dict[str, Tensor] = {}
    for line in mixer.lines:
        match line:
            case Input():
                pass
            case Param(name=name):
                values[name] = draw_param(mixer, line, drawing)
                weights[name] = values[name].array
            case Value(name=name, expr=expr):
                weights |= step_weights(name, expr, drawing)
                if not line.sort.times and _is_known(expr, values):
                    values[name] = evaluate(expr, _scope(drawing, (), {}))
            case _:
                assert_never(line)
    return weights if mixer.y is None else weights | step_weights("y", mixer.y, drawing)


def _is_known(expr: Expr, values: Mapping[str, Named]) -> bool:
    """Whether a line is a constant: all it reads is known, and it asks for no position."""
    return all(
        node.name in values
        for node in walk(expr)
        if isinstance(node, Read) and node.name not in _variables(expr)
    )


def _variables(expr: Expr) -> frozenset[str]:
    return frozenset(node.variable for node in walk(expr) if isinstance(node, Fold))


def draw_param(mixer: Mixer, param: Param, drawing: Drawing) -> Named:
    """The initial value of one parameter or buffer, in its layout."""
    source = source_of(mixer, param.name)
    dims = table_dims(source)
    blocks = dict(zip((TIME, KEYS), ("t", "s"), strict=True))
    shape = {}
    for dim in dims:
        if dim in blocks:
            shape[dim] = _table_length(source, blocks[dim], drawing.sizes)
        else:
            shape[dim] = dim_length(drawing.sizes, dim)
    value = initial(param.init, dims, shape, drawing)
    if param.sort.kind is Kind.COMPLEX and not value.is_complex():
        value = value.to(torch.complex128)
    return Named(value, dims)


def _table_length(source: Source, time: str, sizes: Sizes) -> int:
    """How many entries a table has along a time: one for each block of the size `length`."""
    block = dict(source.index)[time]
    tokens = 1 if block is None else count_of("block", number_of(block, sizes))
    return -(-length(sizes, "length") // tokens)


def initial(expr: Expr, dims: Dims, shape: Mapping[str, int], drawing: Drawing) -> Tensor:
    """An initial value as a tensor of its own, each draw in it as large as the whole."""
    value = evaluate(expr, _scope(drawing, dims, shape))
    tensor: Tensor = named.conform(FLOAT64, value, dims, shape).array
    return tensor.clone()


def _scope(drawing: Drawing, dims: Dims, shape: Mapping[str, int]) -> Scope:
    def step(scope: Scope, expr: Step) -> Named:
        match expr:
            case Draw(distribution=distribution, arguments=arguments):
                values = [evaluate(argument, scope) for argument in arguments]
                tensors = [named.aligned(FLOAT64, value, dims) for value in values]
                full = tuple(shape[dim] for dim in dims)
                return Named(draw(distribution, tensors, full, drawing.generator), dims)
            case _:
                raise ValueError("an initial value holds no layers")

    def read(name: str, time: Time) -> Named:
        if name not in drawing.values:
            raise ValueError(f"an initial value cannot read {name}")
        return drawing.values[name]

    return Scope(domain=FLOAT64, sizes=drawing.sizes, read=read, position=_no_time, step=step)


def _no_time(time: Time) -> Named:
    raise ValueError("an initial value has no time")


def step_weights(line: str, expr: Expr, drawing: Drawing) -> dict[str, Tensor]:
    """The initial weights of the steps in the line that defines `line`."""
    weights: dict[str, Tensor] = {}
    for step, name in named_steps(line, expr):
        weights |= _weights_of(step, name, drawing)
    return weights


def _weights_of(step: Weighted, name: str, drawing: Drawing) -> dict[str, Tensor]:
    match step:
        case Linear():
            return _linear(step, name, drawing)
        case Conv():
            return _conv(step, name, drawing)
        case Norm():
            return _norm(step, name, drawing)
        case _:
            assert_never(step)


def _linear(step: Linear, name: str, drawing: Drawing) -> dict[str, Tensor]:
    rows, columns = channels(step, drawing.sizes), channels(step.source, drawing.sizes)
    dims: Dims = (_OUT, _IN)
    shape = {_OUT: rows, _IN: columns}
    if step.blocks is not None:
        blocks = count_of("blocks", number_of(step.blocks, drawing.sizes))
        if rows % blocks or columns % blocks:
            raise ValueError(f"{name}: {rows} and {columns} cannot be cut in {blocks} blocks")
        dims = (_BLOCK, _OUT, _IN)
        shape = {_BLOCK: blocks, _OUT: rows // blocks, _IN: columns // blocks}
    if step.init is None:
        full = tuple(shape[dim] for dim in dims)
        matrix = kaiming(full, shape[_IN], drawing.generator)
    else:
        matrix = initial(step.init, dims, shape, drawing)
    weights = {naming.weight(name): matrix}
    if step.bias is not None:
        weights[naming.bias(name)] = _bias(step.bias, step, drawing)
    return weights


def _conv(step: Conv, name: str, drawing: Drawing) -> dict[str, Tensor]:
    width = count_of("the width of conv", number_of(step.width, drawing.sizes))
    shape = (channels(step, drawing.sizes), width)
    weights = {naming.weight(name): kaiming(shape, width, drawing.generator)}
    if step.bias is not None:
        weights[naming.bias(name)] = _bias(step.bias, step, drawing)
    return weights


def _norm(step: Norm, name: str, drawing: Drawing) -> dict[str, Tensor]:
    heads = () if step.groups is None else head_dims(step.sort.heads)
    dims = (*heads, *step.sort.axes)
    ones = torch.ones(tuple(_shape(step, dims, drawing.sizes).values()), dtype=torch.float64)
    weights = {naming.weight(name): ones}
    if step.norm == "layernorm":
        weights[naming.bias(name)] = torch.zeros_like(ones)
    return weights


def _bias(bias: Expr, step: Linear | Conv, drawing: Drawing) -> Tensor:
    """What a step adds to each channel, flat; the initial value may differ by head and axis."""
    dims = (*head_dims(step.sort.heads), *step.sort.axes)
    return initial(bias, dims, _shape(step, dims, drawing.sizes), drawing).reshape(-1)


def _shape(expr: Expr, dims: Dims, sizes: Sizes) -> dict[str, int]:
    return {d: features(expr, sizes) if d == FEATURES else dim_length(sizes, d) for d in dims}


def channels(expr: Expr, sizes: Sizes) -> int:
    """How many numbers a token of a value has, all heads and axes together."""
    dims = (*head_dims(expr.sort.heads), *expr.sort.axes)
    return math.prod(_shape(expr, dims, sizes).values())


def features(expr: Expr, sizes: Sizes) -> int:
    """How many unnamed features a value has."""
    match expr:
        case Linear(features=Node() as count):
            return count_of("linear", number_of(count, sizes))
        case Glu(source=source):
            return channels(source, sizes) // 2
        case Concat(parts=parts):
            return sum(
                features(part, sizes) if axis == FEATURES else length(sizes, axis)
                for part in parts
                for axis in part.sort.axes
            )
        case _:
            own = [child for child in children(expr) if FEATURES in child.sort.axes]
            return features(own[0], sizes)
