"""The masks of a mixer at given sizes: one condition a sum, and a head where heads differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from mixerc.algebra.masks.conditions import Condition, Index
from mixerc.algebra.masks.forms import Variable
from mixerc.algebra.masks.translate import MaskError, condition_of, number_of
from mixerc.algebra.recurrence import substituted
from mixerc.ir.expr import Expr, Size
from mixerc.ir.mixer import Branch, Input, Mixer, Param, Value
from mixerc.ir.walk import walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """The mask of one sum, for all heads (`head` is None) or for one.

    `tables` says over which times, in blocks of how many tokens, each table of it is declared.
    """

    branch: str
    head: int | None
    condition: Condition
    tables: Mapping[str, Index]


USUAL_SIZES = {"d_model": 512, "heads": 4, "layer": 0, "layers": 1}


def usual_sizes(mixer: Mixer) -> dict[str, Fraction]:
    """The header sizes at their defaults in a usual layer; those without a value are left out."""
    sizes = {name: Fraction(value) for name, value in USUAL_SIZES.items()}
    for size in mixer.sizes:
        sizes.pop(size.name, None)
        if size.default is not None:
            try:
                sizes[size.name] = number_of(size.default, sizes)
            except MaskError:
                continue
    return sizes


def masks_of(mixer: Mixer, sizes: Mapping[str, float | Fraction]) -> tuple[Mask, ...]:
    """Every sum's mask; raises MaskError where it has no value at these sizes."""
    return tuple(mask for branch in mixer.core.branches for mask in _masks(mixer, branch, sizes))


def _masks(mixer: Mixer, branch: Branch, sizes: Mapping[str, float | Fraction]) -> Iterator[Mask]:
    expr = _written_out(mixer, branch.mask)
    tables = _tables(mixer, expr, sizes)
    for head in _heads(expr, sizes):
        at = sizes if head is None else {**sizes, "head": head}
        condition = condition_of(expr, at, tables)
        yield Mask(branch=branch.name, head=head, condition=condition, tables=tables)


def _written_out(mixer: Mixer, mask: Expr) -> Expr:
    """The mask with the constants that it reads."""
    constants: dict[str, Expr] = {}
    for line in mixer.lines:
        if isinstance(line, Value) and line.name not in mixer.core.inputs and not line.sort.times:
            constants[line.name] = substituted(line.expr, constants)
    return substituted(mask, constants)


def _tables(mixer: Mixer, mask: Expr, sizes: Mapping[str, float | Fraction]) -> dict[str, Index]:
    names = {node.name for node in walk(mask) if hasattr(node, "name")}
    return {
        line.name: tuple((Variable(time), _block(line.name, block, sizes)) for time, block in index)
        for line in mixer.lines
        if isinstance(line, Input | Param) and line.name in names
        for index in [line.index]
        if index
    }


def _block(name: str, block: Expr | None, sizes: Mapping[str, float | Fraction]) -> int:
    value = Fraction(1) if block is None else number_of(block, sizes)
    if value < 1 or value.denominator != 1:
        raise MaskError(f"a block of the table {name} has {value} tokens at these sizes")
    return int(value)


def _heads(mask: Expr, sizes: Mapping[str, float | Fraction]) -> tuple[int | None, ...]:
    if not any(isinstance(node, Size) and node.name == "head" for node in walk(mask)):
        return (None,)
    if "heads" not in sizes:
        raise MaskError("the mask reads `head`: give the number of heads by name")
    return tuple(range(int(sizes["heads"])))
