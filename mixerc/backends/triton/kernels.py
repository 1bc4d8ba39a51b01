"""Kernels as views for their templates: one for each value that is stored, and the scans.

A kernel computes its value anew from what was given to the op and from the states at chunk
boundaries: what several need is computed several times, and nothing else crosses memory.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mixerc.backends.module.identifiers import identifier
from mixerc.backends.module.layout import laid_out
from mixerc.backends.triton.body import Body
from mixerc.backends.triton.cuts import ancestors
from mixerc.backends.triton.memory import CHUNKS, SEQUENCES, TOKENS, Doors, Held, Rows
from mixerc.backends.triton.ordering import ordered
from mixerc.backends.triton.pressure import most_held
from mixerc.backends.triton.scope import Scope
from mixerc.backends.triton.tiles import TilePrinter
from mixerc.backends.triton.values import (
    ROW,
    Dims,
    Value,
    aligned,
    block_of,
    dims_of,
    first_of,
    shape_text,
    size_of,
)
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile

_CHUNK = (
    "first, count, batch = chunk_of(n, length, first_at, count_at, batch_at, CHUNK)",
    "at, valid = rows_of(i, count)",
)

Block = tuple[str, str, str]
"""A block of an axis: the variable with its first place, the axis's length, the block's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelView:
    """A kernel's text, and what its launch has to give: pointers, heads, numbers and axes.

    `before` and `after` stand around the loop of a scan, `step` are the loop's first lines, and
    `steps` is the number of tokens of a step.
    """

    name: str
    summary: str
    head: tuple[str, ...]
    blocks: tuple[Block, ...]
    places: tuple[str, ...]
    lines: tuple[str, ...]
    doors: Doors
    outs: tuple[str, ...]
    axes: tuple[str, ...]
    split: tuple[str, ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    step: tuple[str, ...] = ()
    steps: str = ""
    tiles: Mapping[str, Dims] = field(default_factory=dict)

    @property
    def body(self) -> str:
        """All of the text but the name."""
        head = "\n".join(self.head).replace(self.name, "", 1)
        parts = (self.places, self.before, self.step, self.lines, self.after)
        return "\n".join((head, self.steps, str(self.blocks), *(x for part in parts for x in part)))

    @property
    def integers(self) -> str:
        """The numbers that a kernel is not compiled for."""
        return str(["length", "HEADS", *self.doors.heads]).replace("'", '"')

    def held(self, chunk: int, block: int, warps: int) -> float:
        """The most places of tiles that a thread holds at once, with `block` places of each axis.

        A warp's part of a matrix product gives each of its threads four places at least.
        """
        loop = (f"    {line}" for line in self.lines)
        lines = ("for step:", *loop) if self.step else self.lines
        threads = 32 * warps
        text = (*self.before, *lines, *self.after)
        return most_held(text, self.tiles, chunk, block, 4 * threads) / threads


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
        _store(body, doors, scope, out, TOKENS if rows else CHUNKS, value, dims_of(target.axes))
    return _view(
        name=name,
        summary=f"{_described(targets)}, all chunks at once.",
        doors=doors,
        outs=outs,
        split=axes,
        given=("length", "first_at", "count_at", "batch_at"),
        tiles=body.tiles,
        axes=tuple(body.axes),
        places=("i = tl.arange(0, CHUNK)", *_CHUNK, *places),
        lines=ordered(body.taken(), body.tiles, chunk),
    )


def scan_kernel(
    name: str, carry: n.Carry, after: n.Node, doors: Doors, chunk: int, *, reverse: bool
) -> KernelView:
    """One state from chunk to chunk; what it is before each chunk is stored."""
    body = Body(TilePrinter(), doors.leaf, doors.buffers)
    scope = Scope()
    for axis in carry.axes:
        body.open_axis(scope, axis, first_of(axis))
    places = ("i = tl.arange(0, CHUNK)", *body.taken())
    state = _state(body, doors, scope, carry)
    before = body.taken()
    _store(body, doors, scope, "kept_at", CHUNKS, state, state.dims)
    (value,) = body.compute((after,), scope)
    body.put(f"{state.text} = {_whole(value, state)}")
    lines = ordered(body.taken(), body.tiles, chunk)
    _store(body, doors, scope, "last_at", SEQUENCES, state, state.dims)
    return _view(
        name=name,
        summary=f"{carry.state} from chunk to chunk{', last to first' if reverse else ''}.",
        doors=doors,
        outs=("state_at", "last_at", "kept_at"),
        split=carry.axes,
        given=("length", "bounds_at", "first_at", "count_at", "batch_at"),
        tiles=body.tiles,
        axes=tuple(body.axes),
        places=places,
        before=before,
        lines=lines,
        after=body.taken(),
        step=("n = stop - 1 - step" if reverse else "n = start + step", *_CHUNK),
        steps="CHUNK",
    )


def token_kernel(
    name: str,
    output: n.Node,
    carries: tuple[tuple[n.Carry, n.Node], ...],
    doors: Doors,
) -> KernelView:
    """All states from token to token, and the output of each; states never leave registers."""
    every = _spec_axes((output, *(after for _, after in carries)))
    split = tuple(a for a in output.axes if not is_tile(a) and a not in _reduced_axes(output))
    body = Body(TilePrinter(tokens=True), doors.leaf, whole=frozenset(every))
    scope = Scope()
    for axis in every:
        body.open_axis(scope, axis, first_of(axis) if axis in split else "0")
    places = body.taken()
    states = {carry: _state(body, doors, scope, carry) for carry, _ in carries}
    before = ("batch = s if batch_at is None else tl.load(batch_at + s)", *body.taken())
    values = body.compute((output, *(after for _, after in carries)), scope)
    dims = dims_of(output.axes, tokens=True)
    _store(body, doors, scope, "out_at", TOKENS, values[0], dims)
    _advance(body, states.values(), values[1:])
    lines = body.taken()
    for carry, state in states.items():
        _store(body, doors, scope, f"last_{_name(carry)}_at", SEQUENCES, state, state.dims)
    ends = tuple(f"{end}_{_name(carry)}_at" for end in ("state", "last") for carry in states)
    return _view(
        name=name,
        summary="From token to token.",
        doors=doors,
        outs=("out_at", *ends),
        split=split,
        given=("length", "bounds_at", "batch_at"),
        tiles=body.tiles,
        axes=tuple(body.axes),
        places=places,
        before=before,
        lines=lines,
        after=body.taken(),
        step=("row = start + step",),
        steps="1",
    )


def _advance(body: Body, states: Iterable[Value], values: Iterable[Value]) -> None:
    """The next states in the places of the states, all of them at once."""
    pairs = tuple(zip(states, values, strict=True))
    for state, value in pairs:
        body.put(f"next_{state.text} = {_whole(value, state)}")
        body.tiles[f"next_{state.text}"] = state.dims
    for state, _ in pairs:
        body.put(f"{state.text} = next_{state.text}")


def _state(body: Body, doors: Doors, scope: Scope, carry: n.Carry) -> Value:
    """The state before the first step, in a variable of its own."""
    name = f"{_name(carry)}_state"
    pointer = f"state_{_name(carry)}_at" if doors.tokens else "state_at"
    place = doors.place(SEQUENCES, carry.axes, scope)
    mask = f", mask={' & '.join(place.masks)}, other=0.0" if place.masks else ""
    body.put(f"{name} = tl.load({pointer} + {place.text}{mask}).to(ACC)")
    body.tiles[name] = carry.axes
    scope.values[carry] = value = Value(text=name, dims=carry.axes, zero=frozenset(carry.axes))
    return value


def _name(carry: n.Carry) -> str:
    return identifier(carry.state)


def _whole(value: Value, state: Value) -> str:
    """A state's next value with every dimension of the state."""
    text = aligned(value, state.dims)
    missing = set(state.dims) - set(value.dims)
    return f"{text} + tl.zeros_like({state.text})" if missing else text


def _store(
    body: Body,
    doors: Doors,
    scope: Scope,
    pointer: str,
    where: Rows | Held,
    value: Value,
    dims: n.Axes,
) -> None:
    """Writes a tile to its place, and repeats it along the dimensions that it lacks."""
    place = doors.place(where, dims, scope)
    masks = list(place.masks)
    if ROW in dims and isinstance(where, Rows):
        masks.append(aligned(Value(text="valid", dims=(ROW,)), dims))
    text = f"{aligned(value, dims)}.to({pointer}.dtype.element_ty)"
    mask = f", mask={' & '.join(masks)}" if masks else ""
    if set(dims) - set(value.dims):
        text = f"tl.broadcast_to({text}, {shape_text(dims, block_of)})"
    body.put(f"tl.store({pointer} + {place.text}, {text}{mask})")


def _view(
    *,
    name: str,
    summary: str,
    doors: Doors,
    outs: tuple[str, ...],
    split: tuple[str, ...],
    given: tuple[str, ...],
    tiles: Mapping[str, Dims],
    axes: tuple[str, ...],
    places: tuple[str, ...],
    lines: tuple[str, ...],
    before: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
    step: tuple[str, ...] = (),
    steps: str = "",
) -> KernelView:
    sizes = dict.fromkeys(map(size_of, axes))
    constants = [f"{x}: tl.constexpr" for x in ("CHUNK", *sizes, *map(block_of, axes))]
    constants += [f"{x}: tl.constexpr" for x in doors.numbers.values()]
    constants += [f"{x}: tl.constexpr" for x in ("ACC", "DOT", "WIDE", "PREC")]
    parameters = (*given, *outs, *doors.pointers, *doors.held, "HEADS", *doors.heads, *constants)
    return KernelView(
        name=name,
        summary=summary,
        head=laid_out(f"def {name}({', '.join(parameters)}):", 0),
        blocks=tuple((first_of(a), size_of(a), block_of(a)) for a in split),
        places=places,
        lines=lines,
        doors=doors,
        outs=outs,
        axes=axes,
        split=split,
        before=before,
        after=after,
        step=step,
        steps=steps,
        tiles=tiles,
    )


def _described(nodes: tuple[n.Node, ...]) -> str:
    axes = ", ".join(axis.removeprefix("#") for axis in nodes[0].axes)
    return f"{'A value' if len(nodes) == 1 else f'{len(nodes)} values'} [{axes}]"


def _spec_axes(nodes: Iterable[n.Node]) -> tuple[str, ...]:
    """Every axis of the spec that has a place in the kernel."""
    every = (axis for node in ancestors(nodes) for axis in node.axes if not is_tile(axis))
    return tuple(dict.fromkeys(every))


def _reduced_axes(output: n.Node) -> frozenset[str]:
    """The axes that a sum on the way to the output goes over."""
    return frozenset(
        axis
        for node in ancestors((output,))
        if isinstance(node, n.Contract | n.Sum | n.Max)
        for axis in node.over
    )
