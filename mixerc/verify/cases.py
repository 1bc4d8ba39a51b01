"""Inputs of a mixer's core, drawn from a seed: every range respected, decays at their extremes."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor
from torch.nn import functional

from mixerc.algebra.unfold import folded_steps
from mixerc.ir.expr import Apply, Contract, Expr, Norm, Number, Reduce
from mixerc.ir.interval import ALL, Interval
from mixerc.ir.mixer import Input, Mixer, Value
from mixerc.ir.ranges import environment
from mixerc.ir.sorts import Kind
from mixerc.reference.named import head_dims
from mixerc.reference.sizes import count_of, dim_length, number_of
from mixerc.reference.sources import Source, source_of
from mixerc.verify.subject import Subject, divides_by_sums, fixed_heads, told_sizes

EXTREMES = (0.0, 1.0, 1e-30, 1 - 1e-7)
RARE = 0.05
NARROW = 4
GROUPS = (1, 2)

Inputs: TypeAlias = dict[str, Tensor]
Index: TypeAlias = tuple[tuple[str, Expr | None], ...]
"""Over which times a table is, in blocks of how many tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Shapes and a seed. `axes` are the sizes that shapes tell; `mild` decays lie in (0.5, 1)."""

    batch: int = 2
    tokens: int = 5
    heads: int = 2
    axes: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    mild: bool = False

    @property
    def where(self) -> str:
        """The case in words."""
        axes = " ".join(f"{name}={size}" for name, size in self.axes.items())
        return f"B={self.batch} T={self.tokens} H={self.heads} {axes} seed={self.seed}"


def random_case(subject: Subject, random: Random, *, tokens: int, batch: int = 2) -> Case:
    """A case of that length: sizes from 1 to 7, heads that the groups divide."""
    told = told_sizes(subject.mixer)
    groups = _group_names(subject)
    axes = {n: random.choice(GROUPS) if n in groups else random.randint(1, 7) for n in told}
    axes |= folded_steps(subject.mixer)
    share = max([1, *(size for name, size in axes.items() if name in groups)])
    heads = fixed_heads(subject.mixer) or share * random.randint(1, 2)
    return Case(batch=batch, tokens=tokens, heads=heads, axes=axes, seed=random.randrange(10**6))


def wide_case(subject: Subject, random: Random, *, tokens: int) -> Case:
    """A case with enough numbers in every tensor for a root mean square to mean something."""
    small = random_case(subject, random, tokens=tokens)
    groups = _group_names(subject)
    axes = {n: s if n in groups else random.randint(6, 10) for n, s in small.axes.items()}
    axes |= folded_steps(subject.mixer)
    heads = fixed_heads(subject.mixer) or 4 * small.heads
    return replace(small, axes=axes, heads=heads)


def _group_names(subject: Subject) -> set[str]:
    """The sizes that count groups of heads."""
    mixer = subject.mixer
    return {source_of(mixer, name).sort.heads.group for name in mixer.core.inputs}


def draw(subject: Subject, case: Case) -> Inputs:
    """The core's inputs in float64, by the name that the core reads."""
    mixer = subject.mixer
    generator = Generator().manual_seed(case.seed)
    ranges = environment([size.name for size in mixer.sizes], mixer.lines)
    inputs = {}
    for name in mixer.core.inputs:
        source = source_of(mixer, name)
        shape = _shape(subject, case, source)
        if name in subject.decays:
            inputs[name] = _decay(subject, case, name, torch.rand(shape, generator=generator))
            continue
        value = _value(source, shape, ranges.get(name, ALL), generator)
        inputs[name] = functional.normalize(value, dim=-1) if _is_unit(mixer, name) else value
    return inputs


def _is_unit(mixer: Mixer, name: str) -> bool:
    """Whether a stream is of length 1, by `l2norm` or a division by its length: what erases along
    it relies on that."""
    lines = (line for line in mixer.lines if isinstance(line, Value) and line.name == name)
    return any(_over_its_length(line.expr) for line in lines)


def _over_its_length(expr: Expr) -> bool:
    match expr:
        case Norm(norm=norm):
            return norm == "l2norm"
        case Apply(primitive="div", operands=(value, divisor)):
            return any(_is_square(square, value) for square in _under_root(divisor))
        case _:
            return False


def _under_root(divisor: Expr) -> Iterator[Expr]:
    """What stands under a root, without what is added to it or bounds it below."""
    match divisor:
        case Apply(primitive="max", operands=(root, Number())):
            yield from _under_root(root)
        case Apply(
            primitive="sqrt", operands=(Apply(primitive="add", operands=(square, Number())),)
        ):
            yield square
        case Apply(primitive="sqrt", operands=(square,)):
            yield square


def _is_square(square: Expr, value: Expr) -> bool:
    """Whether an expression is the sum of the squares of another."""
    match square:
        case Contract(left=left, right=right):
            return left == right == value
        case Reduce(reduction="sum", operand=Apply(primitive="mul", operands=(left, right))):
            return left == right == value
        case _:
            return False


def _shape(subject: Subject, case: Case, source: Source) -> tuple[int, ...]:
    sizes = {**subject.sizes, **case.axes, "heads": case.heads}
    dims = (*head_dims(source.sort.heads), *source.sort.axes)
    own = tuple(dim_length(sizes, dim) for dim in dims)
    if source.stream:
        return (case.batch, case.tokens, *own)
    return (*own, *entries(source.index, case.tokens, sizes))


def entries(index: Index, tokens: int, sizes: Mapping[str, Any]) -> tuple[int, ...]:
    """The lengths of a table that has entries for so many tokens."""
    blocks = (1 if b is None else count_of("block", number_of(b, sizes)) for _, b in index)
    return tuple(-(-tokens // block) for block in blocks)


def _value(
    source: Source, shape: tuple[int, ...], bounds: Interval, generator: Generator
) -> Tensor:
    normal = torch.randn(shape, generator=generator, dtype=torch.float64)
    unit = torch.rand(shape, generator=generator, dtype=torch.float64)
    match source.sort.kind:
        case Kind.BOOL:
            return unit > 0.5
        case Kind.INT:
            return (unit < 0.2).long().cumsum(1)
        case Kind.COMPLEX:
            return torch.polar(_real(unit, normal.abs(), bounds), 3 * normal)
        case Kind.REAL:
            return _real(unit, normal, bounds)


def _real(unit: Tensor, normal: Tensor, bounds: Interval) -> Tensor:
    """Numbers within the bounds, about 1 in size where there are none."""
    low, high = float(bounds.low), float(bounds.high)
    if high - low <= NARROW:
        return low + (high - low) * unit
    if low <= -NARROW and high >= NARROW:
        return normal.clamp(low, high)
    middle = low + functional.softplus(normal) if low > -math.inf else high - normal.abs()
    return middle.clamp(low, high)


def _decay(subject: Subject, case: Case, name: str, unit: Tensor) -> Tensor:
    """Decays within (0, 1), some exactly at the extremes, some negative where nothing forbids."""
    unit = unit.double()
    if case.mild:
        return 0.5 + unit / 2
    generator = Generator().manual_seed(case.seed + 1)

    def somewhere() -> Tensor:
        return torch.rand(unit.shape, generator=generator) < RARE

    found = unit
    for extreme in EXTREMES:
        found = torch.where(somewhere(), extreme, found)
    if not divides_by_sums(subject.algebra):
        found = torch.where(somewhere(), -found, found)
    return _declared(subject, name, found)


def _declared(subject: Subject, name: str, values: Tensor) -> Tensor:
    """The values, those outside a declared range replaced by one inside."""
    for line in subject.mixer.lines:
        if isinstance(line, Input) and line.name == name and line.range is not None:
            bounds = line.range
            low = 0.0 if bounds.low is None else float(bounds.low)
            high = 1.0 if bounds.high is None else float(bounds.high)
            outside = (values < low) | (values > high)
            outside |= (values == low) & bounds.low_open | (values == high) & bounds.high_open
            return torch.where(outside, (low + high) / 2, values)
    return values


def tokens_of(subject: Subject, inputs: Inputs, part: slice) -> Inputs:
    """Some tokens of the streams, and all of everything else."""
    streams = subject.streams
    return {name: x[:, part] if name in streams else x for name, x in inputs.items()}


def as_logarithms(subject: Subject, inputs: Inputs) -> Inputs:
    """The same inputs with every decay as its logarithm; negative ones become their size."""
    decays = subject.decays
    return {
        f"log_{name}" if name in decays else name: x.abs().log() if name in decays else x
        for name, x in inputs.items()
    }
