"""The layer against the reference layer: whole, in parts, token by token, packed."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor

from mixerc.ir.expr import Number
from mixerc.ir.mixer import Input, Mixer, Param
from mixerc.ir.sorts import Kind
from mixerc.reference.layer import run_layer
from mixerc.reference.named import head_dims
from mixerc.reference.sizes import dim_length, resolve
from mixerc.verify.cases import entries
from mixerc.verify.outcome import CANCELLED, gradients, weights
from mixerc.verify.result import Result, distance, judged, rms
from mixerc.verify.subject import Subject

D_MODEL, HEADS, NARROWEST = 16, 2, 4
LAYER, LAYERS = 1, 3
BATCH = 2


def layer_of(subject: Subject, seed: int, length: int) -> Any:
    """The layer at small sizes in float64, its weights moved away from where they start.

    A table over times has entries for `length` tokens.
    """
    options = {"dtype": torch.float64, "layer": LAYER, "layers": LAYERS}
    if _times(subject.mixer, Param):
        options["length"] = length
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = subject.run.Layer(D_MODEL, _heads(subject.mixer), **_sizes(subject), **options)
        with torch.no_grad():
            for weight in layer.parameters():
                weight += 0.1 * torch.rand_like(weight)
    return layer


def _times(mixer: Mixer, kind: type[Input] | type[Param]) -> dict[str, Any]:
    """The tables of a kind, each with the blocks of tokens that it has entries for."""
    lines = (line for line in mixer.lines if isinstance(line, kind))
    return {line.name: line.index for line in lines if line.index}


def _heads(mixer: Mixer) -> int:
    """The number that the header says, or some for each group."""
    given = next((_number(s.default) for s in mixer.sizes if s.name == "heads"), HEADS)
    return given * (HEADS if _groups(mixer) else 1)


def _groups(mixer: Mixer) -> set[str]:
    """The sizes that count groups of heads, and have no default that reads other sizes."""
    groups = {line.sort.heads.group for line in mixer.lines}
    return {s.name for s in mixer.sizes if s.name in groups and isinstance(s.default, Number)}


def _number(default: Any) -> int:
    return int(default.value) if isinstance(default, Number) else HEADS


def _sizes(subject: Subject) -> dict[str, float]:
    """Header sizes that are wide by default, made narrow; those without a default are given.

    Those that no shape tells are those of the subject: masks are compiled for their numbers.
    """
    mixer = subject.mixer
    wide = (s for s in mixer.sizes if isinstance(s.default, Number) and s.name != "heads")
    narrow = {s.name: min(_number(s.default), NARROWEST) for s in wide}
    narrow |= {name: min(narrow[name], HEADS) for name in _groups(mixer)}
    given = {s.name: NARROWEST for s in mixer.sizes if s.default is None}
    return {**narrow, **given, **subject.sizes}


def whole_law(subject: Subject, tokens: int, seed: int) -> Result:
    """Both modes of the layer against the reference, with the gradient of every weight."""
    layer, x = layer_of(subject, seed, tokens), _x(tokens, seed)
    inputs = _inputs(subject, tokens, seed)
    want_y, want = _differentiated(lambda w, a: _reference(subject, w, a, inputs), layer, x)
    errors = {}
    for mode in subject.modes:
        y, got = _differentiated(
            lambda w, a, mode=mode: torch.func.functional_call(
                layer, dict(w), (a,), {"mode": mode, **inputs}
            )[0],
            layer,
            x,
        )
        errors[f"{mode} y"] = distance(y, want_y)
        least = CANCELLED * max(rms(d) for d in want.values())
        for name, gradient in want.items():
            errors[f"{mode} {name}"] = distance(got[name], gradient, least)
    return judged("layer", errors, where=f"T={tokens} seed={seed}")


def _differentiated(run: Any, layer: Any, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    held = {name: w.detach() for name, w in layer.state_dict().items()}
    learned = {name: held[name].clone().requires_grad_() for name, _ in layer.named_parameters()}
    leaf = x.clone().requires_grad_()
    y = run({**held, **learned}, leaf)
    named = {f"d {name}": w for name, w in learned.items()} | {"d x": leaf}
    return y.detach(), gradients((y * weights("y", y)).sum(), named)


def _reference(
    subject: Subject, held: Mapping[str, Tensor], x: Tensor, inputs: Any, bounds: Any = None
) -> Tensor:
    return run_layer(
        subject.mixer,
        held,
        x,
        {"heads": _heads(subject.mixer), **_sizes(subject)},
        inputs=inputs,
        cu_seqlens=bounds,
        layer=LAYER,
        layers=LAYERS,
    )


def parts_law(subject: Subject, tokens: int, cuts: tuple[int, ...], seed: int) -> Result:
    """In parts, each mode after each, and token by token through `step`."""
    layer, x = layer_of(subject, seed, tokens), _x(tokens, seed)
    inputs = _inputs(subject, tokens, seed)
    want = _reference(subject, layer.state_dict(), x, inputs)
    tables, errors = _times(subject.mixer, Input), {}

    def part(tokens: slice | int) -> dict[str, Tensor]:
        return {n: v if n in tables else v[:, tokens] for n, v in inputs.items()}

    with torch.no_grad():
        for first in subject.modes:
            modes = (first, *(m for m in subject.modes if m != first))
            y = _in_parts(layer, x, part, (0, *cuts, tokens), modes)
            errors[f"parts, {first} first"] = distance(y, want)
        errors["steps"] = distance(_in_steps(layer, x, part), want)
    return judged("layer in parts", errors, where=f"T={tokens} cut at {cuts} seed={seed}")


def _in_parts(layer: Any, x: Tensor, part: Any, bounds: Any, modes: tuple[str, ...]) -> Tensor:
    """`part` are the inputs of some tokens."""
    state, parts = None, []
    for index, (start, stop) in enumerate(pairwise(bounds)):
        given, mode = part(slice(start, stop)), modes[index % len(modes)]
        y, state = layer(x[:, start:stop], state, mode=mode, **given)
        parts.append(y)
    return torch.cat(parts, 1)


def _in_steps(layer: Any, x: Tensor, part: Any) -> Tensor:
    state, parts = None, []
    for t in range(x.shape[1]):
        y, state = layer.step(x[:, t], state, **part(t))
        parts.append(y)
    return torch.stack(parts, 1)


def packed_layer_law(subject: Subject, bounds: tuple[int, ...], seed: int) -> Result:
    """Packed sequences against the reference, which runs each by itself; then on from there."""
    tokens, tables = bounds[-1], _times(subject.mixer, Input)
    layer, x = layer_of(subject, seed, tokens), _x(tokens, seed)[:1]
    drawn = _inputs(subject, tokens, seed)
    inputs = {n: v if n in tables else v[:1] for n, v in drawn.items()}
    want = _reference(subject, layer.state_dict(), x, inputs, bounds)
    errors = {}
    with torch.no_grad():
        for mode in subject.modes:
            y, _ = layer(x, cu_seqlens=torch.tensor(bounds), mode=mode, **inputs)
            errors[mode] = distance(y, want)
    return judged("layer packed", errors, where=f"at {bounds} seed={seed}")


def _x(tokens: int, seed: int) -> Tensor:
    generator = Generator().manual_seed(seed)
    return torch.randn(BATCH, tokens, D_MODEL, generator=generator, dtype=torch.float64)


def _inputs(subject: Subject, tokens: int, seed: int) -> dict[str, Tensor]:
    """What the input lines of a spec want: within (0, 1), conditions, documents that follow."""
    mixer = subject.mixer
    generator = Generator().manual_seed(seed + 1)
    given = {"d_model": D_MODEL, "heads": _heads(mixer), **_sizes(subject)}
    sizes = resolve(mixer.sizes, given)
    tables, found = _times(mixer, Input), {}
    for line in mixer.lines:
        if isinstance(line, Input):
            dims = (*head_dims(line.sort.heads), *line.sort.axes)
            own = tuple(dim_length(sizes, dim) for dim in dims)
            shape = (BATCH, tokens, *own)
            if line.name in tables:
                shape = (*own, *entries(tables[line.name], tokens, sizes))
            unit = torch.rand(shape, generator=generator, dtype=torch.float64)
            found[line.name] = _of_kind(line.sort.kind, unit)
    return found


def _of_kind(kind: Kind, unit: Tensor) -> Tensor:
    match kind:
        case Kind.BOOL:
            return unit > 0.5
        case Kind.INT:
            return (unit < 0.2).long().cumsum(1)
        case _:
            return unit
