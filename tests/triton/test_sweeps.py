"""Masked attention in Triton's interpreter: every kind of sum against the equations, in float64.

Blocks have 16 tokens there, so that short sequences have several.
"""

from dataclasses import replace

import pytest
import torch

from mixerc.verify.carry import carry_law, packed_law
from mixerc.verify.cases import Case, draw
from mixerc.verify.causality import finite_law, rows_law
from mixerc.verify.modes import logarithm_law, reference_law
from mixerc.verify.outcome import in_mode
from tests.laws.subjects import check, subject, subject_of_text

MASKED = (
    *("alibi", "bigbird", "block_sparse", "dilated", "documents", "fixed"),
    *("forgetting_attention", "gqa", "longformer", "mistral", "prefix_lm"),
    *("softcap", "streaming"),
)
KEPT = ("alibi", "documents", "forgetting_attention", "gqa", "mistral", "streaming")
NEAR_AND_FAR = """
mixer m(D = 4, V = 3, W = 3)
"Two sums, a feature map, values of another width, a normaliser that is no plain sum."

feature phi(z)[D] = elu(z) + 1

q[D], k[D] = x | linear
v[V]       = x | linear
b          = x | linear

branch near
  mask      0 <= t - s < W
  weight    phi(q[t]) @ phi(k[s])
  normalize sum + 1e-6
  state     cache

branch far
  mask      causal and s % 3 == 0
  weight    exp(q[t] @ k[s] + b[s])
  normalize max(abs(sum), 1)
  state     cache

o[V] = near + tanh(b) * far
"""

SQUARES = """
mixer m(D = 4)
"Decays of weights that are no exponentials."

q[D], k[D] = x | linear
v[D]       = x | linear
f          = x | linear | sigmoid

mask   causal
weight (q[t] @ k[s]) ^ 2
decay  f
state  cache

y = o | linear
"""


def a_case(tokens: int, **options) -> Case:
    return Case(tokens=tokens, heads=2, axes={"D": 5, "G": 1}, **options)


@pytest.mark.parametrize("name", MASKED)
def test_modes_and_the_reference(name: str) -> None:
    """Outputs and all gradients, where tiles are cut and where they are not."""
    of = subject(name, "triton")
    check(reference_law(of, a_case(37, batch=1)))
    check(reference_law(of, a_case(1, batch=2, seed=1)))


@pytest.mark.parametrize("name", KEPT)
def test_caches(name: str) -> None:
    """Steps from a prompt, and the other way round; packed sequences."""
    of = subject(name, "triton")
    check(carry_law(of, a_case(21, batch=1), 12, "parallel", "recurrent"))
    check(carry_law(of, a_case(21, batch=1), 5, "recurrent", "parallel"))
    check(packed_law(of, a_case(20, batch=1), (0, 3, 3, 20), "parallel"))


def test_logarithms() -> None:
    check(logarithm_law(subject("forgetting_attention", "triton"), a_case(20, batch=1)))


def test_slopes_of_zeros() -> None:
    """Resets side by side, at the start, and some that no pair crosses alone; both kinds of sum."""
    for name in ("forgetting_attention", "squares"):
        on, plain = (
            subject(name, target) if name != "squares" else subject_of_text(SQUARES, target)
            for target in ("triton", "torch")
        )
        inputs = draw(on, a_case(50, batch=2))
        inputs["f"][:, [0, 3, 4, 15, 16, 17, 33, 48]] = 0
        inputs["f"][1, :, 0] = 1
        made = []
        for of in (on, plain):
            leaves = {n: x.clone().requires_grad_() for n, x in inputs.items()}
            o, _ = in_mode(of, "parallel")(leaves, None)
            made.append(torch.autograd.grad(o.square().sum(), list(leaves.values())))
        torch.testing.assert_close(*made, rtol=1e-10, atol=1e-10)


def test_two_sums() -> None:
    of = subject_of_text(NEAR_AND_FAR, "triton")
    check(reference_law(of, replace(a_case(35, batch=2), axes={"D": 5, "V": 3})))


@pytest.mark.parametrize("name", ["gqa", "streaming", "forgetting_attention"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_narrow_dtypes(name: str, dtype: torch.dtype) -> None:
    """Nothing overflows, and outputs are those of the plain PyTorch target in the same dtype."""
    on, plain = subject(name, "triton"), subject(name)
    check(finite_law(on, a_case(20, batch=1), dtype))
    inputs = {
        n: x.to(dtype) if x.is_floating_point() else x for n, x in draw(on, a_case(40)).items()
    }
    (got, _), (want, _) = (in_mode(of, "parallel")(inputs, None) for of in (on, plain))
    close = 1e-5 if dtype is torch.float32 else 2e-3
    torch.testing.assert_close(got, want, rtol=close, atol=close)


def test_rows_of_a_batch() -> None:
    check(rows_law(subject("mistral", "triton"), a_case(18, batch=3)))
