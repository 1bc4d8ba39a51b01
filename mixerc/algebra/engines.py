"""Sums that are exactly what a tuned engine computes: softmax attention, full or causal.

`F.scaled_dot_product_attention` of q, k, v: softmax(scale · q kᵀ) v, causal from the top left,
keys shared by groups of consecutive heads.
"""

from dataclasses import dataclass

from mixerc.algebra.attention import Attention
from mixerc.algebra.masks.plain import Plain, PlainMask, plain
from mixerc.algebra.terms import apply, number
from mixerc.ir.expr import Apply, Contract, Expr, Read
from mixerc.ir.sorts import Time
from mixerc.ir.walk import walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """The streams by the names that the spec has for them, and the factor of the scores.

    A `window` of the last so many keys is what the engine computes in sequences no longer than it.
    """

    query: str
    key: str
    value: str
    scale: Expr
    causal: bool
    window: int | None


def tuned(attention: Attention) -> Tuned | None:
    """What to hand over, if the mixer is that and nothing else."""
    if attention.joined or attention.lines:
        return None
    (each,) = attention.sums
    match plain(each.condition):
        case PlainMask(kind=kind, window=window, documents=()):
            pass
        case _:
            return None
    scored = _scaled(each.score) if each.exponential and each.decay is None else None
    match each.normalize, each.value, scored:
        case Read(name="sum"), Read(name=value, sort=sort), (factor, query, key) if sort.axes:
            return Tuned(
                query=query,
                key=key,
                value=value,
                scale=factor,
                causal=kind is not Plain.FULL,
                window=window,
            )
        case _:
            return None


def _scaled(score: Expr) -> tuple[Expr, str, str] | None:
    """The score as a factor that no token changes times query · key."""
    match score:
        case Contract(
            left=Read(name=query, time=Time.T, sort=left), right=Read(name=key, time=Time.S)
        ) if len(left.axes) == 1:
            return number(1), query, key
        case Apply(primitive="mul" | "div" as name, operands=(inner, factor)) if _fixed(factor):
            found = _scaled(inner)
            return found and (apply(name, found[0], factor), found[1], found[2])
        case Apply(primitive="mul", operands=(factor, inner)) if _fixed(factor):
            found = _scaled(inner)
            return found and (apply("mul", found[0], factor), found[1], found[2])
        case _:
            return None


def _fixed(factor: Expr) -> bool:
    """Whether a factor is a number of sizes, the same for all heads."""
    return (
        not factor.sort.axes
        and factor.sort.heads.shared
        and not any(isinstance(node, Read) for node in walk(factor))
    )
