"""Calls: scalar functions, reductions over an axis or over s, features, folds, draws."""

from dataclasses import replace

from mixerc.diagnostics.span import Span
from mixerc.frontend import errors, errors_layer, syntax
from mixerc.frontend.arithmetic import apply, common_heads, numbers
from mixerc.frontend.check_names import draw, lookup, unknown
from mixerc.frontend.rules import (
    DRAWS,
    FUNCTIONS,
    REDUCTIONS,
    SPECIAL_FUNCTIONS,
    STEPS,
    join_kinds,
    join_times,
)
from mixerc.frontend.scope import (
    A_FEATURE,
    BOTH,
    POISON,
    Check,
    Place,
    Role,
    Scope,
    inside_feature,
    poisoned,
)
from mixerc.ir.expr import Arange, Concat, Expr, FirstLayer, Fold, Read, Reduce, TimeSum
from mixerc.ir.primitives import PRIMITIVES
from mixerc.ir.sorts import FEATURES, Axis, Kind, Sort, Time
from mixerc.ir.walk import walk

BRACKETED = (*REDUCTIONS, "fold")


def check_call(scope: Scope, place: Place, node: syntax.Call, check: Check) -> Expr:
    """`f(e, …)` or `f[K](e)`."""
    if node.id == "fold" and node.axis:
        return _fold(scope, place, node, check)
    if node.keywords:
        keyword = node.keywords[0]
        if node.id not in STEPS:
            return scope.report(
                errors_layer.unknown_argument(keyword.span, node.id, keyword.name, ())
            )
    if node.axis:
        return _reduction(scope, place, node, check)
    if node.id in ("sum", "softmax", "fold"):
        return scope.report(errors_layer.axis_bracket(node.id_span, node.id))
    return _function(scope, place, node, check)


def _function(scope: Scope, place: Place, node: syntax.Call, check: Check) -> Expr:
    symbol = scope.symbols.get(node.id)
    if symbol is not None and symbol.role == Role.FEATURE:
        arguments = [check(scope, place, argument) for argument in node.arguments]
        return use_feature(scope, place, node.id, tuple(arguments), node.id_span, check)
    if node.id in FUNCTIONS:
        wanted = PRIMITIVES[node.id].arity
        if not _count(scope, node, (wanted,)):
            return POISON
        operands = tuple(check(scope, place, argument) for argument in node.arguments)
        return apply(scope, node.id, operands, node.span)
    if node.id in DRAWS and place.init:
        if not _count(scope, node, DRAWS[node.id]):
            return POISON
        arguments = [check(scope, place, argument) for argument in node.arguments]
        return draw(scope, place, node.id, tuple(arguments), node.span)
    if node.id in SPECIAL_FUNCTIONS:
        return _special(scope, place, node, check)
    return _no_function(scope, place, node)


def _no_function(scope: Scope, place: Place, node: syntax.Call) -> Expr:
    if node.id in STEPS:
        return scope.report(errors_layer.step_as_function(node.id_span, node.id))
    if node.id in DRAWS:
        return scope.report(errors.misplaced_name(node.id_span, node.id, place.what))
    if node.id in scope.places and node.id not in scope.symbols:
        return unknown(scope, place, node.id, node.id_span)
    features = [name for name, known in scope.symbols.items() if known.role == Role.FEATURE]
    known = (*FUNCTIONS, *REDUCTIONS, *SPECIAL_FUNCTIONS, *features)
    return scope.report(errors_layer.unknown_function(node.id_span, node.id, known))


def _count(scope: Scope, node: syntax.Call, wanted: tuple[int, ...]) -> bool:
    if len(node.arguments) in wanted:
        return True
    text = " or ".join(str(count) for count in wanted)
    noun = "argument" if wanted == (1,) else "arguments"
    scope.report(
        errors_layer.argument_count(node.span, node.id, f"{text} {noun}", len(node.arguments))
    )
    return False


def use_feature(
    scope: Scope,
    place: Place,
    name: str,
    arguments: tuple[Expr, ...],
    span: Span,
    check: Check,
) -> Expr:
    """A feature is written out where it is used, with its arguments in place of its names."""
    scope.read.add(name)
    feature = scope.symbols[name].feature
    if feature is None or poisoned(*arguments):
        return POISON
    wanted = len(feature.parameters)
    if len(arguments) != wanted:
        noun = "argument" if wanted == 1 else "arguments"
        return scope.report(
            errors_layer.argument_count(span, name, f"{wanted} {noun}", len(arguments))
        )
    bound = dict(zip(feature.parameters, arguments, strict=True))
    result = check(scope, inside_feature(place, feature, bound), feature.expr)
    if feature.axes is None or poisoned(result):
        return result
    declared = Sort(axes=tuple(axis.name for axis in feature.axes))
    if set(declared.axes) != set(result.sort.axes):
        return scope.report(
            errors.axes_mismatch(feature.expr.span, name, declared, result.sort, feature.span)
        )
    return result


def find_axis(scope: Scope, name: str, span: Span) -> Axis | None:
    """An axis of a bracket or a declaration: a size of the header or `d_model`, maybe primed."""
    plain = name.removesuffix("'")
    if plain == "d_model" or (plain in scope.sizes and plain not in ("heads", "layers", "length")):
        scope.read.add(plain)
        scope.lengths.add(plain)
        return name
    scope.report(errors.unknown_axis(span, name, ["d_model", *scope.sizes]))
    return None


def _reduction(scope: Scope, place: Place, node: syntax.Call, check: Check) -> Expr:
    if node.id not in REDUCTIONS:
        return scope.report(errors_layer.axis_bracket(node.id_span, node.id))
    if not _count(scope, node, (1,)):
        return POISON
    if node.axis in ("s", "t"):
        return _time_sum(scope, place, node, check)
    axis = find_axis(scope, node.axis, node.id_span)
    operand = check(scope, place, node.arguments[0])
    if axis is None or not numbers(scope, node.id, operand, real=node.id != "sum"):
        return POISON
    if axis not in operand.sort.axes:
        return scope.report(errors.missing_axis(node.span, node.id, axis, operand.sort))
    rest = tuple(each for each in operand.sort.axes if each != axis)
    kept = operand.sort.axes if node.id == "softmax" else rest
    sort = replace(operand.sort, axes=kept)
    return Reduce(reduction=node.id, axis=axis, operand=operand, sort=sort, span=node.span)


def _time_sum(scope: Scope, place: Place, node: syntax.Call, check: Check) -> Expr:
    if node.id != "sum" or node.axis != "s" or place.what != "the core":
        return scope.report(errors_layer.sum_over_time(node.id_span, node.id))
    inside = replace(place, what="a sum over s", times=BOTH, explicit=True, given=frozenset())
    operand = check(scope, inside, node.arguments[0])
    if not numbers(scope, "sum[s]", operand):
        return POISON
    sort = replace(operand.sort, times=operand.sort.times - {"s"})
    return TimeSum(operand=operand, sort=sort, span=node.span)


def _special(scope: Scope, place: Place, node: syntax.Call, check: Check) -> Expr:
    match node.id:
        case "arange":
            return _arange(scope, place, node)
        case "concat":
            return _concat(scope, place, node, check)
        case _:
            return _first_layer(scope, place, node, check)


def _arange(scope: Scope, place: Place, node: syntax.Call) -> Expr:
    if not _count(scope, node, (1,)):
        return POISON
    argument = node.arguments[0]
    if not isinstance(argument, syntax.Name):
        return scope.report(
            errors_layer.argument_value(argument.span, "arange", "the name of an axis")
        )
    axis = find_axis(scope, argument.id, argument.span)
    if axis is None:
        return POISON
    axes = () if axis in place.folded else (axis,)
    return Arange(axis=axis, sort=Sort(axes=axes), span=node.span)


def _concat(scope: Scope, place: Place, node: syntax.Call, check: Check) -> Expr:
    parts = tuple(check(scope, place, argument) for argument in node.arguments)
    if not numbers(scope, "concat", *parts):
        return POISON
    if len(parts) < 2:
        return scope.report(
            errors_layer.argument_count(node.span, "concat", "two parts or more", len(parts))
        )
    for part in parts:
        if len(part.sort.axes) != 1:
            return scope.report(errors_layer.concat_axes(part.span, part.sort))
    heads = common_heads(scope, parts, node.span)
    if place.joins is None:
        feature = place.what == A_FEATURE
        return scope.report(
            errors_layer.concat_target(node.span, layers=place.layers, feature=feature)
        )
    for part in parts:
        if part.sort.axes == (place.joins,) != (FEATURES,):
            return scope.report(errors_layer.concat_part(part.span, place.joins))
    if heads is None:
        return POISON
    sort = Sort(
        axes=(place.joins,), kind=join_kinds("add", parts), heads=heads, times=join_times(parts)
    )
    joined = Concat(parts=parts, axis=place.joins, sort=sort, span=node.span)
    scope.joined.append(joined)
    return joined


def _first_layer(scope: Scope, place: Place, node: syntax.Call, check: Check) -> Expr:
    if not _count(scope, node, (1,)):
        return POISON
    argument = node.arguments[0]
    symbol = lookup(scope, argument.id) if isinstance(argument, syntax.Name) else None
    if not place.layers or (symbol and symbol.role != Role.STREAM) or symbol is None:
        source = check(scope, place, argument)
        if poisoned(source):
            return POISON
        return scope.report(
            errors_layer.argument_value(
                argument.span, "first_layer", "the name of a stream, in a line of the layer"
            )
        )
    source = check(scope, place, argument)
    return (
        source if poisoned(source) else FirstLayer(source=source, sort=source.sort, span=node.span)
    )


def _fold(scope: Scope, place: Place, node: syntax.Call, check: Check) -> Expr:
    """`fold[J](U = start, next)`; U may vary with what `next` varies with."""
    axis = find_axis(scope, node.axis, node.id_span)
    if len(node.keywords) != 1 or len(node.arguments) != 1:
        found = len(node.keywords) + len(node.arguments)
        return scope.report(
            errors_layer.argument_count(node.span, "fold", "`U = start` and the next U", found)
        )
    keyword = node.keywords[0]
    if keyword.name in scope.symbols:
        first = scope.symbols[keyword.name].span
        return scope.report(errors.duplicate_name(keyword.span, keyword.name, first))
    start = check(scope, place, keyword.value)
    if axis is None or not numbers(scope, "fold", start):
        return POISON
    if axis in start.sort.axes:
        return scope.report(errors.repeated_axis(keyword.value.span, axis))
    sort, following = start.sort, start
    for _ in range(2):
        bound = {**place.bound, keyword.name: _variable(keyword, sort)}
        inside = replace(place, bound=bound, folded=place.folded | {axis})
        following = check(scope, inside, node.arguments[0])
        if not numbers(scope, "fold", following):
            return POISON
        heads = common_heads(scope, (start, following), node.span)
        if heads is None:
            return POISON
        sort = Sort(
            axes=start.sort.axes,
            kind=Kind.COMPLEX
            if Kind.COMPLEX in (start.sort.kind, following.sort.kind)
            else sort.kind,
            heads=heads,
            times=join_times((start, following)),
        )
    return _folded(scope, node, axis, start, following, sort)


def _variable(keyword: syntax.Keyword, sort: Sort) -> Expr:
    return Read(name=keyword.name, time=Time.NONE, sort=sort, span=keyword.span)


def _folded(
    scope: Scope, node: syntax.Call, axis: Axis, start: Expr, following: Expr, sort: Sort
) -> Expr:
    keyword, argument = node.keywords[0], node.arguments[0]
    if set(following.sort.axes) != set(start.sort.axes):
        return scope.report(
            errors.axes_mismatch(
                argument.span, keyword.name, start.sort, following.sort, keyword.span
            )
        )
    if not any(isinstance(each, Read) and each.name == keyword.name for each in walk(following)):
        return scope.report(errors.unused_name(keyword.span, keyword.name))
    return Fold(
        axis=axis,
        variable=keyword.name,
        start=start,
        next=following,
        sort=sort,
        span=node.span,
    )
