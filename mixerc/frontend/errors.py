"""One constructor for each mistake that `check` finds in names, axes, heads, kinds and times.

`errors_core` and `errors_layer` hold those of the core and of the layer; `words` what they share.
"""

from collections.abc import Iterable

from mixerc.diagnostics.diagnostic import Diagnostic, Related
from mixerc.diagnostics.span import Span
from mixerc.frontend.words import did_you_mean, listed, show_axes, show_heads
from mixerc.ir.sorts import Heads, Sort

# Names


def unknown_name(span: Span, name: str, known: Iterable[str]) -> Diagnostic:
    """A name that nothing defines."""
    return Diagnostic(
        slug="unknown-name",
        message=f"there is no `{name}`",
        span=span,
        helps=did_you_mean(name, known),
    )


def used_before_definition(span: Span, name: str, defined: Span) -> Diagnostic:
    """A name that is defined further down, or in its own line."""
    return Diagnostic(
        slug="used-before-definition",
        message=f"`{name}` is read before it is defined",
        span=span,
        related=(Related(span=defined, label="defined here"),),
        notes=("a line uses what stands above it",),
        helps=("what a value was at the token before is a `state`",) if span == defined else (),
    )


def duplicate_name(span: Span, name: str, defined: Span) -> Diagnostic:
    """A name that is defined twice."""
    return Diagnostic(
        slug="duplicate-name",
        message=f"`{name}` is defined a second time",
        span=span,
        related=(Related(span=defined, label="first defined here"),),
    )


def reserved_name(span: Span, name: str) -> Diagnostic:
    """A definition of a name that the language gives."""
    return Diagnostic(
        slug="reserved-name",
        message=f"`{name}` is a name of the language",
        span=span,
        helps=(f"take another name, such as `{name}1`",),
    )


def unused_name(span: Span, name: str) -> Diagnostic:
    """A name that nothing reads."""
    return Diagnostic(
        slug="unused-name",
        message=f"nothing reads `{name}`",
        span=span,
        helps=("read it, or leave it out",),
    )


def misplaced_name(span: Span, name: str, what: str) -> Diagnostic:
    """A given name outside the places where it means something."""
    where = {
        "x": "the streams, the core and `y`",
        "x0": "a stack",
        "o": "`y`",
        "sum": "`normalize`",
        "causal": "`mask`",
        "full": "`mask`",
        "head": "a mixer's values",
        "T": "streams and the core",
        "length": "sizes and initial values",
    }
    note = f"it can be read in {where[name]}" if name in where else "nothing reads it"
    return Diagnostic(
        slug="misplaced-name",
        message=f"`{name}` cannot be read in {what}",
        span=span,
        notes=(note,),
    )


def bare_function(span: Span, name: str) -> Diagnostic:
    """A function or step that stands like a value."""
    return Diagnostic(
        slug="bare-function",
        message=f"`{name}` is a function, not a value",
        span=span,
        helps=(f"apply it: `{name}(e)` or `e | {name}`",),
    )


# Axes


def unknown_axis(span: Span, name: str, known: Iterable[str]) -> Diagnostic:
    """An axis that the header does not size."""
    return Diagnostic(
        slug="unknown-axis",
        message=f"`{name}` is not an axis",
        span=span,
        notes=("an axis is a size of the header, or `d_model`",),
        helps=did_you_mean(name, known),
    )


def repeated_axis(span: Span, axis: str) -> Diagnostic:
    """A declaration with the same axis twice."""
    return Diagnostic(
        slug="repeated-axis",
        message=f"the axis `{axis}` stands here twice",
        span=span,
        notes=("equal sizes never make axes equal: keys and values have a name each",),
        helps=(
            f"name the second in the header, `V = {axis}`, or write `{axis}'` for a second copy",
        ),
    )


def repeated_time(span: Span, time: str) -> Diagnostic:
    """A table over the same time twice."""
    return Diagnostic(
        slug="repeated-time",
        message=f"the table runs over `{time}` twice",
        span=span,
        helps=("a table over pairs of tokens runs over `t` and `s`",),
    )


def axes_mismatch(span: Span, name: str, declared: Sort, found: Sort, left: Span) -> Diagnostic:
    """A right side whose axes are not those of the left."""
    return Diagnostic(
        slug="axes-mismatch",
        message=f"`{name}` has {show_axes(declared)}, its right side has {show_axes(found)}",
        span=span,
        related=(Related(span=left, label=f"declared with {show_axes(declared)}"),),
        notes=("the right side must have exactly the axes of the left",),
    )


def initial_value_axes(span: Span, name: str, declared: Sort, found: Sort) -> Diagnostic:
    """An initial value with an axis that the parameter lacks."""
    return Diagnostic(
        slug="initial-value-axes",
        message=f"`{name}` has {show_axes(declared)}, its initial value has {show_axes(found)}",
        span=span,
        notes=("an initial value may leave axes out, and is then repeated along them",),
    )


def axes_do_not_meet(span: Span, operator: str, sorts: tuple[Sort, ...]) -> Diagnostic:
    """An elementwise operation where no operand has all the axes."""
    found = listed([show_axes(sort) for sort in sorts])
    return Diagnostic(
        slug="axes-do-not-meet",
        message=f"`{operator}` takes {found}",
        span=span,
        notes=("one operand must have all the axes of the others; only `*` makes outer products",),
    )


def contraction_axes(
    span: Span, left: Sort, right: Sort, pairs: list[tuple[str, str]]
) -> Diagnostic:
    """A contraction whose sides share no axis, or several."""
    shared = f"share {listed([pair[0] for pair in pairs])}" if pairs else "share no axis"
    return Diagnostic(
        slug="contraction-axes",
        message=f"the sides of `@` {shared}: {show_axes(left)} and {show_axes(right)}",
        span=span,
        notes=("`a @ b` sums over the one axis that both have",),
        helps=("for several, write `sum[K](a * b)`",) if pairs else ("for none, write `a * b`",),
    )


def missing_axis(span: Span, function: str, axis: str, found: Sort) -> Diagnostic:
    """A reduction over an axis that its operand lacks."""
    return Diagnostic(
        slug="missing-axis",
        message=f"`{function}[{axis}]` of a value with {show_axes(found)}",
        span=span,
    )


def unnamed_features(span: Span) -> Diagnostic:
    """Unnamed features in arithmetic with other axes."""
    return Diagnostic(
        slug="unnamed-features",
        message="the unnamed features of `linear(n)` meet another axis",
        span=span,
        notes=("they are for further steps only",),
        helps=("write `linear` without a number to land on the axes at the left",),
    )


# Heads


def heads_mismatch(span: Span, name: str, declared: Heads, found: Heads) -> Diagnostic:
    """A right side whose heads are not those of the left."""
    helps = (f"write `grouped({found.group}) {name}`",) if found.group else ()
    return Diagnostic(
        slug="heads-mismatch",
        message=f"`{name}` is {show_heads(declared)}, its right side is {show_heads(found)}",
        span=span,
        helps=helps,
    )


def groups_differ(span: Span, groups: Iterable[str]) -> Diagnostic:
    """Operands that are grouped in different ways."""
    found = listed([f"`grouped({group})`" for group in groups])
    return Diagnostic(
        slug="groups-differ",
        message=f"operands are {found}",
        span=span,
        notes=("a value of each head meets every group; two kinds of groups do not meet",),
    )


def grouped_without_heads(span: Span, name: str, why: str) -> Diagnostic:
    """`grouped` before a value that belongs to no head."""
    return Diagnostic(
        slug="grouped-without-heads",
        message=f"`{name}` belongs to no head, so there is nothing to group",
        span=span,
        notes=(f"{why} belongs to no head",),
    )


# Kinds


def bool_operand(span: Span, operator: str) -> Diagnostic:
    """A condition where a number is needed."""
    return Diagnostic(
        slug="bool-operand",
        message=f"`{operator}` takes numbers, this is a condition",
        span=span,
        helps=("make it a number: `where(condition, 1, 0)`",),
    )


def number_operand(span: Span, operator: str) -> Diagnostic:
    """A number where a condition is needed."""
    return Diagnostic(
        slug="number-operand",
        message=f"`{operator}` takes conditions, this is a number",
        span=span,
        helps=("compare it, such as `e > 0`",),
    )


def complex_operand(span: Span, operator: str) -> Diagnostic:
    """A complex number where a real one is needed."""
    return Diagnostic(
        slug="complex-operand",
        message=f"`{operator}` takes real numbers, this is complex",
        span=span,
        helps=("take `real(e)`, `imag(e)` or `abs(e)`",),
    )


# Times


def missing_time(span: Span, name: str, what: str, times: frozenset[str]) -> Diagnostic:
    """A value that varies with the token, read bare where two times are in scope."""
    forms = listed([f"`{name}[{time}]`" for time in sorted(times)], word="or")
    return Diagnostic(
        slug="missing-time",
        message=f"in {what}, `{name}` needs a time",
        span=span,
        helps=(f"write {forms}",),
    )


def unknown_time(span: Span, what: str) -> Diagnostic:
    """An index that is not a time that a value can be read at."""
    return Diagnostic(
        slug="unknown-time",
        message=f"values are not read at this time in {what}",
        span=span,
        notes=("with one time: at t, bare, and `u[t-1]`; with two: `u[t]` and `u[s]`",),
    )


def time_not_in_scope(span: Span, name: str, time: str, what: str) -> Diagnostic:
    """`t` or `s`, or a table over it, where that time is not in scope."""
    subject = f"`{name}`" if name == time else f"`{name}` varies with `{time}`, which"
    return Diagnostic(
        slug="time-not-in-scope",
        message=f"{subject} is not in scope in {what}",
        span=span,
        notes=("`s` is in scope in `mask`, `weight`, `value` and `sum[s](…)`",),
    )


def time_of_constant(span: Span, name: str, what: str) -> Diagnostic:
    """A constant, parameter or table read at a time."""
    return Diagnostic(
        slug="time-of-constant",
        message=f"`{name}` is {what} and is read bare",
        span=span,
        helps=(f"write `{name}`",),
    )


def not_constant(span: Span, name: str, what: str) -> Diagnostic:
    """A value that is not known when a layer is built, in a size or an initial value."""
    return Diagnostic(
        slug="not-constant",
        message=f"`{name}` is not known where {what} is computed",
        span=span,
        notes=(
            "sizes are made of sizes; initial values also of `head`, and of constants and "
            "parameters above",
        ),
    )
