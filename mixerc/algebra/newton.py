"""Whether Newton's method can solve a recurrence that is not affine: its slopes must be small.

The slope of an update by the states is a matrix for each token. Where every place of a state feeds
only the same place of others it is a number, or as many rows as there are states that feed one
another; where an axis is summed on the way it is as wide as that axis.
"""

from collections.abc import Mapping

from mixerc.algebra.terms import NotLinear, reads_state
from mixerc.algebra.together import MOST
from mixerc.ir.expr import Apply, Expr, Number, Read
from mixerc.ir.mixer import State
from mixerc.ir.show import show_expr
from mixerc.ir.sorts import Kind
from mixerc.ir.walk import walk


def check_slopes(states: tuple[State, ...], updates: Mapping[str, Expr], peak: str) -> None:
    """Raises NotLinear where the slopes of some states that are solved together are not small;
    `peak` is the running maximum, if there is one, which starts where nothing has a slope."""
    names = frozenset(state.name for state in states)
    if len(states) > MOST:
        reason = f"{len(states)} states feed one another, and steps of more than {MOST} are dear"
        raise NotLinear(reason, states[0].span)
    if len({(s.sort.axes, s.sort.heads) for s in states}) > 1:
        reason = f"{' and '.join(sorted(names))} do not lie along the same axes"
        raise NotLinear(reason, states[0].span)
    for state in states:
        if state.sort.kind is Kind.COMPLEX:
            reason = f"{state.name} is complex, and the slope of its update is no complex number"
            raise NotLinear(reason, state.span)
        _check_places(updates[state.name], names)
    if peak in names:
        others = " and ".join(sorted(names - {peak}))
        reason = f"{others} feed a running maximum, which starts at -inf: it has no slope there"
        raise NotLinear(reason, states[-1].span)


def _check_places(update: Expr, names: frozenset[str]) -> None:
    for expr in walk(update):
        if isinstance(expr, Read | Number) or not reads_state(expr, names):
            continue
        if expr.sort.kind is Kind.COMPLEX:
            reason = (
                f"`{show_expr(expr)}` makes a complex number of a state, which has no one slope"
            )
            raise NotLinear(reason, expr.span)
        if isinstance(expr, Apply):
            continue
        reason = f"`{show_expr(expr)}` takes places of a state together: its slope is a full matrix"
        raise NotLinear(reason, expr.span)
