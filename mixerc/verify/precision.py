"""Narrow dtypes: a fast mode errs at most twice as much as the equations, computed plainly.

Both are measured by relative RMS against float64 on the rounded inputs. The plain computation is in
float32 and rounds its output, as a kernel does; it knows nothing of plans. Of a linear mixer it is
the token recurrence, of others the reference itself.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from mixerc.reference.float64 import FLOAT32
from mixerc.verify.cases import Case, draw
from mixerc.verify.outcome import (
    CANCELLED,
    Outcome,
    Run,
    Tensors,
    by_equations,
    in_mode,
    outcome,
    rounded,
)
from mixerc.verify.result import Result, distance, judged, rms
from mixerc.verify.subject import Subject

NARROW = (torch.float32, torch.bfloat16, torch.float16)
PLAIN = "plain"
DRAWS = 9
FACTOR = 2.0
FLOOR = 1.0
"""In units in the last place of the dtype."""


def precision_law(
    subject: Subject, case: Case, dtype: torch.dtype, *, draws: int = DRAWS
) -> Result:
    """err(mode) <= 2 · err(plain) + 1 ulp, of the output and of every gradient.

    Medians over some draws: a token where a normaliser passes close to 0, or its maximum changes
    sides, has an error without bound in either, and one draw in a few has such a token. What
    overflows the dtype in the plain computation too is left out.
    """
    found = [_one_draw(subject, replace(case, seed=case.seed + i), dtype) for i in range(draws)]
    floor = FLOOR * torch.finfo(dtype).eps
    errors: dict[str, float] = {}
    for mode in subject.modes:
        for name in found[0][mode]:
            error = median(one[mode][name] for one in found)
            allowed = FACTOR * median(one[PLAIN][name] for one in found) + floor
            if math.isfinite(allowed):
                errors[f"{mode} {name}"] = error / allowed
    return judged("precision", errors, 1.0, f"{dtype}, {case.where}")


def _one_draw(subject: Subject, case: Case, dtype: torch.dtype) -> dict[str, dict[str, float]]:
    """Errors by name, of each mode and of the plain computation."""
    inputs = {n: rounded(x, dtype) for n, x in draw(subject, case).items()}
    wide = {n: rounded(x, torch.float64) for n, x in inputs.items()}
    made = partial(outcome, rounding=dtype)
    exact = made(by_equations(subject), wide)
    runs = {mode: in_mode(subject, mode) for mode in subject.modes}
    runs[PLAIN] = _narrow(by_equations(subject, FLOAT32), dtype)
    return {name: _errors(made(run, inputs), exact) for name, run in runs.items()}


def _narrow(run: Run, dtype: torch.dtype) -> Run:
    """A run whose output is rounded, as a kernel's is."""

    def narrow(inputs: Tensors, state: Tensors | None) -> tuple[Tensor, Mapping[str, Any]]:
        o, after = run(inputs, state)
        return rounded(o, dtype), after

    return narrow


def _errors(got: Outcome, exact: Outcome) -> dict[str, float]:
    least = CANCELLED * max((rms(d) for d in exact.gradients.values()), default=0.0)
    errors = {"o": distance(rounded(got.o, torch.float64), exact.o)}
    for name, gradient in exact.gradients.items():
        found = rounded(got.gradients[name], torch.float64)
        errors[name] = distance(found, gradient, least)
    return errors
