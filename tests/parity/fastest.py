"""A spec as this version runs it: in its fast modes where it has them, else by its equations.

A test that is written with these compares the reference while there is nothing else, and the
compiled mixer from when there is one. A compiled layer takes the reference's place likewise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import mixerc
from mixerc.compiler import front, read_source
from mixerc.reference.initial import init_weights
from mixerc.reference.layer import run_layer

SPECS = Path(__file__).parents[2] / "specs"


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """A layer that others wrote, and how ours is built to be the same.

    `names` are our weights' names and theirs. By our name, `ours_of` lays a weight of theirs out
    as ours, and `theirs_of` a gradient of ours as theirs. `inputs` are the spec's input lines,
    `tables` its buffers, `built_with` what the layer alone has to be told.
    """

    spec: str
    module: nn.Module
    run: Callable[[Tensor], Tensor]
    names: Mapping[str, str]
    sizes: Mapping[str, int]
    heads: int
    width: int
    tokens: int
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    tables: Mapping[str, Tensor] = field(default_factory=dict)
    built_with: Mapping[str, int] = field(default_factory=dict)
    ours_of: Callable[[str, Tensor], Tensor] = lambda name, weight: weight
    theirs_of: Callable[[str, Tensor], Tensor] = lambda name, weight: weight

    @property
    def weights(self) -> dict[str, Tensor]:
        """Their weights under our names and in our layout."""
        theirs = dict(self.module.named_parameters())
        return {
            ours: self.ours_of(ours, theirs[name].detach()) for ours, name in self.names.items()
        }


@dataclass(frozen=True, kw_only=True)
class OurLayer:
    """Our layer with their weights: `run` gives y of x, `weights` are what it differentiates.

    `compiled` is the compiled module, None where the reference stands in for it.
    """

    run: Callable[[Tensor], Tensor]
    weights: Mapping[str, Tensor]
    compiled: Any = None


def compiled(spec: str, **sizes: float) -> Any:
    """A shipped spec for the torch target."""
    return mixerc.compile(str(SPECS / f"{spec}.mix"), target="torch", **sizes)


def modes(mixer: Any) -> list[str]:
    """The modes that this version has."""
    return [mode for mode, said in mixer.modes.items() if said == "legal"]


def fastest(mixer: Any) -> str:
    """The mode that runs whole sequences, with gradients."""
    return next(mode for mode in ("parallel", "recurrent", "reference") if mode in modes(mixer))


def our_layer(theirs: Theirs) -> OurLayer:
    """The compiled layer where there is one."""
    mixer = compiled(theirs.spec, **theirs.sizes)
    if fastest(mixer) != "reference":
        return _compiled_layer(theirs, mixer)
    return _reference_layer(theirs)


def _compiled_layer(theirs: Theirs, mixer: Any) -> OurLayer:
    sizes = {"d_model": theirs.width, "heads": theirs.heads, **theirs.built_with}
    layer = mixer.Layer(**sizes, dtype=torch.float64)
    parameters, buffers = dict(layer.named_parameters()), dict(layer.named_buffers())
    assert parameters.keys() == theirs.weights.keys()
    with torch.no_grad():
        for name, weight in theirs.weights.items():
            parameters[name].copy_(weight.reshape(parameters[name].shape))
        for name, table in theirs.tables.items():
            buffers[name].copy_(table)
    return OurLayer(run=lambda x: layer(x, **theirs.inputs)[0], weights=parameters, compiled=layer)


def _reference_layer(theirs: Theirs) -> OurLayer:
    mixer = front(read_source(SPECS / f"{theirs.spec}.mix"))
    sizes = {"d_model": theirs.width, "heads": theirs.heads, **theirs.sizes, **theirs.built_with}
    like = init_weights(mixer, sizes, torch.Generator())
    assert like.keys() == theirs.weights.keys() | theirs.tables.keys()
    weights = {
        name: weight.reshape(like[name].shape).clone().requires_grad_()
        for name, weight in theirs.weights.items()
    }

    def run(x: Tensor) -> Tensor:
        return run_layer(mixer, {**weights, **theirs.tables}, x, sizes, inputs=theirs.inputs)

    return OurLayer(run=run, weights=weights)


def gradients(output: Tensor, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The gradients of a random sum of the output, the same sum for outputs of one shape."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(output.shape, generator=generator, dtype=output.dtype)
    found = torch.autograd.grad((output * weight).sum(), list(values.values()), allow_unused=False)
    return dict(zip(values, found, strict=True))


def worst(got: Mapping[str, Tensor], want: Mapping[str, Tensor]) -> tuple[float, str]:
    """The largest relative RMS error among tensors of the same names, and whose it is.

    An error is relative to its tensor, but at least to a thousandth of the largest one: some
    gradients are exactly 0, as of a number that is added to every score of a row.
    """
    assert got.keys() == want.keys()
    sizes = {name: float(x.detach().square().mean().sqrt()) for name, x in want.items()}
    least = max(sizes.values()) / 1000
    errors = {
        name: float((got[name].detach() - x.detach()).square().mean().sqrt())
        / max(sizes[name], least)
        for name, x in want.items()
    }
    return max((error, name) for name, error in errors.items())
