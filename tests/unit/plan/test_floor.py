"""The least that a plan must do: bytes by dtype and by heads that share a stream, and the time."""

import pytest

from mixerc.accelerators import ACCELERATORS, WIDTHS
from mixerc.plan.cost import cost
from mixerc.plan.floor import Floor, Rates, floor
from mixerc.plan.plan import make_plan
from tests.unit.plan.linears import DECAYS, linear

SIZES = {"K": 64, "V": 64}
PLAN = make_plan(linear(DECAYS["identity"], before=False), chunk=64, logarithms=frozenset())


def test_streams_are_counted_at_their_width_and_sums_at_fp32() -> None:
    wide, narrow = (cost(PLAN.forward, SIZES, word=word) for word in (4, 2))
    assert narrow.floor_bytes == wide.floor_bytes / 2 == 2 * 4 * 64
    assert narrow.buffer_bytes == wide.buffer_bytes


def test_what_heads_share_is_counted_once() -> None:
    shares = {"q": 1 / 8, "k": 1 / 8}
    assert cost(PLAN.forward, SIZES, word=2, shares=shares).floor_bytes == 2 * 64 * (2 + 2 / 8)
    backward = cost(PLAN.backward, SIZES, word=2, shares=shares).floor_bytes
    assert backward == 2 * 64 * (2 + 2 / 8 + 1 + 2 / 8), "reads q k v d_o, writes d_q d_k d_v"


def test_the_slower_side_is_the_time() -> None:
    rates = Rates(bandwidth=100.0, products=10.0)
    by_bytes, by_products = Floor(moved=300.0, products=20.0), Floor(moved=100.0, products=20.0)
    assert (by_bytes.seconds(rates), by_bytes.bound(rates)) == (3.0, "bytes")
    assert (by_products.seconds(rates), by_products.bound(rates)) == (2.0, "products")
    assert by_bytes.times(2).seconds(rates) == 6.0


def test_programs_add_up() -> None:
    both = floor([PLAN.forward, PLAN.backward], SIZES, word=4)
    parts = [cost(program, SIZES) for program in (PLAN.forward, PLAN.backward)]
    assert both.moved == sum(part.floor_bytes for part in parts)
    assert both.products == sum(part.contractions for part in parts)


@pytest.mark.parametrize("machine", ACCELERATORS, ids=lambda machine: machine.name)
def test_every_machine_has_a_rate_for_every_dtype(machine) -> None:
    assert machine.products.keys() == WIDTHS.keys()
    assert machine.rates("bf16").products > machine.rates("fp32").products
