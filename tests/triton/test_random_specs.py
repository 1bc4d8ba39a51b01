"""Specs that nobody wrote, as Triton kernels in the interpreter."""

from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mixerc.verify.cases import random_case
from mixerc.verify.modes import chunk_law, reference_law
from tests.laws.specs import blends, clauses, deltas, recurrences
from tests.laws.subjects import check, subject_of_text

FORMS = {"recurrence": recurrences, "clauses": clauses, "blend": blends, "delta": deltas}


@pytest.mark.parametrize("form", FORMS)
def test_random_specs(form: str) -> None:
    @settings(max_examples=3, phases=(Phase.explicit, Phase.reuse, Phase.generate))
    @given(FORMS[form](), st.integers(0, 2**20))
    def law(text: str, seed: int) -> None:
        subject, random = subject_of_text(text, "triton"), Random(seed)
        check(chunk_law(subject, random_case(subject, random, tokens=9, batch=1), 4))
        check(reference_law(subject, random_case(subject, random, tokens=2, batch=1)))

    law()
