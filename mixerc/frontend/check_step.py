"""Pipes: functions of one argument, features, the layer's steps, and the steps of a stack."""

from dataclasses import replace

from mixerc.diagnostics.span import Span
from mixerc.frontend import errors_core, errors_layer, syntax
from mixerc.frontend.arithmetic import apply
from mixerc.frontend.check_call import use_feature
from mixerc.frontend.check_layer import LAYERS, check_layer
from mixerc.frontend.check_use import REPEAT, check_repeat, check_use
from mixerc.frontend.rules import FUNCTIONS
from mixerc.frontend.scope import Check, Place, Role, Scope
from mixerc.ir.expr import Expr
from mixerc.ir.primitives import PRIMITIVES
from mixerc.ir.sorts import FEATURES


def check_pipe(scope: Scope, place: Place, node: syntax.Pipe, check: Check) -> Expr:
    """`source | step`."""
    name = node.step.id
    # `linear` joins the axes of what it takes, so parts before it need no axis to land on.
    source_place = replace(place, joins=FEATURES) if name == "linear" else place
    source = check(scope, source_place, node.source)
    if name in LAYERS:
        if not place.layers:
            span = _name_span(node.step)
            return scope.report(errors_core.layer_in_core(span, name, place.what))
        return check_layer(scope, place, node, source, check)
    if scope.stack and name == REPEAT:
        return check_repeat(scope, node, source, check)
    if name in scope.mixers or _role(scope, name) == Role.BLOCK:
        return check_use(scope, node.step, source, node.span, check)
    return _function_step(scope, place, node, source, check)


def _name_span(step: syntax.Name | syntax.Call) -> Span:
    return step.id_span if isinstance(step, syntax.Call) else step.span


def _role(scope: Scope, name: str) -> Role | None:
    return scope.symbols[name].role if name in scope.symbols else None


def _function_step(
    scope: Scope, place: Place, node: syntax.Pipe, source: Expr, check: Check
) -> Expr:
    """`x | silu` is `silu(x)`."""
    name, span = node.step.id, _name_span(node.step)
    feature = scope.symbols.get(name)
    if name in FUNCTIONS:
        if PRIMITIVES[name].arity != 1:
            return scope.report(errors_layer.not_a_step(span, name))
    elif feature is None or feature.feature is None:
        known = [*LAYERS, *FUNCTIONS, *scope.symbols, *scope.mixers]
        return scope.report(errors_layer.unknown_step(span, name, known))
    elif len(feature.feature.parameters) != 1:
        return scope.report(errors_layer.not_a_step(span, name))
    if isinstance(node.step, syntax.Call):
        given = [*node.step.arguments, *node.step.keywords]
        if given or node.step.axis:
            return scope.report(
                errors_layer.argument_count(node.step.span, name, "nothing in a pipe", len(given))
            )
    if name in FUNCTIONS:
        return apply(scope, name, (source,), node.span)
    return use_feature(scope, place, name, (source,), span, check)
