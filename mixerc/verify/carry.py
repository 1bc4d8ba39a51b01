"""What a state is for: a run cut anywhere goes on as if it had not been; packing joins nothing."""

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from mixerc.verify.cases import Case, Inputs, draw, tokens_of
from mixerc.verify.outcome import (
    Run,
    Tensors,
    by_equations,
    differences,
    in_mode,
    outcome,
    prefixed,
)
from mixerc.verify.result import Result, distance, judged
from mixerc.verify.states import (
    LONGEST,
    initial_states,
    past_bounds,
    side_by_side,
    state_names,
)
from mixerc.verify.subject import FAST, Subject


def carry_law(subject: Subject, case: Case, cut: int, first: str, second: str) -> Result:
    """x[:cut] in one mode, x[cut:] in another from its state, against one whole run.

    Gradients flow back through the state that is handed over.
    """
    inputs = draw(subject, case)
    finals = state_names(subject) if second in FAST else ()
    got = outcome(_cut(subject, cut, first, second), inputs, finals=finals)
    want = outcome(in_mode(subject, _whole(subject, second)), inputs, finals=finals)
    where = f"{first} [:{cut}] then {second}, {case.where}"
    return judged("carry", differences(got, want), where=where)


def _whole(subject: Subject, mode: str) -> str:
    return mode if mode == "reference" else subject.other(mode)


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


def pasts_law(subject: Subject, case: Case, first: str, second: str) -> Result:
    """Rows with pasts of different lengths, which packed sequences left, against the equations.

    Each row goes on in one mode, and for its last tokens in another; gradients flow back through
    both states. The equations run each row by itself and whole.
    """
    bounds, ends = past_bounds(case), case.tokens - case.tokens // 3
    long = replace(case, tokens=case.tokens + bounds[-1])
    before = draw(subject, replace(long, batch=1, seed=case.seed + 2))
    inputs = {f"past {n}": x for n, x in before.items() if n in subject.streams}
    inputs |= {
        name: x[:, : case.tokens] if name in subject.streams else x
        for name, x in draw(subject, long).items()
    }
    got = outcome(_resumed(subject, bounds, ends, (first, second)), inputs)
    want = outcome(_each_whole(subject, bounds), inputs)
    where = f"{first}, then {second}, pasts at {bounds}, {case.where}"
    return judged("pasts", differences(got, want), where=where)


def _resumed(subject: Subject, bounds: tuple[int, ...], cut: int, modes: tuple[str, str]) -> Run:
    """The outputs of the tokens that are no past."""

    def run(inputs: Tensors, state: Tensors | None) -> tuple[Tensor, Tensors]:
        before, rest = _parted(subject, inputs)
        past = tokens_of(subject, before, slice(0, bounds[-1]))
        packed = in_mode(subject, modes[1], cu_seqlens=torch.tensor(bounds))
        _, carried = packed(past, None)
        return _cut(subject, cut, *modes)(rest, carried)

    return run


def _each_whole(subject: Subject, bounds: tuple[int, ...]) -> Run:
    """The same by the equations, row for row."""

    def run(inputs: Tensors, state: Tensors | None) -> tuple[Tensor, Tensors]:
        before, rest = _parted(subject, inputs)
        outputs = []
        for row, (start, stop) in enumerate(pairwise(bounds)):
            past = tokens_of(subject, before, slice(start, stop))
            whole = {
                name: torch.cat((past[name], x[row : row + 1]), 1) if name in subject.streams else x
                for name, x in rest.items()
            }
            o, _ = by_equations(subject)(whole, None)
            outputs.append(o[:, stop - start :])
        return torch.cat(outputs), {}

    return run


def _parted(subject: Subject, inputs: Tensors) -> tuple[Inputs, Inputs]:
    """The inputs of all pasts, and those of the tokens behind them."""
    rest = {name: x for name, x in inputs.items() if not name.startswith("past ")}
    return {name: inputs.get(f"past {name}", x) for name, x in rest.items()}, rest


def packed_law(subject: Subject, case: Case, bounds: tuple[int, ...], mode: str) -> Result:
    """Sequences packed in one row, empty ones too, against each by itself from its own state."""
    inputs, first = _packed(subject, case, bounds)
    finals = state_names(subject)
    cu_seqlens = torch.tensor(bounds)
    got = outcome(in_mode(subject, mode, cu_seqlens=cu_seqlens), inputs, first, finals=finals)
    want = outcome(_apart(subject, bounds, subject.other(mode)), inputs, first, finals=finals)
    where = f"{mode} at {bounds}, {case.where}"
    return judged("packed", differences(got, want), where=where)


def _packed(subject: Subject, case: Case, bounds: tuple[int, ...]) -> tuple[Inputs, Inputs | None]:
    """One row of tokens, and a first state for each sequence if there are states."""
    sequences = replace(case, batch=len(bounds) - 1, tokens=1)
    first = initial_states(subject, sequences) if state_names(subject) else None
    longer = replace(case, batch=1, tokens=bounds[-1] + LONGEST)  # a table covers what was before
    return tokens_of(subject, draw(subject, longer), slice(0, bounds[-1])), first


def _apart(subject: Subject, bounds: tuple[int, ...], mode: str) -> Run:
    def run(inputs: Tensors, state: Tensors | None) -> tuple[Tensor, Tensors]:
        outputs, finals = [], []
        for index, (start, stop) in enumerate(pairwise(bounds)):
            own = tokens_of(subject, dict(inputs), slice(start, stop))
            first = {name: x[index : index + 1] for name, x in (state or {}).items()}
            o, last = in_mode(subject, mode)(own, first or None)
            outputs.append(o)
            finals.append(last)
        return torch.cat(outputs, 1), side_by_side(finals, state_names(subject))

    return run


def batch_law(subject: Subject, case: Case) -> Result:
    """A batch is its rows."""
    inputs, finals = draw(subject, case), state_names(subject)
    errors: dict[str, float] = {}
    for mode in subject.modes:
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
        joined = side_by_side([after for _, after in made], state_names(subject))
        return torch.cat([o for o, _ in made]), joined

    return run
