"""The steps of a stack: its blocks, other specs' mixers, and `repeat`."""

from mixerc.diagnostics.span import Span
from mixerc.frontend import errors_layer, syntax
from mixerc.frontend.arguments import any_poisoned
from mixerc.frontend.arithmetic import numbers
from mixerc.frontend.check_names import X_SORT
from mixerc.frontend.scope import POISON, SIZE, Check, Role, Scope, poisoned
from mixerc.ir.expr import Expr, Read, Repeat, UseBlock, UseMixer
from mixerc.ir.sorts import FEATURES, SHARED, Time

REPEAT = "repeat"


def check_use(
    scope: Scope,
    step: syntax.Name | syntax.Call,
    source: Expr,
    span: Span,
    check: Check,
) -> Expr:
    """`source | block` or `source | mixer(K = 64)`: from d_model features to as many."""
    if poisoned(source) or not _is_layer_input(scope, step, source):
        return POISON
    if step.id in scope.symbols:
        scope.read.add(step.id)
        if isinstance(step, syntax.Call) and (step.arguments or step.keywords):
            given = len(step.arguments) + len(step.keywords)
            return scope.report(errors_layer.argument_count(step.span, step.id, "nothing", given))
        return UseBlock(source=source, block=step.id, sort=source.sort, span=span)
    sizes = _sizes(scope, step, check)
    if sizes is None:
        return POISON
    return UseMixer(source=source, mixer=step.id, sizes=sizes, sort=source.sort, span=span)


def _is_layer_input(scope: Scope, step: syntax.Name | syntax.Call, source: Expr) -> bool:
    if not numbers(scope, step.id, source, real=True):
        return False
    if source.sort.axes not in (("d_model",), (FEATURES,)) or source.sort.heads != SHARED:
        scope.report(
            errors_layer.step_axes(source.span, step.id, "the features of a layer", source.sort)
        )
        return False
    return True


def _sizes(
    scope: Scope, step: syntax.Name | syntax.Call, check: Check
) -> tuple[tuple[str, Expr], ...] | None:
    if isinstance(step, syntax.Name):
        return ()
    sizes = tuple((each.name, check(scope, SIZE, each.value)) for each in step.keywords)
    return None if any_poisoned(*(size for _, size in sizes)) else sizes


def check_repeat(scope: Scope, node: syntax.Pipe, source: Expr, check: Check) -> Expr:
    """`x | repeat(N, a, b)`: each step reads the placeholder `x`."""
    arguments = node.step.arguments if isinstance(node.step, syntax.Call) else ()
    if len(arguments) < 2:
        return scope.report(errors_layer.repeated_step(node.step.span))
    count = scope.count(check(scope, SIZE, arguments[0]))
    steps = tuple(_repeated(scope, argument, check) for argument in arguments[1:])
    if poisoned(source, count, *steps):
        return POISON
    return Repeat(source=source, count=count, steps=steps, sort=source.sort, span=node.span)


def _repeated(scope: Scope, step: syntax.Expr, check: Check) -> Expr:
    if not isinstance(step, syntax.Name | syntax.Call) or not _is_use(scope, step.id):
        return scope.report(errors_layer.repeated_step(step.span))
    placeholder = Read(name="x", time=Time.T, sort=X_SORT, span=step.span)
    return check_use(scope, step, placeholder, step.span, check)


def _is_use(scope: Scope, name: str) -> bool:
    symbol = scope.symbols.get(name)
    return name in scope.mixers or (symbol is not None and symbol.role == Role.BLOCK)
