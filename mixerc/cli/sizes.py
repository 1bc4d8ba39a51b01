"""`--size K=64`: header sizes from the command line, checked against the spec."""

import math
from collections.abc import Iterable, Mapping

from mixerc.cli.report import refuse, usage
from mixerc.explain import axes_of, without_length
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


def alternatives(pairs: list[str]) -> tuple[dict[str, float], ...]:
    """`K=64,128` as two choices of sizes; of several such lists the values go together in order."""
    lists = {name: values.split(",") for name, _, values in (x.partition("=") for x in pairs)}
    counts = {len(values) for values in lists.values()} - {1}
    if len(counts) > 1:
        usage("lists of sizes go together: each has the same number of values")
    choices = range(max(counts, default=1))
    return tuple(
        numbers([f"{name}={v[i] if len(v) > 1 else v[0]}" for name, v in lists.items()])
        for i in choices
    )


def fitting(checked: Mixer | Stack, sizes: Mapping[str, float], also: Iterable[str] = ()) -> None:
    """Refuses sizes that the header does not have, and axes that would have no length."""
    try:
        checked_sizes(sizes, (*(size.name for size in checked.sizes), *also))
    except TypeError as error:
        usage(str(error))
    if isinstance(checked, Stack):
        return
    axes = axes_of(checked) | {"d_model", "heads"}
    for name, value in sizes.items():
        if name in axes and (value < 1 or value != int(value)):
            usage(f"{name} is the length of an axis: a whole number of at least 1, not {value:g}")
    fault = without_length(checked, sizes)
    if fault is not None:
        refuse(fault)
