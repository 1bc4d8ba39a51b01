"""Values that are written and read back within a chunk: unit triangular systems.

A write of a delta rule adds key ⊗ x, where x[t] = value[t] + query[t] · S[t-1], and S[t-1] holds
what the tokens before wrote. With the scores L[t, s] of queries against keys, s < t, that is
x = r + L x: the UT transform (Joffrain et al. 2006; Yang et al. 2024, arXiv:2406.06484). Of several
writes one is eliminated after the other. All blocks are strictly lower, so that those on the
diagonal stay unit triangular whatever was eliminated before.
"""

from dataclasses import dataclass

from mixerc.plan import nodes as n
from mixerc.plan.build import Builder


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as own + factor · state: what a chunk brings itself, and what the carried state adds.
    `factor` has the axes that the state is contracted over."""

    own: n.Node
    factor: n.Node

    def plus(self, b: Builder, lower: n.Node, rows: "Rows") -> "Rows":
        """With lower · rows added."""
        return Rows(
            b("add", self.own, applied(b, lower, rows.own)),
            b("add", self.factor, applied(b, lower, rows.factor)),
        )


def solved(b: Builder, lower: list[list[n.Node]], rows: list[Rows]) -> list[Rows]:
    """The rows x with x[i] = rows[i] + sum over j of lower[i][j] x[j]."""
    count = len(rows)
    lower, rows = [list(line) for line in lower], list(rows)
    for i in range(count):
        pivot = lower[i][i]
        rows[i] = Rows(_solve(b, pivot, rows[i].own), _solve(b, pivot, rows[i].factor))
        for j in range(i + 1, count):
            lower[i][j] = b.solve(pivot, lower[i][j])
        for k in range(i + 1, count):
            rows[k] = rows[k].plus(b, lower[k][i], rows[i])
            for j in range(i + 1, count):
                product = applied(b, lower[k][i], lower[i][j])
                lower[k][j] = b("add", lower[k][j], product)
    for i in reversed(range(count)):
        for j in range(i + 1, count):
            rows[i] = rows[i].plus(b, lower[i][j], rows[j])
    return rows


def _solve(b: Builder, lower: n.Node, rows: n.Node) -> n.Node:
    """Nothing is made of nothing."""
    return rows if isinstance(rows, n.Number) else b.solve(lower, rows)


def applied(b: Builder, lower: n.Node, rows: n.Node) -> n.Node:
    """A pair tile times rows, or times a pair tile."""
    if isinstance(rows, n.Number):
        return rows
    meeting = n.MID_ROW if n.KEY_ROW in rows.axes else n.KEY_ROW
    left = b.rename(lower, n.KEY_ROW, meeting)
    return b.contract(left, b.rename(rows, n.ROW, meeting), (meeting,))


def by_inverses(b: Builder, function: n.ChunkFunction) -> n.ChunkFunction:
    """The function with a product for each solution: a system is solved once for all its right
    sides, and there is but one node for backends to know. Functions that are made by one builder
    share their nodes."""
    made: dict[n.Node, n.Node] = {}
    for node in function.nodes:
        args = tuple(made[arg] for arg in node.args)
        match node:
            case n.Solve(transposed=False):
                made[node] = applied(b, b.inverse(args[0]), args[1])
            case n.Solve():
                made[node] = _transposed(b, b.inverse(args[0]), args[1])
            case _:  # loads and states stay the nodes that other programs know
                made[node] = b.intern(node) if args == node.args else b.rebuild(node, args)
    carries = []
    for carry, after in function.carries:
        same = made[carry]
        assert isinstance(same, n.Carry)
        carries.append((same, made[after]))
    return n.ChunkFunction(
        nodes=b.nodes,
        outputs=tuple((name, made[node]) for name, node in function.outputs),
        carries=tuple(carries),
        chunk=function.chunk,
        still=function.still,
        handed=_in_order(b, {made[node] for node in function.handed}),
    )


def _in_order(b: Builder, nodes: set[n.Node]) -> tuple[n.Node, ...]:
    """The nodes as they were made, arguments first."""
    return tuple(node for node in b.nodes if node in nodes)


def _transposed(b: Builder, tile: n.Node, rows: n.Node) -> n.Node:
    """The transposed pair tile times rows, or times a pair tile."""
    own = n.MID_ROW if n.KEY_ROW in rows.axes else n.KEY_ROW
    summed = b.contract(b.rename(tile, n.KEY_ROW, own), rows, (n.ROW,))
    return b.rename(summed, own, n.ROW)
