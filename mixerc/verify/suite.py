"""Which laws a spec is tried on, on which cases; `verify` runs them and reports."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from random import Random
from typing import TypeAlias

from mixerc.ir.mixer import Stack
from mixerc.source import read_source
from mixerc.verify.carry import batch_law, carry_law, packed_law, pasts_law, reference_carry_law
from mixerc.verify.cases import Case, random_case, wide_case
from mixerc.verify.causality import causality_law, finite_law, rows_law, support_law
from mixerc.verify.emission import emission_law, language_law, stack_law
from mixerc.verify.generality import generality_law
from mixerc.verify.layers import packed_layer_law, parts_law, whole_law
from mixerc.verify.modes import (
    check_law,
    chunk_law,
    logarithm_law,
    reference_law,
    states_law,
)
from mixerc.verify.precision import NARROW, precision_law
from mixerc.verify.report import Report
from mixerc.verify.result import Result, Skipped
from mixerc.verify.subject import Subject, looks_ahead, subject_of

Job: TypeAlias = tuple[str, Callable[[], Result]]

CORE_LAWS = (
    *("modes", "states", "chunks", "check", "logarithms", "pasts", "packed", "batch"),
    *("rows apart", "support", "generality", "precision", "finite"),
)
LAYER_LAWS = ("layer", "layer in parts", "layer packed")
SEED = 2024


def verify(
    spec: str | Path,
    *,
    quick: bool = False,
    target: str = "torch",
    device: str = "cpu",
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Tries every law that applies to a spec; raises SpecError for a spec with mistakes.

    `progress` is told what runs. With `quick` there are fewer and smaller cases. `target` is what
    is compiled, and `device` where it runs: Triton kernels run on a GPU ("cuda"), or on a CPU
    where TRITON_INTERPRET=1 is set.
    """
    start = time.perf_counter()
    source = read_source(spec)
    subject = subject_of(source, target, device)
    if isinstance(subject, Stack):
        title = f"{subject.name}: a stack"
        jobs: list[Job] = [("language", partial(stack_law, source, subject))]
        skipped = _skipped((*CORE_LAWS, *LAYER_LAWS), "this version runs stacks in the reference")
    else:
        title = f"{subject.mixer.name}: {subject.algebra.family}"
        jobs = list(_jobs(subject, quick))
        skipped = tuple(_not_applied(subject))
    results = []
    for index, (law, job) in enumerate(jobs, 1):
        if progress is not None:
            progress(f"{title.split(':')[0]}: {law} ({index} of {len(jobs)})")
        results.append(_tried(law, job))
    seconds = time.perf_counter() - start
    return Report(title=title, results=tuple(results), skipped=skipped, seconds=seconds)


def _tried(law: str, job: Callable[[], Result]) -> Result:
    """A law's verdict; one that cannot be computed does not hold."""
    try:
        return job()
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as e:
        detail = f"{type(e).__name__}: {e}"
        return Result(law=law, passed=False, worst=float("inf"), bound=0, detail=detail)


def _jobs(subject: Subject, quick: bool) -> Iterator[Job]:
    yield "language", partial(language_law, subject)
    draw = _Cases(subject)
    if not subject.fast:
        yield from _reference_jobs(subject, draw)
        return
    yield from _mode_jobs(subject, draw, quick)
    yield from _carry_jobs(subject, draw, quick)
    yield from _boundary_jobs(subject, draw, quick)
    yield from _narrow_jobs(subject, draw, quick)
    if subject.mixer.y is not None and subject.device == "cpu":
        yield from _layer_jobs(subject, quick)
    if not quick:
        yield "emission", partial(emission_law, subject)


class _Cases:
    """Random cases of a subject, one after the other from one seed."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.random = Random(SEED)

    def __call__(self, tokens: int, batch: int = 2) -> Case:
        return random_case(self.subject, self.random, tokens=tokens, batch=batch)

    def wide(self, tokens: int) -> Case:
        """One with enough numbers to measure precision on."""
        return wide_case(self.subject, self.random, tokens=tokens)


def _reference_jobs(subject: Subject, draw: _Cases) -> Iterator[Job]:
    if looks_ahead(subject):
        return
    for tokens in (5, 9, 13):
        yield "carry", partial(reference_carry_law, subject, draw(tokens), tokens // 2)
        yield "causality", partial(causality_law, subject, draw(tokens), 3, "reference")


def _mode_jobs(subject: Subject, draw: _Cases, quick: bool) -> Iterator[Job]:
    for tokens in (1, 5, 20) if quick else (0, 1, 2, 5, 20, 37, 66):
        yield "modes", partial(reference_law, subject, draw(tokens))
    if subject.states:
        for tokens in (1, 65) if quick else (0, 1, 5, 63, 64, 65, 130, 1100):
            yield "states", partial(states_law, subject, draw(tokens))
    if subject.is_linear:
        yield from _linear_jobs(subject, draw, quick)
    yield "check", partial(check_law, subject, draw(20))
    if subject.decays:
        for tokens in (20,) if quick else (1, 20, 70):
            yield "logarithms", partial(logarithm_law, subject, draw(tokens))


def _linear_jobs(subject: Subject, draw: _Cases, quick: bool) -> Iterator[Job]:
    """What only linear mixers have: chunks, and transitions in an order."""
    least = 16 if subject.device != "cpu" else 2  # a matrix unit takes no fewer rows
    for chunk in (2, 16) if quick else (2, 4, 8, 16, 32, 64, 128):
        if chunk < least:
            continue
        yield "chunks", partial(chunk_law, subject, draw(37), chunk)
    for tokens in (20,) if quick else (5, 40):
        yield "generality", partial(generality_law, subject, draw(tokens))


def _carry_jobs(subject: Subject, draw: _Cases, quick: bool) -> Iterator[Job]:
    if subject.carries:
        yield from _resumed_jobs(subject, draw, quick)
    for mode in subject.modes:
        for bounds in ((0, 3, 3, 20),) if quick else ((0, 3, 3, 20), (0, 0, 70, 71, 140)):
            yield "packed", partial(packed_law, subject, draw(bounds[-1]), bounds, mode)
    yield "batch", partial(batch_law, subject, draw(12, batch=3))


def _resumed_jobs(subject: Subject, draw: _Cases, quick: bool) -> Iterator[Job]:
    """Every mode after every mode."""
    also = ("reference",) if subject.given_as_recurrence else ()
    for first, second in product((*subject.modes, *also), repeat=2):
        for cut in (9,) if quick else (0, 1, 9, 20):
            yield "carry", partial(carry_law, subject, draw(20), cut, first, second)
    if not subject.states:
        for first, second in product(subject.modes, repeat=2):
            yield "pasts", partial(pasts_law, subject, draw(9, batch=3), first, second)


def _boundary_jobs(subject: Subject, draw: _Cases, quick: bool) -> Iterator[Job]:
    ordered = not looks_ahead(subject)
    for mode in subject.modes:
        for tokens, cut in ((20, 7),) if quick else ((20, 7), (70, 64), (70, 1), (130, 66)):
            if ordered:
                yield "causality", partial(causality_law, subject, draw(tokens), cut, mode)
            yield "support", partial(support_law, subject, draw(tokens), cut, mode)
    yield "rows apart", partial(rows_law, subject, draw(20, batch=3))


def _narrow_jobs(subject: Subject, draw: _Cases, quick: bool) -> Iterator[Job]:
    lengths: tuple[int, ...] = (130,) if quick else (40, 300, 1000)
    if not subject.is_linear:
        lengths = (40,) if quick else (40, 150)  # the equations look at every pair
    for dtype in NARROW:
        for tokens in lengths:
            yield "precision", partial(precision_law, subject, draw.wide(tokens), dtype)
        yield "finite", partial(finite_law, subject, draw(70), dtype)


def _layer_jobs(subject: Subject, quick: bool) -> Iterator[Job]:
    for seed, tokens in enumerate((9,) if quick else (1, 9, 30)):
        yield "layer", partial(whole_law, subject, tokens, seed)
    for seed, cuts in enumerate(((1, 5),) if quick else ((1, 5), (2, 3, 8))):
        if subject.carries:
            yield "layer in parts", partial(parts_law, subject, 9, cuts, seed)
        yield "layer packed", partial(packed_layer_law, subject, (0, 3, 3, 9), seed)


def _not_applied(subject: Subject) -> Iterator[Skipped]:
    """The laws that a mixer is not subject to."""
    if not subject.fast:
        reason = next(mode.reason for mode in subject.algebra.modes if not mode.legal)
        yield from _skipped((*CORE_LAWS, *LAYER_LAWS, "emission"), reason)
        if looks_ahead(subject):
            yield from _skipped(("carry", "causality"), looks_ahead(subject))
        return
    yield from _of_other_classes(subject)
    if not subject.decays:
        yield from _skipped(("logarithms",), "no input of its core is a decay by itself")
    if looks_ahead(subject):
        yield from _skipped(("causality",), looks_ahead(subject))
    if subject.mixer.y is None:
        yield from _skipped(LAYER_LAWS, "the spec has no `y`")
    elif subject.device != "cpu":
        yield from _skipped(LAYER_LAWS, "the layer around the core is PyTorch on any device")
    elif not subject.carries:
        yield from _skipped(("layer in parts",), _unstepped(subject))


def _of_other_classes(subject: Subject) -> Iterator[Skipped]:
    """The laws that speak of what the class does not have."""
    if subject.states:
        yield from _skipped(("pasts",), "its states are drawn at random, and not left by tokens")
    else:
        yield from _skipped(("states",), "it keeps tokens, which are not drawn at random")
    if subject.is_linear:
        return
    yield from _skipped(("chunks",), "no mode of it has chunks")
    yield from _skipped(("generality",), "no more general class has kernels")
    if not subject.carries and not subject.states:
        yield from _skipped(("carry", "pasts"), _unstepped(subject))


def _unstepped(subject: Subject) -> str:
    """Why there is no recurrent mode."""
    return next(mode.reason for mode in subject.algebra.modes if mode.name == "recurrent")


def _skipped(laws: tuple[str, ...], reason: str) -> tuple[Skipped, ...]:
    return tuple(Skipped(law=law, reason=reason) for law in laws)
