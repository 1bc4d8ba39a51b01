"""A checked spec as text of the language, which checks to the same thing again."""

from dataclasses import replace

from mixerc.ir.expr import Concat, Expr
from mixerc.ir.joining import joining, lands
from mixerc.ir.mixer import (
    Block,
    Branch,
    Core,
    Input,
    LayerLine,
    Mixer,
    Param,
    SizeDef,
    Stack,
    State,
    Update,
    Value,
)
from mixerc.ir.sorts import Axis, Kind, Sort
from mixerc.ir.text import TextContext, show_expr, show_number

__all__ = ["show", "show_expr"]


def show(spec: Mixer | Stack) -> str:
    """The text of a checked mixer or stack; features stand where they were used.

    Of a feature that is a `concat`, which lands on the axis at the left, that much is kept.
    """
    match spec:
        case Mixer():
            return _mixer(spec)
        case Stack():
            return _stack(spec)


def _mixer(mixer: Mixer) -> str:
    context = TextContext(joining=joining(mixer))
    lines = _header("mixer", mixer.name, mixer.sizes, mixer.citation)
    lines += [_feature(name, *joined) for joined, name in context.joining.items()]
    lines += [_line(line, context) for line in mixer.lines]
    lines += ["", *_core(mixer.core, context)]
    if mixer.y is not None:
        lines += ["", f"y = {show_expr(mixer.y, context)}"]
    return "\n".join(lines) + "\n"


def _stack(stack: Stack) -> str:
    lines = _header("stack", stack.name, stack.sizes, stack.citation)
    lines += [_block(block) for block in stack.blocks]
    return "\n".join((*lines, "", f"y = {show_expr(stack.y)}")) + "\n"


def _block(block: Block) -> str:
    return f"{'shared ' if block.shared else ''}block {block.name} = {show_expr(block.expr)}"


def _header(
    kind: str, name: str, sizes: tuple[SizeDef, ...], citation: tuple[str, ...]
) -> list[str]:
    given = ", ".join(
        size.name if size.default is None else f"{size.name} = {show_expr(size.default)}"
        for size in sizes
    )
    head = f"{kind} {name}({given})" if given else f"{kind} {name}"
    return [head, *(f'"{line}"' for line in citation), ""]


def _feature(name: str, axis: Axis, count: int) -> str:
    parts = ", ".join(f"part{i + 1}" for i in range(count))
    return f"feature {name}({parts})[{axis}] = concat({parts})"


def _line(line: LayerLine, context: TextContext) -> str:
    group = _group(line.sort)
    match line:
        case Value():
            return _value(line, context)
        case Input():
            return f"{group}input {line.name}{_indexed(line)}{_kind(line.sort)}{_range(line)}"
        case Param(init=init):
            word = "param" if line.learned else "buffer"
            return f"{group}{word} {line.name}{_indexed(line)} = {show_expr(init, context)}"


def _value(value: Value, context: TextContext) -> str:
    left = f"{_group(value.sort)}{value.name}{_axes(value.sort)}"
    match value.expr:
        case Concat(parts=parts) if lands(value):
            return f"{left} = concat({', '.join(show_expr(part, context) for part in parts)})"
        case _:
            return f"{left} = {show_expr(value.expr, context)}"


def _group(sort: Sort) -> str:
    return f"grouped({sort.heads.group}) " if sort.heads.group else ""


def _axes(sort: Sort) -> str:
    return f"[{', '.join(sort.axes)}]" if sort.axes else ""


def _indexed(line: Input | Param) -> str:
    times = [t if block is None else f"{t} // {_divisor(block)}" for t, block in line.index]
    parts = (*line.sort.axes, *times)
    return f"[{', '.join(parts)}]" if parts else ""


def _divisor(block: Expr) -> str:
    text = show_expr(block)
    return text if text.isidentifier() or text.isdigit() else f"({text})"


def _kind(sort: Sort) -> str:
    return "" if sort.kind == Kind.REAL else f" {sort.kind}"


def _range(line: Input) -> str:
    bounds = line.range
    if bounds is None:
        return ""
    left, right = "(" if bounds.low_open else "[", ")" if bounds.high_open else "]"
    low = "-inf" if bounds.low is None else show_number(bounds.low)
    high = "inf" if bounds.high is None else show_number(bounds.high)
    return f" in {left}{low}, {high}{right}"


def _core(core: Core, context: TextContext) -> list[str]:
    if not core.branches:
        return _recurrences(core, context)
    if core.branches[0].name == "o":
        return _clauses(core.branches[0], "", context)
    lines = []
    for branch in core.branches:
        lines += [f"branch {branch.name}", *_clauses(branch, "  ", context), ""]
    return [*lines, *_values(core, context)]


def _recurrences(core: Core, context: TextContext) -> list[str]:
    declared = [f"state {_state(state)}{_kind(state.sort)}" for state in core.states]
    states = frozenset(state.name for state in core.states)
    return [*declared, *_values(core, replace(context, states=states))]


def _values(core: Core, context: TextContext) -> list[str]:
    lines = []
    for line in (*core.lines, core.output):
        match line:
            case Update(state=state, expr=expr):
                lines.append(f"{state}[t] = {show_expr(expr, context)}")
            case Value():
                lines.append(_value(line, context))
    return lines


def _state(state: State) -> str:
    return f"{state.name}{_axes(state.sort)}"


def _clauses(branch: Branch, indent: str, context: TextContext) -> list[str]:
    timed = replace(context, explicit=True)
    lines = [
        f"mask {show_expr(branch.mask, timed)}",
        f"weight {show_expr(branch.weight, timed)}",
        f"value {show_expr(branch.value, timed)}",
    ]
    if branch.decay is not None:
        lines.append(f"decay {show_expr(branch.decay, context)}")
    if branch.normalize is not None:
        lines.append(f"normalize {show_expr(branch.normalize, context)}")
    kept = ", ".join(_state(state) for state in branch.states) or "cache"
    kind = _kind(branch.states[0].sort) if branch.states else ""
    lines.append(f"state {kept}{kind}")
    return [f"{indent}{line}" for line in lines]
