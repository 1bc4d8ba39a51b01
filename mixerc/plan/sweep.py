"""A masked sum as parts of one schedule, the tile sweep: what is done for rows, keys and pairs.

A query's part of the score is computed once a block of queries, a key's part once a token, and only
what reads both for every pair that is visited. With the running maximum m of a row,

    w = exp(score - m),   sum = Σ w,   o = Σ w · value / divisor(sum, e^-m)

and back, for the cotangent g of o,   dw = value · g/divisor + d_sum,   d_score = w · dw.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace

from mixerc.algebra.attention import UNIT, Attention, MaskedSum
from mixerc.algebra.masks.forms import Variable
from mixerc.ir import expr as e
from mixerc.ir.walk import map_children
from mixerc.plan import nodes as n
from mixerc.plan.adjoint import adjoint, cotangent_name
from mixerc.plan.build import Builder
from mixerc.plan.distribute import is_scalar
from mixerc.plan.lower import lower

POSITIONS = ("t", "s")
"""The loads that hold the positions of queries and keys."""
SCORE, VALUE, ALLOWED, DECAY, DIVISOR, SUM = "score", "value", "allowed", "decay", "divisor", "sum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Nodes that give `outputs`, by name, and those that give the cotangents of its loads."""

    function: n.ChunkFunction
    backward: n.ChunkFunction | None

    @property
    def loads(self) -> tuple[n.Load, ...]:
        """What it reads."""
        return tuple(node for node in self.function.nodes if isinstance(node, n.Load))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One masked sum.

    `queries` and `keys` give what `scores` reads of each, and `keys` the value. `allowed` is the
    mask, whose `tables` are over blocks of so many queries and keys, 0 for a time that they lack.
    `decay` gives what is kept in a step (its logarithm if `logarithmic`), whose runs the schedule
    multiplies; `divisor` reads `sum`, `unit` and values of rows. Where `stable`, a maximum is taken
    out of a row.
    """

    name: str
    queries: Part
    keys: Part
    scores: Part
    allowed: Part
    decay: Part | None
    divisor: Part | None
    exponential: bool
    stable: bool
    logarithmic: bool
    tables: tuple[tuple[str, int, int], ...]
    value_axis: bool

    @property
    def named_parts(self) -> tuple[tuple[str, Part], ...]:
        """Every part that there is, with what it is for."""
        kinds = ("queries", "keys", "scores", "allowed", "decay", "divisor")
        found = ((kind, getattr(self, kind)) for kind in kinds)
        return tuple((kind, part) for kind, part in found if part is not None)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every part that there is."""
        return tuple(part for _, part in self.named_parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """The sums of a mixer; decays in `logarithms` are given as such."""

    attention: Attention
    sweeps: tuple[Sweep, ...]
    logarithms: frozenset[str]


def sweep_plan(
    attention: Attention, *, logarithms: frozenset[str], scaled_queries: bool = True
) -> SweepPlan:
    """The plan of masked attention. With `scaled_queries` a number that scores are multiplied by
    goes to the queries, which are fewer; without, they are not rounded once more for it."""
    return SweepPlan(
        attention=attention,
        sweeps=tuple(_sweep(each, logarithms, scaled_queries) for each in attention.sums),
        logarithms=logarithms,
    )


def _sweep(each: MaskedSum, logarithms: frozenset[str], scaled_queries: bool) -> Sweep:
    b = Builder(logarithms)
    cut = _Cut(b, each.name)
    score = b.spread(lower(b, each.score), (n.ROW, n.KEY_ROW))
    score = cut.of_pairs(_scaled_rows(b, score) if scaled_queries else score)
    value = b.spread(lower(b, each.value), (n.KEY_ROW,))
    decay = None if each.decay is None else _decay(each.decay, logarithms)
    scores = _part(b, ((SCORE, score),))
    moved = {VALUE, *(load.name for load in scores.loads if _moves(scores, load))}
    return Sweep(
        name=each.name,
        queries=_part(b, tuple(cut.queries.values()), moved),
        keys=_part(b, (*cut.keys.values(), (VALUE, value)), moved),
        scores=scores,
        allowed=_allowed(each.mask),
        decay=None if decay is None else decay[0],
        divisor=_divisor(each, logarithms),
        exponential=each.exponential,
        stable=each.exponential and each.shifted is not None,
        logarithmic=decay is not None and decay[1],
        tables=tuple(
            (name, dict(index).get(Variable.T, 0), dict(index).get(Variable.S, 0))
            for name, index in each.tables
        ),
        value_axis=bool(each.value.sort.axes),
    )


def _moves(part: Part, load: n.Load) -> bool:
    """Whether a cotangent reaches what a part reads: none does where that is a condition."""
    assert part.backward is not None
    return any(name == cotangent_name(load.name) for name, _ in part.backward.outputs)


def _part(
    b: Builder, outputs: tuple[tuple[str, n.Node], ...], moved: Container[str] | None = None
) -> Part:
    """The nodes of some outputs, and the adjoint over those that are `moved`: all if not given."""
    function = _pruned(b.nodes, outputs)
    given = tuple(pair for pair in outputs if moved is None or pair[0] in moved)
    back = adjoint(_pruned(b.nodes, given))
    wanted = tuple(pair for pair in back.outputs if pair[0] not in map(cotangent_name, POSITIONS))
    return Part(function=function, backward=_pruned(back.nodes, wanted))


def _pruned(nodes: tuple[n.Node, ...], outputs: tuple[tuple[str, n.Node], ...]) -> n.ChunkFunction:
    wanted = {node for _, node in outputs}
    for node in reversed(nodes):
        if node in wanted:
            wanted.update(node.args)
    kept = tuple(node for node in nodes if node in wanted)
    return n.ChunkFunction(nodes=kept, outputs=outputs, carries=(), chunk=0)


def _allowed(mask: e.Expr) -> Part:
    """The mask, with the axes that it has: of queries, of keys, of both."""
    b = Builder()
    node = lower(b, mask)
    return Part(function=_pruned(b.nodes, ((ALLOWED, node),)), backward=None)


def _decay(decay: e.Expr, logarithms: frozenset[str]) -> tuple[Part, bool]:
    """What is kept from a token to the next, and whether that is its logarithm."""
    b = Builder(logarithms)
    match decay:
        case e.Read(name=name) if name in logarithms:
            node, logarithmic = b.load(f"log_{name}", (n.ROW,)), True
        case e.Apply(primitive="exp", operands=(inner,)):
            node, logarithmic = lower(b, inner), True
        case _:
            node, logarithmic = lower(b, decay), False
    return _part(b, ((DECAY, b.spread(node, (n.ROW,))),)), logarithmic


def _divisor(each: MaskedSum, logarithms: frozenset[str]) -> Part | None:
    """What the sum is divided by; over e^-m times the sum where a maximum is taken out."""
    if each.normalize is None:
        return None
    b = Builder(logarithms)
    stable = each.exponential and each.shifted is not None
    chosen = each.shifted if stable else each.normalize
    assert chosen is not None
    node = b.spread(lower(b, _at_rows(chosen)), (n.ROW,))
    part = _part(b, ((DIVISOR, node),))
    assert part.backward is not None
    wanted = tuple(p for p in part.backward.outputs if p[0] != cotangent_name(UNIT))
    return Part(function=part.function, backward=_pruned(part.backward.nodes, wanted))


def _at_rows(expr: e.Expr) -> e.Expr:
    """The sum of the weights, and e^-m, are values of each row."""

    def change(node: e.Expr) -> e.Expr:
        match node:
            case e.Read(name="sum" | "unit"):
                return replace(node, sort=replace(node.sort, times=frozenset({"t"}), axes=()))
            case _:
                return map_children(node, change)

    return change(expr)


def _scaled_rows(b: Builder, node: n.Node) -> n.Node:
    """Products of rows with keys times a number: the rows times that number, which are fewer."""
    args = tuple(_scaled_rows(b, arg) for arg in node.args)
    match node, args:
        case n.Map(primitive="mul" | "div" as scale), (n.Contract(over=over) as product, factor):
            rows, keys = product.args
            if is_scalar(factor) and n.ROW in rows.axes and n.KEY_ROW not in rows.axes:
                return b.contract(b(scale, rows, factor), keys, over)
    return node if args == node.args else b.rebuild(node, args)


class _Cut:
    """Finds what pairs read of the queries and of the keys, and gives it names."""

    def __init__(self, b: Builder, name: str) -> None:
        self.b = b
        self.name = name
        self.queries: dict[n.Node, tuple[str, n.Node]] = {}
        self.keys: dict[n.Node, tuple[str, n.Node]] = {}

    def of_pairs(self, node: n.Node) -> n.Node:
        """The node over loads of what is made of queries, and of keys."""
        kind = _kind(node)
        if kind == "pair":
            args = tuple(self.of_pairs(arg) for arg in node.args)
            return self.b.rebuild(node, args)
        if is_scalar(node) or kind == "constant" or _is_position(node):
            return node
        held = self.queries if kind == "query" else self.keys
        if node not in held:
            stem = node.name if isinstance(node, n.Load) else f"part{len(held) + 1}"
            held[node] = (f"{stem}_{'t' if kind == 'query' else 's'}", node)
        return self.b.load(held[node][0], node.axes)


def _is_position(node: n.Node) -> bool:
    return isinstance(node, n.Load) and node.name in POSITIONS


def _kind(node: n.Node) -> str:
    """Which tokens a node changes with."""
    match n.ROW in node.axes, n.KEY_ROW in node.axes:
        case True, True:
            return "pair"
        case True, False:
            return "query"
        case False, True:
            return "key"
        case _:
            return "constant"


def row_names(sweep: Sweep) -> tuple[str, ...]:
    """The streams that a sum reads of its queries."""
    parts = (sweep.queries, sweep.allowed, *((sweep.divisor,) if sweep.divisor else ()))
    return _streams((load for part in parts for load in part.loads), n.ROW, _apart(sweep))


def key_names(sweep: Sweep) -> tuple[str, ...]:
    """The streams that a sum reads of its keys; a decay is read of every token since."""
    parts, apart = (sweep.keys, sweep.allowed), _apart(sweep)
    found = _streams((load for part in parts for load in part.loads), n.KEY_ROW, apart)
    of_decay = () if sweep.decay is None else _streams(sweep.decay.loads, n.ROW, apart)
    return tuple(dict.fromkeys((*found, *of_decay)))


def _apart(sweep: Sweep) -> frozenset[str]:
    """The loads that are no streams."""
    return frozenset((*POSITIONS, SUM, UNIT, *(name for name, _, _ in sweep.tables)))


def _streams(loads: Iterable[n.Load], row: str, apart: frozenset[str]) -> tuple[str, ...]:
    found = (load.name for load in loads if row in load.axes and load.name not in apart)
    return tuple(dict.fromkeys(found))


def kept_names(plan: SweepPlan) -> tuple[str, ...]:
    """The streams of which a cache keeps tokens."""
    return tuple(dict.fromkeys(name for sweep in plan.sweeps for name in key_names(sweep)))
