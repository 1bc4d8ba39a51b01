"""The core on mixers built by hand, against loops that follow the paper's formula."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mixerc.ir.expr import Arange, Concat, Expr, Fold, Read, Reduce, Size, TimeSum
from mixerc.ir.mixer import Input
from mixerc.ir.sorts import EACH, SHARED, Heads, Kind, Sort, Time
from mixerc.reference.exact import EXACT
from mixerc.reference.interpret import run_core
from tests.unit.reference.build import (
    CAUSAL,
    at_s,
    before,
    call,
    dot,
    num,
    position,
    read,
    recurrence,
    size,
    state,
    stream,
    sum_mixer,
)

B, T, H, K, V = 2, 7, 4, 3, 5
Q, KEY, VAL = stream("q", "K"), stream("k", "K"), stream("v", "V")
SCORE = dot(read("q", "K"), at_s("k", "K"), "K")


def draw(*shape: int, seed: int = 0, low: float = -1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (1 - low) * torch.rand(shape, dtype=torch.float64, generator=generator)


def qkv(heads: int = H) -> dict[str, Tensor]:
    return {
        "q": draw(B, T, H, K, seed=1),
        "k": draw(B, T, heads, K, seed=2),
        "v": draw(B, T, heads, V, seed=3),
    }


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def softmax_mixer(*lines: Input, mask: Expr = CAUSAL) -> object:
    weight = call("exp", call("div", SCORE, call("sqrt", size("K"))))
    return sum_mixer(*lines, weight=weight, summed=at_s("v", "V"), normalize=read("sum"), mask=mask)


def heads_first(x: Tensor) -> Tensor:
    return x.transpose(1, 2)


def test_softmax_is_scaled_dot_product_attention() -> None:
    inputs = qkv()
    o, _ = run_core(softmax_mixer(Q, KEY, VAL), inputs, {})
    q, k, v = (heads_first(inputs[name]) for name in "qkv")
    same(heads_first(o), F.scaled_dot_product_attention(q, k, v, is_causal=True))


def test_groups_share_keys_and_values() -> None:
    group = Heads(group="G")
    mixer = softmax_mixer(Q, stream("k", "K", heads=group), stream("v", "V", heads=group))
    inputs = qkv(heads=2)
    o, _ = run_core(mixer, inputs, {})
    q, k, v = (heads_first(inputs[name]) for name in "qkv")
    same(heads_first(o), F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True))


def test_window_and_rows_without_keys() -> None:
    distance = call("sub", position(Time.T), position(Time.S))
    mask = call("and", call("le", num(2), distance), call("lt", distance, num(4)))
    inputs = qkv()
    o, _ = run_core(
        sum_mixer(Q, KEY, VAL, weight=SCORE, summed=at_s("v", "V"), mask=mask), inputs, {}
    )
    t = torch.arange(T)
    seen = ((t[:, None] - t >= 2) & (t[:, None] - t < 4)).to(torch.float64)
    scores = torch.einsum("bthk,bshk->bhts", inputs["q"], inputs["k"]) * seen
    same(o, torch.einsum("bhts,bshv->bthv", scores, inputs["v"]))
    assert torch.equal(o[:, :2], torch.zeros(B, 2, H, V, dtype=torch.float64))


@pytest.mark.parametrize("axes", [(), ("K",), ("V",), ("K", "V")], ids=str)
def test_decay_is_the_recurrence(axes: tuple[str, ...]) -> None:
    lengths = {"K": K, "V": V}
    inputs = qkv() | {"a": draw(B, T, H, *[lengths[axis] for axis in axes], seed=4, low=0)}
    inputs["a"][:, 3] = 0
    decay = read("a", *axes)
    mixer = sum_mixer(
        Q, KEY, VAL, stream("a", *axes), weight=SCORE, summed=at_s("v", "V"), decay=decay
    )
    o, _ = run_core(mixer, inputs, {})
    state = torch.zeros(B, H, K, V, dtype=torch.float64)
    shape = [lengths[axis] if axis in axes else 1 for axis in "KV"]
    rows = []
    for t in range(T):
        a = inputs["a"][:, t].reshape(B, H, *shape)
        state = a * state + inputs["k"][:, t, :, :, None] * inputs["v"][:, t, :, None, :]
        rows.append(torch.einsum("bhk,bhkv->bhv", inputs["q"][:, t], state))
    same(o, torch.stack(rows, 1))


def test_decay_of_a_normalised_sum() -> None:
    """A scalar decay stands in `sum`, one along the value's axes does not."""
    inputs = qkv() | {"a": draw(B, T, H, seed=4, low=0), "d": draw(B, T, H, V, seed=5, low=0)}
    a, d = inputs["a"].cumprod(1), inputs["d"].cumprod(1)
    scores = torch.einsum("bthk,bshk->bhts", inputs["q"], inputs["k"]).tril()
    kept = (a[:, :, None] / a[:, None]).permute(0, 3, 1, 2)
    parts = {
        "weight": SCORE,
        "summed": at_s("v", "V"),
        "normalize": call("add", read("sum"), num(9)),
    }
    o, _ = run_core(sum_mixer(Q, KEY, VAL, stream("a"), decay=read("a"), **parts), inputs, {})
    weights = scores * kept
    expected = torch.einsum("bhts,bshv->bthv", weights, inputs["v"])
    same(o, expected / (weights.sum(-1).transpose(1, 2)[..., None] + 9))
    o, _ = run_core(
        sum_mixer(Q, KEY, VAL, stream("d", "V"), decay=read("d", "V"), **parts), inputs, {}
    )
    expected = torch.einsum(
        "bhts,btshv,bshv->bthv", scores, d[:, :, None] / d[:, None], inputs["v"]
    )
    same(o, expected / (scores.sum(-1).transpose(1, 2)[..., None] + 9))


def delta() -> object:
    erased = call(
        "mul",
        read("beta"),
        call("mul", read("k", "K"), dot(read("k", "K"), before("S", "K", "V"), "K")),
    )
    written = call("mul", read("beta"), call("mul", read("k", "K"), read("v", "V")))
    return recurrence(
        Q,
        KEY,
        VAL,
        stream("beta"),
        state=state("S", "K", "V"),
        update=call("add", call("sub", before("S", "K", "V"), erased), written),
        output=dot(read("q", "K"), read("S", "K", "V"), "K"),
        axes=("V",),
    )


def test_delta_rule_and_its_state() -> None:
    inputs = qkv() | {"beta": draw(B, T, H, seed=6, low=0)}
    o, final = run_core(delta(), inputs, {})
    state = torch.zeros(B, H, K, V, dtype=torch.float64)
    for t in range(T):
        k = inputs["k"][:, t, :, :, None]
        v = inputs["v"][:, t, :, None, :]
        state = state + inputs["beta"][:, t, :, None, None] * k * (
            v - (k * state).sum(2, keepdim=True)
        )
        same(o[:, t], torch.einsum("bhk,bhkv->bhv", inputs["q"][:, t], state))
    same(final["S"], state)
    assert final["t"] == T


def test_exact_delta_rule_is_rational() -> None:
    generator = np.random.default_rng(0)

    def rational(*shape: int) -> np.ndarray:
        array = np.empty(math.prod(shape), dtype=object)
        array[:] = [Fraction(int(n), 5) for n in generator.integers(-4, 5, len(array))]
        return array.reshape(shape)

    inputs = {
        "q": rational(1, 3, 2, 2),
        "k": rational(1, 3, 2, 2),
        "v": rational(1, 3, 2, 3),
        "beta": rational(1, 3, 2),
    }
    exact, _ = run_core(delta(), inputs, {}, domain=EXACT)
    floats = {name: torch.tensor(array.astype(float)) for name, array in inputs.items()}
    real, _ = run_core(delta(), floats, {})
    assert all(entry.is_Rational for entry in exact.reshape(-1))
    same(real, torch.tensor(exact.astype(float)))


def test_values_before_the_first_token_are_zero() -> None:
    mixer = recurrence(
        stream("u", "K"),
        state=state("h", "K"),
        update=call("add", before("h", "K"), before("u", "K")),
        output=read("h", "K"),
        axes=("K",),
    )
    u = draw(B, T, H, K)
    o, _ = run_core(mixer, {"u": u}, {})
    same(o, F.pad(u.cumsum(1)[:, :-1], (0, 0, 0, 0, 1, 0)))
    first, kept = run_core(mixer, {"u": u[:, :3]}, {})
    second, _ = run_core(mixer, {"u": u[:, 3:]}, {}, state=kept)
    same(torch.cat([first, second], 1), o)


def test_complex_state() -> None:
    turn = call("complex", read("c"), read("d"))
    mixer = recurrence(
        stream("c"),
        stream("d"),
        stream("u", "K"),
        state=state("h", "K", kind=Kind.COMPLEX),
        update=call("add", call("mul", turn, before("h", "K")), read("u", "K")),
        output=call("real", read("h", "K")),
        axes=("K",),
    )
    c, d, u = draw(B, T, H, seed=1), draw(B, T, H, seed=2), draw(B, T, H, K, seed=3)
    o, final = run_core(mixer, {"c": c, "d": d, "u": u}, {})
    h = torch.zeros(B, H, K, dtype=torch.complex128)
    for t in range(T):
        h = torch.complex(c[:, t], d[:, t])[..., None] * h + u[:, t]
        same(o[:, t], h.real)
    assert final["h"].is_complex()


def test_second_copy_of_an_axis() -> None:
    """`R @ h` of R[K, K'] sums over the second axis of R, which is what h's K meets."""
    matrix = Read(name="R", time=Time.NONE, sort=Sort(axes=("K", "K'"), heads=EACH))
    other = Input(
        name="R",
        sort=Sort(axes=("K", "K'"), heads=EACH, times=frozenset("t")),
        range=None,
        index=(),
    )
    update = call("tanh", call("add", read("u", "K"), dot(matrix, before("h", "K"), "K'", "K")))
    mixer = recurrence(
        stream("u", "K"),
        other,
        state=state("h", "K"),
        update=update,
        output=read("h", "K"),
        axes=("K",),
    )
    u, r = draw(B, T, 1, K, seed=1), draw(K, K, seed=2)
    o, _ = run_core(mixer, {"u": u, "R": r.expand(B, T, 1, K, K)}, {})
    cell = torch.nn.RNN(K, K, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_ih_l0.copy_(torch.eye(K))
        cell.weight_hh_l0.copy_(r)
    same(o[:, :, 0], cell(u[:, :, 0])[0])


def test_fold_takes_values_at_each_index() -> None:
    step = Fold(
        axis="J",
        variable="U",
        start=before("h"),
        next=call("add", call("mul", read("a"), Read(name="U", time=Time.NONE)), Arange(axis="J")),
    )
    mixer = recurrence(stream("a", "J"), state=state("h"), update=step, output=read("h"), axes=())
    a = draw(B, T, H, 3)
    o, _ = run_core(mixer, {"a": a}, {})
    h = torch.zeros(B, H, dtype=torch.float64)
    for t in range(T):
        for j in range(3):
            h = a[:, t, :, j] * h + j
        same(o[:, t], h)


def test_concat_reduce_head_and_length() -> None:
    parts = Concat(
        parts=(read("q", "K"), read("v", "V")), axis="M", sort=Sort(axes=("M",), heads=EACH)
    )
    summed = Reduce(reduction="sum", axis="M", operand=parts)
    scaled = call(
        "mul", summed, call("add", call("mul", Size(name="head"), Size(name="T")), position(Time.T))
    )
    mixer = recurrence(
        stream("q", "K"),
        stream("v", "V"),
        state=state("h"),
        update=before("h"),
        output=scaled,
        axes=(),
    )
    inputs = {name: array for name, array in qkv().items() if name != "k"}
    o, _ = run_core(mixer, inputs, {})
    total = inputs["q"].sum(-1) + inputs["v"].sum(-1)
    same(o, total * (torch.arange(H) * T + torch.arange(T)[:, None]))


def test_sum_over_time_and_tables() -> None:
    """Keys projected along time by a learned table, as in landmark attention."""
    table = Input(
        name="E",
        sort=Sort(axes=("M",), heads=EACH, times=frozenset("s")),
        range=None,
        index=(("s", num(2)),),
    )
    entry = Read(name="E", time=Time.NONE, sort=Sort(axes=("M",), heads=EACH))
    landmarks = TimeSum(operand=call("mul", entry, at_s("k", "K")))
    mixer = recurrence(
        KEY, table, state=state("h"), update=before("h"), output=landmarks, axes=("M", "K")
    )
    k, e = qkv()["k"], draw(H, 6, 4)
    o, _ = run_core(mixer, {"k": k, "E": e}, {})
    spread = e.repeat_interleave(2, dim=-1)[..., :T]
    expected = torch.einsum("hms,bshk->bhmk", spread, k)
    same(o, expected[:, None].expand(B, T, H, 6, K))


def test_table_over_both_times() -> None:
    table = Input(
        name="seen",
        sort=Sort(kind=Kind.BOOL, heads=SHARED, times=frozenset("ts")),
        range=None,
        index=(("t", num(3)), ("s", num(3))),
    )
    mask = call("and", CAUSAL, Read(name="seen", time=Time.NONE, sort=Sort(kind=Kind.BOOL)))
    inputs = qkv() | {"seen": torch.tensor([[1, 0, 0], [1, 0, 1], [0, 1, 1]]).bool()}
    mixer = sum_mixer(Q, KEY, VAL, table, weight=SCORE, summed=at_s("v", "V"), mask=mask)
    o, _ = run_core(mixer, inputs, {})
    full = (
        inputs["seen"]
        .repeat_interleave(3, 0)
        .repeat_interleave(3, 1)[:T, :T]
        .to(torch.float64)
        .tril()
    )
    scores = torch.einsum("bthk,bshk->bhts", inputs["q"], inputs["k"]) * full
    same(o, torch.einsum("bhts,bshv->bthv", scores, inputs["v"]))


def test_sum_goes_on_from_its_past() -> None:
    mixer = softmax_mixer(Q, KEY, VAL)
    inputs = qkv()
    whole, _ = run_core(mixer, inputs, {})
    kept = None
    parts = []
    for cut in (slice(0, 2), slice(2, 2), slice(2, 7)):
        o, kept = run_core(mixer, {name: a[:, cut] for name, a in inputs.items()}, {}, state=kept)
        parts.append(o)
    same(torch.cat(parts, 1), whole)


def test_what_does_not_fit_is_refused() -> None:
    inputs = qkv()
    with pytest.raises(ValueError, match="not given"):
        run_core(delta(), inputs, {})
    with pytest.raises(ValueError, match="K is"):
        run_core(softmax_mixer(Q, KEY, VAL), inputs | {"k": inputs["v"]}, {})
    other = replace(delta(), lines=())
    with pytest.raises(ValueError, match="no line that defines"):
        run_core(other, inputs | {"beta": inputs["q"][..., 0]}, {})
