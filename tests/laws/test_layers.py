"""Layers against the reference layer: whole, in parts, token by token, packed."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixerc.verify.layers import packed_layer_law, parts_law, whole_law
from tests.laws.subjects import check, every_fast, subject, subject_of_text

CHOICE = """mixer choice(heads = 1, E = d_model)
z[E] = x | linear
u[E] = where(z > 0, 0.3, 0.1) * z
state h[E]
h[t] = where(z > 0, 0.9, 0.7) * h[t-1] + u
o[E] = h[t]
y = o | linear
"""

few = settings(max_examples=4)
seeds = st.integers(0, 2**16)


@every_fast
def test_whole(name: str) -> None:
    @few
    @given(tokens=st.integers(1, 24), seed=seeds)
    def law(tokens: int, seed: int) -> None:
        check(whole_law(subject(name), tokens, seed))

    law()


def test_a_choice_between_two_numbers_has_the_dtype_of_the_layer() -> None:
    check(whole_law(subject_of_text(CHOICE), 9, 1))
    layer = subject_of_text(CHOICE).run.Layer(d_model=8, heads=1, dtype=torch.bfloat16)
    y, _ = layer(torch.ones(1, 3, 8, dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16


@every_fast
def test_parts(name: str) -> None:
    if not subject(name).carries:
        return

    @few
    @given(parts=st.lists(st.integers(1, 6), min_size=2, max_size=5), seed=seeds)
    def law(parts: list[int], seed: int) -> None:
        cuts = tuple(sum(parts[:i]) for i in range(1, len(parts)))
        check(parts_law(subject(name), sum(parts), cuts, seed))

    law()


@every_fast
def test_packed(name: str) -> None:
    @few
    @given(own=st.lists(st.integers(0, 9), min_size=1, max_size=5), seed=seeds)
    def law(own: list[int], seed: int) -> None:
        bounds = tuple(sum(own[:i]) for i in range(len(own) + 1))
        if bounds[-1]:
            check(packed_layer_law(subject(name), bounds, seed))

    law()
