"""Arrays whose dimensions have names: batch, time, heads, and the axes of the spec."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mixerc.ir.sorts import Axis, Heads
from mixerc.reference.domain import Array, Domain

# No identifier of a spec begins with @.
BATCH = "@batch"
TIME = "@t"
KEYS = "@s"
HEADS = "@head"
_GROUP = "@group:"
_CONTRACTED = "@contracted"

Dims = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """An array and the name of each of its dimensions; a dimension that is absent is constant."""

    array: Array
    dims: Dims

    def size(self, dim: str) -> int:
        """The length of a dimension that the array has."""
        return int(self.array.shape[self.dims.index(dim)])


def head_dims(heads: Heads) -> Dims:
    """The dimension that counts a value's copies: heads, groups of heads, or none."""
    if heads.shared:
        return ()
    return (_GROUP + heads.group,) if heads.group else (HEADS,)


def group_of(dim: str) -> str | None:
    """The size that a dimension of groups is counted by, None for other dimensions."""
    return dim.removeprefix(_GROUP) if dim.startswith(_GROUP) else None


def union(values: Iterable[Named]) -> Dims:
    """All dimensions of some values, in the order met."""
    return tuple(dict.fromkeys(dim for value in values for dim in value.dims))


def aligned(domain: Domain, value: Named, dims: Dims) -> Array:
    """The array with its dimensions in the order of `dims`, length 1 for those it lacks."""
    missing = set(value.dims) - set(dims)
    if missing:
        raise ValueError(f"a value with {value.dims} has no place among {dims}")
    order = [value.dims.index(dim) for dim in dims if dim in value.dims]
    shape = tuple(value.size(dim) if dim in value.dims else 1 for dim in dims)
    return domain.reshape(domain.permute(value.array, order), shape)


def conform(domain: Domain, value: Named, dims: Dims, sizes: Mapping[str, int]) -> Named:
    """The value with exactly `dims`, repeated along those it lacks (their lengths in `sizes`)."""
    if HEADS in dims:
        value = on_heads(domain, value, sizes[HEADS])
    array = aligned(domain, value, dims)
    shape = tuple(value.size(dim) if dim in value.dims else sizes[dim] for dim in dims)
    return Named(domain.broadcast(array, shape), dims)


def on_heads(domain: Domain, value: Named, heads: int) -> Named:
    """A value of groups as a value of heads: group i belongs to consecutive heads."""
    for dim in value.dims:
        if group_of(dim) is not None:
            groups = value.size(dim)
            if heads % groups:
                raise ValueError(f"{heads} heads cannot be cut in {groups} groups")
            of_head = [head * groups // heads for head in range(heads)]
            value = rename(take(domain, value, dim, of_head), dim, HEADS)
    return value


def meet_heads(domain: Domain, values: Sequence[Named], heads: int | None) -> list[Named]:
    """The values, those of groups on heads where another of them is of heads or other groups."""
    kinds = {dim for value in values for dim in value.dims if dim == HEADS or group_of(dim)}
    if len(kinds) < 2:
        return list(values)
    if heads is None:
        heads = next(value.size(HEADS) for value in values if HEADS in value.dims)
    return [on_heads(domain, value, heads) for value in values]


def apply(domain: Domain, primitive: str, operands: Sequence[Named]) -> Named:
    """A primitive, elementwise by name."""
    dims = union(operands)
    arrays = [aligned(domain, operand, dims) for operand in operands]
    return Named(domain.primitives[primitive](*arrays), dims)


def contract(domain: Domain, left: Named, right: Named, left_dim: str, right_dim: str) -> Named:
    """The sum over `left_dim` of left, met with `right_dim` of right."""
    a = rename(left, left_dim, _CONTRACTED)
    b = rename(right, right_dim, _CONTRACTED)
    dims = union((a, b))
    number = {dim: index for index, dim in enumerate(dims)}
    out = tuple(dim for dim in dims if dim != _CONTRACTED)
    array = domain.einsum(
        a.array,
        [number[dim] for dim in a.dims],
        b.array,
        [number[dim] for dim in b.dims],
        [number[dim] for dim in out],
    )
    return Named(array, out)


def reduce(domain: Domain, reduction: str, value: Named, dim: str) -> Named:
    """A reduction along one dimension; softmax keeps it."""
    array = domain.reductions[reduction](value.array, value.dims.index(dim))
    if reduction == "softmax":
        return Named(array, value.dims)
    return Named(array, tuple(other for other in value.dims if other != dim))


def rename(value: Named, old: str, new: str) -> Named:
    """The same array with another name for one dimension."""
    return Named(value.array, tuple(new if dim == old else dim for dim in value.dims))


def select(domain: Domain, value: Named, dim: str, index: int) -> Named:
    """The value at one index of a dimension, which goes."""
    axis = value.dims.index(dim)
    array = domain.select(value.array, axis, index)
    return Named(array, value.dims[:axis] + value.dims[axis + 1 :])


def take(domain: Domain, value: Named, dim: str, indices: Sequence[int]) -> Named:
    """The value at some indices of a dimension, in that order."""
    return Named(domain.take(value.array, value.dims.index(dim), indices), value.dims)


def unstack(domain: Domain, value: Named, dim: str) -> tuple[Named, ...]:
    """The value at each index of a dimension."""
    axis = value.dims.index(dim)
    rest = value.dims[:axis] + value.dims[axis + 1 :]
    return tuple(Named(array, rest) for array in domain.unstack(value.array, axis))


def concat(domain: Domain, parts: Sequence[Named], dim: str) -> Named:
    """The parts one after the other along a dimension that each has."""
    dims = union(parts)
    lengths = {d: part.size(d) for part in parts for d in part.dims}
    arrays = [conform(domain, part, dims, lengths).array for part in parts]
    return Named(domain.concat(arrays, dims.index(dim)), dims)


def plain(axis: Axis) -> Axis:
    """The name that sizes an axis: `N` for its second copy `N'` too."""
    return axis.removesuffix("'")


def spread(domain: Domain, value: Named, dim: str, size: int) -> Named:
    """The value with a dimension, along which it is repeated if it lacked it."""
    if dim in value.dims:
        return value
    lengths = {d: value.size(d) for d in value.dims} | {dim: size}
    return conform(domain, value, (*value.dims, dim), lengths)
