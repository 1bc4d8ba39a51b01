"""Folds written out: `fold[J](U = start, next)` is `next` J times, each time over the one before.

The number of steps has to be known, for the algebra of J steps is that of one token; the values at
each step become inputs of their own.
"""

from fractions import Fraction

from mixerc.algebra.terms import LOW_RANK, NotLinear
from mixerc.ir.expr import Arange, Expr, Fold, Item, Number, Read
from mixerc.ir.mixer import Mixer, Value
from mixerc.ir.sorts import Axis
from mixerc.ir.walk import core_expressions, map_children, map_core, walk

MOST_STEPS = 8
"""More would be longer to compile than a loop is to run."""


def folded_axes(mixer: Mixer) -> tuple[Axis, ...]:
    """The axes that folds of the core run over."""
    found = (e for expr in core_expressions(mixer.core) for e in walk(expr) if isinstance(e, Fold))
    return tuple(dict.fromkeys(fold.axis for fold in found))


def steps_of(mixer: Mixer, axis: Axis) -> int | None:
    """How many places an axis has, if the header or the caller says it with a number."""
    for size in mixer.sizes:
        match size.default:
            case Number(value=value) if size.name == axis and value.denominator == 1:
                return int(value)
    return None


def folded_steps(mixer: Mixer) -> dict[Axis, int]:
    """The axes that folds run over, with their known lengths: files are made for these."""
    found = {axis: steps_of(mixer, axis) for axis in folded_axes(mixer)}
    return {axis: count for axis, count in found.items() if count is not None}


def unfolded(mixer: Mixer) -> Mixer:
    """The mixer with its folds written out; raises NotLinear for one of unknown length."""
    if not folded_axes(mixer):
        return mixer
    return map_core(mixer, _Unfolding(mixer).expr)


class _Unfolding:
    """Reads in a fold have the sort of one step; what has the axis is known by its line."""

    def __init__(self, mixer: Mixer) -> None:
        self.mixer = mixer
        self.inputs = {line.name: line.sort.axes for line in mixer.lines}
        self.inner = {state.name: state.sort.axes for state in mixer.core.states}
        for line in mixer.core.lines:
            if isinstance(line, Value):
                self.inner[line.name] = line.sort.axes

    def expr(self, expr: Expr) -> Expr:
        """The expression without folds, those inside others first."""
        inner = map_children(expr, self.expr)
        if not isinstance(inner, Fold):
            return inner
        value = inner.start
        for index in range(self._count(inner)):
            value = self._step(inner.next, inner, index, value)
        return value

    def _count(self, fold: Fold) -> int:
        count = steps_of(self.mixer, fold.axis)
        if count is None:
            reason = f"the length of {fold.axis}, over which it folds, is no number in the header"
            raise NotLinear(reason, fold.span, LOW_RANK)
        if count > MOST_STEPS:
            reason = f"it folds over {count} steps, and at most {MOST_STEPS} are written out"
            raise NotLinear(reason, fold.span, LOW_RANK)
        return count

    def _step(self, expr: Expr, fold: Fold, index: int, value: Expr) -> Expr:
        """What a step computes: the variable is the value so far, inputs are those of the step."""
        match expr:
            case Read(name=name) if name == fold.variable:
                return value
            case Read(name=name) if fold.axis in self.inputs.get(name, ()):
                called = f"{name}_{index}"
                while called in self.inputs or called in self.inner:
                    called += "_"
                return Item(
                    source=expr,
                    axis=fold.axis,
                    index=index,
                    called=called,
                    sort=expr.sort,
                    span=expr.span,
                )
            case Read(name=name) if fold.axis in self.inner.get(name, ()):
                reason = f"it folds over {fold.axis}, which is an axis of {name} in the core"
                raise NotLinear(reason, expr.span, LOW_RANK)
            case Arange(axis=axis) if axis == fold.axis:
                return Number(value=Fraction(index), sort=expr.sort, span=expr.span)
            case _:
                return map_children(expr, lambda e: self._step(e, fold, index, value))
