"""The two masks that have a name: what `causal` and `full` stand for."""

from fractions import Fraction

from mixerc.ir.expr import Apply, Expr, Number, Position
from mixerc.ir.sorts import Kind, Sort, Time

_T: Expr = Position(time=Time.T, sort=Sort(kind=Kind.INT, times=frozenset({"t"})))
_S: Expr = Position(time=Time.S, sort=Sort(kind=Kind.INT, times=frozenset({"s"})))

CAUSAL: Expr = Apply(
    primitive="le",
    operands=(_S, _T),
    sort=Sort(kind=Kind.BOOL, times=frozenset({"t", "s"})),
)
"""`s <= t`: a token sees itself and those before."""

FULL: Expr = Apply(
    primitive="ge",
    operands=(_T, Number(value=Fraction(0))),
    sort=Sort(kind=Kind.BOOL, times=frozenset({"t"})),
)
"""`t >= 0`, which interval arithmetic proves: a token sees every other."""
