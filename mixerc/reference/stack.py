"""A stack of layers in float64: blocks, mixers and repeats, each use with weights of its own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, TypeAlias, assert_never

from torch import Generator, Tensor

from mixerc import naming
from mixerc.ir.expr import Expr, Repeat, UseBlock, UseMixer
from mixerc.ir.mixer import Block, Input, Mixer, Stack
from mixerc.ir.sorts import Sort
from mixerc.ir.walk import children
from mixerc.reference.domain import Scalar
from mixerc.reference.evaluate import Scope, evaluate
from mixerc.reference.float64 import FLOAT64
from mixerc.reference.initial import Drawing, init_weights, step_weights
from mixerc.reference.layer import Pipes, Values, layer_values, run_line, tensor_of
from mixerc.reference.named import BATCH, TIME, Named
from mixerc.reference.sizes import Sizes, count_of, number_of, resolve
from mixerc.reference.steps import Weights

_X = Sort(axes=("d_model",))
_INHERITED = ("d_model", "heads", "length")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockUse:
    """A block at its place in a stack: the path of its weights, and what it uses itself."""

    path: str
    block: Block
    inner: tuple["Use", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixerUse:
    """A mixer at its place; `layer` is its number among all mixers that the stack runs."""

    path: str
    mixer: Mixer
    sizes: Mapping[str, Scalar]
    layer: int


Use: TypeAlias = BlockUse | MixerUse


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRun:
    """One run: `first` holds the values of each mixer's first layer, by the mixer's name."""

    sizes: Sizes
    weights: Weights
    inputs: Mapping[str, Any]
    layers: int
    x0: Named
    first: dict[str, dict[str, Tensor]] = field(default_factory=dict)


def run_stack(
    stack: Stack,
    weights: Weights,
    x: Tensor,
    sizes: Sizes,
    *,
    inputs: Mapping[str, Any] | None = None,
) -> Tensor:
    """y [B, T, d_model] of x [B, T, d_model]; `inputs` go to every mixer that declares them."""
    known = resolve(stack.sizes, {"d_model": x.shape[-1], **sizes})
    uses = plan_uses(stack, known)
    x0 = Named(FLOAT64.convert(x), (BATCH, TIME, "d_model"))
    run = StackRun(
        sizes=known, weights=weights, inputs=inputs or {}, layers=mixer_count(uses), x0=x0
    )
    pipes = _pipes(run, "", x0, iter(uses))
    return tensor_of(pipes, run_line(pipes, "y", stack.y), _X)


def init_stack(stack: Stack, sizes: Sizes, generator: Generator) -> dict[str, Tensor]:
    """Initial values of every weight of a stack, by path and name, in float64."""
    known = resolve(stack.sizes, sizes)
    uses = plan_uses(stack, known)
    drawing = Drawing(sizes=known, values={}, generator=generator)
    weights = step_weights("y", stack.y, drawing)
    for use in uses:
        _draw_use(use, drawing, mixer_count(uses), weights)
    return weights


def plan_uses(stack: Stack, sizes: Sizes) -> tuple[Use, ...]:
    """The blocks and mixers of the y pipeline in the order in which they run."""
    layers = count()
    uses = []
    for index, node in enumerate(_flat(stack.y, sizes)):
        name, shared = _name(node), False
        if isinstance(node, UseBlock):
            shared = _block(stack, name).shared
        path = naming.use_path(index, name, shared=shared)
        uses.append(_use(node, path, stack, sizes, layers))
    return tuple(uses)


def mixer_count(uses: tuple[Use, ...]) -> int:
    """How many mixers run, those in blocks included."""
    return sum(mixer_count(use.inner) if isinstance(use, BlockUse) else 1 for use in uses)


def _flat(expr: Expr, sizes: Sizes) -> Iterator[UseBlock | UseMixer]:
    """Uses in order, sources before what is applied to them, repeats written out."""
    match expr:
        case Repeat(source=source, count=times, steps=steps):
            yield from _flat(source, sizes)
            for _ in range(count_of("repeat", number_of(times, sizes))):
                for step in steps:
                    yield from _flat(step, sizes)
        case UseBlock(source=source) | UseMixer(source=source):
            yield from _flat(source, sizes)
            yield expr
        case _:
            for child in children(expr):
                yield from _flat(child, sizes)


def _name(node: UseBlock | UseMixer) -> str:
    return node.block if isinstance(node, UseBlock) else node.mixer


def _block(stack: Stack, name: str) -> Block:
    return next(block for block in stack.blocks if block.name == name)


def _use(
    node: UseBlock | UseMixer, path: str, stack: Stack, sizes: Sizes, layers: Iterator[int]
) -> Use:
    match node:
        case UseBlock(block=name):
            block = _block(stack, name)
            nodes = list(_flat(block.expr, sizes))
            paths = naming.numbered(_name(inner) for inner in nodes)
            inner = tuple(
                _use(below, naming.within(path, part), stack, sizes, layers)
                for below, part in zip(nodes, paths, strict=True)
            )
            return BlockUse(path=path, block=block, inner=inner)
        case UseMixer(mixer=name):
            mixer = next(mixer for mixer in stack.mixers if mixer.name == name)
            own = {size: number_of(value, sizes) for size, value in node.sizes}
            inherited = {size: sizes[size] for size in _INHERITED if size in sizes}
            # The mixer's own default for heads, as of every header size, goes before the stack's.
            headers = {definition.name for definition in mixer.sizes}
            kept = {size: value for size, value in inherited.items() if size not in headers}
            return MixerUse(path=path, mixer=mixer, sizes=kept | own, layer=next(layers))
        case _:
            assert_never(node)


def _pipes(run: StackRun, path: str, x: Named, uses: Iterator[Use]) -> Pipes:
    return Pipes(
        sizes=run.sizes,
        weights={name: FLOAT64.convert(value) for name, value in _under(run.weights, path).items()},
        values={"x": x, "x0": run.x0},
        batch=x.size(BATCH),
        count=x.size(TIME),
        use=_user(run, uses),
    )


def _under(weights: Weights, path: str) -> Weights:
    """The weights at a path, without it."""
    if not path:
        return weights
    prefix = naming.within(path, "")
    found = (name for name in weights if name.startswith(prefix))
    return {name.removeprefix(prefix): weights[name] for name in found}


def _user(
    run: StackRun, uses: Iterator[Use]
) -> Callable[[Scope, UseBlock | UseMixer | Repeat], Named]:
    """What evaluates uses, each taking the next place of the plan."""

    def use(scope: Scope, node: UseBlock | UseMixer | Repeat) -> Named:
        value = evaluate(node.source, scope)
        match node:
            case Repeat(count=times, steps=steps):
                for _ in range(count_of("repeat", number_of(times, run.sizes))):
                    for step in steps:
                        inner = replace(scope, local={**scope.local, "x": value})
                        value = evaluate(step, inner)
                return value
            case UseBlock() | UseMixer():
                return _run_use(run, next(uses), value)
            case _:
                assert_never(node)

    return use


def _run_use(run: StackRun, use: Use, x: Named) -> Named:
    match use:
        case BlockUse(path=path, block=block, inner=inner):
            return run_line(_pipes(run, path, x, iter(inner)), block.name, block.expr)
        case MixerUse(path=path, mixer=mixer, sizes=sizes, layer=layer):
            names = {line.name for line in mixer.lines if isinstance(line, Input)}
            inputs = {name: value for name, value in run.inputs.items() if name in names}
            known = {**sizes, "layer": layer, "layers": run.layers}
            first = run.first.get(mixer.name, {})
            weights, x_array = _under(run.weights, path), _array(x)
            values, y = layer_values(mixer, weights, x_array, known, inputs, first)
            run.first.setdefault(mixer.name, _streams(values))
            return Named(y, (BATCH, TIME, "d_model"))
        case _:
            assert_never(use)


def _streams(values: Values) -> dict[str, Tensor]:
    """The values of each token, as tensors."""
    streams = (name for name, value in values.items() if value.dims[:2] == (BATCH, TIME))
    return {name: values[name].array for name in streams}


def _array(x: Named) -> Tensor:
    order = [x.dims.index(dim) for dim in (BATCH, TIME, "d_model")]
    tensor: Tensor = FLOAT64.permute(x.array, order)
    return tensor


def _draw_use(use: Use, drawing: Drawing, layers: int, weights: dict[str, Tensor]) -> None:
    """Draw a use's weights into `weights`; a shared block's are drawn at its first use."""
    match use:
        case BlockUse(path=path, block=block, inner=inner):
            drawn = step_weights(block.name, block.expr, drawing)
            for below in inner:
                _draw_use(below, drawing, layers, weights)
        case MixerUse(path=path, mixer=mixer, sizes=sizes, layer=layer):
            known = {**sizes, "layer": layer, "layers": layers}
            drawn = init_weights(mixer, known, drawing.generator)
        case _:
            assert_never(use)
    for name, value in drawn.items():
        weights.setdefault(naming.within(path, name), value)
