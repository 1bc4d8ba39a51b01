"""Lines: streams and constants of the layer, values of the core, updates, and o."""

from mixerc.diagnostics.span import Span
from mixerc.frontend import errors, errors_core, errors_layer, syntax
from mixerc.frontend.check_expr import check_expr
from mixerc.frontend.check_names import index_time
from mixerc.frontend.declare import Left, check_left, define, group_heads
from mixerc.frontend.mentions import mentions, sums_over_time
from mixerc.frontend.rules import join_heads
from mixerc.frontend.scope import (
    POISONED,
    T_ONLY,
    Role,
    Scope,
    Symbol,
    core_place,
    output_place,
    poisoned,
    stream_place,
)
from mixerc.ir.expr import Expr, Number, Read
from mixerc.ir.mixer import Update, Value
from mixerc.ir.sorts import Heads, Kind, Sort, Time
from mixerc.ir.walk import walk

CORE_ROLES = (Role.STATE, Role.BRANCH, Role.CORE)


def belongs_to_core(scope: Scope, expr: syntax.Expr) -> bool:
    """A line that reads a state, a branch or a value made of them, or sums over s."""
    return sums_over_time(expr) or any(
        name in scope.symbols and scope.symbols[name].role in CORE_ROLES
        for name, _ in mentions(expr)
    )


def check_value(
    scope: Scope, line: syntax.Define, declared: syntax.Declared, *, core: bool
) -> Value | None:
    """One name of `q[K], k[K] = e`; None after a mistake, and the name then stands for it."""
    left = check_left(scope, declared, group_heads(scope, line.grouped))
    target = Sort(axes=left.axes, heads=left.heads, times=T_ONLY)
    if left.index:
        expr = scope.report(errors_layer.table_line(left.span))
    else:
        expr = check_expr(scope, core_place(target) if core else stream_place(target), line.expr)
    legal = left.legal and not poisoned(expr)
    legal = legal and _fits(scope, left, target, expr, line, grouped=line.grouped is not None)
    sort = Sort(axes=left.axes, kind=expr.sort.kind, heads=expr.sort.heads, times=expr.sort.times)
    role = Role.CORE if core else Role.STREAM if sort.times else Role.CONSTANT
    symbol = Symbol(
        name=left.name,
        role=role,
        sort=sort if legal else POISONED,
        span=left.span,
        learned=_reads_parameters(scope, expr),
    )
    define(scope, symbol)
    return Value(name=left.name, sort=sort, expr=expr, span=declared.span) if legal else None


def _reads_parameters(scope: Scope, expr: Expr) -> bool:
    return any(
        isinstance(node, Read) and node.name in scope.symbols and scope.symbols[node.name].learned
        for node in walk(expr)
    )


def _fits(
    scope: Scope, left: Left, target: Sort, expr: Expr, line: syntax.Define, *, grouped: bool
) -> bool:
    """The right side has exactly the axes of the left, and its heads."""
    span = line.expr.span
    if set(expr.sort.axes) != set(left.axes):
        scope.report(errors.axes_mismatch(span, left.name, target, expr.sort, left.span))
        return False
    if expr.sort.heads != left.heads and (grouped or not _each_or_none(expr.sort.heads, left)):
        scope.report(errors.heads_mismatch(span, left.name, left.heads, expr.sort.heads))
        return False
    return True


def _each_or_none(heads: Heads, left: Left) -> bool:
    """A line without `grouped` may have a value of each head, or one that all heads share."""
    return heads.shared and not left.heads.shared


def check_update(scope: Scope, line: syntax.Recurrence) -> Update | None:
    """`S[t] = e`: the one update of a state, which may read what it was before."""
    symbol = scope.symbols.get(line.name)
    if symbol is None or symbol.role != Role.STATE:
        scope.report(errors_core.update_without_state(line.name_span, line.name))
        if symbol is None:
            _define_poisoned(scope, line)
        return None
    if index_time(line.index) != Time.T:
        scope.report(errors_core.update_time(line.index.span, line.name))
        scope.updated.add(line.name)
        return None
    sort = symbol.sort
    expr = check_expr(scope, core_place(sort), line.expr)
    scope.updated.add(line.name)
    if poisoned(expr) or "?" in sort.axes or not _state_fits(scope, symbol, expr, line.expr.span):
        return None
    return Update(state=line.name, expr=expr, span=line.span)


def _define_poisoned(scope: Scope, line: syntax.Recurrence) -> None:
    """What is updated as if it were a state is read as one, without further mistakes."""
    define(scope, Symbol(name=line.name, role=Role.STATE, sort=POISONED, span=line.name_span))


def _state_fits(scope: Scope, symbol: Symbol, expr: Expr, span: Span) -> bool:
    sort, name = symbol.sort, symbol.name
    if set(expr.sort.axes) != set(sort.axes):
        scope.report(errors.axes_mismatch(span, name, sort, expr.sort, symbol.span))
    elif join_heads((Number(value=0, sort=sort), expr)) != sort.heads:  # type: ignore[arg-type]
        scope.report(errors.heads_mismatch(span, name, sort.heads, expr.sort.heads))
    elif expr.sort.kind == Kind.BOOL:
        scope.report(errors_core.condition_result(span, f"the state `{name}`"))
    elif expr.sort.kind == Kind.COMPLEX and sort.kind != Kind.COMPLEX:
        scope.report(errors_core.complex_result(span, name))
    else:
        return True
    return False


def check_output(scope: Scope, expr: syntax.Expr, what: str, given: frozenset[str]) -> Expr | None:
    """`y` or a block: real, of no head, along d_model."""
    place = output_place(what, given)
    result = check_expr(scope, place, expr)
    if poisoned(result) or place.target is None:
        return None
    if result.sort.axes != place.target.axes:
        scope.report(
            errors.axes_mismatch(expr.span, what.strip("`"), place.target, result.sort, expr.span)
        )
    elif not result.sort.heads.shared:
        scope.report(
            errors.heads_mismatch(expr.span, what.strip("`"), place.target.heads, result.sort.heads)
        )
    elif result.sort.kind == Kind.COMPLEX:
        scope.report(errors_core.complex_result(expr.span, what.strip("`")))
    elif result.sort.kind == Kind.BOOL:
        scope.report(errors_core.condition_result(expr.span, what))
    else:
        return result
    return None
