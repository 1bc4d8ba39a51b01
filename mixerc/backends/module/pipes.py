"""The steps of a layer as texts: calls of its modules and of helpers in templates/module/steps."""

from dataclasses import replace
from fractions import Fraction
from typing import assert_never

from mixerc import naming
from mixerc.backends.module.dimensions import (
    BATCH,
    TIME,
    Text,
    conformed,
    flattened,
    joined,
    own_dims,
    product_text,
    size_text,
    unflattened,
)
from mixerc.backends.module.expression import Scope, Step, printed
from mixerc.ir.expr import (
    Apply,
    Concat,
    Conv,
    Draw,
    Expr,
    FirstLayer,
    Glu,
    Linear,
    Norm,
    Read,
    Repeat,
    Rope,
    UseBlock,
    UseMixer,
)
from mixerc.ir.sorts import FEATURES
from mixerc.ir.walk import children, walk

Weighted = Linear | Conv | Norm


def named_steps(line: str, expr: Expr) -> tuple[tuple[Weighted, str], ...]:
    """The steps with weights in the line that defines `line`, in post-order, and their names."""
    steps: list[Weighted] = []
    for node in walk(expr):
        match node:
            case Linear() | Conv():
                steps.append(node)
            case Norm(norm="rmsnorm" | "layernorm", affine=True):
                steps.append(node)
            case _:
                pass
    kinds = [step.norm if isinstance(step, Norm) else type(step).__name__.lower() for step in steps]
    return tuple(zip(steps, naming.step_names(line, kinds), strict=True))


def printed_step(scope: Scope, step: Step) -> Text:
    """The text of a step on the text of its source."""
    match step:
        case Linear() | Conv() | Norm() | Rope() | Glu():
            return _on_source(scope, step)
        case FirstLayer(source=Read(name=name) as source):
            value = printed(source, replace(scope, wide=False))
            return replace(value, text=f'first.setdefault("{name}", {value.text})')
        case FirstLayer():
            raise ValueError("first_layer takes a name")
        case Draw(distribution=distribution):
            raise ValueError(f"{distribution} is drawn when a layer is built, not when it runs")
        case UseBlock() | UseMixer() | Repeat():
            raise ValueError("blocks and mixers are used in stacks only")
        case _:
            assert_never(step)


def _on_source(scope: Scope, step: Linear | Conv | Norm | Rope | Glu) -> Text:
    pipe = replace(scope, wide=False)
    source = conformed(printed(step.source, pipe), (BATCH, TIME, *own_dims(step.source.sort)))
    match step:
        case Linear():
            text = f"self.{scope.names[id(step)]}({flattened(source).text})"
            return _joined(text, (BATCH, TIME, *own_dims(step.sort)))
        case Conv():
            name = scope.names[id(step)]
            text = f'self.{name}({flattened(source).text}, past, "{name}")'
            return _joined(text, source.dims)
        case Norm():
            return _norm(scope, step, source)
        case Rope(base=base, interleaved=interleaved):
            turned = unflattened(source)
            text = f"rope({turned.text}, position, {printed(base, pipe).text}, {interleaved})"
            return replace(turned, text=text)
        case Glu(gate=gate):
            return replace(source, text=f"{gate}({source.text})")
        case _:
            assert_never(step)


def _joined(text: str, dims: tuple[str, ...]) -> Text:
    """What a step gives whose last dimension joins all heads and axes."""
    value = Text(text=text, dims=dims)
    return replace(value, flat=len(joined(value)) != 1)


def _norm(scope: Scope, step: Norm, source: Text) -> Text:
    eps = eps_text(step.eps)
    axes = step.source.sort.axes
    if step.groups is not None:
        flat = flattened(source)
        groups = printed(step.groups, scope).text
        name = scope.names.get(id(step))
        call = (
            f"self.{name}({flat.text})"
            if name
            else f"group_{step.norm}({flat.text}, {groups}, {eps})"
        )
        return _joined(call, source.dims)
    value = unflattened(source)
    if step.norm == "l2norm":
        return replace(value, text=f"l2norm({value.text}, {len(axes)}, {eps})")
    if id(step) in scope.names:
        return replace(value, text=f"self.{scope.names[id(step)]}({value.text})")
    function = {"rmsnorm": "rms_norm", "layernorm": "layer_norm"}[step.norm]
    shape = ", ".join(size_text(axis, features_text(step)) for axis in axes)
    return replace(value, text=f"functional.{function}({value.text}, ({shape},), eps={eps})")


def eps_text(eps: Fraction) -> str:
    """The small number under a root."""
    return repr(float(eps))


def count_text(expr: Expr) -> str:
    """An expression of sizes that counts something."""
    text = printed(expr, Scope(values={}, step=printed_step)).text
    exact = all(
        node.primitive in ("add", "mul", "floordiv", "max", "min")
        for node in walk(expr)
        if isinstance(node, Apply)
    )
    return text if exact else f'whole("{text}", {text})'


def features_text(expr: Expr) -> str:
    """How many unnamed features a value has."""
    match expr:
        case Linear(features=count) if count is not None:
            return count_text(count)
        case Glu(source=source):
            return f"{product_text((channels_text(source),))} // 2"
        case Concat(parts=parts):
            return " + ".join(
                size_text(axis, features_text(part) if axis == FEATURES else "")
                for part in parts
                for axis in part.sort.axes
            )
        case _:
            own = [child for child in children(expr) if FEATURES in child.sort.axes]
            return features_text(own[0]) if own else ""


def sizes_of(expr: Expr, dims: tuple[str, ...]) -> tuple[str, ...]:
    """The lengths of dimensions of a value."""
    return tuple(size_text(dim, features_text(expr) if dim == FEATURES else "") for dim in dims)


def channels_text(expr: Expr) -> str:
    """How many numbers a token of a value has, all heads and axes together."""
    return product_text(sizes_of(expr, own_dims(expr.sort)))
