"""What a state is for: a run cut anywhere goes on as if it had not been; packing joins nothing."""

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from mixerc.verify.cases import Case, Inputs, draw, initial_states, tokens_of
from mixerc.verify.modes import FAST, state_names
from mixerc.verify.outcome import Run, Tensors, differences, in_mode, outcome, prefixed
from mixerc.verify.result import Result, distance, judged
from mixerc.verify.subject import Subject


def carry_law(subject: Subject, case: Case, cut: int, first: str, second: str) -> Result:
    """x[:cut] in one mode, x[cut:] in another from its state, against one whole run.

    Gradients flow back through the state that is handed over.
    """
    inputs = draw(subject, case)
    finals = state_names(subject) if second in FAST else ()
    got = outcome(_cut(subject, cut, first, second), inputs, finals=finals)
    want = outcome(in_mode(subject, _other(second)), inputs, finals=finals)
    where = f"{first} [:{cut}] then {second}, {case.where}"
    return judged("carry", differences(got, want), where=where)


def _other(mode: str) -> str:
    return mode if mode == "reference" else next(m for m in FAST if m != mode)


def _cut(subject: Subject, cut: int, first: str, second: str) -> Run:
    def run(inputs: Tensors, state: Tensors | None) -> tuple[Tensor, Tensors]:
        whole = dict(inputs)
        head = tokens_of(subject, whole, slice(0, cut))
        tail = tokens_of(subject, whole, slice(cut, None))
        o, carried = in_mode(subject, first)(head, state)
        rest, last = in_mode(subject, second)(tail, carried)
        return torch.cat((o, rest), 1), last

    return run


def reference_carry_law(subject: Subject, case: Case, cut: int) -> Result:
    """The same of the reference alone, for mixers without fast modes: outputs only."""
    inputs = draw(subject, case)
    whole, _ = in_mode(subject, "reference")(inputs, None)
    run = _cut(subject, cut, "reference", "reference")
    parts, _ = run(inputs, None)
    return judged("carry", {"o": distance(_real(parts), _real(whole))}, where=case.where)


def _real(x: Tensor) -> Tensor:
    return torch.view_as_real(x) if x.is_complex() else x


def packed_law(subject: Subject, case: Case, bounds: tuple[int, ...], mode: str) -> Result:
    """Sequences packed in one row, empty ones too, against each by itself from its own state."""
    inputs, first = _packed(subject, case, bounds)
    finals = state_names(subject)
    cu_seqlens = torch.tensor(bounds)
    got = outcome(in_mode(subject, mode, cu_seqlens=cu_seqlens), inputs, first, finals=finals)
    want = outcome(_apart(subject, bounds, _other(mode)), inputs, first, finals=finals)
    where = f"{mode} at {bounds}, {case.where}"
    return judged("packed", differences(got, want), where=where)


def _packed(subject: Subject, case: Case, bounds: tuple[int, ...]) -> tuple[Inputs, Inputs]:
    """One row of tokens, and a first state for each sequence."""
    row = replace(case, batch=1, tokens=bounds[-1])
    sequences = replace(case, batch=len(bounds) - 1, tokens=1)
    return draw(subject, row), initial_states(subject, sequences)


def _apart(subject: Subject, bounds: tuple[int, ...], mode: str) -> Run:
    def run(inputs: Tensors, state: Tensors | None) -> tuple[Tensor, Tensors]:
        outputs, finals = [], []
        for index, (start, stop) in enumerate(pairwise(bounds)):
            own = tokens_of(subject, dict(inputs), slice(start, stop))
            first = {name: x[index : index + 1] for name, x in (state or {}).items()}
            o, last = in_mode(subject, mode)(own, first or None)
            outputs.append(o)
            finals.append(last)
        names = state_names(subject)
        return torch.cat(outputs, 1), {n: torch.cat([f[n] for f in finals]) for n in names}

    return run


def batch_law(subject: Subject, case: Case) -> Result:
    """A batch is its rows."""
    inputs, finals = draw(subject, case), state_names(subject)
    errors: dict[str, float] = {}
    for mode in FAST:
        whole = outcome(in_mode(subject, mode), inputs, finals=finals)
        apart = outcome(_rows(subject, mode), inputs, finals=finals)
        errors |= prefixed(mode, differences(whole, apart))
    return judged("batch", errors, where=case.where)


def _rows(subject: Subject, mode: str) -> Run:
    def run(inputs: Tensors, state: Tensors | None) -> tuple[Tensor, Tensors]:
        streams = subject.streams
        count = inputs[streams[0]].shape[0]
        made = [
            in_mode(subject, mode)(
                {n: x[i : i + 1] if n in streams else x for n, x in inputs.items()}, None
            )
            for i in range(count)
        ]
        names = state_names(subject)
        joined = {name: torch.cat([after[name] for _, after in made]) for name in names}
        return torch.cat([o for o, _ in made]), joined

    return run
