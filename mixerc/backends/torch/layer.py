"""A layer as text: the view of templates/torch/layer.py.j2, and the helpers that it uses."""

from collections.abc import Iterable
from dataclasses import dataclass

from jinja2 import Environment, StrictUndefined

from mixerc import resources
from mixerc.backends.torch.expression import Scope, printed
from mixerc.backends.torch.forward import Forward, Statement, forward_of
from mixerc.backends.torch.identifiers import attribute, identifier
from mixerc.backends.torch.inline import needed, used_names
from mixerc.backends.torch.layout import laid_out
from mixerc.backends.torch.pipes import printed_step
from mixerc.backends.torch.weights import weights_of
from mixerc.diagnostics.span import NOWHERE, Span
from mixerc.ir.expr import Conv, Expr, Linear, Norm, Number, Size
from mixerc.ir.mixer import Input, Mixer, Param, SizeDef, Value
from mixerc.ir.sorts import Sort
from mixerc.ir.walk import walk

_ENVIRONMENT = Environment(
    undefined=StrictUndefined,
    line_statement_prefix="#%",
    line_comment_prefix="##",
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_BUILT_WITH = ("layer=0", "layers=1", "device=None", "dtype=None")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerView:
    """What the template of a layer needs: lines of Python, in the order in which they run."""

    title: str
    description: tuple[str, ...]
    parameters: tuple[str, ...]
    sizes: tuple[str, ...]
    modules: tuple[str, ...]
    unpacked_for_draws: tuple[str, ...]
    draws: tuple[str, ...]
    forward_parameters: tuple[str, ...]
    forward_lines: tuple[str, ...]
    result: str
    step_parameters: tuple[str, ...]
    step_arguments: str
    step_lines: tuple[str, ...]
    representation: str


def layer_text(
    mixer: Mixer, logarithms: frozenset[str] = frozenset(), sizes: tuple[str, ...] = ()
) -> str:
    """The class Layer of a mixer that has a y.

    It calls `mix(*, NAME=…, SIZE=…, state=, mode=, chunk=, cu_seqlens=)` with the core's inputs
    by name and the given sizes; the inputs in `logarithms` come as `log_NAME` where their
    logarithm can be written exactly.
    """
    template = _ENVIRONMENT.from_string(resources.read("templates", "torch", "layer.py.j2"))
    return template.render(view=layer_view(mixer, logarithms, sizes))


def helpers_text(text: str) -> str:
    """State, and the functions and modules of templates/torch/steps.py that a text uses."""
    steps = needed(resources.read("templates", "torch", "steps.py"), used_names(text))
    state = needed(resources.read("templates", "torch", "state.py"), {"State"})
    return "\n\n".join(part for part in (state, steps) if part)


def layer_view(mixer: Mixer, logarithms: frozenset[str], sizes: tuple[str, ...]) -> LayerView:
    """Everything that the template prints."""
    forward, weights = forward_of(mixer, logarithms, sizes), weights_of(mixer)
    first = "first.setdefault(" in _joined_text(forward)
    inputs = tuple(identifier(line.name) for line in mixer.lines if isinstance(line, Input))
    extra = (*inputs, *(("first=None",) if first else ()))
    arguments = (*inputs, *(("first",) if first else ()))
    names = ("length",) if _needs_length(mixer) else ()
    return LayerView(
        title=_title(mixer),
        description=mixer.citation[1:],
        parameters=_parameters(mixer, names),
        sizes=(*_size_lines(mixer), *_attributes(mixer, names)),
        modules=_fitted(weights.made, 8),
        unpacked_for_draws=_unpacked(mixer, weights.drawn),
        draws=_fitted(weights.drawn, 12),
        forward_parameters=(
            *("self", "x", "state=None", "*"),
            *(*extra, "cu_seqlens=None", 'mode="parallel"', "chunk=None"),
        ),
        forward_lines=_forward_lines(mixer, forward, first=first),
        result="y, State({**state, **past.kept})" if _uses_past(forward) else "y, state",
        step_parameters=("self", "x", "state=None", *(("*", *extra) if extra else ())),
        step_arguments=_step_arguments(arguments),
        step_lines=_step_lines(mixer),
        representation=", ".join(
            f"{name}={{self.{attribute(name)}}}"
            for name in ("d_model", "heads", *_own_sizes(mixer))
        ),
    )


def _title(mixer: Mixer) -> str:
    first = mixer.citation[0] if mixer.citation else "a sequence mixer"
    return f"{mixer.name}: {first}"


def _own_sizes(mixer: Mixer) -> tuple[str, ...]:
    return tuple(size.name for size in mixer.sizes if size.name not in ("d_model", "heads"))


# Sizes


def _parameters(mixer: Mixer, names: tuple[str, ...]) -> tuple[str, ...]:
    given = {size.name: size for size in mixer.sizes}
    leading = [_parameter(given.get(name, SizeDef(name=name, default=None))) for name in _LEADING]
    own = [_parameter(given[name]) for name in _own_sizes(mixer)]
    return ("self", *leading, "*", *own, *names, *_BUILT_WITH)


_LEADING = ("d_model", "heads")


def _parameter(size: SizeDef) -> str:
    match size.default:
        case None:
            return identifier(size.name)
        case Number():
            return f"{identifier(size.name)}={_size_text(size.default)}"
        case _:
            return f"{identifier(size.name)}=None"


def _size_text(expr: Expr) -> str:
    return printed(expr, Scope(values={}, step=printed_step)).text


def _size_lines(mixer: Mixer) -> tuple[str, ...]:
    """Defaults that are expressions, left to right; what counts something is a whole number."""
    counts = _counts(mixer)
    lines = []
    for size in mixer.sizes:
        name = identifier(size.name)
        if size.default is not None and not isinstance(size.default, Number):
            value = f"{_size_text(size.default)} if {name} is None else {name}"
            lines.append(
                f'{name} = whole("{size.name}", {value})'
                if size.name in counts
                else f"{name} = {value}"
            )
    return tuple(lines)


def _attributes(mixer: Mixer, names: tuple[str, ...]) -> tuple[str, ...]:
    sizes = ("d_model", "heads", *_own_sizes(mixer), *names, "layer", "layers")
    return tuple(f"self.{attribute(name)} = {identifier(name)}" for name in sizes)


def _counts(mixer: Mixer) -> frozenset[str]:
    """The sizes that are lengths of axes, or numbers of heads, groups, features or taps."""
    counts = {"d_model", "heads"}
    for sort in _sorts(mixer):
        counts |= {axis.removesuffix("'") for axis in sort.axes} | {sort.heads.group}
    for expr in _expressions(mixer):
        for node in walk(expr):
            for count in _counted(node):
                counts |= {part.name for part in walk(count) if isinstance(part, Size)}
    return frozenset(counts)


def _counted(node: Expr) -> Iterable[Expr]:
    match node:
        case Linear(features=features, blocks=blocks):
            return [count for count in (features, blocks) if count is not None]
        case Conv(width=width):
            return [width]
        case Norm(groups=groups) if groups is not None:
            return [groups]
        case _:
            return []


def _sorts(mixer: Mixer) -> Iterable[Sort]:
    states = [*mixer.core.states, *(s for branch in mixer.core.branches for s in branch.states)]
    lines = [line for line in mixer.core.lines if isinstance(line, Value)]
    return [item.sort for item in (*mixer.lines, *states, *lines, mixer.core.output)]


def _expressions(mixer: Mixer) -> Iterable[Expr]:
    yield from (line.expr for line in mixer.lines if isinstance(line, Value))
    yield from (line.init for line in mixer.lines if isinstance(line, Param))
    if mixer.y is not None:
        yield mixer.y


def _needs_length(mixer: Mixer) -> bool:
    """Whether parameters are tables over time, whose longest time must be known."""
    tables = any(isinstance(line, Param) and _over_time(line) for line in mixer.lines)
    return tables or any(
        isinstance(node, Size) and node.name == "length"
        for expr in _expressions(mixer)
        for node in walk(expr)
    )


def _over_time(line: Param) -> bool:
    return any(name in ("t", "s") for name, _ in line.index)


# Lines


def _fitted(lines: Iterable[str], indent: int) -> tuple[str, ...]:
    return tuple(part for line in lines for part in laid_out(line, indent))


def _unpacked(mixer: Mixer, lines: Iterable[str], indent: int = 8) -> tuple[str, ...]:
    """The sizes that some lines use, as local names."""
    names = used_names("\n".join(lines))
    sizes = ("d_model", "heads", *_own_sizes(mixer), "length", "layer", "layers")
    used = [name for name in sizes if identifier(name) in names]
    if not used:
        return ()
    left = ", ".join(identifier(name) for name in used)
    right = ", ".join(f"self.{attribute(name)}" for name in used)
    return laid_out(f"{left} = {right}", indent)


def _joined_text(forward: Forward) -> str:
    statements = (*forward.before, *forward.after)
    return "\n".join((*(statement.text for statement in statements), *forward.arguments))


def _uses_past(forward: Forward) -> bool:
    names = used_names(_joined_text(forward))
    return bool(names & {"past", "position", "t"})


def _forward_lines(mixer: Mixer, forward: Forward, *, first: bool) -> tuple[str, ...]:
    text = _joined_text(forward)
    names = used_names(text)
    ready = ["first = {} if first is None else first"] if first else []
    ready += ["past = Past(state, x, cu_seqlens)"] if _uses_past(forward) else []
    ready += ["position = past.position()"] if names & {"position", "t"} else []
    ready += (
        ["t = position.to(torch.promote_types(x.dtype, torch.float32))"] if "t" in names else []
    )
    ready += ["T = x.shape[1]"] if "T" in names else []
    ready += ["head = numbers(heads, x)"] if "head" in names else []
    call = ", ".join((*forward.arguments, *_RUN))
    statements = (
        *forward.before,
        Statement(text=f"o, state = mix({call})", span=NOWHERE),
        *forward.after,
    )
    lines = [line for each in statements for line in laid_out(each.text, 8, _place(each.span))]
    return (*_unpacked(mixer, (text, *ready)), *ready, *lines)


_RUN = ("state=state", "mode=mode", "chunk=chunk", "cu_seqlens=cu_seqlens")


def _place(span: Span) -> str:
    """`gla.mix:4`: the line of the spec, without its folder."""
    return f"{span.file.rpartition('/')[2]}:{span.line}" if span.line else ""


def _step_arguments(arguments: tuple[str, ...]) -> str:
    given = (f"{name}={name}" for name in arguments)
    return ", ".join(("x", "state", *given, 'mode="recurrent"'))


def _step_lines(mixer: Mixer) -> tuple[str, ...]:
    streams = [
        identifier(line.name) for line in mixer.lines if isinstance(line, Input) and not line.index
    ]
    return tuple(f"{name} = {name}.unsqueeze(1)" for name in ("x", *streams))
