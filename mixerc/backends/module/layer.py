"""A layer as text: the view of templates/module/layer.py.j2, and the helpers that it uses."""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from jinja2 import Environment, StrictUndefined

from mixerc import resources
from mixerc.backends.module.expression import Scope, printed
from mixerc.backends.module.forward import Forward, Statement, forward_of
from mixerc.backends.module.identifiers import attribute, identifier
from mixerc.backends.module.inline import needed, used_names
from mixerc.backends.module.layout import laid_out
from mixerc.backends.module.pipes import printed_step
from mixerc.backends.module.weights import Weights, weights_of
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
_WIDTH = 92
_LAYOUT = "x and y are [B, T, d_model]; the state has a row for each sequence."
_PLACE = 'place = {"device": device, "dtype": dtype}'
_RECURRENT = ('mode="recurrent"', "in_place=in_place")
_BUILT_WITH = ("layer=0", "layers=1", "device=None", "dtype=None")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerView:
    """What the template of a layer needs: lines of Python, in the order in which they run."""

    title: str
    description: tuple[str, ...]
    init_signature: tuple[str, ...]
    sizes: tuple[str, ...]
    modules: tuple[str, ...]
    draws: tuple[str, ...]
    forward_signature: tuple[str, ...]
    forward_lines: tuple[str, ...]
    result: str
    step_signature: tuple[str, ...]
    step_lines: tuple[str, ...]
    call: str
    representation: str


def layer_text(
    mixer: Mixer,
    logarithms: frozenset[str] = frozenset(),
    sizes: tuple[str, ...] = (),
    mode: str = "parallel",
) -> str:
    """The class Layer of a mixer that has a y.

    It calls `mix(*, NAME=…, SIZE=…, state=, mode=, chunk=, cu_seqlens=, in_place=)` with the
    core's inputs by name and the given sizes; the inputs in `logarithms` come as `log_NAME`
    where their logarithm can be written exactly. `mode` is the one that runs by default.
    """
    template = _ENVIRONMENT.from_string(resources.read("templates", "module", "layer.py.j2"))
    text = template.render(view=layer_view(mixer, logarithms, sizes, mode))
    return "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"


def helpers_text(text: str) -> str:
    """State, and the functions and modules of templates/module/steps.py that a text uses."""
    steps = needed(resources.read("templates", "module", "steps.py"), used_names(text))
    state = needed(resources.read("templates", "module", "state.py"), {"State"})
    return "\n\n".join(part for part in (state, steps) if part)


def layer_view(
    mixer: Mixer, logarithms: frozenset[str], sizes: tuple[str, ...], mode: str
) -> LayerView:
    """Everything that the template prints."""
    forward, weights = forward_of(mixer, logarithms, sizes), weights_of(mixer)
    inputs = tuple(identifier(line.name) for line in mixer.lines if isinstance(line, Input))
    length = ("length",) if _needs_length(mixer) else ()
    first = ("first",) if "first" in used_names(_joined_text(forward)) else ()
    extra = (*inputs, *(f"{name}=None" for name in first))
    streams = ("self", "x", "state=None")
    runs = ("cu_seqlens=None", f'mode="{mode}"', "chunk=None", "in_place=False")
    return LayerView(
        title=f"The layer of {mixer.name}.",
        description=_description(mixer),
        init_signature=_signature("__init__", _parameters(mixer, length)),
        sizes=(*_size_lines(mixer), *_attributes(mixer, length)),
        modules=_fitted((_PLACE, *weights.made) if weights.made else ()),
        draws=_draws(mixer, weights),
        forward_signature=_signature("forward", (*streams, "*", *extra, *runs)),
        forward_lines=_forward_lines(mixer, forward),
        result="y, State({**state, **past.kept})" if _uses_past(forward) else "y, state",
        step_signature=_signature("step", (*streams, "*", *extra, "in_place=False")),
        step_lines=_step_lines(mixer),
        call=_call((*inputs, *first)),
        representation=", ".join(
            f"{name}={{self.{attribute(name)}}}"
            for name in ("d_model", "heads", *_own_sizes(mixer))
        ),
    )


def _signature(name: str, parameters: tuple[str, ...]) -> tuple[str, ...]:
    return laid_out(f"def {name}({', '.join(parameters)}):", 4)


def _description(mixer: Mixer) -> tuple[str, ...]:
    lines = (*mixer.citation, "", _LAYOUT)
    return tuple(part for line in lines for part in textwrap.wrap(line, _WIDTH) or [""])


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


def _fitted(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(part for line in lines for part in laid_out(line, 8))


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


def _draws(mixer: Mixer, weights: Weights) -> tuple[str, ...]:
    head = ("head = indices(heads)",) if "head" in used_names("\n".join(weights.drawn)) else ()
    return (*_unpacked(mixer, (*weights.drawn, *head)), *head, *_fitted(weights.drawn))


def _joined_text(forward: Forward) -> str:
    statements = (*forward.before, *forward.after)
    return "\n".join((*(statement.text for statement in statements), *forward.arguments))


def _uses_past(forward: Forward) -> bool:
    names = used_names(_joined_text(forward))
    return bool(names & {"past", "position", "t"})


def _forward_lines(mixer: Mixer, forward: Forward) -> tuple[str, ...]:
    text = _joined_text(forward)
    ready = _ready(used_names(text))
    call = ", ".join((*forward.arguments, *_RUN))
    statements = (
        *forward.before,
        Statement(text=f"o, state = mix({call})", span=NOWHERE),
        *forward.after,
    )
    lines = [line for each in statements for line in laid_out(each.text, 8, _place(each.span))]
    return (*_unpacked(mixer, (text, *ready)), *ready, *lines)


def _ready(names: frozenset[str]) -> tuple[str, ...]:
    """What has to be known before the lines that mention these names."""
    wanted = names | ({"position"} if "t" in names else frozenset())
    wanted |= {"past"} if "position" in wanted else frozenset()
    return tuple(text for name, text in _PREPARED if name in wanted)


_PREPARED = (
    ("first", "first = {} if first is None else first"),
    ("past", "past = Past(state, x, cu_seqlens)"),
    ("position", "position = past.position()"),
    ("t", "t = position.to(torch.promote_types(x.dtype, torch.float32))"),
    ("T", "T = x.shape[1]"),
    ("head", "head = numbers(heads, x)"),
)
_RUN = (
    *("state=state", "mode=mode", "chunk=chunk", "cu_seqlens=cu_seqlens"),
    "in_place=in_place",
)


def _place(span: Span) -> str:
    """`gla.mix:4`: the line of the spec, without its folder."""
    return f"{span.file.rpartition('/')[2]}:{span.line}" if span.line else ""


def _call(names: tuple[str, ...]) -> str:
    given = (f"{name}={name}" for name in names)
    return f"self({', '.join(('x', 'state', *given, *_RECURRENT))})"


def _step_lines(mixer: Mixer) -> tuple[str, ...]:
    streams = [
        identifier(line.name) for line in mixer.lines if isinstance(line, Input) and not line.index
    ]
    return tuple(f"{name} = {name}.unsqueeze(1)" for name in ("x", *streams))
