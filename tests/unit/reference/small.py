"""The specs of the repository at small sizes, with random inputs."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Generator, Tensor

from mixerc.frontend.check import check
from mixerc.frontend.parser import parse
from mixerc.frontend.syntax import Spec
from mixerc.ir.mixer import Input, Mixer, Stack
from mixerc.ir.sorts import Kind
from mixerc.reference.domain import Scalar
from mixerc.reference.named import head_dims
from mixerc.reference.sizes import dim_length, resolve
from mixerc.reference.sources import Source, source_of

SPECS = Path(__file__).parents[3] / "specs"
BATCH = 2

# Sizes that are told apart; those that a spec's header lacks are not used.
SMALL = {
    "K": 4, "V": 6, "D": 4, "G": 2, "N": 3, "M": 5, "W": 3, "B": 2, "R": 2, "L": 3,
    "C": 1, "P": 6, "E": 5, "J": 2, "F": 8, "sinks": 1, "cap": 5,
}  # fmt: skip
BUILD: dict[str, Scalar] = {"d_model": 16, "layer": 1, "layers": 3, "length": 8}
STREAM_LIKE = frozenset(("q", "k", "v", "x", "u", "g"))

# Tokens look ahead in these, so neither causality nor carrying a state is a law of theirs.
LOOK_AHEAD = frozenset(("bigbird", "linformer", "longformer", "prefix_lm"))


def _text(name: str) -> str:
    return (SPECS / f"{name}.mix").read_text(encoding="utf-8")


def _parsed(name: str) -> Spec:
    return parse(_text(name), f"{name}.mix")


@cache
def load(name: str) -> Mixer | Stack:
    """A checked spec; a stack's mixers are those that its text names."""
    spec = _parsed(name)
    if spec.header.stack:
        words = dict.fromkeys(re.findall(r"\w+", _text(name)))
        spec = replace(spec, uses=tuple(_parsed(word) for word in words if word in MIXERS))
    return check(spec)


def mixer(name: str) -> Mixer:
    spec = load(name)
    assert isinstance(spec, Mixer)
    return spec


def stack(name: str) -> Stack:
    spec = load(name)
    assert isinstance(spec, Stack)
    return spec


def _names(word: str) -> list[str]:
    return [path.stem for path in sorted(SPECS.glob("*.mix")) if _text(path.stem).startswith(word)]


MIXERS = _names("mixer")
STACKS = _names("stack")


def sizes_of(spec: Mixer, **given: Scalar) -> dict[str, Scalar]:
    """Small header sizes; four heads, but one where the spec's default is one."""
    headers = {definition.name for definition in spec.sizes}
    known: dict[str, Scalar] = BUILD | {n: v for n, v in SMALL.items() if n in headers}
    if "heads" not in headers:
        known["heads"] = 4
    if spec.name == "based":
        known["M"] = 1 + 4 + 16
    return resolve(spec.sizes, known | given)


def uniform(generator: Generator, *shape: int, low: float = -1, high: float = 1) -> Tensor:
    return low + (high - low) * torch.rand(shape, dtype=torch.float64, generator=generator)


def core_inputs(
    spec: Mixer, sizes: dict[str, Scalar], tokens: int, seed: int = 0
) -> dict[str, Tensor]:
    """Random inputs: queries, keys and values on both sides of 0, all else within (0.1, 0.9)."""
    generator = torch.Generator().manual_seed(seed)
    inputs = {}
    for name in spec.core.inputs:
        source = source_of(spec, name)
        dims = (*head_dims(source.sort.heads), *source.sort.axes)
        shape = [dim_length(sizes, dim) for dim in dims]
        if source.stream:
            shape = [BATCH, tokens, *shape]
        shape += [tokens] * len(source.index)
        low = -0.9 if name in STREAM_LIKE else 0.1
        inputs[name] = _of_kind(source, uniform(generator, *shape, low=low, high=0.9))
    return inputs


def _of_kind(source: Source, values: Tensor) -> Tensor:
    match source.sort.kind:
        case Kind.BOOL:
            return values > 0.5
        case Kind.INT:
            return (values * 3).long().cumsum(1)
        case Kind.COMPLEX:
            return torch.polar(values, 3 * values.flip(-1))
        case _:
            return values


def is_stream(spec: Mixer, name: str) -> bool:
    return source_of(spec, name).stream


def cut(spec: Mixer, inputs: dict[str, Tensor], part: slice) -> dict[str, Tensor]:
    """Some tokens of the streams, and all of everything else."""
    return {n: a[:, part] if is_stream(spec, n) else a for n, a in inputs.items()}


def layer_inputs(spec: Mixer, tokens: int, seed: int = 0) -> dict[str, Tensor]:
    """What the input lines of a spec want."""
    lines = [line.name for line in spec.lines if isinstance(line, Input)]
    sizes = sizes_of(spec)
    generator = torch.Generator().manual_seed(seed)
    inputs = {}
    for name in lines:
        source = source_of(spec, name)
        shape = [tokens] * len(source.index) if source.index else [BATCH, tokens]
        shape += [dim_length(sizes, axis) for axis in source.sort.axes]
        inputs[name] = _of_kind(source, uniform(generator, *shape, low=0.1, high=0.9))
    return inputs


def differentiable(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies that collect gradients, where numbers have such."""
    return {
        name: array.clone().requires_grad_(array.is_floating_point() or array.is_complex())
        for name, array in inputs.items()
    }


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)
