"""The kernel that goes from token to token, with all states in registers."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mixerc.backends.triton.body import Body
from mixerc.backends.triton.carried import advance, fixed, state_before, state_dims, state_name
from mixerc.backends.triton.cuts import ancestors
from mixerc.backends.triton.kernel_view import KernelView, store, view
from mixerc.backends.triton.memory import SEQUENCES, TOKENS, Doors
from mixerc.backends.triton.scope import Scope
from mixerc.backends.triton.tiles import TilePrinter
from mixerc.backends.triton.values import Value, dims_of, first_of
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile

Carries = tuple[tuple[n.Carry, n.Node], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Out:
    """A value of each token (or one half of it), and the pointer behind which it goes."""

    pointer: str
    node: n.Node
    half: n.Half = ""


def token_kernel(
    name: str, outs: tuple[Out, ...], carries: Carries, doors: Doors, *, reverse: bool = False
) -> KernelView:
    """All states from token to token, and what is asked of each; states never leave registers."""
    roots = (*(out.node for out in outs), *(after for _, after in carries))
    every = spec_axes(roots, doors.buffers)
    reduced = reduced_axes(roots, doors.buffers)
    split = tuple(axis for axis in every if axis not in reduced)
    body = Body(TilePrinter(tokens=True), doors.leaf, doors.buffers, whole=frozenset(every))
    scope = Scope()
    for axis in every:
        body.open_axis(scope, axis, first_of(axis) if axis in split else "0")
    places = body.taken()
    states = _start(body, doors, scope, carries, roots)
    before = body.taken()
    values = _step(body, doors, scope, outs, roots)
    advance(body, scope, states.values(), values, reduced)
    lines = body.taken()
    for carry, state in states.items():
        pointer = f"last_{state_name(carry)}_at"
        store(body, doors, scope, pointer, SEQUENCES, state, state_dims(carry), carry.half)
    ends = (f"{end}_{state_name(carry)}_at" for carry in states for end in ("state", "last"))
    pointers = (*(out.pointer for out in outs), *ends)
    return view(
        name=name,
        summary=f"From token to token{', last to first' if reverse else ''}.",
        doors=doors,
        outs=tuple(dict.fromkeys(pointers)),
        split=split,
        given=("length", "bounds_at", "batch_at"),
        tiles=body.tiles,
        axes=tuple(body.axes),
        places=places,
        before=before,
        lines=lines,
        after=body.taken(),
        step=("row = stop - 1 - step" if reverse else "row = start + step",),
        steps="1",
    )


def _start(
    body: Body, doors: Doors, scope: Scope, carries: Carries, roots: tuple[n.Node, ...]
) -> dict[n.Carry, Value]:
    """Before the steps: first states, and what no row changes."""
    body.put("batch = s if batch_at is None else tl.load(batch_at + s)")
    states = {
        carry: state_before(body, doors, scope, carry, f"state_{state_name(carry)}_at")
        for carry, _ in carries
    }
    body.compute(fixed(roots, doors.buffers), scope)
    return states


def _step(
    body: Body,
    doors: Doors,
    scope: Scope,
    outs: tuple[Out, ...],
    roots: tuple[n.Node, ...],
) -> tuple[Value, ...]:
    """One token: what is asked of it is stored; the states after it."""
    values = body.compute(roots, scope)
    for out, value in zip(outs, values[: len(outs)], strict=True):
        dims = dims_of(out.node.axes, tokens=True)
        store(body, doors, scope, out.pointer, TOKENS, value, dims, out.half)
    return values[len(outs) :]


def spec_axes(nodes: Iterable[n.Node], given: Collection[n.Node]) -> tuple[str, ...]:
    """Every axis of the spec that has a place in the kernel."""
    every = (axis for node in ancestors(nodes, given) for axis in node.axes if not is_tile(axis))
    return tuple(dict.fromkeys(every))


def reduced_axes(nodes: Iterable[n.Node], given: Collection[n.Node]) -> frozenset[str]:
    """The axes of which a program holds every place: a sum goes over them, or they get another
    name."""
    found: set[str] = set()
    for node in ancestors(nodes, given):
        match node:
            case n.Contract(over=over) | n.Sum(over=over) | n.Max(over=over):
                found.update(over)
            case n.Rename(old=old, new=new):
                found.update((old, new))
            case _:
                pass
    return frozenset(found)
