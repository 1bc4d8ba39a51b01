"""Landmark projections: keys summed along time onto a fixed number of places, then dense products.

Every token hangs on all tokens of the sequence by way of the sums, so there is nothing to keep from
token to token. Wang et al. 2020, arXiv:2006.04768.
"""

from dataclasses import dataclass

from mixerc.algebra.terms import LANDMARK, NotLinear
from mixerc.ir.expr import Conv, Expr, Linear, Norm, Read, Rope, TimeSum
from mixerc.ir.mixer import Mixer, Update, Value
from mixerc.ir.show import show_expr
from mixerc.ir.sorts import Kind, Time
from mixerc.ir.walk import core_expressions, walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Landmarks:
    """The lines of the core in order, the output, and why there is no recurrent mode."""

    lines: tuple[Value, ...]
    output: Expr
    reason: str


def landmarks(mixer: Mixer) -> Landmarks | None:
    """The class of a mixer whose constants are written out; None where it sums over no time.

    Raises NotLinear for what dense products do not speak of.
    """
    core = mixer.core
    nodes = [node for root in core_expressions(core) for node in walk(root)]
    sums = [node for node in nodes if isinstance(node, TimeSum)]
    if not sums or core.branches or core.states:
        return None
    for node in nodes:
        match node:
            case Read(name=name, time=Time.PREVIOUS):
                raise NotLinear(f"the core reads `{name}[t-1]`", node.span, LANDMARK)
            case Linear() | Conv() | Norm() | Rope():
                raise NotLinear("the core has a step of a layer", node.span, LANDMARK)
            case _ if node.sort.kind is Kind.COMPLEX:
                raise NotLinear("the core has complex values", node.span, LANDMARK)
    return Landmarks(
        lines=tuple(line for line in core.lines if not isinstance(line, Update)),
        output=core.output.expr,
        reason=f"`{show_expr(sums[0])}` sums over every token of the sequence",
    )
