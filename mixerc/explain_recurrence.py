"""What the compiler knows of a recurrence, in words and numbers: its stages, and what they move."""

from collections.abc import Iterable, Iterator, Mapping
from math import prod

from mixerc.algebra.stages import Recurrence, Running, Stage
from mixerc.algebra.together import Together
from mixerc.backends.triton.partial import partial_sums
from mixerc.ir.mixer import State
from mixerc.ir.show import show_expr
from mixerc.ir.sorts import Kind
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.distribute import Kernel, Program, Schedule
from mixerc.plan.plan import loads
from mixerc.plan.recurrence import RecurrencePlan, recurrence_plan

WORD = 4
KEPT = 16
"""The fewest tokens between states that are kept."""


def recurrence_lines(found: Recurrence, sizes: Mapping[str, float]) -> Iterable[str]:
    """The stages in the order in which they are solved, the states, and bytes a token."""
    updates = {s.name: e for s, e in zip(found.states, found.updates, strict=True)}
    yield "Solved in this order:"
    for stage in found.stages:
        for state in stage.states:
            yield f"  {state.name}[t] = {show_expr(updates[state.name])}"
        yield f"    {_how(stage)}"
    if found.peak is not None:
        names = " and ".join(found.peak.scaled)
        yield f"  {names} are kept as e^-{found.peak.name} times themselves: what reads them is the"
        yield f"  same for every {found.peak.name}, and no exponent that is formed is above 0"
    yield ""
    yield "State in fp32, for N sequences and H heads (any T):"
    for state in found.states:
        axes = ", ".join(state.sort.axes)
        heads = "N" if state.sort.heads.shared else "N * H"
        yield f"  {state.name}[{axes}]  {_state_bytes(state, sizes):,} bytes * {heads}"
    yield ""
    yield from _traffic(found, sizes)


def floor_bytes(found: Recurrence, sizes: Mapping[str, float]) -> tuple[int, int]:
    """Bytes of inputs and outputs of a token and head in fp32, forward and backward."""
    plan = recurrence_plan(found)
    return _floor(plan.recurrent, sizes), _floor(plan.backward, sizes)


def _how(stage: Stage) -> str:
    match stage.scan:
        case Running():
            return "a scan of sums and maxima: a running maximum"
        case None:
            return f"token by token: {stage.reason}"
        case Together(coefficients=rows):
            return f"a scan of all {len(rows)} together: each a sum of all of them, and of the rest"
        case form:
            factor = "0" if form.coefficient is None else show_expr(form.coefficient)
            return f"a scan: each state times {factor}, and a sum"


def _state_bytes(state: State, sizes: Mapping[str, float]) -> int:
    words = 2 if state.sort.kind is Kind.COMPLEX else 1
    return words * WORD * _count(state.sort.axes, sizes)


def _count(axes: Iterable[str], sizes: Mapping[str, float]) -> int:
    return prod(int(sizes[axis.split("'")[0]]) for axis in axes if not is_tile(axis))


def _traffic(found: Recurrence, sizes: Mapping[str, float]) -> Iterator[str]:
    """Bytes that kernels read and write for a token, beside those that nothing can do without."""
    plan = recurrence_plan(found)
    yield "Bytes a token and head in fp32, counted from the plan; the floor is inputs and outputs."
    yield "In PyTorch:"
    yield f"  {'program':<10}{'moved':>12}{'floor':>12}{'ratio':>8}"
    for name, program in plan.programs:
        if name == "states":
            continue
        moved = sum(_moved(kernel, sizes) for kernel in program.kernels)
        least = _floor(program, sizes)
        yield f"  {name:<10}{moved:>12,}{least:>12,}{moved / least:>8.1f}"
    if plan.newton is not None:
        yield "Newton's method takes steps until states settle, and says how many; what it found is"
        yield "kept for the backward. In Triton a step is one kernel."
    if plan.forward is not None:
        yield "In Triton a direction is one kernel with states in registers; the backward reads its"
        yield f"inputs twice, and states that were kept every {KEPT} tokens or more:"
        for name, program, moved in _in_tiles(plan.forward, plan, sizes):
            least = _floor(program, sizes)
            yield f"  {name:<10}{moved:>12,}{least:>12,}{moved / least:>8.1f}"
            yield from _in_parts(name, program, sizes)


def _in_parts(name: str, program: Program, sizes: Mapping[str, float]) -> Iterator[str]:
    """What programs store their parts of, beside what the table counts."""
    scans = [kernel for kernel in program.kernels if kernel.carries]
    forms = [x for scan in scans for x in scan.forms]
    solved = {x for scan in scans for pair in scan.carries for x in pair}
    outputs = [node for _, node in program.outputs]
    parts = partial_sums(outputs, forms, solved).parts
    for of, node in program.outputs:
        over = sorted(parts - set(node.axes))
        if over and n.ROW in node.axes:
            blocks, moved = " and ".join(over), 2 * _bytes(node, sizes)
            yield f"    {name}: {of} in parts, {moved:,} bytes more for each block of {blocks}"


def _in_tiles(
    forward: Program, plan: RecurrencePlan, sizes: Mapping[str, float]
) -> Iterator[tuple[str, Program, int]]:
    """What kernels over tiles of rows move, but for parts of sums over channels."""
    yield "forward", forward, _floor(forward, sizes)
    states = sum(_bytes(carry, sizes) for carry, _ in plan.carries) // KEPT
    again = sum(_bytes(load, sizes) for load in loads(plan.states))
    yield "backward", plan.backward, _floor(plan.backward, sizes) + again + 2 * states


def _floor(program: Program, sizes: Mapping[str, float]) -> int:
    tiles = [*loads(program), *(node for _, node in program.outputs)]
    return sum(_bytes(node, sizes) for node in tiles)


def _moved(kernel: Kernel, sizes: Mapping[str, float]) -> int:
    """What a kernel is handed and hands on; a scan writes a state once, before and after it."""
    handed = sum(_bytes(node, sizes) for node in kernel.inputs)
    if kernel.schedule == Schedule.ROW_MAP:
        return handed + sum(_bytes(node, sizes) for node in kernel.stores)
    return handed + sum(_bytes(carry, sizes) for carry, _ in kernel.carries)


def _bytes(node: n.Node, sizes: Mapping[str, float]) -> int:
    """Of one row; what no row changes is read once."""
    if n.ROW not in node.axes:
        return 0
    words = 2 if isinstance(node, n.Load | n.Carry) and node.complex else 1
    return words * WORD * _count(node.axes, sizes)
