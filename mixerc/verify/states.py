"""What a mixer keeps from call to call: by name, drawn before the first token, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from random import Random

import torch
from torch import Generator, Tensor

from mixerc.plan.sweep import kept_names, sweep_plan
from mixerc.reference.sizes import dim_length, infer_sizes
from mixerc.verify.cases import Case, Inputs, draw
from mixerc.verify.outcome import in_mode
from mixerc.verify.subject import Subject, divides_by_sums

SEEN = "seen"
"""How many tokens each sequence has had, beside the caches of masked attention."""
LONGEST = 9
"""Tokens before the first one of a case."""


def state_names(subject: Subject) -> tuple[str, ...]:
    """The states that a mixer keeps; none where it cannot go on from one."""
    if subject.states:
        return tuple(name for name, _, _ in subject.states)
    if subject.algebra.attention is None or not subject.carries:
        return ()
    plan = sweep_plan(subject.algebra.attention, logarithms=frozenset())
    return (*kept_names(plan), SEEN)


def initial_states(subject: Subject, case: Case) -> Inputs:
    """States before the first token, by name: at random, or those that some tokens leave."""
    return _drawn(subject, case) if subject.states else _left(subject, case)


def _drawn(subject: Subject, case: Case) -> Inputs:
    """Random states [B, H, axes…]."""
    inputs = draw(subject, replace(case, tokens=max(case.tokens, 1)))
    sizes = infer_sizes(subject.mixer, inputs, subject.sizes)
    generator = Generator().manual_seed(case.seed + 2)
    found = {}
    for name, axes, is_complex in subject.states:
        heads = () if name in headless(subject) else (case.heads,)
        shape = (case.batch, *heads, *(dim_length(sizes, a) for a in axes))
        kind = torch.complex128 if is_complex else torch.float64
        drawn = torch.randn(shape, generator=generator, dtype=kind)
        # A state that outputs divide by has the sign of a sum of weights.
        found[name] = drawn.abs() if divides_by_sums(subject.algebra) else drawn
    return found


def headless(subject: Subject) -> tuple[str, ...]:
    """The states that belong to no head."""
    return tuple(s.name for s in subject.mixer.core.states if s.sort.heads.shared)


def _left(subject: Subject, case: Case) -> Inputs:
    """Caches of different lengths in different rows: packed sequences leave them."""
    bounds = past_bounds(case)
    before = draw(subject, replace(case, batch=1, tokens=bounds[-1], seed=case.seed + 2))
    run = in_mode(subject, "parallel", cu_seqlens=torch.tensor(bounds))
    _, state = run(before, None)
    return {name: state[name].detach() for name in state_names(subject)}


def past_bounds(case: Case) -> tuple[int, ...]:
    """Where the past of each row of a case starts and ends, packed in one row."""
    random = Random(case.seed)
    return (0, *accumulate(random.randint(0, LONGEST) for _ in range(case.batch)))


def side_by_side(states: Sequence[Mapping[str, Tensor]], names: Sequence[str]) -> Inputs:
    """The states of several runs as rows of one; a cache with fewer slots gets empty ones."""
    return {name: torch.cat(_as_long([state[name] for state in states])) for name in names}


def _as_long(caches: Sequence[Tensor]) -> list[Tensor]:
    if caches[0].dim() < 3:
        return list(caches)
    slots = max(x.shape[2] for x in caches)
    return [
        torch.cat((x, x.new_zeros(*x.shape[:2], slots - x.shape[2], *x.shape[3:])), 2)
        for x in caches
    ]
