"""What the compiler knows of a mixer, in words and numbers: `mixerc explain`. Needs no torch."""

import math
from collections.abc import Callable, Iterable, Mapping

from mixerc.algebra.classify import Algebra, classify
from mixerc.algebra.linear import Linear, LinearState, decay_names
from mixerc.diagnostics.diagnostic import Diagnostic
from mixerc.frontend.growth import growing
from mixerc.ir.expr import Apply, Expr, Number, Size
from mixerc.ir.mixer import Mixer, Stack
from mixerc.ir.show import show_expr
from mixerc.ir.walk import core_expressions, walk
from mixerc.plan.cost import Cost, cost
from mixerc.plan.plan import Plan, make_plan

EXAMPLE = {
    "d_model": 1024.0,
    "heads": 16.0,
    "layer": 0.0,
    "layers": 1.0,
    "length": 4096.0,
    "pi": math.pi,
}
AT_EXAMPLE = f"at d_model = {EXAMPLE['d_model']:.0f}, heads = {EXAMPLE['heads']:.0f}"
CHUNK_SHOWN = 64


def explain_mixer(mixer: Mixer, algebra: Algebra, given: Mapping[str, float]) -> str:
    """Class, modes, what is kept, and the cost counted from the plan."""
    lines = [f"{mixer.name}: {algebra.family}", ""]
    lines += [_mode_line(mode.name, mode.legal, mode.reason) for mode in algebra.modes]
    notes = growing(mixer)
    lines += ["", *(_note(note) for note in notes)] if notes else []
    if algebra.linear is not None:
        lines += ["", *_forms(algebra.linear), "", *_counts(mixer, algebra.linear, given)]
    return "\n".join(lines)


def _note(note: Diagnostic) -> str:
    why = "; ".join(note.notes)
    return f"Note: line {note.span.line}: {note.message} ({why})"


def _counts(mixer: Mixer, linear: Linear, given: Mapping[str, float]) -> Iterable[str]:
    """Bytes and operations, or why there are none to count in the example layer."""
    fault = without_length(mixer, given)
    if fault is not None:
        yield f"Nothing is counted: {fault}"
        return
    sizes = numeric_sizes(mixer, given)
    yield from (*_kept(linear, sizes), "", *_cost_table(linear, sizes))


STACKS = "stacks have no fast form in this version: the reference runs them in float64"


def explain_stack(stack: Stack) -> str:
    """What a stack is made of, and which modes it has."""
    lines = [f"{stack.name}: a stack", ""]
    lines += [_mode_line(name, False, STACKS) for name in ("parallel", "recurrent")]
    lines += [_mode_line("reference", True, "the equations"), "", "It uses:"]
    for mixer in stack.mixers:
        lines.append(f"  {mixer.name}: {classify(mixer).family}")
    lines += [f"  block {block.name}" for block in stack.blocks]
    return "\n".join(lines)


def _mode_line(name: str, legal: bool, reason: str) -> str:
    return f"  {name:<10} {'legal' if legal else 'no':<6} {reason}"


def numeric_sizes(mixer: Mixer, given: Mapping[str, float]) -> dict[str, float]:
    """Header sizes as numbers, from what is given and an example layer (1024 wide, 16 heads)."""
    sizes = {**EXAMPLE, **given}
    for size in mixer.sizes:
        if size.name not in given and size.default is not None:
            sizes[size.name] = _number(size.default, sizes)
        sizes.setdefault(size.name, 64.0)
    return sizes


def axes_of(mixer: Mixer) -> set[str]:
    """The header's sizes that a line, a state or a part of the core has as an axis."""
    states = (*mixer.core.states, *(s for branch in mixer.core.branches for s in branch.states))
    parts = [part for expr in core_expressions(mixer.core) for part in walk(expr)]
    used = {axis.rstrip("'") for each in (*mixer.lines, *states, *parts) for axis in each.sort.axes}
    return used & {size.name for size in mixer.sizes}


def without_length(mixer: Mixer, given: Mapping[str, float]) -> str | None:
    """Which size has no value, or axis no length, in the example layer; None where all have."""
    try:
        found = numeric_sizes(mixer, given)
    except (ArithmeticError, ValueError) as error:
        return f"a size of {mixer.name} has no value ({AT_EXAMPLE}): {error}"
    for name in sorted(axes_of(mixer)):
        if not 1 <= found[name] < math.inf:
            return f"the axis {name} of {mixer.name} has the length {found[name]:g} ({AT_EXAMPLE})"
    return None


_ARITHMETIC: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "pow": math.pow,
    "neg": lambda a: -a,
    "max": max,
    "min": min,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
}


def _number(expr: Expr, sizes: Mapping[str, float]) -> float:
    match expr:
        case Number(value=value):
            return float(value)
        case Size(name=name):
            return sizes[name]
        case Apply(primitive=primitive, operands=operands):
            return float(_ARITHMETIC[primitive](*(_number(e, sizes) for e in operands)))
        case _:
            raise AssertionError(f"{type(expr).__name__} is not a size")


def _forms(linear: Linear) -> Iterable[str]:
    """The mixer as a recurrence and as a sum: the two say the same."""
    yield "As a recurrence and as a sum over s:"
    for state in linear.states:
        decays = " * ".join(_bracketed(d) for d in state.decays)
        writes = " + ".join(_write(state, i) for i in range(len(state.writes))) or "0"
        kept = f"{decays} * {state.name}[t-1]" if decays else f"{state.name}[t-1]"
        run = f" prod_(s<j<=t) {decays}[j] *" if decays else ""
        yield f"  {state.name}[t] = {kept} + {writes}"
        yield f"  {state.name}[t] = sum_(s<=t){run} ({writes})[s]"
    for decay in decay_names(linear):
        yield f"  the decay {decay} may be given as log_{decay}"


def _bracketed(expr: Expr) -> str:
    text = show_expr(expr)
    return f"({text})" if isinstance(expr, Apply) else text


def _write(state: LinearState, index: int) -> str:
    write = state.writes[index]
    parts = [_bracketed(f.expr) for f in (*write.key, *write.value)]
    return " * ".join(parts) or "1"


def _kept(linear: Linear, sizes: Mapping[str, float]) -> Iterable[str]:
    yield "State in fp32, for N sequences and H heads (any T):"
    total = 0
    for state in linear.states:
        words = math.prod(int(sizes[axis.rstrip("'")]) for axis in state.axes)
        total += 4 * words
        axes = ", ".join(state.axes)
        yield f"  {state.name}[{axes}]  {4 * words:,} bytes * N * H"
    yield f"  together {total:,} * N * H bytes; a cache of keys and values grows with T"


def _cost_table(linear: Linear, sizes: Mapping[str, float]) -> Iterable[str]:
    plan = make_plan(linear, chunk=CHUNK_SHOWN, logarithms=frozenset())
    counts = {name: int(value) for name, value in sizes.items() if value >= 1}
    shown = {axis for state in linear.states for axis in (a.rstrip("'") for a in state.axes)}
    at = ", ".join(f"{axis} = {counts[axis]}" for axis in sorted(shown))
    yield f"Cost of a token and head, counted from the plan at {at}, C = {CHUNK_SHOWN}, fp32:"
    heads = f"{'products':>12} {'other ops':>12} {'bytes, floor':>13} {'between':>10}"
    yield f"  {'program':<10} {heads}"
    for name, program in plan.programs:
        yield _cost_line(name, cost(program, counts))
    order = " + ".join(_order(state) for state in linear.states)
    yield f"  parallel O(T ({order})), recurrent O({_steps(linear)}) a token"
    yield f"  kernels: {_kernels(plan)}"


def _cost_line(name: str, found: Cost) -> str:
    numbers = (found.contractions, found.elementwise)
    text = " ".join(f"{value:>12,.0f}" for value in numbers)
    return f"  {name:<10} {text} {found.floor_bytes:>13,.0f} {found.buffer_bytes:>10,.0f}"


def _order(state: LinearState) -> str:
    keys = " ".join(state.key_axes) or "1"
    values = " ".join(state.value_axes) or "1"
    return f"C ({keys} + {values}) + {' '.join(state.axes) or '1'}"


def _steps(linear: Linear) -> str:
    return " + ".join(" ".join(state.axes) or "1" for state in linear.states)


def _kernels(plan: Plan) -> str:
    parts = []
    for name, program in plan.programs:
        schedules = ", ".join(str(kernel.schedule) for kernel in program.kernels)
        parts.append(f"{name} ({schedules})")
    return "; ".join(parts)
