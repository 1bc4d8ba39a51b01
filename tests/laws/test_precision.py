"""float32, bfloat16 and float16 against the plain token recurrence."""

from random import Random

import pytest

from mixerc.verify.cases import wide_case
from mixerc.verify.precision import NARROW, precision_law
from tests.laws.subjects import LINEAR, check, subject

# mlstm wants a running maximum for its exponential gates, which is not derived yet.
STABLE = tuple(name for name in LINEAR if name != "mlstm")


@pytest.mark.parametrize("name", STABLE)
@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_precision(name: str, dtype) -> None:
    random = Random(3)
    for tokens in (5, 40, 200):
        case = wide_case(subject(name), random, tokens=tokens)
        check(precision_law(subject(name), case, dtype))
