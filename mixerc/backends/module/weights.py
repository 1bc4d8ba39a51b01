"""How a layer's modules and parameters are made, and how each gets its initial value."""

from dataclasses import dataclass, replace
from typing import assert_never

from mixerc.backends.module.dimensions import (
    KEYS,
    MATRIX,
    TIME,
    Text,
    aligned,
    conformed,
    own_dims,
    size_text,
)
from mixerc.backends.module.expression import Scope, Step, printed
from mixerc.backends.module.identifiers import attribute
from mixerc.backends.module.pipes import (
    Weighted,
    channels_text,
    count_text,
    eps_text,
    named_steps,
    sizes_of,
)
from mixerc.backends.module.printer import within
from mixerc.ir.expr import Conv, Draw, Expr, Linear, Norm, Read
from mixerc.ir.mixer import Input, Mixer, Param, Value
from mixerc.ir.sorts import Kind
from mixerc.ir.walk import walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Lines that make modules and parameters, and lines that give them initial values."""

    made: tuple[str, ...]
    drawn: tuple[str, ...]

    def __add__(self, other: "Weights") -> "Weights":
        return Weights(made=self.made + other.made, drawn=self.drawn + other.drawn)


NONE = Weights(made=(), drawn=())


def weights_of(mixer: Mixer) -> Weights:
    """Every weight of a layer, in the order of the spec."""
    known: dict[str, Text] = {}
    weights = NONE
    for line in mixer.lines:
        match line:
            case Input():
                pass
            case Param(name=name):
                weights += _param(line, known)
                known[name] = _read_again(line)
            case Value(name=name, expr=expr, sort=sort):
                weights += _line_weights(name, expr, known)
                if not sort.times and _is_known(expr, known):
                    known[name] = printed(expr, _drawing(known, (), ""))
            case _:
                assert_never(line)
    return weights if mixer.y is None else weights + _line_weights("y", mixer.y, known)


def _read_again(line: Param) -> Text:
    """A parameter in the initial value of another one, which is computed in float64."""
    is_complex = line.sort.kind is Kind.COMPLEX
    text = f"self.{attribute(line.name)}"
    text = text if is_complex else f"{text}.double()"
    return Text(text=text, dims=table_dims(line), is_complex=is_complex)


def _is_known(expr: Expr, known: dict[str, Text]) -> bool:
    return all(node.name in known for node in walk(expr) if isinstance(node, Read))


def _drawing(known: dict[str, Text], dims: tuple[str, ...], shape: str) -> Scope:
    """Where initial values are printed: each draw fills `shape`."""

    def step(scope: Scope, expr: Step) -> Text:
        match expr:
            case Draw(distribution=distribution, arguments=arguments):
                texts = [aligned(printed(argument, scope), dims) for argument in arguments]
                return Text(text=f"{distribution}({', '.join([shape, *texts])})", dims=dims)
            case _:
                raise ValueError("an initial value holds no layers")

    return Scope(values=known, step=step, counting="indices({})", like="")


def table_dims(line: Input | Param) -> tuple[str, ...]:
    """Heads and axes, then the times of a table."""
    times = {"t": TIME, "s": KEYS}
    return (*own_dims(line.sort), *(times[name] for name, _ in line.index))


def _table_size(line: Param, dim: str) -> str:
    times = {TIME: "t", KEYS: "s"}
    if dim not in times:
        return size_text(dim)
    block = dict(line.index)[times[dim]]
    return "length" if block is None else f"-(-length // {within(count_text(block), 11)})"


def _param(line: Param, known: dict[str, Text]) -> Weights:
    name, dims = attribute(line.name), table_dims(line)
    shape = _shape_text(tuple(_table_size(line, dim) for dim in dims))
    match line.sort.kind:
        case Kind.BOOL:
            empty = f"torch.empty({shape}, dtype=torch.bool, device=device)"
        case Kind.COMPLEX:
            empty = f"torch.empty({shape}, dtype=complex_of(dtype), device=device)"
        case Kind.REAL | Kind.INT:
            empty = f"torch.empty({shape}, **place)"
        case _:
            assert_never(line.sort.kind)
    made = f"self.{name} = torch.nn.Parameter({empty})"
    if not line.learned:
        made = f'self.register_buffer("{name}", {empty})'
    value = printed(line.init, _drawing(known, dims, f"self.{name}.shape"))
    return Weights(made=(made,), drawn=(_assigned(f"self.{name}", value, dims),))


def _shape_text(sizes: tuple[str, ...]) -> str:
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"


def _assigned(target: str, value: Text, dims: tuple[str, ...]) -> str:
    if value.number:
        return f"{target}.fill_({value.text})"
    return f"{target}.copy_({aligned(value, dims)})"


def _line_weights(line: str, expr: Expr, known: dict[str, Text]) -> Weights:
    weights = NONE
    for step, name in named_steps(line, expr):
        weights += _step_weights(step, name, known)
    return weights


def _step_weights(step: Weighted, name: str, known: dict[str, Text]) -> Weights:
    match step:
        case Linear():
            made, weight = _linear(step), _drawn_weight(step, name, known)
            return Weights(
                made=(f"self.{name} = {made}",), drawn=weight + _drawn_bias(step, name, known)
            )
        case Conv(source=source, width=width, bias=bias):
            sizes = f"{channels_text(source)}, {count_text(width)}"
            made = f"self.{name} = Conv({sizes}, bias={bias is not None}, **place)"
            return Weights(made=(made,), drawn=_drawn_bias(step, name, known))
        case Norm():
            return Weights(made=(f"self.{name} = {_norm(step)}",), drawn=())
        case _:
            assert_never(step)


def _linear(step: Linear) -> str:
    sizes = f"{channels_text(step.source)}, {channels_text(step)}"
    bias = step.bias is not None
    if step.blocks is not None:
        return f"BlockLinear({sizes}, blocks={count_text(step.blocks)}, bias={bias}, **place)"
    return f"torch.nn.Linear({sizes}, bias={bias}, **place)"


def _norm(step: Norm) -> str:
    kind = {"rmsnorm": "RMSNorm", "layernorm": "LayerNorm"}[step.norm]
    eps = f"eps={eps_text(step.eps)}, **place"
    if step.groups is None:
        return f"{kind}({', '.join([*sizes_of(step, step.sort.axes), eps])})"
    sizes = sizes_of(step, own_dims(step.sort))
    return f"Group{kind}({', '.join([*sizes, f'groups={count_text(step.groups)}', eps])})"


def _drawn_weight(step: Linear, name: str, known: dict[str, Text]) -> tuple[str, ...]:
    if step.init is None:
        return ()
    target = f"self.{name}.weight"
    dims = MATRIX[1:] if step.blocks is None else MATRIX
    value = printed(step.init, _drawing(known, dims, f"{target}.shape"))
    return (_assigned(target, replace(value, flat=False), dims),)


def _drawn_bias(step: Linear | Conv, name: str, known: dict[str, Text]) -> tuple[str, ...]:
    """The initial value of what a step adds; it may differ by head and axis."""
    if step.bias is None:
        return ()
    target, dims = f"self.{name}.bias", own_dims(step.sort)
    shape = _shape_text(sizes_of(step, dims))
    value = printed(step.bias, _drawing(known, dims, shape))
    if value.number:
        return (f"{target}.fill_({value.text})",)
    text = conformed(value, dims).text
    return (
        f"{target}.copy_({within(text)}.flatten())" if len(dims) > 1 else f"{target}.copy_({text})",
    )
