"""What must not reach what: later tokens, other rows of the batch."""

from dataclasses import replace

import torch
from torch import Tensor

from mixerc.verify.cases import Case, Inputs, draw
from mixerc.verify.outcome import (
    Outcome,
    Tensors,
    as_leaf,
    by_equations,
    gradients,
    in_mode,
    outcome,
    rounded,
    weighted,
    weights,
)
from mixerc.verify.result import Result, holds
from mixerc.verify.states import state_names
from mixerc.verify.subject import Subject, looks_ahead


def causality_law(subject: Subject, case: Case, cut: int, mode: str) -> Result:
    """Other tokens from `cut` on change no bit of the output before."""
    inputs = draw(subject, case)
    others = draw(subject, replace(case, seed=case.seed + 100))
    changed = {
        name: torch.cat((x[:, :cut], others[name][:, cut:]), 1) if _varies(subject, name) else x
        for name, x in inputs.items()
    }
    run = in_mode(subject, mode)
    o, other = run(inputs, None)[0], run(changed, None)[0]
    failures = []
    if not torch.equal(o[:, :cut], other[:, :cut]):
        failures.append(f"{mode}: o[:{cut}] changes with later tokens")
    return holds("causality", failures, case.where)


def _varies(subject: Subject, name: str) -> bool:
    return name in subject.streams


def support_law(subject: Subject, case: Case, t: int, mode: str) -> Result:
    """The gradient of o[t] is 0 exactly where that of the equations is: at t, the mask's row."""
    inputs = draw(subject, replace(case, mild=True))
    reach = _reach(subject, inputs, t, mode)
    failures = []
    if not looks_ahead(subject) and bool(reach[:, t + 1 :].any()):
        failures.append(f"{mode}: o[{t}] depends on later tokens")
    if not (subject.is_linear and bool(reach[:, : t + 1].all())):
        want = _reach(subject, inputs, t, "reference")
        if bool((reach & ~want).any()):
            failures.append(f"{mode}: o[{t}] depends on a token that it does not see")
        if bool((want & ~reach).any()):
            failures.append(f"{mode}: o[{t}] misses a token")
    return holds("support", failures, case.where)


def _reach(subject: Subject, inputs: Inputs, t: int, mode: str) -> Tensor:
    """Which tokens of each row move o[t]."""
    leaves = {n: as_leaf(x) for n, x in inputs.items()}
    o, _ = in_mode(subject, mode)(leaves, None)
    at_t = o[:, t]
    streams = {n: x for n, x in leaves.items() if _varies(subject, n) and x.requires_grad}
    found = gradients(weighted(at_t, weights("at t", at_t)), streams)
    reach = sum(d.abs().flatten(2).sum(-1) for d in found.values())
    assert isinstance(reach, Tensor)
    return reach != 0


def rows_law(subject: Subject, case: Case) -> Result:
    """A row of the batch full of NaN changes no bit of another row, forward or backward."""
    inputs = draw(subject, case)
    spoiled = {
        name: _spoiled(x, 1) if _varies(subject, name) and x.is_floating_point() else x
        for name, x in inputs.items()
    }
    failures = []
    for mode in subject.modes:
        finals = state_names(subject)
        clean = outcome(in_mode(subject, mode), inputs, finals=finals)
        dirty = outcome(in_mode(subject, mode), spoiled, finals=finals)
        pairs = {"o": (clean.o, dirty.o)}
        pairs |= {n: (clean.states[n], dirty.states[n]) for n in finals}
        streams = [n for s in subject.streams if (n := f"d {s}") in clean.gradients]
        pairs |= {n: (clean.gradients[n], dirty.gradients[n]) for n in streams}
        failures += [f"{mode}: {n} of another row changes" for n, p in pairs.items() if _leaks(*p)]
    return holds("rows apart", failures, case.where)


def _spoiled(x: Tensor, row: int) -> Tensor:
    spoiled = x.clone()
    spoiled[row] = torch.nan
    return spoiled


def _leaks(clean: Tensor, dirty: Tensor) -> bool:
    others = [row for row in range(clean.shape[0]) if row != 1]
    return not torch.equal(clean[others], dirty[others])


def finite_law(subject: Subject, case: Case, dtype: torch.dtype) -> Result:
    """Nothing overflows in a narrow dtype: outputs, states and gradients are finite, but for slopes
    that are not (that of sqrt(1 - a^2) where a decay is rounded to 1)."""
    inputs: Inputs = {n: rounded(x, dtype) for n, x in draw(subject, case).items()}
    finals, failures = state_names(subject), []
    for mode in subject.modes:
        values = _results(outcome(in_mode(subject, mode), inputs, finals=finals))
        if all(bool(x.isfinite().all()) for x in values.values()):
            continue
        wide = {n: rounded(x, torch.float64) for n, x in inputs.items()}
        exact = _results(outcome(by_equations(subject), wide, finals=finals))
        failures += [
            f"{mode}: {n}"
            for n, x in values.items()
            if bool((~x.isfinite() & exact[n].isfinite()).any())
        ]
    return holds("finite", failures, f"{dtype}, {case.where}")


def _results(found: Outcome) -> Tensors:
    return {"o": found.o, **found.states, **found.gradients}
