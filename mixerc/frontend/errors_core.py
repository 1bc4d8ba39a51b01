"""One constructor for each mistake in the core: clauses, states, recurrences, o and y."""

from mixerc.diagnostics.diagnostic import Diagnostic, Related
from mixerc.diagnostics.span import Span
from mixerc.frontend.words import listed, show_axes
from mixerc.ir.sorts import Sort

# Reading


def state_without_time(span: Span, name: str) -> Diagnostic:
    """A state read bare."""
    return Diagnostic(
        slug="state-without-time",
        message=f"the state `{name}` is read with its time",
        span=span,
        helps=(f"write `{name}[t-1]` for what it was before its update, `{name}[t]` after it",),
    )


def state_read_early(span: Span, name: str) -> Diagnostic:
    """A state read after its update, above or in that update."""
    return Diagnostic(
        slug="state-read-early",
        message=f"`{name}[t]` is read before `{name}` is updated",
        span=span,
        helps=(f"write `{name}[t-1]`, or move the line below the update",),
    )


def core_value_time(span: Span, name: str) -> Diagnostic:
    """A branch or a value of the core, read at another token."""
    return Diagnostic(
        slug="core-value-time",
        message=f"`{name}` is a value of the core, which is read at t only",
        span=span,
        helps=("keep what an earlier token had in a `state`",),
    )


def core_value_in_clause(span: Span, name: str, what: str) -> Diagnostic:
    """A branch, or a line made of one or of a sum over s, read by a clause."""
    return Diagnostic(
        slug="core-value-in-clause",
        message=f"`{name}` is a value of the core, which {what} cannot read",
        span=span,
        notes=("lines made of sums stand below every sum; a decay reads streams only",),
        helps=("write sums that feed one another as recurrences of states",),
    )


def layer_in_core(span: Span, step: str, what: str) -> Diagnostic:
    """A layer in a clause, a state's update, a feature or o."""
    return Diagnostic(
        slug="layer-in-core",
        message=f"the layer `{step}` stands in {what}",
        span=span,
        notes=("the core is the mixer's arithmetic; layers stand above it or in `y`",),
        helps=("give it a line of its own above, and read its name here",),
    )


# Clauses


def missing_core(span: Span) -> Diagnostic:
    """A mixer with neither clauses nor recurrences."""
    return Diagnostic(
        slug="missing-core",
        message="this mixer moves nothing between tokens",
        span=span,
        helps=("write `mask`, `weight` and `state`, or a `state` and its recurrence",),
    )


def missing_clause(span: Span, keyword: str) -> Diagnostic:
    """A sum without a mask, a weight or a state."""
    return Diagnostic(
        slug="missing-clause",
        message=f"this sum has no `{keyword}`",
        span=span,
        helps=(
            {
                "mask": "write `mask causal`, `mask full` or a condition on `t` and `s`",
                "weight": "write what a query gives a key, such as `weight q[t] @ k[s]`",
                "state": "write what is kept: `state S[K, V]`, or `state cache`",
            }[keyword],
        ),
    )


def missing_value(span: Span) -> Diagnostic:
    """A sum without `value` in a spec without `v`."""
    return Diagnostic(
        slug="missing-value",
        message="this sum has no `value`, and there is no `v` to take for it",
        span=span,
        helps=("write `value e`, or name the value `v`",),
    )


def repeated_clause(span: Span, keyword: str, first: Span) -> Diagnostic:
    """A clause given twice in one sum."""
    return Diagnostic(
        slug="repeated-clause",
        message=f"this sum has a second `{keyword}`",
        span=span,
        related=(Related(span=first, label="the first"),),
    )


def two_forms(span: Span, first: Span) -> Diagnostic:
    """Clauses beside recurrences, or beside branches."""
    return Diagnostic(
        slug="two-forms",
        message="a core is one sum, several branches, or recurrences",
        span=span,
        related=(Related(span=first, label="another form begins here"),),
    )


def clause_axes(span: Span, keyword: str, found: Sort) -> Diagnostic:
    """A mask or weight with axes."""
    return Diagnostic(
        slug="clause-axes",
        message=f"a {keyword} has no axes, this has {show_axes(found)}",
        span=span,
        helps=("sum over them: `a @ b`, or `sum[K](e)`",),
    )


def normalizer_axes(span: Span, found: Sort, value: Sort) -> Diagnostic:
    """A normalizer with an axis that the value lacks."""
    return Diagnostic(
        slug="normalizer-axes",
        message=f"the normalizer has {show_axes(found)}, the value has {show_axes(value)}",
        span=span,
    )


def key_axis_in_value(span: Span, axis: str) -> Diagnostic:
    """Keys and values along one axis, with a matrix state."""
    return Diagnostic(
        slug="key-axis-in-value",
        message=f"the keys are summed along `{axis}`, which the value has too",
        span=span,
        notes=("a state of keys and values has an axis for each",),
        helps=(f"give the value an axis of its own: `V = {axis}` in the header",),
    )


def decay_axis(span: Span, axis: str) -> Diagnostic:
    """A decay along an axis of neither keys nor values."""
    return Diagnostic(
        slug="decay-axis",
        message=f"the decay runs along `{axis}`, which neither `@` of the weight nor the value has",
        span=span,
    )


def decay_without_order(span: Span, mask: Span, pair: str) -> Diagnostic:
    """A decay with a mask that lets a token see later ones."""
    return Diagnostic(
        slug="decay-without-order",
        message=f"the mask lets a token see a later one: {pair}",
        span=mask,
        related=(Related(span=span, label="this decay is a product over s < j <= t"),),
        helps=("write `mask causal`, or `causal and …`",),
    )


def decay_exceeds_one(span: Span, example: str) -> Diagnostic:
    """A decay that is not between -1 and 1."""
    return Diagnostic(
        slug="decay-exceeds-one",
        message=f"this decay can be {example}",
        span=span,
        notes=("a product of many such factors has no bound",),
        helps=(
            "bound it: `sigmoid(e)`, `exp(-softplus(e))`",
            "or declare the input: `input a in (0, 1]`",
        ),
    )


def empty_mask_row(span: Span, row: str) -> Diagnostic:
    """A mask under which some token sees none, and whose sum is divided by zero."""
    return Diagnostic(
        slug="empty-mask-row",
        message=f"a token sees none: {row}",
        span=span,
        notes=("its sum of weights is 0, and `normalize` divides by it",),
        helps=("let each token see itself, or write `normalize sum + 1e-6`",),
    )


# Recurrences and outputs


def missing_update(span: Span, name: str) -> Diagnostic:
    """A state without a recurrence."""
    return Diagnostic(
        slug="missing-update",
        message=f"nothing updates the state `{name}`",
        span=span,
        helps=(f"write `{name}[t] = …`",),
    )


def repeated_update(span: Span, name: str, first: Span) -> Diagnostic:
    """A state with two recurrences."""
    return Diagnostic(
        slug="repeated-update",
        message=f"`{name}` is updated a second time",
        span=span,
        related=(Related(span=first, label="updated here"),),
        notes=("a state has one update a token",),
    )


def update_without_state(span: Span, name: str) -> Diagnostic:
    """A recurrence of a name that is not a state."""
    return Diagnostic(
        slug="update-without-state",
        message=f"`{name}` is not a state",
        span=span,
        helps=(f"declare `state {name}`, or leave out `[t]` if it does not read itself",),
    )


def update_time(span: Span, name: str) -> Diagnostic:
    """A recurrence that gives a state at another time than t."""
    return Diagnostic(
        slug="update-time",
        message=f"an update gives `{name}` at t",
        span=span,
        helps=(f"write `{name}[t] = …`",),
    )


def complex_result(span: Span, name: str) -> Diagnostic:
    """A complex right side for a real state or for y."""
    return Diagnostic(
        slug="complex-result",
        message=f"`{name}` is real, its right side is complex",
        span=span,
        helps=("take `real(e)`, or declare the state `complex`",),
    )


def condition_result(span: Span, name: str) -> Diagnostic:
    """A condition as a weight, value, decay, state or output."""
    return Diagnostic(
        slug="condition-result",
        message=f"{name} is a number, this is a condition",
        span=span,
        helps=("make it a number: `where(condition, 1, 0)`",),
    )


def missing_output(span: Span, forms: tuple[str, ...]) -> Diagnostic:
    """A core of recurrences or branches without o, or a stack without y."""
    return Diagnostic(
        slug="missing-output",
        message=f"there is no {listed([f'`{form}`' for form in forms], word='or')}",
        span=span,
    )


def implied_output(span: Span, first: Span) -> Diagnostic:
    """o beside a single sum, which is o already."""
    return Diagnostic(
        slug="implied-output",
        message="`o` is this sum already",
        span=span,
        related=(Related(span=first, label="the sum"),),
        helps=("leave this line out; what follows the sum stands in `y`",),
    )


def stateless_output(span: Span) -> Diagnostic:
    """An o that reads no state, branch or sum over time."""
    return Diagnostic(
        slug="stateless-output",
        message="`o` reads no state and no sum over s",
        span=span,
        notes=("the core is what moves information between tokens",),
    )


def output_bare(span: Span) -> Diagnostic:
    """y with axes or groups."""
    return Diagnostic(
        slug="output-bare",
        message="`y` has the axis `d_model` and belongs to no head",
        span=span,
        helps=("write `y = …`",),
    )
