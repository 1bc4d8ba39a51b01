"""The sum form: o[t] = sum over s of [mask] · weight · product of decays · value[s], / normalize.

Each row t is computed by itself, over all keys s at once.
"""

from dataclasses import replace
from enum import StrEnum

from mixerc.ir.expr import Apply, Contract, Expr, Position, Read, Reduce
from mixerc.ir.mixer import Branch
from mixerc.ir.sorts import Time
from mixerc.ir.walk import map_children, walk
from mixerc.reference import named
from mixerc.reference.evaluate import Scope, evaluate
from mixerc.reference.named import KEYS, Named

_DECAY = "@decay"
_SUM = "sum"


class Place(StrEnum):
    """Where the product of decays stands in the sum."""

    NOWHERE = "nowhere"
    WEIGHT = "weight"
    CONTRACTION = "contraction"
    VALUE = "value"


def place_of_decay(branch: Branch) -> Place:
    """A scalar decay multiplies the weight; one along a summed axis stands inside that sum, one
    along the value's axes on the value."""
    if branch.decay is None:
        return Place.NOWHERE
    axes = set(branch.decay.sort.axes)
    if not axes:
        return Place.WEIGHT
    sums = {node for node in walk(branch.weight) if _summed_axis(node) in axes}
    if len(sums) > 1:
        raise ValueError(f"the decay of {branch.name} belongs in more than one sum of its weight")
    if sums:
        return Place.CONTRACTION
    if axes <= set(branch.value.sort.axes):
        return Place.VALUE
    raise ValueError(f"the decay of {branch.name} has axes that neither weight nor value has")


def _times(expr: Expr) -> frozenset[Time]:
    nodes = (node for node in walk(expr) if isinstance(node, Read | Position))
    return frozenset(node.time for node in nodes if node.time in (Time.T, Time.S))


def _summed_axis(expr: Expr) -> str | None:
    """The axis of a sum in which query and key meet: it reads both times, no operand sum does."""
    match expr:
        case Contract(left=left, right=right, left_axis=axis):
            meet = _times(expr) == {Time.T, Time.S}
            return axis if meet and max(len(_times(left)), len(_times(right))) == 1 else None
        case Reduce(reduction="sum", axis=axis) if _times(expr) == {Time.T, Time.S}:
            return axis
        case _:
            return None


def decayed_weight(branch: Branch) -> Expr:
    """The weight, with the decay inside its sum if that is its place."""
    if branch.decay is None or place_of_decay(branch) is not Place.CONTRACTION:
        return branch.weight
    axes = branch.decay.sort.axes

    def change(expr: Expr) -> Expr:
        if _summed_axis(expr) not in axes:
            return map_children(expr, change)
        factor = Read(name=_DECAY, time=Time.NONE)
        match expr:
            case Contract(left=left):
                return replace(expr, left=Apply(primitive="mul", operands=(left, factor)))
            case Reduce(operand=inner):
                return replace(expr, operand=Apply(primitive="mul", operands=(inner, factor)))
            case _:
                return expr

    return change(branch.weight)


def next_decays(branch: Branch, row: Named | None, scope: Scope) -> Named | None:
    """The products of decay[j] over s < j <= t for each s, from those of the token before.

    They are 1 for s >= t, where the run is empty; the mask leaves out s > t.
    """
    if branch.decay is None:
        return None
    domain = scope.domain
    one = Named(domain.number(1), ())
    past = named.apply(domain, "lt", [scope.position(Time.S), scope.position(Time.T)])
    longer = named.apply(domain, "mul", [row or one, evaluate(branch.decay, scope)])
    return named.apply(domain, "where", [past, longer, one])


def branch_row(branch: Branch, decays: Named | None, scope: Scope) -> Named:
    """The branch's output at one token."""
    domain, place = scope.domain, place_of_decay(branch)
    inner = _with_value(scope, _DECAY, decays)
    weight = _masked_weight(branch, place, inner)
    value = evaluate(branch.value, inner)
    if place is Place.VALUE and decays is not None:
        value = named.apply(domain, "mul", [value, decays])
    total = named.contract(domain, weight, value, KEYS, KEYS)
    if branch.normalize is None:
        return total
    # A decay along the value's axes is not in the weights, hence not in their sum.
    weights = named.reduce(domain, "sum", weight, KEYS)
    divisor = evaluate(branch.normalize, _with_value(scope, _SUM, weights))
    return named.apply(domain, "div", [total, divisor])


def _masked_weight(branch: Branch, place: Place, scope: Scope) -> Named:
    domain = scope.domain
    keys = scope.position(Time.S)
    weight = evaluate(decayed_weight(branch), scope)
    if place is Place.WEIGHT:
        weight = named.apply(domain, "mul", [weight, scope.read(_DECAY, Time.NONE)])
    mask = named.spread(domain, evaluate(branch.mask, scope), KEYS, keys.size(KEYS))
    return named.apply(domain, "where", [mask, weight, Named(domain.number(0), ())])


def _with_value(scope: Scope, name: str, value: Named | None) -> Scope:
    """The scope with one more name."""
    if value is None:
        return scope
    outer = scope.read

    def read(wanted: str, time: Time) -> Named:
        return value if wanted == name else outer(wanted, time)

    return replace(scope, read=read)
