"""One constructor for each mistake in functions, steps, declarations, stacks and their specs."""

from collections.abc import Iterable

from mixerc.diagnostics.diagnostic import Diagnostic, Related
from mixerc.diagnostics.span import Span
from mixerc.frontend.words import did_you_mean, listed, show_axes
from mixerc.ir.sorts import Sort

# Functions and steps


def unknown_function(span: Span, name: str, known: Iterable[str]) -> Diagnostic:
    """A call of something that is not a function."""
    return Diagnostic(
        slug="unknown-function",
        message=f"there is no function `{name}`",
        span=span,
        helps=did_you_mean(name, known),
    )


def unknown_step(span: Span, name: str, known: Iterable[str]) -> Diagnostic:
    """A step that does not exist."""
    return Diagnostic(
        slug="unknown-step",
        message=f"there is no step `{name}`",
        span=span,
        helps=did_you_mean(name, known),
    )


def step_as_function(span: Span, name: str) -> Diagnostic:
    """A step written as a call."""
    return Diagnostic(
        slug="step-as-function",
        message=f"`{name}` is a step",
        span=span,
        helps=(f"write `e | {name}`",),
    )


def not_a_step(span: Span, name: str) -> Diagnostic:
    """A function of several arguments in a pipe."""
    return Diagnostic(
        slug="not-a-step",
        message=f"`{name}` does not take one argument, so it cannot be a step",
        span=span,
        helps=(f"write it as a call, `{name}(…)`",),
    )


def argument_count(span: Span, name: str, wanted: str, found: int) -> Diagnostic:
    """A call with too few or too many arguments."""
    return Diagnostic(
        slug="argument-count",
        message=f"`{name}` takes {wanted}, here are {found}",
        span=span,
    )


def unknown_argument(span: Span, name: str, argument: str, known: Iterable[str]) -> Diagnostic:
    """A keyword that the function or step does not have."""
    names = sorted(known)
    takes = f"it takes {listed([f'`{each}`' for each in names])}" if names else "it takes none"
    return Diagnostic(
        slug="unknown-argument",
        message=f"`{name}` has no argument `{argument}`",
        span=span,
        notes=(takes,),
        helps=did_you_mean(argument, names),
    )


def repeated_argument(span: Span, argument: str) -> Diagnostic:
    """An argument that is given twice."""
    return Diagnostic(
        slug="repeated-argument",
        message=f"`{argument}` is given twice",
        span=span,
    )


def argument_value(span: Span, argument: str, wanted: str) -> Diagnostic:
    """An argument that must be a plain number, 0 or 1, or a name."""
    return Diagnostic(
        slug="argument-value",
        message=f"`{argument}` must be {wanted}",
        span=span,
    )


def axis_bracket(span: Span, name: str) -> Diagnostic:
    """`f[K](e)` where f does not run over an axis, or `sum(e)` without one."""
    over = name in ("sum", "max", "softmax", "fold")
    return Diagnostic(
        slug="axis-bracket",
        message=f"`{name}` {'needs an axis in brackets' if over else 'takes no axis in brackets'}",
        span=span,
        helps=(f"write `{name}[K](e)`",) if over else (f"write `{name}(e)`",),
    )


def sum_over_time(span: Span, name: str) -> Diagnostic:
    """`max[s]`, `softmax[s]`, or a sum over s inside another."""
    return Diagnostic(
        slug="sum-over-time",
        message=f"`{name}[s]` cannot stand here",
        span=span,
        notes=("over time there is `sum[s](…)`, in the lines of the core, not inside another",),
    )


def step_source(span: Span, step: str, wanted: str, found: str) -> Diagnostic:
    """A step that cannot be applied to what stands before it."""
    return Diagnostic(
        slug="step-source",
        message=f"`{step}` takes {wanted}, this is {found}",
        span=span,
    )


def step_axes(span: Span, step: str, wanted: str, found: Sort) -> Diagnostic:
    """A step applied to a value whose axes it cannot work on."""
    return Diagnostic(
        slug="step-axes",
        message=f"`{step}` takes {wanted}, this has {show_axes(found)}",
        span=span,
    )


def concat_axes(span: Span, found: Sort) -> Diagnostic:
    """A part of `concat` that does not have one axis."""
    return Diagnostic(
        slug="concat-axes",
        message=f"each part of `concat` has one axis, this has {show_axes(found)}",
        span=span,
    )


def concat_part(span: Span, axis: str) -> Diagnostic:
    """A part of `concat` along the axis that the whole has."""
    return Diagnostic(
        slug="concat-part",
        message=f"this part of `concat` fills the axis `{axis}` by itself",
        span=span,
        helps=("name the sum of the lengths in the header, such as `M = 2 * K`",),
    )


def concat_target(span: Span, *, layers: bool, feature: bool) -> Diagnostic:
    """A concatenation with no one axis at the left to land on."""
    if feature:
        help_ = "give the feature the axis of the whole: `feature phi(z)[M] = concat(…)`"
    elif layers:
        help_ = "follow it by `| linear`"
    else:
        help_ = "give it a line of its own, `u[M] = concat(…)`, and read that"
    return Diagnostic(
        slug="concat-target",
        message="`concat` lands on the one axis at the left, there is not one",
        span=span,
        helps=(help_,),
    )


# Declarations


def range_bound(span: Span) -> Diagnostic:
    """A bound of a range that is not a number."""
    return Diagnostic(
        slug="range-bound",
        message="a bound is a number, or `inf`",
        span=span,
    )


def empty_range(span: Span) -> Diagnostic:
    """A range that holds no number."""
    return Diagnostic(slug="empty-range", message="this range holds no number", span=span)


def range_kind(span: Span, kind: str) -> Diagnostic:
    """A range of an input that is not real or int."""
    return Diagnostic(slug="range-kind", message=f"a {kind} input has no range", span=span)


def table_line(span: Span) -> Diagnostic:
    """A line that declares its value over times and is not an input, param or buffer."""
    return Diagnostic(
        slug="table-line",
        message="only `input`, `param` and `buffer` declare tables over `t` and `s`",
        span=span,
        helps=("leave the time out: a value of the layer or the core varies with t by itself",),
    )


# Stacks


def foreign_line(span: Span, *, stack: bool) -> Diagnostic:
    """A statement of a mixer in a stack, or of a stack in a mixer."""
    return Diagnostic(
        slug="foreign-line",
        message=f"this line cannot stand in a {'stack' if stack else 'mixer'}",
        span=span,
        notes=("a stack has `block` lines and `y`",) if stack else ("only a stack has blocks",),
    )


def repeated_step(span: Span) -> Diagnostic:
    """A step of `repeat` that is not a block or a mixer."""
    return Diagnostic(
        slug="repeated-step",
        message="`repeat` takes a number, then blocks and mixers",
        span=span,
    )


def unknown_mixer(span: Span, name: str, known: Iterable[str]) -> Diagnostic:
    """A step of a stack that is no step, function or block, and has no spec."""
    return Diagnostic(
        slug="unknown-mixer",
        message=f"there is no step, block or mixer `{name}`",
        span=span,
        helps=did_you_mean(name, known),
    )


def unknown_size(span: Span, mixer: str, size: str, known: Iterable[str]) -> Diagnostic:
    """A size that the header of the used mixer does not have."""
    names = sorted(known)
    return Diagnostic(
        slug="unknown-size",
        message=f"`{mixer}` has no size `{size}`",
        span=span,
        notes=(f"it has {listed([f'`{each}`' for each in names])}",),
        helps=did_you_mean(size, names),
    )


def missing_size(span: Span, mixer: str, size: str, declared: Span) -> Diagnostic:
    """A size without a default that the use of a mixer does not give."""
    return Diagnostic(
        slug="missing-size",
        message=f"`{mixer}` needs the size `{size}`",
        span=span,
        related=(Related(span=declared, label="it has no default"),),
        helps=(f"write `{mixer}({size} = …)`",),
    )


def positional_size(span: Span, mixer: str) -> Diagnostic:
    """A size of a used mixer without its name."""
    return Diagnostic(
        slug="positional-size",
        message=f"sizes of `{mixer}` are given by name",
        span=span,
    )


def stack_in_stack(span: Span, name: str) -> Diagnostic:
    """A stack as a step of another."""
    return Diagnostic(
        slug="stack-in-stack",
        message=f"`{name}` is a stack, and a stack uses mixers only",
        span=span,
        helps=("write its blocks here",),
    )


def recursive_stack(span: Span, name: str) -> Diagnostic:
    """A stack that uses itself, directly or through another."""
    return Diagnostic(
        slug="recursive-stack",
        message=f"`{name}` would hold itself",
        span=span,
    )
