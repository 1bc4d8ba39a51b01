"""What the compiler knows of masked attention, in words and numbers, beside its masks."""

from collections.abc import Iterable, Iterator, Mapping

from mixerc.algebra.attention import Attention, MaskedSum
from mixerc.algebra.engines import Tuned, tuned
from mixerc.algebra.masks.cost import cost
from mixerc.ir.show import show_expr
from mixerc.ir.text import TextContext
from mixerc.plan.sweep import Sweep, sweep_plan
from mixerc.plan.sweep_cost import pair_cost

TIMED = TextContext(explicit=True)
LENGTH = 4096
SIDE = 64


def attention_lines(attention: Attention, sizes: Mapping[str, float]) -> Iterable[str]:
    """How each sum is computed, who else may compute it, and what it costs at these sizes."""
    yield "Sums over s, tile by tile:"
    for each in attention.sums:
        yield f"  {each.name}  {_how(each)}"
        if each.rows is not None:
            rows = show_expr(each.rows, TIMED)
            yield f"  {each.name} is computed where the output reads it: {rows}"
    for decay in attention.decays:
        yield f"  the decay {decay} may be given as log_{decay}"
    yield f"  {_engine(tuned(attention))}"
    yield ""
    yield from _costs(attention, sizes)


def _how(each: MaskedSum) -> str:
    if each.exponential and each.shifted is not None:
        return f"weights exp({show_expr(each.score, TIMED)}), a running maximum taken out"
    if each.exponential:
        why = "nothing divides" if each.normalize is None else "the divisor does not scale with it"
        return f"weights exp({show_expr(each.score, TIMED)}), no maximum taken out: {why}"
    return f"weights {show_expr(each.score, TIMED)}"


def _engine(found: Tuned | None) -> str:
    """Whether PyTorch's engine computes the same, and when it is called."""
    if found is None:
        return 'target="auto" runs these tiles: no tuned engine computes just this'
    kind = "causal" if found.causal else "full"
    when = "" if found.window is None else f" where T <= {found.window}"
    return (
        f'target="auto" hands whole sequences{when} to F.scaled_dot_product_attention '
        f"({kind}, scale {show_expr(found.scale)})"
    )


def _costs(attention: Attention, sizes: Mapping[str, float]) -> Iterator[str]:
    counts = {name: int(value) for name, value in sizes.items() if value >= 1}
    plan = sweep_plan(attention, logarithms=frozenset())
    yield f"Operations of a token and head at T = {LENGTH:,}, counted from the plan, over the keys"
    yield f"of all tiles of {SIDE} x {SIDE} that are visited:"
    yield f"  {'sum':<8}{'keys':>10}{'products':>12}{'other ops':>12}{'with backward':>28}"
    for each, sweep in zip(attention.sums, plan.sweeps, strict=True):
        yield _cost_line(each, sweep, counts)


def _cost_line(each: MaskedSum, sweep: Sweep, sizes: Mapping[str, int]) -> str:
    found = cost(each.condition, LENGTH, SIDE, SIDE)
    keys = found.tiles * SIDE * SIDE / LENGTH
    most = f"{'' if found.exact else '<= '}{keys:,.0f}"
    pair = pair_cost(sweep, sizes)
    forward = f"{keys * pair.products:>12,.0f}{keys * pair.others:>12,.0f}"
    both = (pair.products + pair.products_back, pair.others + pair.others_back)
    back = "".join(f"{keys * value:>14,.0f}" for value in both)
    return f"  {each.name:<8}{most:>10}{forward}{back}"
