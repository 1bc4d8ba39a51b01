"""A run and its gradients, and how far two of these are apart."""

import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor

from mixerc.algebra.classify import Algebra
from mixerc.algebra.linear import Linear, Scaled
from mixerc.algebra.stages import Peak, Recurrence
from mixerc.reference.domain import Domain
from mixerc.reference.float64 import FLOAT64
from mixerc.reference.interpret import run_core
from mixerc.verify.recurrence import run_linear
from mixerc.verify.result import distance, rms
from mixerc.verify.subject import Subject

Tensors: TypeAlias = Mapping[str, Tensor]
Run: TypeAlias = Callable[[Tensors, Tensors | None], tuple[Tensor, Mapping[str, Any]]]

CANCELLED = 1e-3
"""A gradient far below the largest is a difference of such: it is measured against this part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Output, final states, and gradients of a weighted sum of these by every input."""

    o: Tensor
    states: Tensors
    gradients: Tensors


def in_mode(subject: Subject, mode: str, **options: Any) -> Run:
    """The compiled mixer in one of its modes; options are `chunk`, `cu_seqlens`, `check`."""

    def run(inputs: Tensors, state: Tensors | None) -> tuple[Tensor, Mapping[str, Any]]:
        given: dict[str, Any] = _moved({**inputs, **options}, subject.device)
        first = None if state is None else _moved(state, subject.device)
        o, after = subject.run(state=first, mode=mode, **given)
        return o.cpu(), as_in_equations(subject, _moved(after, "cpu"))

    return run


def as_in_equations(subject: Subject, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state whose running maximum is put back into the states that are kept over it."""
    name, scaled, axes = _peak(subject)
    if name not in state:
        return state
    raised = state[name].exp()
    lead = [slice(None)] * (raised.dim() - len(axes[name]))
    made = {}
    for key in scaled:
        places = [slice(None) if axis in axes[name] else None for axis in axes[key]]
        made[key] = state[key] * raised[(*lead, *places)]
    return {key: made.get(key, x) for key, x in state.items() if key != name}


def _peak(subject: Subject) -> tuple[str, Collection[str], Mapping[str, tuple[str, ...]]]:
    """The state that is a running maximum ("" if none is), those kept over it, and their axes."""
    match subject.algebra:
        case Algebra(recurrence=Recurrence(peak=Peak(name=name, scaled=scaled), states=states)):
            return name, scaled, {s.name: s.sort.axes for s in states}
        case Algebra(linear=Linear(scaled=Scaled(peak=name, names=scaled), states=linear)):
            return name, scaled, {name: (), **{s.name: s.axes for s in linear}}
        case _:
            return "", (), {}


def _moved(values: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Tensors on a device; the laws themselves are on the CPU."""
    return {n: x.to(device) if isinstance(x, Tensor) else x for n, x in values.items()}


def by_equations(subject: Subject, domain: Domain = FLOAT64) -> Run:
    """What fast modes are measured against: a linear form token by token, else the equations."""

    def run(inputs: Tensors, state: Tensors | None) -> tuple[Tensor, Mapping[str, Any]]:
        mixer, sizes = subject.mixer, subject.sizes
        if not subject.is_linear:
            return run_core(mixer, inputs, sizes, state=state, domain=domain)
        return run_linear(mixer, subject.linear, inputs, sizes, state=state, domain=domain)

    return run


def outcome(
    run: Run,
    inputs: Tensors,
    state: Tensors | None = None,
    *,
    finals: tuple[str, ...] = (),
    rounding: torch.dtype = torch.float64,
) -> Outcome:
    """One run with gradients; those of the states in `finals` flow in as well, where they are real.

    `rounding` is the dtype that the cotangent of the output is rounded to.
    """
    leaves = {name: as_leaf(x) for name, x in inputs.items()}
    first = None if state is None else {name: as_leaf(x) for name, x in state.items()}
    o, after = run(leaves, first)
    total = weighted(o, rounded(weights("o", o), rounding).to(o.dtype))
    for name in finals:
        if after[name].is_floating_point() or after[name].is_complex():
            total = total + weighted(after[name], weights(name, after[name]))
    wanted = {f"d {name}": x for name, x in leaves.items() if x.requires_grad}
    wanted |= {f"d first {name}": x for name, x in (first or {}).items() if x.requires_grad}
    return Outcome(
        o=o.detach(),
        states={name: after[name].detach() for name in finals},
        gradients=gradients(total, wanted),
    )


def weighted(x: Tensor, by: Tensor) -> Tensor:
    """The sum of products; of complex values that of the real and of the imaginary parts."""
    return (x * by.conj()).real.sum() if x.is_complex() else (x * by).sum()


def rounded(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The value in another dtype: real, or complex of at least single precision."""
    if x.is_complex():
        return x.to(torch.complex128 if dtype is torch.float64 else torch.complex64)
    return x.to(dtype) if x.is_floating_point() else x


def gradients(total: Tensor, wanted: Tensors) -> dict[str, Tensor]:
    """The gradient by every tensor, 0 where the total does not depend on it."""
    if not total.requires_grad:
        return {name: torch.zeros_like(x) for name, x in wanted.items()}
    found = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)
    pairs = zip(wanted.items(), found, strict=True)
    return {name: torch.zeros_like(x) if d is None else d for (name, x), d in pairs}


def as_leaf(x: Tensor) -> Tensor:
    """A copy that gradients flow to, where they can."""
    return x.detach().clone().requires_grad_(x.is_floating_point() or x.is_complex())


def weights(name: str, like: Tensor) -> Tensor:
    """A fixed random cotangent for a result, the same for all who compute it."""
    generator = Generator().manual_seed(zlib.crc32(f"{name} {tuple(like.shape)}".encode()))
    kind = torch.complex128 if like.is_complex() else torch.float64
    drawn = torch.randn(like.shape, generator=generator, dtype=kind)
    return drawn.to(like.dtype)


def differences(got: Outcome, want: Outcome) -> dict[str, float]:
    """Relative errors of everything in `want`, by name."""
    errors = {"o": distance(got.o, want.o)}
    for name, state in want.states.items():
        errors[name] = distance(got.states[name], state)
    least = CANCELLED * max((rms(d) for d in want.gradients.values()), default=0.0)
    for name, gradient in want.gradients.items():
        errors[name] = distance(got.gradients[name], gradient, least)
    return errors


def prefixed(prefix: str, errors: Mapping[str, float]) -> dict[str, float]:
    """The errors under longer names."""
    return {f"{prefix} {name}": error for name, error in errors.items()}
