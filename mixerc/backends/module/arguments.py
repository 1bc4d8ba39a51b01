"""What `mix` is given, as the op receives it: streams and constants laid out alike, items apart."""

from collections.abc import Iterable

from mixerc.algebra.unfold import steps_of
from mixerc.backends.module.signature import CoreInput, core_lines
from mixerc.ir.mixer import Mixer
from mixerc.ir.sorts import Sort
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.distribute import Program
from mixerc.plan.plan import loads


def steps_lines(mixer: Mixer, inputs: Iterable[CoreInput]) -> tuple[str, ...]:
    """The file is made for so many steps of each fold: others are refused."""
    found: dict[str, str] = {}
    for value in inputs:
        if value.item is not None:
            axis = value.item.axis
            wanted = steps_of(mixer, axis)
            test = f"if {value.name}.shape[{_place(value, axis)}] != {wanted}:"
            found[test] = f'    raise ValueError("this file was made for {axis} = {wanted}")'
    return tuple(line for pair in found.items() for line in pair)


def stream_text(value: CoreInput) -> str:
    """A stream as the op has it: one value of each head, with tokens second."""
    name = _item(value)
    if value.sort.heads.shared:
        return f"{name}.unsqueeze(2)"
    return f"per_head({name}, heads, 2)" if value.sort.heads.group else name


def _item(value: CoreInput) -> str:
    """The argument, or one item of it."""
    if value.item is None:
        return value.name
    return f"{value.name}.select({_place(value, value.item.axis)}, {value.item.index})"


def _place(value: CoreInput, axis: str) -> int:
    """The dimension of an axis, counted from the end."""
    return value.sort.axes.index(axis) - len(value.sort.axes)


def constant_text(value: CoreInput) -> str:
    """One row a batch row, so that a cotangent can be asked for each."""
    own = _item(value)
    if value.sort.heads.shared:
        return f"{own}.expand(rows, 1, *{own}.shape)"
    if value.sort.heads.group:
        return f"per_head({own}, heads, 0).expand(rows, heads, *{own}.shape[1:])"
    return f"{own}.expand(rows, *{own}.shape)"


def core_inputs(
    mixer: Mixer, programs: Iterable[Program], logarithms: frozenset[str]
) -> dict[CoreInput, n.Load]:
    """The core's inputs in the order of the spec, decays under the name they are given by."""
    used = {load.name: load for program in programs for load in loads(program)}
    found = {}
    for name, sort, _ in core_lines(mixer):
        logarithm = name in logarithms
        given = f"log_{name}" if logarithm else name
        for load in used.values():
            if given == (load.name if load.item is None else load.item.name):
                found[_core_input(load, sort, logarithm=logarithm)] = load
    return found


def _core_input(load: n.Load, sort: Sort, *, logarithm: bool) -> CoreInput:
    return CoreInput(
        called=load.name,
        axes=tuple(axis for axis in load.axes if not is_tile(axis)),
        sort=sort,
        stream=n.ROW in load.axes,
        logarithm=logarithm,
        item=load.item,
    )
