"""What a tile sweep costs, counted from its parts: operations a pair, bytes a token."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.distribute import is_scalar
from mixerc.plan.sweep import VALUE, Sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCost:
    """For each visited pair of a head: operations of products and others, forward and with
    backward, which makes the scores again."""

    products: float
    others: float
    products_back: float
    others_back: float


def pair_cost(sweep: Sweep, sizes: Mapping[str, int]) -> PairCost:
    """Two operations a term of a sum; the exponential, the maximum and the sum count one each."""
    products, others = _counted(sweep.scores.function, sizes)
    assert sweep.scores.backward is not None
    back_products, back_others = _counted(sweep.scores.backward, sizes)
    value = 2.0 * _width(sweep, sizes)
    softmax = 4.0 if sweep.stable else 2.0 if sweep.exponential else 1.0
    return PairCost(
        products=products + value,
        others=others + softmax,
        products_back=products + back_products + 2 * value,
        others_back=others + back_others + softmax + 2,
    )


def _width(sweep: Sweep, sizes: Mapping[str, int]) -> int:
    """The length of the value's axis, 1 where it has none."""
    node = dict(sweep.keys.function.outputs)[VALUE]
    return prod(sizes[axis] for axis in node.axes if not is_tile(axis))


def _counted(function: n.ChunkFunction, sizes: Mapping[str, int]) -> tuple[float, float]:
    """Operations a pair of a part, those of products and others."""
    products = others = 0.0
    for node in function.nodes:
        match node:
            case n.Contract(over=over):
                axes = (axis for axis in (*node.axes, *over) if not is_tile(axis))
                products += 2 * prod(sizes[axis.rstrip("'")] for axis in axes)
            case n.Map(axes=axes) if not is_scalar(node) and len([*filter(is_tile, axes)]) == 2:
                others += 1
    return products, others
