"""An example of a decay beyond 1: values of its inputs, parameters and layers that make it so.

The decay is written out down to what can take any value of its range by itself; the rest keeps
its interval, so that what is found holds whatever that is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from random import Random
from typing import assert_never

from mixerc.ir import expr as e
from mixerc.ir.expr import Expr
from mixerc.ir.interval import ALL, POSITIVE, Bound, Interval, point, within
from mixerc.ir.mixer import Input, LayerLine, Param, Value
from mixerc.ir.ranges import range_of
from mixerc.ir.sorts import Time
from mixerc.ir.walk import map_children

PLACES = tuple(map(Fraction, ("1.5", "2", "1", "0.5", "0", "-1.5", "-0.5", "10", "-10")))
DEPTHS = ((0, 1), (0, 2), (1, 2), (11, 12))
MOST_TRIED = 300
LARGEST = 10**300


@dataclass(slots=True, kw_only=True)
class Writing:
    """An expression written out: `free` parts take values, `fixed` ones keep their interval."""

    lines: Mapping[str, LayerLine]
    env: Mapping[str, Interval]
    sizes: Mapping[str, Interval]
    free: dict[str, Interval] = field(default_factory=dict)
    fixed: dict[str, Interval] = field(default_factory=dict)
    written: dict[str, Expr] = field(default_factory=dict)

    def out(self, expr: Expr) -> Expr:
        """The expression over numbers, sizes and parts."""
        match expr:
            case e.Read(name=name) if name in self.lines:
                return self._read(expr, self.lines[name])
            case e.Size(name=name) if self.env.get(name) == POSITIVE and name not in self.sizes:
                return self._free(name, expr)
            case e.Number() | e.Size() | e.Position():
                return expr
            case e.Apply():
                return map_children(expr, self.out)
            case _:
                return self._free("", expr) if self._anything(expr) else self._fixed(expr)

    def _read(self, read: e.Read, line: LayerLine) -> Expr:
        if read.time == Time.PREVIOUS:
            return self._fixed(read)
        match line:
            case Input() | Param(learned=True):
                return self._free(read.name, read)
            case Param(init=expr) | Value(expr=expr):
                if read.name not in self.written:
                    self.written[read.name] = self.out(expr)
                return self.written[read.name]
            case _:
                assert_never(line)

    def _anything(self, expr: Expr) -> bool:
        """A layer or draw gives any value of its range; so does a sum over an axis of what does."""
        match expr:
            case e.Linear() | e.Conv() | e.Norm() | e.Glu() | e.Draw():
                return True
            case e.Contract(left=left, right=right):
                return self._unbounded(left) or self._unbounded(right)
            case e.Reduce(operand=operand):
                return self._unbounded(operand)
            case _:
                return False

    def _unbounded(self, operand: Expr) -> bool:
        line = self.lines.get(operand.name) if isinstance(operand, e.Read) else None
        match line:
            case Input() | Param(learned=True):
                free = True
            case Value(expr=expr):
                free = self._anything(expr)
            case _:
                free = self._anything(operand)
        return free and range_of(operand, self.env) == ALL

    def _free(self, name: str, expr: Expr) -> Expr:
        """A part that takes values; without a name it is not shown."""
        part = name or f"#{len(self.free)}"
        self.free[part] = range_of(expr, self.env)
        return e.Read(name=part, time=Time.NONE, sort=expr.sort)

    def _fixed(self, expr: Expr) -> Expr:
        name = f"#fixed {len(self.fixed)}"
        self.fixed[name] = range_of(expr, self.env)
        return e.Read(name=name, time=Time.NONE, sort=expr.sort)


def exceeding(
    decay: Expr,
    lines: Sequence[LayerLine],
    sizes: Mapping[str, Interval],
    env: Mapping[str, Interval],
) -> str | None:
    """`1.5, where a = 1.5`: what shows that a decay leaves [-1, 1]; None where nothing does."""
    writing = Writing(lines={line.name: line for line in lines}, env=env, sizes=sizes)
    written = writing.out(decay)
    for at in _places(writing.free):
        for given in _settings(sizes):
            values = {name: point(value) for name, value in at.items()}
            found = range_of(written, {**given, **writing.fixed, **values})
            if found.low > 1 or found.high < -1:
                shown = [f"{name} = {_number(at[name])}" for name in at if name[0] != "#"]
                return _value(found) + (f", where {' and '.join(shown)}" if shown else "")
    return None


def _settings(sizes: Mapping[str, Interval]) -> Iterator[dict[str, Interval]]:
    """The sizes at their defaults, in several layers of stacks and heads."""
    heads = sizes["heads"].point if "heads" in sizes else None
    last = int(heads) - 1 if heads else 0
    for layer, layers in DEPTHS:
        for head in sorted({0, last}):
            given = {"layer": layer, "layers": layers, "head": head}
            yield {**sizes, **{name: point(value) for name, value in given.items()}}


def _places(free: Mapping[str, Interval]) -> Iterator[dict[str, Fraction]]:
    """Values to try: all combinations where they are few, else some of them."""
    choices = [_choices(interval) for interval in free.values()]
    if len(choices) <= 2:
        for values in product(*choices):
            yield dict(zip(free, values, strict=True))
        return
    random = Random(0)
    for _ in range(MOST_TRIED):
        yield {name: random.choice(options) for name, options in zip(free, choices, strict=True)}


def _choices(interval: Interval) -> list[Fraction]:
    low, high = interval.low, interval.high
    ends = [_inside(interval, high, low), _inside(interval, low, high)]
    inside = [value for value in (*PLACES, *ends) if value is not None]
    return [value for value in inside if within(point(value), interval)] or [Fraction(0)]


def _inside(interval: Interval, end: Bound, other: Bound) -> Fraction | None:
    """An end of the interval, or near it where it is open."""
    if isinstance(end, float):
        return None
    if within(point(end), interval):
        return end
    return end + (other - end) / 100 if isinstance(other, Fraction) else None


def _value(found: Interval) -> str:
    near = found.low if found.low > 1 else found.high
    assert isinstance(near, Fraction)
    return _number(near)


def _number(value: Fraction) -> str:
    """Enough digits to be no 1."""
    if abs(value) > LARGEST:
        return "beyond 1e300"
    text = f"{float(value):.4g}"
    return f"{float(value):.12g}" if abs(Fraction(text)) == 1 and abs(value) != 1 else text
