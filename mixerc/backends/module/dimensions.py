"""Texts of tensors whose dimensions have names, and the views that bring them together.

A value is printed with the dimensions [B, T, heads, axes…] that it has; one that is absent is
constant. What PyTorch's broadcasting does not do by itself is decided here, when the text is
made: reordering, dimensions of size 1, heads of a group, joined heads and axes.
"""

from dataclasses import dataclass, replace

from mixerc.backends.module.identifiers import identifier
from mixerc.backends.module.printer import NumberText, within
from mixerc.ir.sorts import Axis, Heads, Sort

# No identifier of a spec begins with @.
BATCH = "@batch"
TIME = "@t"
KEYS = "@s"
HEADS = "@head"
_GROUP = "@group:"
TOKENS = (BATCH, TIME, KEYS)
# Of the weight of `linear`, in blocks or not.
MATRIX = ("@block", "@out", "@in")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """An expression of Python and the dimensions of what it gives.

    `flat`: the dimensions after batch and time are joined to one. `number`: a Python number.
    """

    text: str
    dims: tuple[str, ...] = ()
    flat: bool = False
    number: bool = False
    is_complex: bool = False

    @property
    def operand(self) -> str:
        """The text as an operand of a primitive."""
        return NumberText(self.text) if self.number else self.text


def head_dims(heads: Heads) -> tuple[str, ...]:
    """The dimension that counts a value's copies, if it has one."""
    if heads.shared:
        return ()
    return (_GROUP + heads.group,) if heads.group else (HEADS,)


def own_dims(sort: Sort) -> tuple[str, ...]:
    """Heads and axes of a sort, as laid out in memory."""
    return (*head_dims(sort.heads), *sort.axes)


def size_text(dim: str, features: str = "") -> str:
    """The length of a dimension; `features` is that of the unnamed axis."""
    if dim == "*":
        return features
    if dim == HEADS:
        return "heads"
    name = dim.removeprefix(_GROUP).removesuffix("'")
    if name.isidentifier():
        return identifier(name)
    return name if name.isdigit() else f"int({name})"


def product_text(sizes: tuple[str, ...]) -> str:
    """How many numbers dimensions of these sizes hold."""
    return " * ".join(within(size, 11) for size in sizes) if sizes else "1"


def canonical(dims: frozenset[str], axes: tuple[Axis, ...]) -> tuple[str, ...]:
    """Dimensions in order: batch, times, heads, then axes in the given order, or a matrix's."""
    counts = [dim for dim in sorted(dims) if dim == HEADS or dim.startswith(_GROUP)]
    rest = [dim for dim in (*axes, *MATRIX) if dim in dims]
    return (*(dim for dim in TOKENS if dim in dims), *counts, *rest)


def joined(value: Text) -> tuple[str, ...]:
    """The dimensions after batch and time."""
    return tuple(dim for dim in value.dims if dim not in TOKENS)


def flattened(value: Text) -> Text:
    """Heads and axes as one last dimension."""
    if value.flat or len(joined(value)) == 1:
        return value
    if not joined(value):
        return replace(value, text=f"{within(value.text)}.unsqueeze(-1)", flat=True)
    return replace(value, text=f"{within(value.text)}.flatten(2)", flat=True)


def unflattened(value: Text) -> Text:
    """Heads and axes as dimensions of their own."""
    if not value.flat or len(joined(value)) == 1:
        return replace(value, flat=False)
    if not joined(value):
        return replace(value, text=f"{within(value.text)}.squeeze(-1)", flat=False)
    sizes = ", ".join(size_text(dim) for dim in joined(value))
    return replace(value, text=f"{within(value.text)}.unflatten(-1, ({sizes}))", flat=False)


def on_heads(value: Text) -> Text:
    """A value of groups as one of heads: group i belongs to consecutive heads."""
    for place, dim in enumerate(value.dims):
        if dim.startswith(_GROUP):
            each = f"heads // {size_text(dim)}"
            text = f"{within(unflattened(value).text)}.repeat_interleave({each}, {place})"
            dims = tuple(HEADS if old == dim else old for old in value.dims)
            return replace(value, text=text, dims=dims, flat=False)
    return value


def meet_heads(values: tuple[Text, ...]) -> tuple[Text, ...]:
    """The values, those of groups on heads where another of them is of heads."""
    if any(HEADS in value.dims for value in values):
        return tuple(on_heads(value) for value in values)
    return values


def aligned(value: Text, dims: tuple[str, ...]) -> str:
    """The text with its dimensions in the order of `dims`, of size 1 where it lacks some."""
    if value.number or not value.dims:
        return value.operand
    value = unflattened(value)
    present = tuple(dim for dim in dims if dim in value.dims)
    text = value.text if present == value.dims else _permuted(value, present)
    wanted = dims[dims.index(present[0]) :]
    if present == wanted:
        return text
    if present == wanted[:-1]:
        return f"{within(text)}.unsqueeze(-1)"
    return f"{within(text)}[{_index(wanted, present)}]"


def _index(wanted: tuple[str, ...], present: tuple[str, ...]) -> str:
    """`..., None, :`: the leading dimensions that are present are written as dots."""
    marks = [":" if dim in present else "None" for dim in wanted]
    first = marks.index("None")
    return ", ".join(["...", *marks[first:]])


def _permuted(value: Text, order: tuple[str, ...]) -> str:
    places = [value.dims.index(dim) for dim in order]
    moved = [place for place, old in enumerate(places) if place != old]
    if len(moved) == 2:
        a, b = (place - len(places) for place in moved)
        return f"{within(value.text)}.transpose({a}, {b})"
    return f"{within(value.text)}.permute({', '.join(map(str, places))})"


def conformed(value: Text, dims: tuple[str, ...]) -> Text:
    """The value with exactly these dimensions, repeated over those that it lacks."""
    if HEADS in dims:
        value = on_heads(value)
    if value.dims == dims or (value.flat and set(value.dims) == set(dims)):
        return value
    if value.number:
        return value
    text = aligned(value, dims)
    if set(value.dims) != set(dims):
        sizes = ["-1" if dim in value.dims else size_text(dim) for dim in dims]
        text = f"{within(text)}.expand({', '.join(sizes)})"
    return replace(value, text=text, dims=dims, flat=False)
