"""Recurrences whose state can grow without bound: a note, since a recurrence stands as meant.

The factor of the state is what the analysis of linear mixers finds; a decay of a sum, which is a
factor by its definition, is refused for the same by `check_sums`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from mixerc.algebra.affine import affine
from mixerc.algebra.recurrence import inlined
from mixerc.algebra.terms import NotLinear, factors
from mixerc.diagnostics.diagnostic import Diagnostic
from mixerc.diagnostics.span import Span
from mixerc.frontend.check_sums import default_sizes
from mixerc.frontend.errors_core import decay_exceeds_one
from mixerc.frontend.witness import exceeding
from mixerc.ir.expr import Expr
from mixerc.ir.interval import SIGNED_UNIT, Interval, within
from mixerc.ir.mixer import Mixer, Update
from mixerc.ir.ranges import environment, range_of
from mixerc.ir.sorts import Time


def growing(mixer: Mixer) -> tuple[Diagnostic, ...]:
    """A note for each state whose factor is shown, by an example, to leave [-1, 1]."""
    sizes = default_sizes(mixer.sizes)
    env = environment([size.name for size in mixer.sizes], mixer.lines)
    notes = []
    for state, factor in _factors(mixer):
        if within(range_of(factor, env), SIGNED_UNIT):
            continue
        example = exceeding(factor, mixer.lines, sizes, env)
        if example is not None:
            note = decay_exceeds_one(_place(mixer, state, factor, env), example)
            notes.append(replace(note, severity="note"))
    return tuple(notes)


def _factors(mixer: Mixer) -> Iterator[tuple[str, Expr]]:
    """Each state that is scaled elementwise at each token, and what it is scaled by."""
    try:
        updates, _ = inlined(mixer)
    except NotLinear:
        return
    for state, update in updates.items():
        try:
            factor = affine(update, state, Time.PREVIOUS).coefficient
        except NotLinear:
            continue
        if factor is not None:
            yield state, factor


def _place(mixer: Mixer, state: str, factor: Expr, env: Mapping[str, Interval]) -> Span:
    """The first part of the product that can leave [-1, 1], or else the whole update."""
    for part in factors(factor):
        if part.span.line > 0 and not within(range_of(part, env), SIGNED_UNIT):
            return part.span
    updates = (line for line in mixer.core.lines if isinstance(line, Update))
    return next(line.expr.span for line in updates if line.state == state)
