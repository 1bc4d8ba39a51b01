"""The layer against the reference layer: whole, in parts, token by token, packed."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor

from mixerc.ir.expr import Number
from mixerc.ir.mixer import Input, Mixer
from mixerc.ir.sorts import Kind
from mixerc.reference.layer import run_layer
from mixerc.reference.named import head_dims
from mixerc.reference.sizes import dim_length, resolve
from mixerc.verify.modes import FAST
from mixerc.verify.outcome import CANCELLED, gradients, weights
from mixerc.verify.result import Result, distance, judged, rms
from mixerc.verify.subject import Subject

D_MODEL, HEADS, NARROWEST = 16, 2, 4
LAYER, LAYERS = 1, 3
BATCH = 2


def layer_of(subject: Subject, seed: int) -> Any:
    """The layer at small sizes in float64, its weights moved away from where they start."""
    sizes = _sizes(subject.mixer)
    options = {"dtype": torch.float64, "layer": LAYER, "layers": LAYERS}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = subject.run.Layer(D_MODEL, _heads(subject.mixer), **sizes, **options)
        with torch.no_grad():
            for weight in layer.parameters():
                weight += 0.1 * torch.rand_like(weight)
    return layer


def _heads(mixer: Mixer) -> int:
    return next((_number(s.default) for s in mixer.sizes if s.name == "heads"), HEADS)


def _number(default: Any) -> int:
    return int(default.value) if isinstance(default, Number) else HEADS


def _sizes(mixer: Mixer) -> dict[str, int]:
    """Header sizes that are wide by default, made narrow; those without a default are given."""
    wide = (s for s in mixer.sizes if isinstance(s.default, Number) and s.name != "heads")
    given = {s.name: NARROWEST for s in mixer.sizes if s.default is None}
    return {s.name: min(_number(s.default), NARROWEST) for s in wide} | given


def whole_law(subject: Subject, tokens: int, seed: int) -> Result:
    """Both modes of the layer against the reference, with the gradient of every weight."""
    layer, x = layer_of(subject, seed), _x(tokens, seed)
    inputs = _inputs(subject.mixer, tokens, seed)
    want_y, want = _differentiated(lambda w, a: _reference(subject, w, a, inputs), layer, x)
    errors = {}
    for mode in FAST:
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
        {"heads": _heads(subject.mixer), **_sizes(subject.mixer)},
        inputs=inputs,
        cu_seqlens=bounds,
        layer=LAYER,
        layers=LAYERS,
    )


def parts_law(subject: Subject, tokens: int, cuts: tuple[int, ...], seed: int) -> Result:
    """In parts, each mode after each, and token by token through `step`."""
    layer, x = layer_of(subject, seed), _x(tokens, seed)
    inputs = _inputs(subject.mixer, tokens, seed)
    want = _reference(subject, layer.state_dict(), x, inputs)
    errors = {}
    with torch.no_grad():
        for first in FAST:
            modes = (first, *(m for m in FAST if m != first))
            y = _in_parts(layer, x, inputs, (0, *cuts, tokens), modes)
            errors[f"parts, {first} first"] = distance(y, want)
        errors["steps"] = distance(_in_steps(layer, x, inputs), want)
    return judged("layer in parts", errors, where=f"T={tokens} cut at {cuts} seed={seed}")


def _in_parts(layer: Any, x: Tensor, inputs: Any, bounds: Any, modes: tuple[str, ...]) -> Tensor:
    state, parts = None, []
    for index, (start, stop) in enumerate(pairwise(bounds)):
        given = {name: value[:, start:stop] for name, value in inputs.items()}
        y, state = layer(x[:, start:stop], state, mode=modes[index % len(modes)], **given)
        parts.append(y)
    return torch.cat(parts, 1)


def _in_steps(layer: Any, x: Tensor, inputs: Any) -> Tensor:
    state, parts = None, []
    for t in range(x.shape[1]):
        y, state = layer.step(x[:, t], state, **{n: v[:, t] for n, v in inputs.items()})
        parts.append(y)
    return torch.stack(parts, 1)


def packed_layer_law(subject: Subject, bounds: tuple[int, ...], seed: int) -> Result:
    """Packed sequences against the reference, which runs each by itself; then on from there."""
    layer, x = layer_of(subject, seed), _x(bounds[-1], seed)[:1]
    inputs = {n: v[:1] for n, v in _inputs(subject.mixer, bounds[-1], seed).items()}
    want = _reference(subject, layer.state_dict(), x, inputs, bounds)
    errors = {}
    with torch.no_grad():
        for mode in FAST:
            y, _ = layer(x, cu_seqlens=torch.tensor(bounds), mode=mode, **inputs)
            errors[mode] = distance(y, want)
    return judged("layer packed", errors, where=f"at {bounds} seed={seed}")


def _x(tokens: int, seed: int) -> Tensor:
    generator = Generator().manual_seed(seed)
    return torch.randn(BATCH, tokens, D_MODEL, generator=generator, dtype=torch.float64)


def _inputs(mixer: Mixer, tokens: int, seed: int) -> dict[str, Tensor]:
    """What the input lines of a spec want, within (0, 1)."""
    generator = Generator().manual_seed(seed + 1)
    given = {"d_model": D_MODEL, "heads": _heads(mixer), **_sizes(mixer)}
    sizes = resolve(mixer.sizes, given)
    found = {}
    for line in mixer.lines:
        if isinstance(line, Input):
            dims = (*head_dims(line.sort.heads), *line.sort.axes)
            own = [dim_length(sizes, dim) for dim in dims]
            unit = torch.rand(BATCH, tokens, *own, generator=generator, dtype=torch.float64)
            found[line.name] = unit > 0.5 if line.sort.kind is Kind.BOOL else unit
    return found
