"""One constructor for each mistake that only the algebra can see."""

from mixerc.diagnostics.diagnostic import Diagnostic, Related
from mixerc.diagnostics.span import Span


def weight_does_not_split(span: Span, reason: str, state: Span) -> Diagnostic:
    """A state of keys and values for a weight that needs every pair."""
    return Diagnostic(
        slug="weight-does-not-split",
        message="this weight needs every pair of tokens, so no state of fixed size holds its sum",
        span=span,
        related=(Related(span=state, label="the state that it would have to be kept in"),),
        notes=(reason,),
        helps=("write `state cache`, or a weight that splits: `phi(q[t]) @ phi(k[s])`",),
    )


def future_token(span: Span, pair: str, needs: Span, why: str) -> Diagnostic:
    """A mask that lets a token see a later one, where a state or a decay needs an order."""
    return Diagnostic(
        slug="future-token",
        message=f"the mask lets a token see a later one: {pair}",
        span=span,
        related=(Related(span=needs, label=why),),
        helps=("write `mask causal`, or `causal and …`",),
    )


def product_of_times(span: Span, condition: str, counts: str) -> Diagnostic:
    """A mask that multiplies the position of a query by that of a key."""
    return Diagnostic(
        slug="product-of-times",
        message=f"`{condition}` multiplies t by s: {counts}",
        span=span,
        notes=("what a query sees follows no pattern that loops, tables or caches could use",),
        helps=("write a condition on `t - s`, `t // n` or `s % n`, or give a table over `t // n`",),
    )


def row_without_keys(span: Span, row: str) -> Diagnostic:
    """A mask under which some token sees none."""
    return Diagnostic(
        slug="row-without-keys",
        message=f"a token sees none: {row}",
        span=span,
        notes=("its sum of weights is 0, and `normalize` divides by it",),
        helps=("let each token see itself, or write `normalize sum + 1e-6`",),
    )


def state_other_shape(span: Span, name: str, kept: tuple[str, ...]) -> Diagnostic:
    """A declared state that the sum does not keep."""
    return Diagnostic(
        slug="state-other-shape",
        message=f"the sum keeps nothing of the shape of `{name}`",
        span=span,
        helps=(f"what it keeps is {', '.join(f'`{state}`' for state in kept)}",),
    )
