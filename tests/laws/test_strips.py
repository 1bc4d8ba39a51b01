"""Blocks of queries whose keys stand alike are taken together on the torch target."""

import pytest
import torch

import mixerc

SPEC = """mixer strips(D, G = {groups}, W = 150)
input q[D]
grouped(G) input k[D]
grouped(G) input v[D]

mask      {mask}
weight    {weight}
normalize {normalize}
state     cache
"""
DOT = "q[t] @ k[s] / sqrt(D)"
CASES = {
    "a window": ("0 <= t - s < W", f"exp({DOT})", "sum"),
    "a band that starts behind": ("3 <= t - s < W", f"exp({DOT})", "max(abs(sum), 1)"),
    "every third": ("0 <= t - s < W and (t - s) % 3 == 0", f"exp({DOT})", "sum"),
    "positions": ("0 <= t - s < W", f"exp({DOT} - (t - s) / (10 + head))", "sum"),
    "no exponential": ("0 <= t - s < W", f"1 + ({DOT}) ^ 2", "sum"),
    "both sides": ("-W <= 2 * (t - s) <= W", f"exp(5 * tanh({DOT}))", "sum"),
}


@pytest.mark.parametrize("groups", [4, 2])
@pytest.mark.parametrize("case", CASES)
def test_blocks_taken_together(case: str, groups: int) -> None:
    """Enough blocks for strips, and some that have to stand alone before and behind them."""
    mask, weight, normalize = CASES[case]
    text = SPEC.format(groups=groups, mask=mask, weight=weight, normalize=normalize)
    mixer = mixerc.compile(text, target="torch")
    assert "strip_of" in mixer.source
    generator = torch.Generator().manual_seed(7)

    def drawn(heads: int):
        x = torch.randn(2, 800, heads, 3, generator=generator, dtype=torch.float64)
        return x.requires_grad_()

    inputs = {"q": drawn(4), "k": drawn(groups), "v": drawn(groups)}
    made = [mixer(**inputs, mode=mode)[0] for mode in ("parallel", "reference")]
    torch.testing.assert_close(*made, rtol=1e-11, atol=1e-11)
    weights = torch.randn(made[0].shape, generator=generator, dtype=torch.float64)
    ours, theirs = (torch.autograd.grad((o * weights).sum(), list(inputs.values())) for o in made)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_strips_behind_a_past() -> None:
    """A first piece whose length is no multiple of a block's, and a second with strips."""
    mask, weight, normalize = CASES["positions"]
    mixer = mixerc.compile(SPEC.format(groups=2, mask=mask, weight=weight, normalize=normalize))
    q, k, v = (torch.randn(2, 1237, h, 3, dtype=torch.float64) for h in (4, 2, 2))
    whole, _ = mixer(q=q, k=k, v=v, mode="reference")
    first, state = mixer(q=q[:, :37], k=k[:, :37], v=v[:, :37])
    second, _ = mixer(q=q[:, 37:], k=k[:, 37:], v=v[:, 37:], state=state)
    torch.testing.assert_close(torch.cat((first, second), 1), whole, rtol=1e-11, atol=1e-11)
