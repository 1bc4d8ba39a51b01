"""The layer's steps: linear, conv, norms, rope and gated linear units."""

from dataclasses import replace
from fractions import Fraction

from mixerc.diagnostics.span import Span
from mixerc.frontend import errors_layer, syntax
from mixerc.frontend.arguments import (
    Signature,
    any_poisoned,
    bind_arguments,
    count_argument,
    flag_argument,
    initial_value,
    number_argument,
    size_argument,
)
from mixerc.frontend.arithmetic import numbers
from mixerc.frontend.scope import POISON, T_ONLY, Check, Place, Scope
from mixerc.ir.expr import Conv, Expr, Glu, Linear, Norm, Number, Rope
from mixerc.ir.sorts import FEATURES, SCALAR, Kind, Sort

NORMS = ("eps", "affine", "groups")
LAYERS = {
    "linear": Signature(positional=("n",), named=("bias", "init", "blocks")),
    "conv": Signature(positional=("n",), named=("bias",)),
    "rmsnorm": Signature(positional=NORMS, named=NORMS),
    "layernorm": Signature(positional=NORMS, named=NORMS),
    "l2norm": Signature(positional=("eps",), named=("eps",)),
    "rope": Signature(positional=("base", "interleaved"), named=("base", "interleaved")),
    "glu": Signature(),
    "swiglu": Signature(),
    "geglu": Signature(),
}
L2_EPS = Fraction(1, 10**6)
NORM_EPS = Fraction(1, 10**5)
ROPE_BASE = Fraction(10000)


def check_layer(scope: Scope, place: Place, node: syntax.Pipe, source: Expr, check: Check) -> Expr:
    """A step that only a layer may take, applied to a stream."""
    name = node.step.id
    arguments = bind_arguments(scope, node.step, LAYERS[name])
    if arguments is None or not _is_stream(scope, name, source):
        return POISON
    match name:
        case "linear":
            return _linear(scope, place, arguments, source, node.span, check)
        case "conv":
            return _conv(scope, node, arguments, source, check)
        case "rope":
            return _rope(scope, arguments, source, node.span, check)
        case "rmsnorm" | "layernorm" | "l2norm":
            return _norm(scope, name, arguments, source, node.span, check)
        case _:
            return _glu(scope, name, source, node.span)


def _is_stream(scope: Scope, step: str, source: Expr) -> bool:
    if not numbers(scope, step, source, real=True):
        return False
    if source.sort.times != T_ONLY:
        scope.report(
            errors_layer.step_source(source.span, step, "a value of each token", "the same for all")
        )
        return False
    return True


def _linear(
    scope: Scope,
    place: Place,
    arguments: dict[str, syntax.Expr],
    source: Expr,
    span: Span,
    check: Check,
) -> Expr:
    """Lands on the axes and heads of the line, or on unnamed features."""
    features = count_argument(scope, arguments, "n", check)
    blocks = count_argument(scope, arguments, "blocks", check)
    target = place.target if features is None and place.target else Sort(axes=(FEATURES,))
    bias = initial_value(scope, arguments, "bias", target, check)
    init = initial_value(scope, arguments, "init", SCALAR, check)
    if any_poisoned(features, blocks, bias, init):
        return POISON
    sort = Sort(axes=target.axes, heads=target.heads, times=T_ONLY)
    return Linear(
        source=source,
        features=features,
        bias=bias,
        init=init,
        blocks=blocks,
        sort=sort,
        span=span,
    )


def _conv(
    scope: Scope,
    node: syntax.Pipe,
    arguments: dict[str, syntax.Expr],
    source: Expr,
    check: Check,
) -> Expr:
    if "n" not in arguments:
        return scope.report(errors_layer.argument_count(node.step.span, "conv", "a width", 0))
    width = count_argument(scope, arguments, "n", check)
    bias = initial_value(scope, arguments, "bias", source.sort, check)
    if width is None or any_poisoned(width, bias):
        return POISON
    return Conv(source=source, width=width, bias=bias, sort=source.sort, span=node.span)


def _rope(
    scope: Scope,
    arguments: dict[str, syntax.Expr],
    source: Expr,
    span: Span,
    check: Check,
) -> Expr:
    base = size_argument(scope, arguments, "base", check) or Number(value=ROPE_BASE)
    interleaved = flag_argument(scope, arguments, "interleaved", default=False)
    if len(source.sort.axes) != 1:
        return scope.report(errors_layer.step_axes(span, "rope", "one axis", source.sort))
    if any_poisoned(base):
        return POISON
    return Rope(source=source, base=base, interleaved=interleaved, sort=source.sort, span=span)


def _norm(
    scope: Scope,
    name: str,
    arguments: dict[str, syntax.Expr],
    source: Expr,
    span: Span,
    check: Check,
) -> Expr:
    l2 = name == "l2norm"
    eps = number_argument(scope, arguments, "eps", L2_EPS if l2 else NORM_EPS)
    affine = flag_argument(scope, arguments, "affine", default=not l2)
    groups = count_argument(scope, arguments, "groups", check)
    if not source.sort.axes and groups is None:
        return scope.report(errors_layer.step_axes(span, name, "a value with an axis", SCALAR))
    if any_poisoned(groups):
        return POISON
    return Norm(
        norm=name,
        source=source,
        eps=eps,
        affine=affine,
        groups=groups,
        sort=replace(source.sort, kind=Kind.REAL),
        span=span,
    )


def _glu(scope: Scope, name: str, source: Expr, span: Span) -> Expr:
    if source.sort.axes != (FEATURES,):
        return scope.report(
            errors_layer.step_axes(span, name, "the features of `linear(2 * n)`", source.sort)
        )
    return Glu(gate=name, source=source, sort=source.sort, span=span)
