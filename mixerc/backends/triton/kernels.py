"""Kernels as views for their templates: one for each value that is stored, and the scans.

A kernel computes its value anew from what was given to the op and from the states at chunk
boundaries: what several need is computed several times, and nothing else crosses memory.
"""

from mixerc.backends.triton.body import Body
from mixerc.backends.triton.carried import state_before, whole
from mixerc.backends.triton.kernel_view import CHUNK, KernelView, store, view
from mixerc.backends.triton.memory import CHUNKS, SEQUENCES, TOKENS, Doors
from mixerc.backends.triton.ordering import ordered
from mixerc.backends.triton.scope import Scope
from mixerc.backends.triton.seen import Seen
from mixerc.backends.triton.tiles import TilePrinter
from mixerc.backends.triton.values import dims_of, first_of
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile


def map_kernel(
    name: str, targets: tuple[n.Node, ...], doors: Doors, chunk: int, *, rows: bool
) -> KernelView:
    """The kernel that stores values with the same axes: of each token if `rows`, else of each
    chunk."""
    body = Body(TilePrinter(), doors.leaf, doors.buffers)
    scope = Scope()
    axes = tuple(a for a in targets[0].axes if not is_tile(a))
    for axis in axes:
        body.open_axis(scope, axis, first_of(axis))
    places = body.taken()
    body.open_sums(targets, scope)
    outs = tuple(f"out_{index}_at" for index in range(len(targets)))
    for out, target in zip(outs, targets, strict=True):
        value = body.need(target, scope)
        store(body, doors, scope, out, TOKENS if rows else CHUNKS, value, dims_of(target.axes))
    return view(
        name=name,
        summary=f"{_described(targets)}, all chunks at once.",
        doors=doors,
        outs=outs,
        split=axes,
        given=("length", "first_at", "count_at", "batch_at"),
        tiles=body.tiles,
        axes=tuple(body.axes),
        places=("i = tl.arange(0, CHUNK)", *CHUNK, *places),
        lines=ordered(body.taken(), body.tiles, chunk),
    )


def scan_kernel(
    name: str, pair: tuple[n.Carry, n.Node], doors: Doors, chunk: int, *, reverse: bool, seen: Seen
) -> KernelView:
    """One state from chunk to chunk; what it is before each chunk is stored, and so are the rows
    that are made of it on the way."""
    carry, after = pair
    body = Body(TilePrinter(), doors.leaf, doors.buffers, frozenset(seen.whole))
    scope = Scope()
    for axis in carry.axes:
        body.open_axis(scope, axis, "0" if axis in seen.whole else first_of(axis))
    places = body.taken()
    state = state_before(body, doors, scope, carry, "state_at")
    before = body.taken()
    store(body, doors, scope, "kept_at", CHUNKS, state, state.dims)
    (value,) = body.compute((after,), scope)
    outs = _rows_out(body, doors, scope, seen)
    body.put(f"{state.text} = {whole(value, state)}")
    lines = ordered(body.taken(), body.tiles, chunk)
    store(body, doors, scope, "last_at", SEQUENCES, state, state.dims)
    return view(
        name=name,
        summary=f"{carry.state} from chunk to chunk{', last to first' if reverse else ''}.",
        doors=doors,
        outs=("state_at", "last_at", "kept_at", *outs),
        split=tuple(axis for axis in carry.axes if axis not in seen.whole),
        whole=seen.whole,
        given=("length", "bounds_at", "first_at", "count_at", "batch_at"),
        tiles=body.tiles,
        axes=tuple(body.axes),
        places=("i = tl.arange(0, CHUNK)", *places),
        before=before,
        lines=lines,
        after=body.taken(),
        step=("n = stop - 1 - step" if reverse else "n = start + step", *CHUNK),
        steps="CHUNK",
    )


def _rows_out(body: Body, doors: Doors, scope: Scope, seen: Seen) -> tuple[str, ...]:
    """Stores the rows that a scan makes on its way; the pointers."""
    outs = tuple(f"rows_{index}_at" for index in range(len(seen.rows)))
    for out, node in zip(outs, seen.rows, strict=True):
        row = body.need(node, scope)
        store(body, doors, scope, out, CHUNKS, row, dims_of(node.axes))
    return outs


def _described(nodes: tuple[n.Node, ...]) -> str:
    axes = ", ".join(axis.removeprefix("#") for axis in nodes[0].axes)
    return f"{'A value' if len(nodes) == 1 else f'{len(nodes)} values'} [{axes}]"
