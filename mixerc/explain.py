"""What the compiler knows of a mixer, in words and numbers: `mixerc explain`. Needs no torch."""

import math
from collections.abc import Callable, Iterable, Mapping

from mixerc.accelerators import ACCELERATORS, WIDTHS
from mixerc.algebra.classify import Algebra, classify
from mixerc.algebra.linear import Linear, LinearState, Scaled, Write, decay_names
from mixerc.algebra.masks.translate import MaskError
from mixerc.algebra.masks.words import mask_lines
from mixerc.diagnostics.diagnostic import Diagnostic
from mixerc.explain_attention import attention_lines
from mixerc.explain_recurrence import recurrence_lines
from mixerc.frontend.growth import growing
from mixerc.ir.expr import Apply, Expr, Number, Size
from mixerc.ir.mixer import Mixer, Stack
from mixerc.ir.show import show_expr
from mixerc.ir.walk import core_expressions, walk
from mixerc.plan.cost import cost
from mixerc.plan.distribute import Program
from mixerc.plan.floor import BOTH, FORWARD, Floor, Rates, floor, state_bytes
from mixerc.plan.plan import Plan, longest_chunk, make_plan

EXAMPLE = {
    "d_model": 1024.0,
    "heads": 16.0,
    "layer": 0.0,
    "layers": 1.0,
    "length": 4096.0,
    "pi": math.pi,
}
AT_EXAMPLE = f"at d_model = {EXAMPLE['d_model']:.0f}, heads = {EXAMPLE['heads']:.0f}"
TOKENS_SHOWN = 1000


def explain_mixer(mixer: Mixer, algebra: Algebra, given: Mapping[str, float]) -> str:
    """Class, modes, what is kept, and the cost counted from the plan."""
    lines = [f"{mixer.name}: {algebra.family}", ""]
    lines += [_mode_line(mode.name, mode.legal, mode.reason) for mode in algebra.modes]
    notes = growing(mixer)
    lines += ["", *(_note(note) for note in notes)] if notes else []
    if algebra.linear is not None:
        lines += ["", *_forms(algebra.linear), "", *_counts(mixer, algebra.linear, given)]
    if algebra.attention is not None and without_length(mixer, given) is None:
        lines += ["", *attention_lines(algebra.attention, numeric_sizes(mixer, given))]
    if algebra.recurrence is not None and without_length(mixer, given) is None:
        lines += ["", *recurrence_lines(algebra.recurrence, numeric_sizes(mixer, given))]
    if algebra.linear is None and mixer.core.branches:
        lines += ["", *_masks(mixer, given)]
    return "\n".join(lines)


def _note(note: Diagnostic) -> str:
    why = "; ".join(note.notes)
    return f"Note: line {note.span.line}: {note.message} ({why})"


def _masks(mixer: Mixer, given: Mapping[str, float]) -> Iterable[str]:
    """What follows from the masks, or why they have no value in the example layer."""
    fault = without_length(mixer, given)
    if fault is not None:
        yield f"Of the mask nothing is said: {fault}"
        return
    try:
        yield from mask_lines(mixer, numeric_sizes(mixer, given))
    except MaskError as error:
        yield f"Of the mask nothing is said: {error} ({AT_EXAMPLE})"


def _counts(mixer: Mixer, linear: Linear, given: Mapping[str, float]) -> Iterable[str]:
    """Bytes and operations, or why there are none to count in the example layer."""
    fault = without_length(mixer, given)
    if fault is not None:
        yield f"Nothing is counted: {fault}"
        return
    sizes = numeric_sizes(mixer, given)
    shares = shared_streams(mixer, sizes)
    yield from (*_kept(linear, sizes), "", *_cost_table(linear, sizes, shares))


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


def shared_streams(mixer: Mixer, sizes: Mapping[str, float]) -> dict[str, float]:
    """Rows to a head of the streams that several heads have in common: groups over heads."""
    shares = {}
    for line in mixer.lines:
        heads = line.sort.heads
        copies = 1.0 if heads.shared else sizes.get(heads.group, sizes["heads"])
        shares[line.name] = copies / sizes["heads"]
    return {name: share for name, share in shares.items() if share < 1}


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
        yield from _asked(state)
    for decay in decay_names(linear):
        yield f"  the decay {decay} may be given as log_{decay}"
    if linear.scaled is not None:
        yield from _scaled(linear.scaled)


def _scaled(scaled: Scaled) -> Iterable[str]:
    """What is computed instead, so that nothing overflows."""
    names, peak = " and ".join(sorted(scaled.names)), scaled.peak
    update = show_expr(scaled.update).replace(scaled.before, f"{peak}[t-1]")
    yield f"  {names} are kept as e^-{peak} times themselves, with {peak}[t] = {update}:"
    yield f"  what reads them is the same for every {peak}, and no exponent formed is above 0"


def _bracketed(expr: Expr) -> str:
    text = show_expr(expr)
    return f"({text})" if isinstance(expr, Apply) else text


def _asked(state: LinearState) -> Iterable[str]:
    """What writes take from the state that they change, and what that makes of the transition."""
    names = _solved_names(state)
    if not names:
        return
    for write, name in names.items():
        axis = ", ".join(state.key_axes)
        decays = state.decays if write.decayed else ()
        held = " * ".join([*(_bracketed(d) for d in decays), f"{state.name}[t-1]"])
        held = f"({held})" if decays else held
        value = " * ".join(_bracketed(f.expr) for f in write.value)
        own = "" if value == "0" else f"{value} + "
        assert write.query is not None
        yield f"  {name} = {own}({show_expr(write.query)}) @ {held} over {axis}"
    one = "a value is" if len(names) == 1 else f"{len(names)} values are"
    yield f"  so that {one} solved for in each chunk: a unit triangular system, by blocks"


def _solved_names(state: LinearState) -> dict[Write, str]:
    """The writes that ask the state, and what their values are called."""
    asking = [write for write in state.writes if write.query is not None]
    return {write: f"u{i}" if len(asking) > 1 else "u" for i, write in enumerate(asking, 1)}


def _write(state: LinearState, index: int) -> str:
    write = state.writes[index]
    asked = _solved_names(state).get(write)
    parts = [_bracketed(f.expr) for f in (*write.key, *(() if asked else write.value))]
    return " * ".join([*parts, *([asked] if asked else [])]) or "1"


def _kept(linear: Linear, sizes: Mapping[str, float]) -> Iterable[str]:
    yield "State in fp32, for N sequences and H heads (any T):"
    for state in linear.states:
        axes = ", ".join(state.axes)
        yield f"  {state.name}[{axes}]  {state_bytes(state, sizes):,} bytes * N * H"
    total = sum(state_bytes(state, sizes) for state in linear.states)
    yield f"  together {total:,} * N * H bytes; a cache of keys and values grows with T"


def _cost_table(
    linear: Linear, sizes: Mapping[str, float], shares: Mapping[str, float]
) -> Iterable[str]:
    plan = make_plan(linear, chunk=longest_chunk(linear), logarithms=frozenset())
    counts = {name: int(value) for name, value in sizes.items() if value >= 1}
    shown = {axis for state in linear.states for axis in (a.rstrip("'") for a in state.axes)}
    at = ", ".join(f"{axis} = {counts[axis]}" for axis in sorted(shown))
    yield f"Cost of a token and head, counted from the plan at {at}, C = {plan.chunk}."
    yield "Bytes are the least that cross memory; `between` is from kernel to kernel, in fp32:"
    bytes_of = "".join(f"{f'bytes, {dtype}':>13}" for dtype in WIDTHS)
    yield f"  {'program':<10} {'products':>12} {'other ops':>12}{bytes_of} {'between':>10}"
    for name, program in plan.programs:
        yield _cost_line(name, program, counts, shares)
    order = " + ".join(_order(state) for state in linear.states)
    yield f"  parallel O(T ({order})), recurrent O({_steps(linear)}) a token"
    yield f"  kernels: {_kernels(plan)}"
    yield ""
    yield from _floors(plan, counts, shares)


def _cost_line(
    name: str, program: Program, sizes: Mapping[str, int], shares: Mapping[str, float]
) -> str:
    found = cost(program, sizes)
    moved = [floor([program], sizes, word=word, shares=shares).moved for word in WIDTHS.values()]
    columns = "".join(f"{value:>13,.0f}" for value in moved)
    work = f"{found.contractions:>12,.0f} {found.elementwise:>12,.0f}"
    return f"  {name:<10} {work}{columns} {found.buffer_bytes:>10,.0f}"


def _floors(plan: Plan, sizes: Mapping[str, int], shares: Mapping[str, float]) -> Iterable[str]:
    """The time that no kernel can go below, on hardware with public peak rates."""
    heads = sizes["heads"]
    yield f"So {TOKENS_SHOWN:,} tokens of {heads} heads take at least, in µs at peak rates"
    yield "(* where the products take longer than the bytes):"
    machines = "".join(f"{machine.name:>12}" for machine in ACCELERATORS)
    yield f"  {'':<22}{'MB':>8}{'GFLOP':>8}{machines}"
    programs = dict(plan.programs)
    for dtype, word in WIDTHS.items():
        for title, names in (("forward", FORWARD), ("with backward", BOTH)):
            found = floor((programs[name] for name in names), sizes, word=word, shares=shares)
            yield _floor_line(f"{dtype}, {title}", dtype, found.times(TOKENS_SHOWN * heads))


def _floor_line(title: str, dtype: str, least: Floor) -> str:
    """Bytes and products, and the longer of the two on each machine."""
    times = "".join(_floor_cell(least, machine.rates(dtype)) for machine in ACCELERATORS)
    return f"  {title:<22}{least.moved / 1e6:>8.1f}{least.products / 1e9:>8.2f}{times}".rstrip()


def _floor_cell(least: Floor, rates: Rates) -> str:
    mark = "*" if least.bound(rates) == "products" else " "
    return f"{1e6 * least.seconds(rates):>11.1f}{mark}"


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
