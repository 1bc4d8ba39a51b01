"""The sums of masked attention as text: the functions of each, and the record that holds them."""

from mixerc.algebra.attention import MaskedSum
from mixerc.backends.module.file import render
from mixerc.backends.module.identifiers import identifier
from mixerc.backends.module.parts import sweep_fields, sweep_view
from mixerc.backends.module.visits import tiles_text
from mixerc.plan.sweep import Sweep, SweepPlan


def kernels_text(plan: SweepPlan) -> str:
    """Every sum, in the order of the spec."""
    pairs = zip(plan.sweeps, plan.attention.sums, strict=True)
    return "\n\n".join(_sum_text(sweep, each) for sweep, each in pairs)


def _sum_text(sweep: Sweep, each: MaskedSum) -> str:
    name = f"{identifier(sweep.name)}_tiles"
    view = sweep_view(sweep, tiles_text(each.condition, name), sweep_fields(sweep, each, name))
    return render("module", "sweep.py.j2", view).strip()
