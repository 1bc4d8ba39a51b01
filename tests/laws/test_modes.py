"""One function in three modes: over every linear spec, shapes and seeds at random, in float64."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mixerc.verify.carry import batch_law, carry_law, packed_law
from mixerc.verify.causality import causality_law, rows_law, support_law
from mixerc.verify.generality import generality_law
from mixerc.verify.modes import (
    check_law,
    chunk_law,
    logarithm_law,
    reference_law,
    states_law,
)
from mixerc.verify.subject import FAST
from tests.laws.subjects import cases, check, every_linear, subject

some = settings(max_examples=8)
few = settings(max_examples=4)


@every_linear
def test_modes_and_the_reference(name: str) -> None:
    @some
    @given(case=cases(subject(name), 20))
    def law(case) -> None:
        check(reference_law(subject(name), case))

    law()


@every_linear
def test_states(name: str) -> None:
    @some
    @given(case=cases(subject(name), 140))
    def law(case) -> None:
        check(states_law(subject(name), case))

    law()


@every_linear
def test_any_chunk(name: str) -> None:
    @some
    @given(case=cases(subject(name), 80), power=st.integers(1, 7))
    def law(case, power: int) -> None:
        check(chunk_law(subject(name), case, 1 << power))

    law()


@every_linear
def test_carry(name: str) -> None:
    modes = (*FAST, "reference") if subject(name).given_as_recurrence else FAST

    @some
    @given(
        case=cases(subject(name), 30),
        part=st.floats(0, 1),
        first=st.sampled_from(modes),
        second=st.sampled_from(modes),
    )
    def law(case, part: float, first: str, second: str) -> None:
        check(carry_law(subject(name), case, round(part * case.tokens), first, second))

    law()


@every_linear
def test_packed(name: str) -> None:
    @some
    @given(
        case=cases(subject(name), 1),
        own=st.lists(st.integers(0, 70), min_size=1, max_size=5),
        mode=st.sampled_from(FAST),
    )
    def law(case, own: list[int], mode: str) -> None:
        bounds = tuple(sum(own[:i]) for i in range(len(own) + 1))
        check(packed_law(subject(name), case, bounds, mode))

    law()


@every_linear
def test_logarithms(name: str) -> None:
    if not subject(name).decays:
        return

    @some
    @given(case=cases(subject(name), 80))
    def law(case) -> None:
        check(logarithm_law(subject(name), case))
        check(check_law(subject(name), replace(case, tokens=max(case.tokens, 1))))

    law()


@every_linear
def test_generality(name: str) -> None:
    @few
    @given(case=cases(subject(name), 50))
    def law(case) -> None:
        check(generality_law(subject(name), case))

    law()


@every_linear
def test_causality(name: str) -> None:
    @some
    @given(case=cases(subject(name), 80), part=st.floats(0, 0.99), mode=st.sampled_from(FAST))
    def law(case, part: float, mode: str) -> None:
        case = replace(case, tokens=max(case.tokens, 1))
        check(causality_law(subject(name), case, int(part * case.tokens), mode))
        check(support_law(subject(name), case, int(part * case.tokens), mode))

    law()


@every_linear
def test_rows_of_a_batch(name: str) -> None:
    @few
    @given(case=cases(subject(name), 70))
    def law(case) -> None:
        case = replace(case, batch=3, tokens=max(case.tokens, 1))
        check(rows_law(subject(name), case))
        check(batch_law(subject(name), case))

    law()
