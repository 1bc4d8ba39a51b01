"""A plan as text: every program, its kernels in order, one line a node with its axes."""

from collections.abc import Iterator

from mixerc.plan import nodes as n
from mixerc.plan.distribute import Kernel, Program, Schedule, is_scalar
from mixerc.plan.plan import Plan
from mixerc.plan.recurrence import RecurrencePlan
from mixerc.plan.sweep import SweepPlan


def show_plan(plan: Plan | RecurrencePlan) -> str:
    """The whole plan; the same plan gives the same text."""
    logs = ", ".join(sorted(plan.logarithms)) or "none"
    lines = [f"plan: C = {plan.chunk}, decays given as logarithms: {logs}"]
    for name, program in plan.programs:
        lines += ["", f"program {name}: C = {program.chunk}"]
        numbers: dict[n.Node, str] = {}
        for index, kernel in enumerate(program.kernels, 1):
            lines += [f"  kernel {index}: {_schedule(kernel)}", *_kernel(kernel, numbers)]
        lines += [f"  {line}" for line in _results(program, numbers)]
    return "\n".join(lines) + "\n"


def show_sweeps(plan: SweepPlan) -> str:
    """The plan of masked attention, part by part, each with its adjoint."""
    logs = ", ".join(sorted(plan.logarithms)) or "none"
    lines = [f"plan: tile sweeps, decays given as logarithms: {logs}"]
    for sweep in plan.sweeps:
        taken = "a running maximum is taken out" if sweep.stable else "no maximum is taken out"
        lines += ["", f"sum {sweep.name}: {taken}"]
        for kind, part in sweep.named_parts:
            lines += [f"  {kind}", *_function(part.function)]
            if part.backward is not None:
                lines += [f"  back from {kind}", *_function(part.backward)]
    return "\n".join(lines) + "\n"


def _function(function: n.ChunkFunction) -> Iterator[str]:
    numbers: dict[n.Node, str] = {}
    for node in function.nodes:
        if is_scalar(node):
            continue
        numbers[node] = f"%{len(numbers)}"
        inside = isinstance(node, n.Load | n.HeadIndex)
        what = _leaf(node) if inside else f"= {_operation(node, numbers)}"
        yield f"    {numbers[node]} {_axes(node)} {what}"
    for name, node in function.outputs:
        yield f"    result {name} = {_name(node, numbers)}"


def _schedule(kernel: Kernel) -> str:
    order = ", from last to first" if kernel.reverse else ""
    return f"{kernel.schedule}{order}"


def _kernel(kernel: Kernel, numbers: dict[n.Node, str]) -> Iterator[str]:
    nexts = (after for _, after in kernel.carries if not is_scalar(after))
    for node in (*kernel.inputs, *(carry for carry, _ in kernel.carries), *kernel.body, *nexts):
        numbers.setdefault(node, f"%{len(numbers)}")
    for node in kernel.inputs:
        yield f"    in  {numbers[node]} {_axes(node)} {_leaf(node)}".rstrip()
    for carry, _ in kernel.carries:
        yield f"    has {numbers[carry]} {_axes(carry)} the state {carry.state}"
    for node in kernel.body:
        yield f"    {numbers[node]} {_axes(node)} = {_operation(node, numbers)}"
    for node in kernel.stores:
        yield f"    out {numbers[node]}"
    for index, (carry, after) in enumerate(kernel.carries):
        yield f"    next {carry.state} = {_name(after, numbers)}{_form(kernel, index, numbers)}"


def _form(kernel: Kernel, index: int, numbers: dict[n.Node, str]) -> str:
    """What the next state of a scan without a body is."""
    if not kernel.addends:
        return ""
    states = [_name(carry, numbers) for carry, _ in kernel.carries]
    row = kernel.factors[index * len(states) : (index + 1) * len(states)]
    addend = _name(kernel.addends[index], numbers)
    if kernel.schedule == Schedule.PEAK_SCAN:
        return f" = max({_name(row[0], numbers)} + {states[0]}, {addend})"
    products = (f"{_name(f, numbers)} * {x}" for f, x in zip(row, states, strict=True))
    return f" = {' + '.join((*products, addend))}"


def _results(program: Program, numbers: dict[n.Node, str]) -> Iterator[str]:
    for name, node in program.outputs:
        yield f"result {name} = {_name(node, numbers)}"


def _axes(node: n.Node) -> str:
    return f"[{', '.join(axis.removeprefix('#') for axis in node.axes)}]"


def _leaf(node: n.Node) -> str:
    match node:
        case n.Load(name=name):
            return f"load {name}"
        case n.Carry(state=state, axes=axes):
            return f"{state} before each {'row' if n.ROW in axes else 'chunk'}"
        case n.HeadIndex():
            return "the index of the head"
        case _:
            return ""


def _name(node: n.Node, numbers: dict[n.Node, str]) -> str:
    match node:
        case n.Number(value=value):
            return str(value)
        case n.Size(name=name):
            return name
        case n.Map(primitive=primitive, args=args) if is_scalar(node):
            return f"{primitive}({', '.join(_name(arg, numbers) for arg in args)})"
        case _:
            return numbers[node]


def _operation(node: n.Node, numbers: dict[n.Node, str]) -> str:
    args = ", ".join(_name(arg, numbers) for arg in node.args)
    match node:
        case n.Map(primitive=primitive):
            return f"{primitive}({args})"
        case n.Contract(over=over) | n.Sum(over=over) | n.Max(over=over):
            summed = ", ".join(axis.removeprefix("#") for axis in over)
            return f"{type(node).__name__.lower()}({args}) over {summed}"
        case n.Halves(side=side) | n.Place(side=side) | n.Pick(side=side):
            return f"{type(node).__name__.lower()} {side} {node.width}({args})"
        case n.Unpick(side=side) | n.Grow(side=side):
            return f"{type(node).__name__.lower()} {side} {node.width}({args})"
        case n.Pad(fill=fill):
            return f"pad {fill}({args})"
        case _:
            return f"{type(node).__name__.lower()}({args})"
