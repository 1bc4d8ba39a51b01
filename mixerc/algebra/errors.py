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


def state_other_shape(span: Span, name: str, kept: tuple[str, ...]) -> Diagnostic:
    """A declared state that the sum does not keep."""
    return Diagnostic(
        slug="state-other-shape",
        message=f"the sum keeps nothing of the shape of `{name}`",
        span=span,
        helps=(f"what it keeps is {', '.join(f'`{state}`' for state in kept)}",),
    )
