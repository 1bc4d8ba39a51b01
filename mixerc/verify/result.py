"""What a law found: the worst error against its bound, and where."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

EXACT = 1e-10
"""The bound in float64: no wrong formula stays below it."""

TINY = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One law on one case; `detail` names what was worst."""

    law: str
    passed: bool
    worst: float
    bound: float
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A law that a mixer is not subject to, and why."""

    law: str
    reason: str


def judged(law: str, errors: Mapping[str, float], bound: float = EXACT, where: str = "") -> Result:
    """The verdict over named errors; one that is no number counts as infinite."""
    finite = {name: math.inf if math.isnan(error) else error for name, error in errors.items()}
    name = max(finite, key=lambda key: finite[key], default="")
    worst = finite.get(name, 0.0)
    detail = ", ".join(part for part in (name, where) if part)
    return Result(law=law, passed=worst <= bound, worst=worst, bound=bound, detail=detail)


def holds(law: str, failures: list[str], where: str = "") -> Result:
    """The verdict over what is true or false: the failures, said in words."""
    detail = ", ".join(part for part in ("; ".join(failures), where) if part)
    return Result(law=law, passed=not failures, worst=float(len(failures)), bound=0, detail=detail)


def rms(x: Tensor) -> float:
    """The root mean square, 0 of nothing."""
    return float(x.detach().abs().double().square().mean().sqrt()) if x.numel() else 0.0


def distance(got: Tensor, want: Tensor, least: float = 0.0) -> float:
    """|got - want| over |want| as root mean squares, |want| taken as `least` where it is smaller.

    Infinite where the shapes differ, so that nothing is compared by broadcasting, and where they
    are not infinite at the same places, as a state of logarithms may be.
    """
    if got.shape != want.shape:
        return math.inf
    wide = torch.complex128 if want.is_complex() else torch.float64
    error = rms(torch.where(got == want, 0, got.to(wide) - want.to(wide)))
    if error == 0 or not math.isfinite(error):
        return error
    return error / max(rms(want[want.isfinite()]), least, TINY)
