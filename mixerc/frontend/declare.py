"""Declarations: header sizes, inputs, parameters, features, and what every definition obeys."""

from dataclasses import dataclass, replace
from fractions import Fraction

from mixerc.diagnostics.span import Span
from mixerc.frontend import errors, errors_core, errors_layer, syntax
from mixerc.frontend.check_call import find_axis
from mixerc.frontend.check_expr import check_expr
from mixerc.frontend.mentions import mentions
from mixerc.frontend.rules import RESERVED, SETTABLE, join_heads
from mixerc.frontend.scope import (
    POISONED,
    SIZE,
    T_ONLY,
    Role,
    Scope,
    Symbol,
    init_place,
    poisoned,
)
from mixerc.ir.expr import Expr, Number
from mixerc.ir.mixer import Input, Param, Range, SizeDef
from mixerc.ir.show import show_expr
from mixerc.ir.sorts import EACH, SHARED, Axis, Heads, Kind, Sort

Index = tuple[tuple[str, Expr | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """The left side of a line: a sort as far as it is declared, and a table's times."""

    name: str
    span: Span
    axes: tuple[Axis, ...]
    heads: Heads
    index: Index
    legal: bool

    @property
    def times(self) -> frozenset[str]:
        """The times that a table is declared over."""
        return frozenset(time for time, _ in self.index)


def define(scope: Scope, symbol: Symbol) -> None:
    """Add a name, if it is new and free."""
    first = scope.sizes.get(symbol.name)
    if symbol.name in scope.symbols:
        first = scope.symbols[symbol.name].span
    if symbol.name in RESERVED and symbol.name != "o":
        scope.report(errors.reserved_name(symbol.span, symbol.name))
    elif first is not None:
        scope.report(errors.duplicate_name(symbol.span, symbol.name, first))
    else:
        scope.symbols[symbol.name] = symbol


def check_header(scope: Scope, header: syntax.Header) -> tuple[SizeDef, ...]:
    """The sizes, left to right: each may use those before it."""
    sizes = []
    for name, default, span in header.sizes:
        value = None if default is None else check_expr(scope, SIZE, default)
        if name in RESERVED and name not in SETTABLE:
            scope.report(errors.reserved_name(span, name))
        elif name in scope.sizes:
            scope.report(errors.duplicate_name(span, name, scope.sizes[name]))
        else:
            scope.sizes[name] = span
        sizes.append(SizeDef(name=name, default=value, span=span))
    return tuple(sizes)


def group_heads(scope: Scope, grouped: syntax.Expr | None) -> Heads:
    """One copy for each head, or for each group of `grouped(G)`."""
    if grouped is None:
        return EACH
    return Heads(group=show_expr(scope.count(check_expr(scope, SIZE, grouped))))


def check_left(scope: Scope, declared: syntax.Declared, heads: Heads) -> Left:
    """Its axes, each once, and the times of a table; with `d_model` it belongs to no head."""
    axes: list[Axis] = []
    times = [ref for ref in declared.axes if ref.name in ("t", "s")]
    index, legal = _check_index(scope, times)
    for ref in declared.axes:
        if ref in times:
            continue
        axis = find_axis(scope, ref.name, ref.span)
        if axis in axes:
            scope.report(errors.repeated_axis(ref.span, ref.name))
        legal &= axis is not None and axis not in axes
        axes.append(ref.name)
    shared = "d_model" in axes
    if shared and heads.group:
        scope.report(
            errors.grouped_without_heads(
                declared.name_span, declared.name, "a value with the axis `d_model`"
            )
        )
    return Left(
        name=declared.name,
        span=declared.name_span,
        axes=tuple(axes),
        heads=SHARED if shared else heads,
        index=index,
        legal=legal,
    )


def _check_index(scope: Scope, times: list[syntax.AxisRef]) -> tuple[Index, bool]:
    """The times of a table, each once; and whether they are as they must be."""
    index: list[tuple[str, Expr | None]] = []
    legal = True
    for ref in times:
        if ref.name in (time for time, _ in index):
            scope.report(errors.repeated_time(ref.span, ref.name))
            legal = False
        block = None if ref.block is None else scope.count(check_expr(scope, SIZE, ref.block))
        index.append((ref.name, block))
        legal &= block is None or not poisoned(block)
    return tuple(index), legal


def check_input(scope: Scope, line: syntax.InputLine) -> list[Input]:
    """`input a[K] in (0, 1]`: a stream, or a table over the times it is declared over."""
    heads = group_heads(scope, line.grouped)
    kind = Kind(line.kind or "real")
    inputs = []
    for declared in line.declared:
        left = check_left(scope, declared, heads)
        shared = kind in (Kind.BOOL, Kind.INT)
        if shared and left.heads.group:
            why = "a bool or int input"
            scope.report(errors.grouped_without_heads(left.span, left.name, why))
        sort = Sort(
            axes=left.axes,
            kind=kind,
            heads=SHARED if shared else left.heads,
            times=left.times or T_ONLY,
        )
        limits = check_range(scope, line.bounds, kind)
        inputs.append(
            Input(name=left.name, sort=sort, range=limits, index=left.index, span=declared.span)
        )
        _define_declared(scope, left, sort, Role.INPUT, learned=False)
    return inputs


def _define_declared(scope: Scope, left: Left, sort: Sort, role: Role, *, learned: bool) -> None:
    define(
        scope,
        Symbol(
            name=left.name,
            role=role,
            sort=sort if left.legal else POISONED,
            span=left.span,
            table=bool(left.index),
            learned=learned,
        ),
    )


def check_range(scope: Scope, bounds: syntax.Bounds | None, kind: Kind) -> Range | None:
    """Declared bounds; `inf` leaves a side open."""
    if bounds is None:
        return None
    if kind in (Kind.BOOL, Kind.COMPLEX):
        scope.report(errors_layer.range_kind(bounds.span, kind.value))
        return None
    low, high = _bound(scope, bounds.low), _bound(scope, bounds.high)
    if low is not None and high is not None:
        pointless = low == high and (bounds.low_open or bounds.high_open)
        if low > high or pointless:
            scope.report(errors_layer.empty_range(bounds.span))
    return Range(low=low, high=high, low_open=bounds.low_open, high_open=bounds.high_open)


def _bound(scope: Scope, node: syntax.Expr) -> Fraction | None:
    match node:
        case syntax.Number(value=value):
            return value
        case syntax.Unary(operator="-", operand=syntax.Number(value=value)):
            return -value
        case syntax.Name(id="inf") | syntax.Unary(operator="-", operand=syntax.Name(id="inf")):
            return None
        case _:
            scope.report(errors_layer.range_bound(node.span))
            return None


def check_param(scope: Scope, line: syntax.ParamLine) -> list[Param]:
    """`param A[N] = e`, `buffer W[M, K] = e`: the initial value may leave axes out."""
    heads = group_heads(scope, line.grouped)
    params = []
    for declared in line.declared:
        left = check_left(scope, declared, heads)
        target = Sort(axes=left.axes, heads=left.heads, times=left.times)
        init = check_expr(scope, init_place(target), line.init)
        legal = not poisoned(init) and _init_fits(scope, left, target, init, line)
        sort = replace(target, kind=init.sort.kind)
        params.append(
            Param(
                name=left.name,
                sort=sort,
                learned=line.learned,
                init=init,
                index=left.index,
                span=declared.span,
            )
        )
        left = replace(left, legal=left.legal and legal)
        _define_declared(scope, left, sort, Role.PARAM, learned=True)
    return params


def _init_fits(scope: Scope, left: Left, target: Sort, init: Expr, line: syntax.ParamLine) -> bool:
    span = line.init.span
    if not set(init.sort.axes) <= set(left.axes):
        scope.report(errors.initial_value_axes(span, left.name, target, init.sort))
        return False
    filled = Number(value=Fraction(0), sort=target)
    if join_heads((filled, init)) != target.heads:
        scope.report(errors.heads_mismatch(span, left.name, target.heads, init.sort.heads))
        return False
    if line.learned and init.sort.kind == Kind.BOOL:
        scope.report(errors_core.condition_result(span, "a parameter"))
        return False
    return True


def check_feature(scope: Scope, line: syntax.Feature) -> None:
    """A feature is checked where it is used; here its names, and that it reads no state."""
    for axis in line.axes or ():
        find_axis(scope, axis.name, axis.span)
    used = dict(mentions(line.expr))
    for parameter in line.parameters:
        if parameter not in used:
            scope.report(errors.unused_name(line.span, parameter))
    for name, span in mentions(line.expr):
        symbol = scope.symbols.get(name)
        if symbol and symbol.role in (Role.STATE, Role.BRANCH, Role.CORE):
            scope.report(errors.misplaced_name(span, name, "a feature"))
    define(
        scope,
        Symbol(name=line.name, role=Role.FEATURE, sort=POISONED, span=line.span, feature=line),
    )
