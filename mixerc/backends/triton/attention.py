"""The sums of masked attention as text: the kernels of each, its parts in plain torch, the record.

What is made of each token, before and behind the kernels, is elementwise and left to torch.
"""

from collections.abc import Iterator

from mixerc.algebra.attention import MaskedSum
from mixerc.backends.module.file import render
from mixerc.backends.module.identifiers import identifier
from mixerc.backends.module.layout import laid_out
from mixerc.backends.module.parts import sweep_fields, sweep_view
from mixerc.backends.module.signature import names_text
from mixerc.backends.module.visits import tiles_text
from mixerc.backends.triton.pass_view import PassView
from mixerc.backends.triton.passes import Passes
from mixerc.backends.triton.sweep_tiling import tiles_lines
from mixerc.backends.triton.tiling import Hardware
from mixerc.backends.triton.walks import walk_of
from mixerc.plan import nodes as n
from mixerc.plan.sweep import Sweep, SweepPlan


def kernels_text(plan: SweepPlan, hardware: Hardware) -> str:
    """Every sum, in the order of the spec, and the sizes of tiles."""
    pairs = zip(plan.sweeps, plan.attention.sums, strict=True)
    sizes = dict(plan.attention.sizes)
    texts = (_sum_text(sweep, each, sizes) for sweep, each in pairs)
    return "\n\n".join(("\n".join(tiles_lines(hardware)), *texts))


def _sum_text(sweep: Sweep, each: MaskedSum, sizes: dict[str, float]) -> str:
    name = f"{identifier(sweep.name)}_tiles"
    passes = Passes(sweep, each, sizes)
    views = passes.views()
    kernels = tuple(render("triton", f"{view.template}.py.j2", view).strip() for view in views)
    fields = (*sweep_fields(sweep, each, name), *_fields(sweep, each, passes, views))
    view = sweep_view(sweep, tiles_text(each.condition, name), fields, kernels)
    return render("module", "sweep.py.j2", view).strip()


def _fields(
    sweep: Sweep, each: MaskedSum, passes: Passes, views: tuple[PassView, ...]
) -> Iterator[str]:
    """What launches have to know."""
    numbers = ", ".join(f'"{name}": {text}' for text, name in passes.numbers.items())
    same = ", ".join(f'"{name}": "{key}"' for name, key in _handed_on(sweep))
    for view in views:
        yield from laid_out(view.record, 4)
    yield from laid_out(f"numbers=lambda size: {{{numbers}}},", 4)
    yield from laid_out(f"same={{{same}}},", 4)
    walks = [
        walk_of(each.condition, keys=keys, in_turn=each.decay is not None) for keys in (False, True)
    ]
    yield f"closed={None not in walks},"
    documents = walks[0].documents if walks[0] is not None else ()
    yield f"documents={names_text(documents)},"


def _handed_on(sweep: Sweep) -> Iterator[tuple[str, str]]:
    """What parts give that are streams themselves, with the names of these."""
    for part, row, side in ((sweep.queries, n.ROW, "t"), (sweep.keys, n.KEY_ROW, "s")):
        for name, node in part.function.outputs:
            if isinstance(node, n.Load) and row in node.axes:
                yield name, f"{node.name}_{side}"
