"""The other laws, in the interpreter: precision in narrow dtypes, causality, extremes."""

from dataclasses import replace
from random import Random

import pytest
import torch

from mixerc.verify.carry import batch_law
from mixerc.verify.cases import Case, random_case, wide_case
from mixerc.verify.causality import causality_law, finite_law, support_law
from mixerc.verify.precision import precision_law
from mixerc.verify.subject import FAST
from tests.laws.subjects import LINEAR, check, every_linear, subject

# bfloat16 products are wrong in the interpreter of Triton 3.9: a GPU has to show those.
NARROW = (torch.float32, torch.float16)
STABLE = tuple(name for name in LINEAR if name != "mlstm")
LONG = ("based", "gsa", "kda", "rwkv7", "deltaproduct")
"""Whose draws take the interpreter longest."""
SHORT = tuple(name for name in LINEAR if name not in LONG[2:])
"""Without those that have the nodes of others, and more of them."""
every_short = pytest.mark.parametrize("name", SHORT)


def a_case(name: str, tokens: int) -> Case:
    return random_case(subject(name, "triton"), Random(tokens), tokens=tokens, batch=1)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", STABLE)
def test_precision(name: str, dtype: torch.dtype) -> None:
    on = subject(name, "triton")
    case = replace(wide_case(on, Random(3), tokens=24), batch=1)
    check(precision_law(on, case, dtype, draws=3 if name in LONG else 5))


@pytest.mark.parametrize("dtype", NARROW)
@every_linear
def test_nothing_overflows(name: str, dtype: torch.dtype) -> None:
    check(finite_law(subject(name, "triton"), a_case(name, 20), dtype))


@every_short
@pytest.mark.parametrize("mode", FAST)
def test_later_tokens_change_no_bit(name: str, mode: str) -> None:
    check(causality_law(subject(name, "triton"), a_case(name, 20), 7, mode))


@every_short
def test_gradients_reach_what_the_mask_allows(name: str) -> None:
    check(support_law(subject(name, "triton"), a_case(name, 20), 7, "parallel"))


@every_short
def test_a_batch_is_its_rows(name: str) -> None:
    check(batch_law(subject(name, "triton"), replace(a_case(name, 9), batch=3)))
