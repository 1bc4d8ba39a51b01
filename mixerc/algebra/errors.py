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


def future_token(span: Span, pair: str, state: Span) -> Diagnostic:
    """A state that is kept from token to token, under a mask that lets one see a later one."""
    return Diagnostic(
        slug="future-token",
        message=f"the mask lets a token see a later one: {pair}",
        span=span,
        related=(Related(span=state, label="this state holds the tokens up to t"),),
        helps=("write `mask causal`, or `causal and …`; or keep the tokens: `state cache`",),
    )


def state_other_shape(span: Span, name: str, kept: tuple[str, ...]) -> Diagnostic:
    """A declared state that the sum does not keep."""
    return Diagnostic(
        slug="state-other-shape",
        message=f"the sum keeps nothing of the shape of `{name}`",
        span=span,
        helps=(f"what it keeps is {', '.join(f'`{state}`' for state in kept)}",),
    )
