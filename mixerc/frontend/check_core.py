"""The sums of the core: masks, weights, values, decays, normalizers, and the states they keep."""

from dataclasses import dataclass, field

from mixerc.diagnostics.span import Span
from mixerc.frontend import errors, errors_core, syntax
from mixerc.frontend.arithmetic import common_heads, numbers
from mixerc.frontend.check_expr import check_expr
from mixerc.frontend.declare import check_feature, check_left, define
from mixerc.frontend.rules import join_heads, join_kinds
from mixerc.frontend.scope import (
    DECAY,
    MASK,
    POISON,
    T_ONLY,
    VALUE,
    WEIGHT,
    Place,
    Role,
    Scope,
    Symbol,
    normalize_place,
    poisoned,
)
from mixerc.ir.expr import Contract, Expr, Read
from mixerc.ir.mixer import Branch, State
from mixerc.ir.sorts import EACH, Axis, Kind, Sort, Time
from mixerc.ir.walk import walk

SumLine = syntax.Clause | syntax.Feature | syntax.StateLine


@dataclass(slots=True)
class Clauses:
    """The clauses of one sum, as written."""

    span: Span
    exprs: dict[str, syntax.Clause] = field(default_factory=dict)
    state: syntax.StateLine | None = None


def check_branch(scope: Scope, name: str, span: Span, lines: tuple[SumLine, ...]) -> Branch | None:
    """One sum over s; None if a clause of it has a mistake."""
    clauses = _collect(scope, span, lines)
    mask = _mask(scope, clauses)
    weight = _weight(scope, clauses)
    value = _value(scope, clauses)
    decay = _optional(scope, clauses, "decay", DECAY)
    states = _states(scope, clauses)
    if poisoned(mask, weight, value) or (decay is not None and poisoned(decay)):
        return None
    parts = (mask, weight, value) if decay is None else (mask, weight, value, decay)
    heads = common_heads(scope, parts, span)
    normalize = _normalize(scope, clauses, _total(parts, value, decay), value)
    if heads is None or (normalize is not None and poisoned(normalize)):
        return None
    _check_axes(scope, clauses, weight, value, decay)
    kind = join_kinds("mul", parts[1:])
    return Branch(
        name=name,
        sort=Sort(axes=value.sort.axes, kind=kind, heads=heads, times=T_ONLY),
        mask=mask,
        weight=weight,
        value=value,
        decay=decay,
        normalize=normalize,
        states=states,
        span=span,
    )


def _collect(scope: Scope, span: Span, lines: tuple[SumLine, ...]) -> Clauses:
    clauses = Clauses(span=span)
    for line in lines:
        match line:
            case syntax.Feature():
                check_feature(scope, line)
            case syntax.StateLine():
                if clauses.state is not None:
                    scope.report(
                        errors_core.repeated_clause(line.span, "state", clauses.state.span)
                    )
                clauses.state = line
            case syntax.Clause():
                first = clauses.exprs.setdefault(line.keyword, line)
                if first is not line:
                    scope.report(errors_core.repeated_clause(line.span, line.keyword, first.span))
    for keyword in ("mask", "weight"):
        if keyword not in clauses.exprs:
            scope.report(errors_core.missing_clause(span, keyword))
    if clauses.state is None and len(clauses.exprs) > 1:
        scope.report(errors_core.missing_clause(span, "state"))
    return clauses


def _mask(scope: Scope, clauses: Clauses) -> Expr:
    mask = _optional(scope, clauses, "mask", MASK, condition=True)
    if mask is None or poisoned(mask):
        return POISON
    if mask.sort.axes:
        return scope.report(errors_core.clause_axes(mask.span, "mask", mask.sort))
    return mask


def _weight(scope: Scope, clauses: Clauses) -> Expr:
    weight = _optional(scope, clauses, "weight", WEIGHT)
    if weight is None or poisoned(weight):
        return POISON
    if weight.sort.axes:
        return scope.report(errors_core.clause_axes(weight.span, "weight", weight.sort))
    return weight


def _optional(
    scope: Scope, clauses: Clauses, keyword: str, place: Place, *, condition: bool = False
) -> Expr | None:
    """A clause's expression, of the kind that it must have; None where it is not written."""
    clause = clauses.exprs.get(keyword)
    if clause is None:
        return None
    expr = check_expr(scope, place, clause.expr)
    if poisoned(expr) or (expr.sort.kind == Kind.BOOL) == condition:
        return expr
    if condition:
        return scope.report(errors.number_operand(clause.expr.span, keyword))
    return scope.report(errors_core.condition_result(clause.expr.span, f"a {keyword}"))


def _value(scope: Scope, clauses: Clauses) -> Expr:
    """The value clause; left out, it is `v[s]`."""
    if "value" in clauses.exprs:
        return _optional(scope, clauses, "value", VALUE) or POISON
    if not clauses.exprs:
        return POISON
    if "v" not in scope.symbols:
        return scope.report(errors_core.missing_value(clauses.span))
    at_s = syntax.Name(id="s", span=clauses.span)
    implied = syntax.Indexed(id="v", id_span=clauses.span, index=at_s, span=clauses.span)
    value = check_expr(scope, VALUE, implied)
    return value if numbers(scope, "value", value) else POISON


def _total(parts: tuple[Expr, ...], value: Expr, decay: Expr | None) -> Expr:
    """`sum`: the same sum without the value; a decay along the value's axes stays in it."""
    without = tuple(part for part in parts if part is not value)
    decayed = () if decay is None else decay.sort.axes
    sort = Sort(
        axes=tuple(axis for axis in value.sort.axes if axis in decayed),
        kind=join_kinds("mul", without[1:]),
        heads=join_heads(without) or EACH,
        times=T_ONLY,
    )
    return Read(name="sum", time=Time.T, sort=sort)


def _normalize(scope: Scope, clauses: Clauses, total: Expr, value: Expr) -> Expr | None:
    normalize = _optional(scope, clauses, "normalize", normalize_place(total))
    if normalize is None or poisoned(normalize):
        return normalize
    if not set(normalize.sort.axes) <= set(value.sort.axes):
        return scope.report(errors_core.normalizer_axes(normalize.span, normalize.sort, value.sort))
    return normalize


def _states(scope: Scope, clauses: Clauses) -> tuple[State, ...]:
    line = clauses.state
    return () if line is None or line.cache else check_states(scope, line)


def check_states(scope: Scope, line: syntax.StateLine) -> tuple[State, ...]:
    """`state S[K, V]`: one for each head, or one in all where it has the axis d_model."""
    states = []
    for declared in line.declared:
        left = check_left(scope, declared, EACH)
        if left.index:
            scope.report(errors.unknown_axis(left.span, left.index[0][0], scope.sizes))
        kind = Kind(line.kind) if line.kind else Kind.REAL
        sort = Sort(axes=left.axes, kind=kind, heads=left.heads, times=T_ONLY)
        states.append(State(name=left.name, sort=sort, span=declared.span))
        define(scope, Symbol(name=left.name, role=Role.STATE, sort=sort, span=left.span))
    return tuple(states)


def score_axes(weight: Expr) -> list[Axis]:
    """The axes over which the weight contracts what a query has with what a key has."""
    return [
        node.left_axis
        for node in walk(weight)
        if isinstance(node, Contract)
        and {*node.left.sort.times} ^ {*node.right.sort.times} == {"t", "s"}
    ]


def _check_axes(
    scope: Scope, clauses: Clauses, weight: Expr, value: Expr, decay: Expr | None
) -> None:
    """Where the axes of the decay stand, and that keys and values have one each."""
    summed = score_axes(weight)
    for axis in decay.sort.axes if decay is not None else ():
        if axis not in summed and axis not in value.sort.axes:
            scope.report(errors_core.decay_axis(clauses.exprs["decay"].expr.span, axis))
    if clauses.state is not None and not clauses.state.cache:
        for axis in summed:
            if axis in value.sort.axes:
                written = clauses.exprs.get("value", clauses.exprs["weight"])
                scope.report(errors_core.key_axis_in_value(written.span, axis))
