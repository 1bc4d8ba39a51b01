"""Specs that nobody wrote: every law of the core in float64 on random mixers of the class."""

from random import Random

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from mixerc.verify.carry import carry_law, packed_law
from mixerc.verify.cases import random_case
from mixerc.verify.causality import causality_law, rows_law
from mixerc.verify.emission import language_law
from mixerc.verify.generality import generality_law
from mixerc.verify.layers import packed_layer_law, parts_law, whole_law
from mixerc.verify.modes import chunk_law, logarithm_law, reference_law, states_law
from mixerc.verify.subject import FAST
from tests.laws.specs import blends, clauses, deltas, recurrences
from tests.laws.subjects import check, subject_of_text

# Shrinking a spec takes minutes; the failing text is printed as it was drawn.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
seeds = st.integers(0, 2**20)
FORMS = {
    "recurrence": (recurrences, 16),
    "clauses": (clauses, 16),
    "blend": (blends, 6),
    "delta": (deltas, 10),
}
every_form = pytest.mark.parametrize("form", FORMS)


def over(form: str, share: float = 1.0):
    """Hypothesis over texts of a form and seeds, a share of the usual number of examples."""
    texts, count = FORMS[form]

    def decorate(law):
        return settings(max_examples=max(int(share * count), 2), phases=PHASES)(
            given(texts(), seeds)(law)
        )

    return decorate


@every_form
def test_modes(form: str) -> None:
    @over(form)
    def law(text: str, seed: int) -> None:
        subject, random = subject_of_text(text), Random(seed)
        check(language_law(subject))
        check(reference_law(subject, random_case(subject, random, tokens=random.randint(0, 12))))
        check(states_law(subject, random_case(subject, random, tokens=random.randint(60, 70))))
        case = random_case(subject, random, tokens=random.randint(1, 20))
        check(chunk_law(subject, case, 4))
        check(logarithm_law(subject, case))

    law()


@every_form
def test_carry_and_causality(form: str) -> None:
    @over(form, 0.7)
    def law(text: str, seed: int) -> None:
        subject, random = subject_of_text(text), Random(seed)
        case = random_case(subject, random, tokens=random.randint(1, 30), batch=3)
        cut = random.randint(0, case.tokens - 1)
        check(carry_law(subject, case, cut, random.choice(FAST), random.choice(FAST)))
        check(packed_law(subject, case, (0, cut, cut, case.tokens), random.choice(FAST)))
        check(causality_law(subject, case, cut, random.choice(FAST)))
        check(rows_law(subject, case))

    law()


@every_form
def test_generality(form: str) -> None:
    @over(form, 0.5)
    def law(text: str, seed: int) -> None:
        subject = subject_of_text(text)
        check(generality_law(subject, random_case(subject, Random(seed), tokens=20)))

    law()


@every_form
def test_layers(form: str) -> None:
    @over(form, 0.5)
    def law(text: str, seed: int) -> None:
        subject = subject_of_text(text)
        assume(subject.mixer.y is not None)
        check(whole_law(subject, 1 + seed % 11, seed))
        check(parts_law(subject, 9, (1, 5), seed))
        check(packed_layer_law(subject, (0, 3, 3, 8), seed))

    law()
