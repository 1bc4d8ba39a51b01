"""Names and names at a time: what each may be read as, in each place."""

from dataclasses import replace

from mixerc.diagnostics.span import NOWHERE, Span
from mixerc.frontend import errors, errors_core, syntax
from mixerc.frontend.rules import BUILD_SIZES, DRAWS, GIVEN, RESERVED
from mixerc.frontend.scope import POISON, Place, Role, Scope, Symbol, poisoned
from mixerc.ir.expr import Draw, Expr, Position, Read, Size
from mixerc.ir.sorts import EACH, SCALAR, SHARED, Kind, Sort, Time

X_SORT = Sort(axes=("d_model",), heads=SHARED, times=frozenset({"t"}))
CORE_ROLES = frozenset({Role.BRANCH, Role.CORE})


def read_name(scope: Scope, place: Place, node: syntax.Name) -> Expr:
    """A bare name."""
    name, span = node.id, node.span
    if name in place.bound:
        return place.bound[name]
    if name in ("t", "s"):
        return _position(scope, place, name, span)
    if name in scope.sizes or name in BUILD_SIZES or name in ("head", "T"):
        return _size(scope, place, name, span)
    if name in DRAWS and place.init:
        return draw(scope, place, name, (), span)
    if name in GIVEN and name not in place.given:
        return scope.report(errors.misplaced_name(span, name, place.what))
    if name in place.given or name in scope.symbols:
        return _symbol(scope, place, name, span)
    if name in RESERVED:
        return scope.report(errors.bare_function(span, name))
    return unknown(scope, place, name, span)


def unknown(scope: Scope, place: Place, name: str, span: Span) -> Expr:
    """A name that stands below, or nowhere."""
    if name in scope.places:
        return scope.report(errors.used_before_definition(span, name, scope.places[name]))
    return scope.report(errors.unknown_name(span, name, scope.visible(place)))


def _position(scope: Scope, place: Place, time: str, span: Span) -> Expr:
    if time not in place.times:
        return scope.report(errors.time_not_in_scope(span, time, time, place.what))
    sort = Sort(kind=Kind.INT, times=frozenset({time}))
    return Position(time=Time(time), sort=sort, span=span)


def _size(scope: Scope, place: Place, name: str, span: Span) -> Expr:
    in_core = not (place.sizes_only or place.init)
    if name not in scope.sizes and (
        (name == "T" and not in_core)
        or (name == "length" and in_core)
        or (name == "head" and (place.sizes_only or scope.stack))
    ):
        return scope.report(errors.misplaced_name(span, name, place.what))
    scope.read.add(name)
    return Size(name=name, sort=Sort(heads=EACH) if name == "head" else SCALAR, span=span)


def draw(scope: Scope, place: Place, name: str, arguments: tuple[Expr, ...], span: Span) -> Expr:
    """A random initial value: one number for each place of the target."""
    target = place.target or SCALAR
    kind = Kind.BOOL if name == "choose" else Kind.REAL
    if poisoned(*arguments):
        return POISON
    sort = replace(target, kind=kind)
    return Draw(distribution=name, arguments=arguments, sort=sort, span=span)


def lookup(scope: Scope, name: str) -> Symbol | None:
    """A name of the spec, or x, which every place that is given it reads as a stream."""
    if name in ("x", "x0"):
        return Symbol(name=name, role=Role.STREAM, sort=X_SORT, span=NOWHERE)
    return scope.symbols.get(name)


def _symbol(scope: Scope, place: Place, name: str, span: Span) -> Expr:
    symbol = lookup(scope, name)
    if symbol is None:
        return unknown(scope, place, name, span)
    scope.read.add(name)
    match symbol.role:
        case Role.FEATURE | Role.BLOCK:
            return scope.report(errors.bare_function(span, name))
        case Role.STATE if poisoned_symbol(symbol):
            return POISON
        case Role.STATE:
            return scope.report(errors_core.state_without_time(span, name))
        case role if role in place.hidden:
            return scope.report(errors_core.core_value_in_clause(span, name, place.what))
        case Role.PARAM | Role.CONSTANT if place.sizes_only:
            return scope.report(errors.not_constant(span, name, place.what))
        case Role.CORE if not symbol.sort.times:
            return _read(place, symbol, Time.NONE, span)
        case _ if symbol.table or not symbol.sort.times:
            return _table(scope, place, symbol, span)
        case _:
            return _stream(scope, place, symbol, span)


def _table(scope: Scope, place: Place, symbol: Symbol, span: Span) -> Expr:
    missing = sorted(symbol.sort.times - place.times)
    if missing:
        return scope.report(errors.time_not_in_scope(span, symbol.name, missing[0], place.what))
    return _read(place, symbol, Time.NONE, span)


def _stream(scope: Scope, place: Place, symbol: Symbol, span: Span) -> Expr:
    if place.sizes_only or place.init:
        return scope.report(errors.not_constant(span, symbol.name, place.what))
    if place.explicit:
        return scope.report(errors.missing_time(span, symbol.name, place.what, place.times))
    return _read(place, symbol, Time.T, span)


def _read(place: Place, symbol: Symbol, time: Time, span: Span) -> Expr:
    if poisoned_symbol(symbol):
        return POISON
    axes = tuple(axis for axis in symbol.sort.axes if axis not in place.folded)
    times = symbol.sort.times if time == Time.NONE else frozenset({time.value[0]})
    sort = replace(symbol.sort, axes=axes, times=times)
    return Read(name=symbol.name, time=time, sort=sort, span=span)


def poisoned_symbol(symbol: Symbol) -> bool:
    """True for a name whose line has a mistake."""
    return "?" in symbol.sort.axes


def index_time(index: syntax.Expr) -> Time | None:
    """The time that an index means: `t`, `s` or `t-1`."""
    match index:
        case syntax.Name(id="t"):
            return Time.T
        case syntax.Name(id="s"):
            return Time.S
        case syntax.Binary(operator="-", left=syntax.Name(id="t"), right=syntax.Number(value=one)):
            return Time.PREVIOUS if one == 1 else None
        case _:
            return None


def read_at(scope: Scope, place: Place, node: syntax.Indexed) -> Expr:
    """A name at a time: `k[s]`, `u[t-1]`, `S[t]`."""
    name, span = node.id, node.span
    hidden = name in place.bound or (name in GIVEN and name not in place.given)
    symbol = None if hidden else lookup(scope, name)
    if symbol is None:
        return _not_a_stream(scope, place, node)
    scope.read.add(name)
    if poisoned_symbol(symbol):
        return POISON
    if symbol.role in (Role.FEATURE, Role.BLOCK):
        return scope.report(errors.bare_function(node.id_span, name))
    if symbol.table or not symbol.sort.times:
        what = "a table" if symbol.table else f"a {symbol.role.value}"
        return scope.report(errors.time_of_constant(span, name, f"{what} without a time"))
    time = index_time(node.index)
    if time is None or (time == Time.PREVIOUS and place.explicit):
        return scope.report(errors.unknown_time(node.index.span, place.what))
    return _at(scope, place, symbol, time, node)


def _not_a_stream(scope: Scope, place: Place, node: syntax.Indexed) -> Expr:
    name, span = node.id, node.id_span
    if name in scope.sizes or name in BUILD_SIZES or name in ("head", "T"):
        return scope.report(errors.time_of_constant(node.span, name, "a size"))
    if name in place.bound:
        return scope.report(errors.time_of_constant(node.span, name, "an argument"))
    if name in GIVEN:
        return scope.report(errors.misplaced_name(span, name, place.what))
    if name in RESERVED:
        return scope.report(errors.bare_function(span, name))
    return unknown(scope, place, name, span)


def _at(scope: Scope, place: Place, symbol: Symbol, time: Time, node: syntax.Indexed) -> Expr:
    if place.sizes_only or place.init:
        return scope.report(errors.not_constant(node.span, symbol.name, place.what))
    if time.value[0] not in place.times:
        letter = time.value[0]
        return scope.report(errors.time_not_in_scope(node.index.span, letter, letter, place.what))
    if symbol.role in place.hidden:
        return scope.report(errors_core.core_value_in_clause(node.span, symbol.name, place.what))
    if symbol.role in CORE_ROLES and time != Time.T:
        return scope.report(errors_core.core_value_time(node.span, symbol.name))
    if symbol.role == Role.STATE:
        if time == Time.S:
            return scope.report(errors_core.core_value_time(node.span, symbol.name))
        if time == Time.T and symbol.name not in scope.updated:
            return scope.report(errors_core.state_read_early(node.span, symbol.name))
    return _read(place, symbol, time, node.span)
