"""Numbers known before any token: header sizes, and what can be told from shapes."""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, TypeAlias

from mixerc.ir.expr import Apply, Expr, Number, Size
from mixerc.ir.mixer import Mixer, SizeDef
from mixerc.ir.walk import walk
from mixerc.reference.domain import Scalar
from mixerc.reference.named import HEADS, group_of, head_dims, plain
from mixerc.reference.sources import source_of

Sizes: TypeAlias = Mapping[str, Scalar]

# A mixer that stands alone is the first and only layer.
ALONE: dict[str, Scalar] = {"layer": 0, "layers": 1}


def _power(a: Scalar, b: Scalar) -> Scalar:
    result: Scalar = a**b
    return result


_ARITHMETIC: dict[str, Callable[..., Scalar]] = {
    "neg": lambda a: -a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: Fraction(a) / Fraction(b),
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "pow": _power,
    "max": max,
    "min": min,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
}


def number_of(expr: Expr, sizes: Sizes) -> Scalar:
    """An expression of sizes, exact where it is rational."""
    match expr:
        case Number(value=value):
            return _simple(value)
        case Size(name="pi"):
            return math.pi
        case Size(name=name):
            if name not in sizes:
                raise ValueError(f"the size {name} is not known: give it by name")
            return sizes[name]
        case Apply(primitive=primitive, operands=operands) if primitive in _ARITHMETIC:
            numbers = [number_of(operand, sizes) for operand in operands]
            return _simple(_ARITHMETIC[primitive](*numbers))
        case _:
            raise ValueError("a size is written with numbers, sizes and arithmetic only")


def _simple(value: Scalar) -> Scalar:
    return int(value) if isinstance(value, Fraction) and value.denominator == 1 else value


def count_of(name: str, value: Scalar) -> int:
    """A size as the length that it is."""
    if value != int(value) or value < 0:
        raise ValueError(f"{name} counts something, so it cannot be {value}")
    return int(value)


def length(sizes: Sizes, axis: str) -> int:
    """The length of an axis; `N'` is as long as `N`."""
    name = plain(axis)
    if name not in sizes:
        raise ValueError(f"the size {name} is not known: give it by name")
    return count_of(name, sizes[name])


def dim_length(sizes: Sizes, dim: str) -> int:
    """The length of a dimension of heads or groups, or of an axis."""
    if dim == HEADS:
        return length(sizes, "heads")
    group = group_of(dim)
    if group is None:
        return length(sizes, dim)
    return _group_count(group, sizes)


def _group_count(group: str, sizes: Sizes) -> int:
    """The number of groups: a size or number, or a product and quotient of such (`heads / 4`)."""
    if group in sizes:
        return length(sizes, group)
    first, *rest = group.split()
    value = _atom(first, sizes)
    for sign, atom in zip(rest[0::2], rest[1::2], strict=True):
        if sign not in _SIGNS:
            raise ValueError(f"grouped({group}): write the number of groups as a header size")
        value = _simple(_ARITHMETIC[_SIGNS[sign]](value, _atom(atom, sizes)))
    return count_of(f"grouped({group})", value)


_SIGNS = {"*": "mul", "/": "div", "//": "floordiv"}


def _atom(text: str, sizes: Sizes) -> Scalar:
    return int(text) if text.isdigit() else length(sizes, text)


def lengths(sizes: Sizes, dims: tuple[str, ...]) -> dict[str, int]:
    """The lengths of several dimensions."""
    return {dim: dim_length(sizes, dim) for dim in dims}


def resolve(definitions: tuple[SizeDef, ...], given: Sizes) -> dict[str, Scalar]:
    """The given sizes and, left to right, the defaults of the others; all must be known."""
    sizes = ALONE | dict(given)
    for definition in definitions:
        if definition.name not in sizes:
            if definition.default is None:
                raise ValueError(f"the size {definition.name} has no default: give it by name")
            sizes[definition.name] = number_of(definition.default, sizes)
    return sizes


def infer_sizes(mixer: Mixer, inputs: Mapping[str, Any], given: Sizes) -> dict[str, Scalar]:
    """Sizes from the shapes of the core's inputs, then the given ones, then header defaults.

    A default that reads an unknown size (`d_model`, in a core without it) is left out.
    """
    sizes: dict[str, Scalar] = ALONE | dict(given)
    for name in mixer.core.inputs:
        for size, found in _shape_sizes(mixer, name, inputs).items():
            if sizes.setdefault(size, found) != found:
                raise ValueError(f"{size} is {sizes[size]}, but the shape of {name} says {found}")
    for definition in mixer.sizes:
        default = definition.default
        if definition.name not in sizes and default is not None:
            read = {node.name for node in walk(default) if isinstance(node, Size)}
            if read <= sizes.keys() | {"pi"}:
                sizes[definition.name] = number_of(default, sizes)
    return sizes


def _shape_sizes(mixer: Mixer, name: str, inputs: Mapping[str, Any]) -> dict[str, int]:
    """The sizes that one input's shape tells: heads and axes stand last, before a table's times."""
    if name not in inputs:
        raise ValueError(f"the core of {mixer.name} reads {name}, which is not given")
    source = source_of(mixer, name)
    dims = head_dims(source.sort.heads) + source.sort.axes
    shape = tuple(inputs[name].shape)
    shape = shape[: len(shape) - len(source.index)]
    tail = shape[len(shape) - len(dims) :]
    if len(tail) < len(dims):
        raise ValueError(f"{name} has the shape {shape}, which lacks some of {', '.join(dims)}")
    found = {_size_name(dim): int(n) for dim, n in zip(dims, tail, strict=True)}
    return {size: n for size, n in found.items() if not size.isdigit()}


def _size_name(dim: str) -> str:
    if dim == HEADS:
        return "heads"
    return group_of(dim) or plain(dim)
