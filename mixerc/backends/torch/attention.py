"""The sums of masked attention as text: the functions of each, and the record that holds them."""

from collections.abc import Iterable

from mixerc.algebra.attention import MaskedSum
from mixerc.algebra.masks.relative import relative
from mixerc.backends.module.file import render
from mixerc.backends.module.identifiers import identifier
from mixerc.backends.module.layout import laid_out, tuple_text
from mixerc.backends.module.visits import tiles_text
from mixerc.backends.torch.sweeps import sweep_view
from mixerc.plan import nodes as n
from mixerc.plan.sweep import POSITIONS, Sweep, SweepPlan, key_names, row_names


def kernels_text(plan: SweepPlan) -> str:
    """Every sum, in the order of the spec."""
    pairs = zip(plan.sweeps, plan.attention.sums, strict=True)
    return "\n\n".join(_sum_text(sweep, each) for sweep, each in pairs)


def _sum_text(sweep: Sweep, each: MaskedSum) -> str:
    name = f"{identifier(sweep.name)}_tiles"
    view = sweep_view(sweep, tiles_text(each.condition, name), _fields(sweep, each, name))
    return render("torch", "sweep.py.j2", view).strip()


def _fields(sweep: Sweep, each: MaskedSum, tiles: str) -> tuple[str, ...]:
    """What the schedule has to know of a sum beside its functions."""
    tables = [f'"{name}": ({rows}, {keys})' for name, rows, keys in sweep.tables]
    apart = {*POSITIONS, *(name for name, _, _ in sweep.tables)}
    streams = dict.fromkeys(x.name for x in sweep.allowed.loads if x.name not in apart)
    fields = (
        f"of_rows={_strings(row_names(sweep))}",
        f"of_keys={_strings(key_names(sweep))}",
        f"tiles={tiles}",
        f"tables={{{', '.join(tables)}}}",
        f"mask_streams={_strings(tuple(streams))}",
        f"of_mask={_strings(_read(sweep.allowed.loads))}",
        f"of_divisor={_strings(_read(sweep.divisor.loads if sweep.divisor else ()))}",
        f"relative={relative(each.condition)}",
        f"exponential={sweep.exponential}",
        f"stable={sweep.stable}",
        f"logarithmic={sweep.logarithmic}",
        f"value_axis={sweep.value_axis}",
    )
    return tuple(line for field in fields for line in laid_out(f"{field},", 4))


def _read(loads: Iterable[n.Load]) -> tuple[str, ...]:
    """The names of values of queries and keys that a part may read; positions always."""
    sides = {n.ROW: "t", n.KEY_ROW: "s"}
    found = (f"{x.name}_{side}" for x in loads for row, side in sides.items() if row in x.axes)
    return tuple(dict.fromkeys((*POSITIONS, *found)))


def _strings(names: tuple[str, ...]) -> str:
    return tuple_text([f'"{name}"' for name in names]) if names else "()"
