"""States in the registers of a kernel: what they are before the first step, and their updates.

A complex state is two variables, one for each half.
"""

from collections.abc import Collection, Iterable

from mixerc.backends.module.identifiers import identifier
from mixerc.backends.triton.body import Body
from mixerc.backends.triton.cuts import ancestors
from mixerc.backends.triton.memory import SEQUENCES, Doors, Held, halved
from mixerc.backends.triton.scope import Scope
from mixerc.backends.triton.values import Dims, Value, aligned
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.distribute import is_given, is_scalar


def state_name(carry: n.Carry) -> str:
    """What pointers to a state are called after; both halves of it stand behind the same one."""
    return identifier(carry.state)


def state_dims(carry: n.Carry) -> Dims:
    """The dimensions of a state: those of the spec."""
    return tuple(axis for axis in carry.axes if not is_tile(axis))


def state_before(
    body: Body, doors: Doors, scope: Scope, carry: n.Carry, pointer: str, where: Held = SEQUENCES
) -> Value:
    """Loads a state into a variable of its own."""
    dims = state_dims(carry)
    name = "_".join(part for part in (state_name(carry), "state", carry.half) if part)
    place = halved(doors.place(where, dims, scope), carry.half)
    mask = f", mask={' & '.join(place.masks)}, other=0.0" if place.masks else ""
    body.put(f"{name} = tl.load({pointer} + {place.text}{mask}).to(ACC)")
    body.tiles[name] = dims
    scope.values[carry] = value = Value(text=name, dims=dims, zero=frozenset(dims))
    return value


def whole(value: Value, state: Value) -> str:
    """A state's next value with every dimension of the state."""
    text = aligned(value, state.dims)
    missing = set(state.dims) - set(value.dims)
    return f"{text} + tl.zeros_like({state.text})" if missing else text


def advance(
    body: Body,
    scope: Scope,
    states: Iterable[Value],
    values: Iterable[Value],
    summed: Collection[str],
) -> None:
    """The next states in the places of the states, all of them at once; past the end of axes that
    are `summed` on the way they stay 0."""
    pairs = tuple(zip(states, values, strict=True))
    for state, value in pairs:
        text = whole(value, state)
        for axis in (x for x in state.dims if x in summed and x not in value.zero):
            inside = aligned(Value(text=f"{scope.index(axis)}_in", dims=(axis,)), state.dims)
            text = f"tl.where({inside}, {text}, 0.0)"
        body.put(f"next_{state.text} = {text}")
        body.tiles[f"next_{state.text}"] = state.dims
    for state, _ in pairs:
        body.put(f"{state.text} = next_{state.text}")


def fixed(roots: Iterable[n.Node], given: Iterable[n.Node]) -> tuple[n.Node, ...]:
    """What the roots are made of and no row changes: it is computed once, before the steps."""
    outside = frozenset(given)
    moving: set[n.Node] = set()
    found: dict[n.Node, None] = {}
    for node in ancestors(roots, outside):
        args = () if node in outside or is_given(node) else node.args
        of_row = any(map(is_tile, node.axes)) or isinstance(node, n.Carry)
        if of_row or any(arg in moving for arg in args):
            moving.add(node)
            found |= dict.fromkeys(x for x in args if x not in moving and not is_scalar(x))
    return tuple(found)
