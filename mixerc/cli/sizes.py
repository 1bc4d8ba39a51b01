"""`--size K=64`: header sizes from the command line, checked against the spec."""

import math
from collections.abc import Iterable, Mapping

from mixerc.cli.report import refuse, usage
from mixerc.explain import EXAMPLE, numeric_sizes
from mixerc.ir.mixer import Mixer, Stack
from mixerc.request import checked_sizes


def numbers(pairs: list[str]) -> dict[str, float]:
    """`K=64` as a size."""
    sizes = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            sizes[name] = float(value)
        except ValueError:
            usage(f"a size is NAME=NUMBER, not {pair!r}")
        if not math.isfinite(sizes[name]):
            usage(f"a size is finite, not {pair!r}")
    return sizes


def fitting(checked: Mixer | Stack, sizes: Mapping[str, float], also: Iterable[str] = ()) -> None:
    """Refuses sizes that the header does not have, and axes that would have no length."""
    try:
        checked_sizes(sizes, (*(size.name for size in checked.sizes), *also))
    except TypeError as error:
        usage(str(error))
    if isinstance(checked, Stack):
        return
    axes = _axes(checked)
    for name, value in sizes.items():
        if name in (axes | {"d_model", "heads"}) and (value < 1 or value != int(value)):
            usage(f"{name} is the length of an axis: a whole number of at least 1, not {value:g}")
    _computed(checked, axes, sizes)


def _axes(mixer: Mixer) -> set[str]:
    """The header's sizes that an input or a state has as an axis."""
    states = (*mixer.core.states, *(s for branch in mixer.core.branches for s in branch.states))
    used = {axis.rstrip("'") for line in (*mixer.lines, *states) for axis in line.sort.axes}
    return used & {size.name for size in mixer.sizes}


def _computed(mixer: Mixer, axes: set[str], sizes: Mapping[str, float]) -> None:
    """Refuses a header whose defaults have no value, or an axis of no length."""
    layer = f"d_model = {EXAMPLE['d_model']:.0f}, heads = {EXAMPLE['heads']:.0f}"
    try:
        found = numeric_sizes(mixer, sizes)
    except (ArithmeticError, ValueError) as error:
        refuse(f"a size of {mixer.name} has no value: {error}")
    for name in sorted(axes):
        if not 1 <= found[name] < math.inf:
            refuse(f"the axis {name} of {mixer.name} has the length {found[name]:g} (at {layer})")
