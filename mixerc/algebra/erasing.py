"""Updates that read the state which they change: `S[t-1] - beta * k * (k @ S[t-1])` and its like.

Each contraction of the state is a readout of S[t-1], also inside another one: of
`k2 @ (S - k (k @ S))` that makes `k2 @ S - (k2 @ k) * (k @ S)`. What is left is affine and
elementwise in the state; a term that has a readout as a factor is a write whose value comes from
the state, as long as nothing else of it lies along the value's axes. Terms with one key are one
write: the rank is the number of such keys.
"""

from dataclasses import dataclass, replace

from mixerc.algebra.linear import Product, Readout, Write
from mixerc.algebra.reads import Reads, expanded
from mixerc.algebra.terms import (
    LOW_RANK,
    NONLINEAR,
    Factor,
    NotLinear,
    apply,
    factors,
    number,
    product,
    reads_state,
)
from mixerc.ir.expr import Contract, Expr, Read, Reduce
from mixerc.ir.show import show_expr
from mixerc.ir.sorts import Axis, Time
from mixerc.ir.walk import map_children


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasing:
    """An update with a name for each readout in it, and the axis that all of them sum over."""

    update: Expr
    readouts: dict[str, Readout]
    axis: Axis | None


def erasing(update: Expr, state: str) -> Erasing:
    """The update with its contractions of the state taken out; raises NotLinear for one that reads
    it elsewhere than at the token before, or that does not lie along one axis of it."""
    names = frozenset({state})
    reads = Reads(states=names)

    def rewrite(expr: Expr) -> Expr:
        match expr:
            case Contract() | Reduce(reduction="sum") if reads_state(expr, names):
                try:
                    return reads.rewrite(expr)
                except NotLinear as leaves:
                    reason = f"{leaves.reason}: this contraction of {state} has no low rank"
                    raise NotLinear(reason, leaves.span, LOW_RANK) from None
            case _:
                return map_children(expr, rewrite)

    made = rewrite(update)
    for readout in reads.readouts:
        if not readout.before:
            reason = f"the update of {state} reads {state}[t], which it makes"
            raise NotLinear(reason, update.span, NONLINEAR)
    axes = reads.key_axes.get(state)
    return Erasing(
        update=made,
        readouts={readout.name: readout for readout in reads.readouts},
        axis=None if axes is None else axes[0],
    )


@dataclass(frozen=True, slots=True)
class _Sums:
    """What is written under one key: the value, and the query for what the state holds."""

    value: list[Expr]
    query: list[Expr]


def joined(
    writes: tuple[Write, ...],
    erased: Erasing,
    values: frozenset[Axis],
    decays: tuple[Expr, ...],
) -> tuple[Write, ...]:
    """The writes with their readouts resolved, one for each key. A query that has the state's
    decays as factors reads the decayed state: its rows decay as those of the output's readouts."""
    if not erased.readouts:
        return writes
    by_key: dict[Product, _Sums] = {}
    for write in writes:
        sums = by_key.setdefault(write.key, _Sums([], []))
        for term in expanded(product([f.expr for f in write.value]), frozenset(erased.readouts)):
            reads = [f for f in term if reads_state(f, frozenset(erased.readouts))]
            if reads:
                sums.query.append(_query(term, reads, erased, values))
            else:
                sums.value.append(product(term))
    return tuple(_write(key, sums, decays) for key, sums in by_key.items())


def _write(key: Product, sums: _Sums, decays: tuple[Expr, ...]) -> Write:
    value = (Factor(expr=_total(sums.value)),)
    if not sums.query:
        return Write(key=key, value=value)
    plain = [_divided(term, decays) for term in sums.query]
    if decays and all(term is not None for term in plain):
        query = _total([term for term in plain if term is not None])
        return Write(key=key, value=value, query=query, decayed=True)
    return Write(key=key, value=value, query=_total(sums.query))


def _divided(term: Expr, decays: tuple[Expr, ...]) -> Expr | None:
    """A product without these factors, or None if it has not all of them."""
    parts = factors(term)
    for decay in decays:
        if decay not in parts:
            return None
        parts.remove(decay)
    return product(parts)


def _query(term: list[Expr], reads: list[Expr], erased: Erasing, values: frozenset[Axis]) -> Expr:
    """The query of a term that is a readout times what has no axis of the value."""
    rest = [f for f in term if f not in reads]
    first = reads[0]
    if len(reads) > 1 or not isinstance(first, Read):
        text = show_expr(_named(product(reads), erased))
        reason = f"the update is not linear in the state that it reads (`{text}`)"
        raise NotLinear(reason, first.span, NONLINEAR)
    for factor in rest:
        if set(factor.sort.axes) & values:
            reason = (
                f"`{show_expr(factor)}` scales what is read from the state along "
                f"{', '.join(factor.sort.axes)}, so that each value has a transition of its own"
            )
            raise NotLinear(reason, factor.span, LOW_RANK)
    return product([*rest, *(f.expr for f in erased.readouts[first.name].query)])


def _named(expr: Expr, erased: Erasing) -> Expr:
    """The expression as it was written: readouts by their query and state."""
    match expr:
        case Read(name=name) if name in erased.readouts:
            readout = erased.readouts[name]
            query, (axis,) = product([f.expr for f in readout.query]), (erased.axis,)
            assert axis is not None
            state = replace(expr, name=readout.state, time=Time.PREVIOUS)
            return Contract(
                left=query, right=state, left_axis=axis, right_axis=axis, sort=expr.sort
            )
        case _:
            return map_children(expr, lambda e: _named(e, erased))


def _total(terms: list[Expr]) -> Expr:
    total = number(0)
    for term in terms:
        total = apply("add", total, term)
    return total
