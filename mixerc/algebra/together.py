"""States that feed one another as one affine step: each a sum of the others, and a rest."""

from collections.abc import Mapping
from dataclasses import dataclass

from mixerc.algebra.affine import Affine, affine
from mixerc.algebra.terms import NONLINEAR, NotLinear, reads_state
from mixerc.ir.expr import Expr, Read
from mixerc.ir.mixer import State
from mixerc.ir.show import show_expr
from mixerc.ir.sorts import Time
from mixerc.ir.walk import map_children

MOST = 4
"""States that are solved together: steps are composed as matrices of so many rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """For each state what every state before the token is multiplied by, and what is added; None
    stands for 0."""

    coefficients: tuple[tuple[Expr | None, ...], ...]
    rests: tuple[Expr | None, ...]


def together(states: tuple[State, ...], updates: Mapping[str, Expr]) -> Together:
    """The affine step of some states, place by place; raises NotLinear where it is none."""
    names = tuple(state.name for state in states)
    if len(names) > MOST:
        reason = f"they are more than {MOST}"
        raise NotLinear(reason, states[0].span, NONLINEAR)
    if len({(s.sort.axes, s.sort.kind, s.sort.heads) for s in states}) > 1:
        reason = "they do not lie along the same axes"
        raise NotLinear(reason, states[0].span, NONLINEAR)
    rows = [_row(of_before(updates[name], updates, frozenset(names)), names) for name in names]
    return Together(
        coefficients=tuple(row for row, _ in rows), rests=tuple(rest for _, rest in rows)
    )


def of_before(expr: Expr, updates: Mapping[str, Expr], names: frozenset[str]) -> Expr:
    """The expression with the states of its own token written out by those before it."""
    match expr:
        case Read(name=name, time=Time.T) if name in names:
            return of_before(updates[name], updates, names)
        case _:
            return map_children(expr, lambda e: of_before(e, updates, names))


def _row(update: Expr, names: tuple[str, ...]) -> tuple[tuple[Expr | None, ...], Expr | None]:
    row: list[Expr | None] = []
    rest: Expr | None = update
    for name in names:
        form = Affine(coefficient=None, rest=None)
        if rest is not None:
            form = affine(rest, name, Time.PREVIOUS)
        if form.coefficient is not None and reads_state(form.coefficient, frozenset(names)):
            reason = (
                f"what multiplies {name} reads one of them too (`{show_expr(form.coefficient)}`)"
            )
            raise NotLinear(reason, form.coefficient.span, NONLINEAR)
        row.append(form.coefficient)
        rest = form.rest
    return tuple(row), rest
