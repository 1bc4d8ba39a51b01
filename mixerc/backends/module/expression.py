"""Checked expressions as torch texts: arithmetic by axis name, contractions, reductions.

The steps of a layer (linear, conv, norms, …) are printed by `steps`, which `Scope.step` is.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from mixerc.backends.module.dimensions import (
    BATCH,
    HEADS,
    KEYS,
    TIME,
    Text,
    aligned,
    canonical,
    meet_heads,
    size_text,
    unflattened,
)
from mixerc.backends.module.identifiers import identifier
from mixerc.backends.module.printer import apply_text, number_text, within
from mixerc.ir.expr import (
    Apply,
    Arange,
    Concat,
    Contract,
    Conv,
    Draw,
    Expr,
    FirstLayer,
    Fold,
    Glu,
    Item,
    Linear,
    Norm,
    Number,
    Position,
    Read,
    Reduce,
    Repeat,
    Rope,
    Size,
    TimeSum,
    UseBlock,
    UseMixer,
)
from mixerc.ir.sorts import Axis, Kind, Time

Leaf: TypeAlias = Number | Size | Position | Arange
Step: TypeAlias = (
    Draw | Linear | Conv | Norm | Rope | Glu | FirstLayer | UseBlock | UseMixer | Repeat
)
_CONTRACTED = "@contracted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What names stand for in a text, and how it is computed.

    `names` are the attributes of the line's steps, by the identity of their nodes. `counting` is
    the text of `arange`, `like` a tensor of the layer's dtype, if there is one. `wide`: tensors are
    taken to float32 at least, as logarithms want it. `index`: the texts that stand for places along
    axes folded over. `done`: nodes that a statement above has computed, by identity.
    """

    values: Mapping[str, Text]
    step: Callable[["Scope", Step], Text]
    names: Mapping[int, str] = field(default_factory=dict)
    counting: str = "numbers({}, x)"
    like: str = "x"
    wide: bool = False
    index: Mapping[Axis, str] = field(default_factory=dict)
    done: Mapping[int, Text] = field(default_factory=dict)


def printed(expr: Expr, scope: Scope) -> Text:
    """The text of an expression."""
    if id(expr) in scope.done:
        return scope.done[id(expr)]
    match expr:
        case Number() | Size() | Position() | Arange():
            return _leaf(expr, scope)
        case Read(name=name, time=time):
            return _widened(_at_index(_read(name, time, scope), scope), scope)
        case Apply():
            return _apply(expr, scope)
        case Contract(left=left, right=right, left_axis=left_axis, right_axis=right_axis):
            sides = meet_heads((printed(left, scope), printed(right, scope)))
            return contracted(sides[0], sides[1], left_axis, right_axis, expr.sort.axes)
        case Reduce(reduction=reduction, axis=axis, operand=operand):
            return _reduced(reduction, axis, unflattened(printed(operand, scope)))
        case TimeSum(operand=operand):
            return _time_sum(operand, expr, scope)
        case Item():
            raise AssertionError("a fold of a layer is not written out")
        case Fold():
            return _fold(expr, scope)
        case Concat():
            return _concat(expr, scope)
        case _:
            return _widened(scope.step(scope, expr), scope)


def _widened(value: Text, scope: Scope) -> Text:
    if value.number or not scope.wide:
        return value
    return replace(value, text=f"wide({value.text})")


def _leaf(expr: Leaf, scope: Scope) -> Text:
    match expr:
        case Number(value=value):
            return Text(text=number_text(value), number=True)
        case Size(name="head"):
            return Text(text="head", dims=(HEADS,))
        case Size(name="pi"):
            return Text(text="math.pi", number=True)
        case Size(name=name):
            return Text(text=identifier(name), number=True)
        case Position(time=time):
            return Text(text="t", dims=(BATCH, KEYS if time is Time.S else TIME))
        case Arange(axis=axis):
            text = scope.counting.format(size_text(axis))
            return _at_index(Text(text=text, dims=(axis,)), scope)


def _read(name: str, time: Time, scope: Scope) -> Text:
    value = scope.values[f"{name}[t-1]" if time is Time.PREVIOUS else name]
    if time is Time.S:
        dims = tuple(KEYS if dim == TIME else dim for dim in value.dims)
        return replace(value, dims=dims)
    return value


def _at_index(value: Text, scope: Scope) -> Text:
    """Inside a fold a value is taken at the current index of the axis."""
    for axis, index in scope.index.items():
        if axis in value.dims:
            value = unflattened(value)
            place = value.dims.index(axis) - len(value.dims)
            dims = tuple(dim for dim in value.dims if dim != axis)
            text = f"{within(value.text)}.select({place}, {index})"
            value = replace(value, text=text, dims=dims)
    return value


def _apply(expr: Apply, scope: Scope) -> Text:
    values = meet_heads(tuple(printed(operand, scope) for operand in expr.operands))
    kind = expr.sort.kind is Kind.COMPLEX
    tensors = [value for value in values if not value.number]
    if expr.primitive == "where" and tensors == [values[0]] and scope.like:
        # A choice between two numbers has the default dtype: one of them is taken to the input's.
        first = Text(text=f"{scope.like}.new_full((), {values[1].text})")
        values = (values[0], _widened(first, scope), values[2])
    if not tensors:
        text = apply_text(expr.primitive, tuple(value.operand for value in values))
        return Text(text=text, number=True, is_complex=kind)
    if all((v.dims, v.flat) == (tensors[0].dims, tensors[0].flat) for v in tensors):
        text = _primitive(expr.primitive, values, tuple(value.operand for value in values))
        return replace(tensors[0], text=text, is_complex=kind)
    dims = canonical(frozenset(dim for value in tensors for dim in value.dims), expr.sort.axes)
    text = _primitive(expr.primitive, values, tuple(aligned(value, dims) for value in values))
    return Text(text=text, dims=dims, is_complex=kind)


def _primitive(primitive: str, values: tuple[Text, ...], operands: tuple[str, ...]) -> str:
    """A primitive of which at least one operand is a tensor."""
    match primitive:
        case "complex" if not any(value.number for value in values):
            return apply_text(primitive, tuple(f"wide({operand})" for operand in operands))
        case "lerp" if not is_simple(operands[0]):
            return f"lerp({', '.join(operands)})"
        case "real" | "conj" if not values[0].is_complex:
            return operands[0]
        case "imag" if not values[0].is_complex:
            return f"torch.zeros_like({operands[0]})"
        case _:
            return apply_text(primitive, operands)


def is_simple(text: str) -> bool:
    """A name, an attribute or a literal: it may be written twice."""
    return isinstance(ast.parse(text, mode="eval").body, ast.Name | ast.Attribute | ast.Constant)


def contracted(
    left: Text, right: Text, left_axis: str, right_axis: str, axes: tuple[Axis, ...]
) -> Text:
    """The sum over an axis of left met with one of right; `axes` orders those of the result."""
    left, right = _same_numbers(unflattened(left), unflattened(right))
    a = tuple(_CONTRACTED if dim == left_axis else dim for dim in left.dims)
    b = tuple(_CONTRACTED if dim == right_axis else dim for dim in right.dims)
    dims = canonical(frozenset(a + b) - {_CONTRACTED}, axes)
    result = Text(text="", dims=dims, is_complex=left.is_complex)
    if left_axis == right_axis and (set(a) <= set(b) or set(b) <= set(a)):
        return replace(result, text=_dot(left, right, left_axis, dims))
    letters = _letters((*left.dims, *right.dims), left_axis)
    spelled = ["".join(letters[dim] for dim in side) for side in (a, b, dims)]
    equation = f"{spelled[0]}, {spelled[1]} -> {spelled[2]}"
    return replace(result, text=f'torch.einsum("{equation}", {left.text}, {right.text})')


def _dot(left: Text, right: Text, axis: str, dims: tuple[str, ...]) -> str:
    """A contraction without an outer product: multiply and sum."""
    together = (*dims, axis)
    product = apply_text("mul", (aligned(left, together), aligned(right, together)))
    return f"({product}).sum(-1)"


def _same_numbers(left: Text, right: Text) -> tuple[Text, Text]:
    """Both complex if one is: einsum does not promote."""
    if left.is_complex == right.is_complex:
        return left, right
    sides = [
        side if side.is_complex else replace(side, text=f"as_complex({side.text})", is_complex=True)
        for side in (left, right)
    ]
    return sides[0], sides[1]


def _letters(dims: tuple[str, ...], contracted_axis: str) -> dict[str, str]:
    """A letter for each dimension, the first of its name where that is free."""
    letters: dict[str, str] = {}
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for dim in dict.fromkeys((*dims, _CONTRACTED)):
        name = contracted_axis if dim == _CONTRACTED else dim
        wanted = [char.lower() for char in name.split(":")[-1] if char.isalpha()]
        taken = set(letters.values())
        letters[dim] = next(c for c in (*wanted[:1], *alphabet) if c not in taken)
    return letters


def _reduced(reduction: str, axis: Axis, value: Text) -> Text:
    place = value.dims.index(axis) - len(value.dims)
    method = "amax" if reduction == "max" else reduction
    text = f"{within(value.text)}.{method}({place})"
    if reduction == "softmax":
        return replace(value, text=text)
    return replace(value, text=text, dims=tuple(dim for dim in value.dims if dim != axis))


def _time_sum(operand: Expr, expr: TimeSum, scope: Scope) -> Text:
    """The sum over tokens; of a product it is a contraction."""
    match operand:
        case Apply(primitive="mul", operands=(left, right)):
            sides = meet_heads((printed(left, scope), printed(right, scope)))
            if all(KEYS in side.dims for side in sides):
                return contracted(sides[0], sides[1], KEYS, KEYS, expr.sort.axes)
        case _:
            pass
    return _reduced("sum", KEYS, unflattened(printed(operand, scope)))


def _fold(expr: Fold, scope: Scope) -> Text:
    start = unflattened(printed(expr.start, scope))
    variable, index = identifier(expr.variable), f"i_{identifier(expr.axis)}"
    bound = replace(start, text=variable)
    inner = replace(
        scope,
        values={**scope.values, expr.variable: bound},
        index={**scope.index, expr.axis: index},
        wide=False,
    )
    following = printed(expr.next, inner)
    text = aligned(following, start.dims)
    count = size_text(expr.axis)
    return replace(start, text=f"fold({start.text}, {count}, lambda {variable}, {index}: {text})")


def _concat(expr: Concat, scope: Scope) -> Text:
    """Each part brings its own axis, which becomes a stretch of the result's."""
    values = meet_heads(tuple(printed(part, scope) for part in expr.parts))
    own = []
    for part, value in zip(expr.parts, values, strict=True):
        axes = [axis for axis in part.sort.axes if axis not in expr.sort.axes] or [expr.axis]
        dims = tuple(expr.axis if dim == axes[0] else dim for dim in unflattened(value).dims)
        own.append(replace(unflattened(value), dims=dims))
    axes = [*(axis for axis in expr.sort.axes if axis != expr.axis), expr.axis]
    dims = canonical(frozenset(dim for value in own for dim in value.dims), tuple(axes))
    text = f"concat({', '.join(aligned(value, dims) for value in own)})"
    return Text(text=text, dims=dims, is_complex=expr.sort.kind is Kind.COMPLEX)
