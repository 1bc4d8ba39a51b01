"""Runs a chunk function over any ring: floats, polynomials, a prime field.

Values are numpy arrays (dtype object for exact numbers) with the node's axes, and nothing else:
one batch row, one head. What a primitive means is the caller's table of functions.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mixerc.plan import nodes as n

Functions = Mapping[str, Callable[..., Any]]

RING: Functions = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
}


def evaluate(
    function: n.ChunkFunction,
    inputs: Mapping[str, Any],
    carries: Mapping[str, Any],
    functions: Functions = RING,
    number: Callable[[Any], Any] = float,
    sizes: Mapping[str, int] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Outputs and next states of one chunk. `number` turns an exact number into an element."""
    run = _Run(inputs, carries, functions, number, sizes or {}, function.chunk)
    for node in _needed(function):
        run.values[node] = run.value(node)
    outputs = {name: run.values[node] for name, node in function.outputs}
    states = {carry.state: run.values[after] for carry, after in function.carries}
    return outputs, states


def _needed(function: n.ChunkFunction) -> list[n.Node]:
    """The nodes that the results are made of, arguments first."""
    wanted = {node for _, node in function.outputs} | {node for _, node in function.carries}
    for node in reversed(function.nodes):
        if node in wanted:
            wanted.update(node.args)
    return [node for node in function.nodes if node in wanted]


class _Run:
    def __init__(
        self,
        inputs: Mapping[str, Any],
        carries: Mapping[str, Any],
        functions: Functions,
        number: Callable[[Any], Any],
        sizes: Mapping[str, int],
        chunk: int,
    ) -> None:
        self.inputs = inputs
        self.carries = carries
        self.functions = functions
        self.number = number
        self.lengths = {**dict.fromkeys(n.ROWS, chunk), **sizes}
        self.values: dict[n.Node, Any] = {}

    def aligned(self, node: n.Node, axes: n.Axes) -> Any:
        """The node's value with the axes in that order, of length 1 where it lacks one."""
        value, have = np.asarray(self.values[node]), list(node.axes)
        kept = [a for a in axes if a in have]
        value = value.transpose([have.index(a) for a in kept])
        return value.reshape([value.shape[kept.index(a)] if a in kept else 1 for a in axes])

    def value(self, node: n.Node) -> Any:
        match node:
            case n.Load(name=name):
                return self._leaf(node, self.inputs[name])
            case n.Carry(state=state):
                return self._leaf(node, self.carries[state])
            case n.Number(value=value):
                return self.number(value)
            case n.Size(name=name):
                return self.number(self.lengths[name])
            case n.HeadIndex():
                return self.number(0)
            case n.Arange(axes=(axis,)):
                return np.array([self.number(i) for i in range(self.lengths[axis])])
            case n.Map(primitive=primitive, args=args):
                return self.functions[primitive](*(self.aligned(a, node.axes) for a in args))
            case n.Contract(args=(left, right), over=over):
                axes = node.axes + over
                product = self.aligned(left, axes) * self.aligned(right, axes)
                return self._sum(product, len(node.axes))
            case n.Sum(args=(arg,), over=over):
                return self._sum(self.aligned(arg, node.axes + over), len(node.axes))
            case n.Max(args=(arg,), over=over):
                summed = tuple(range(len(node.axes), len(node.axes) + len(over)))
                return self.aligned(arg, node.axes + over).max(axis=summed)
            case _:
                return self._tile(node)

    def _leaf(self, node: n.Node, value: Any) -> Any:
        value = np.asarray(value)
        for axis, length in zip(node.axes, value.shape, strict=True):
            self.lengths[axis] = length
        return value

    def _sum(self, value: Any, kept: int) -> Any:
        for _ in range(value.ndim - kept):
            value = value.sum(axis=-1)
        return value

    def _zeros(self, shape: tuple[int, ...], like: Any) -> Any:
        zero = self.number(0)
        return np.full(shape, zero, dtype=np.asarray(like).dtype)

    def _tile(self, node: n.Node) -> Any:
        arg = np.asarray(self.values[node.args[0]]) if node.args else np.asarray(0)
        match node:
            case n.Rename() | n.Pad():
                return arg
            case n.Spread():
                shape = [self.lengths[a] for a in node.axes]
                return np.broadcast_to(self.aligned(node.args[0], node.axes), shape)
            case n.Halves(args=(rows,), width=width, side=side):
                return self._blocked(arg, rows.axes, width)[_at(rows.axes, side)]
            case n.Place(args=(blocks,), width=width, side=side):
                return self._place(self.aligned(blocks, _pair_first(blocks, width)), width, side)
            case n.Pick(width=width, side=side):
                axis = node.axes.index(n.pair_axis(width))
                return np.take(arg, range(side == "right", arg.shape[axis], 2), axis=axis)
            case n.Unpick(width=width, side=side):
                return self._unpick(arg, node.args[0].axes.index(n.pair_axis(width)), side)
            case n.Grow(args=(rows, factor), width=width, side=side):
                return self._grow(rows, factor, width, side)
            case n.Blocks():
                return self._blocks(node)
            case n.Block(width=width):
                return self._block(arg, width)
            case n.Diagonal():
                return np.array([arg[i, i] for i in range(len(arg))], dtype=arg.dtype)
            case n.Triangle(strict=strict):
                keep = np.tri(len(arg), len(arg), -1 if strict else 0, dtype=bool)
                return np.where(keep, arg, self._zeros(arg.shape, arg))
            case n.Solve() | n.Inverse():
                return self._solved(node)
            case n.Concat(args=args, parts=parts, over=over):
                shared = tuple(a for a in node.axes if a != over)
                return np.concatenate(
                    [self._slice(a, shared, p) for a, p in zip(args, parts, strict=True)], axis=-1
                )
            case n.Part(args=(whole, *parts), over=over, index=index):
                return self._part(whole, parts, over, index, node)
            case _:
                raise AssertionError(type(node).__name__)

    def _blocked(self, rows: Any, axes: n.Axes, width: int) -> Any:
        """Rows split into (pair, side, row of the block)."""
        at = axes.index(n.ROW)
        shape = rows.shape
        pairs = shape[at] // (2 * width)
        self.lengths.update({n.pair_axis(width): pairs, n.row_axis(width): width})
        self.lengths[n.key_axis(width)] = width
        return rows.reshape(*shape[:at], pairs, 2, width, *shape[at + 1 :])

    def _place(self, blocks: Any, width: int, side: n.Side) -> Any:
        pairs, _, *rest = blocks.shape
        out = self._zeros((pairs, 2, width, *rest), blocks)
        out[:, int(side == "right")] = blocks
        return out.reshape(2 * pairs * width, *rest)

    def _unpick(self, picked: Any, at: int, side: n.Side) -> Any:
        shape = list(picked.shape)
        shape[at] *= 2
        out = self._zeros(tuple(shape), picked)
        index: list[Any] = [slice(None)] * len(shape)
        index[at] = slice(int(side == "right"), None, 2)
        out[tuple(index)] = picked
        return out

    def _grow(self, rows: n.Node, factor: n.Node, width: int, side: n.Side) -> Any:
        first = (n.ROW, *(a for a in rows.axes if a != n.ROW))
        blocked = self._blocked(self.aligned(rows, first), first, width).copy()
        by = self.aligned(factor, (n.pair_axis(width), *first[1:]))
        blocked[:, int(side == "right")] = blocked[:, int(side == "right")] * by[:, None]
        flat = blocked.reshape(-1, *blocked.shape[3:])
        return flat.transpose([first.index(a) for a in rows.axes])

    def _blocks(self, node: n.Blocks) -> Any:
        chunk = self.lengths[n.ROW]
        parts = list(node.args)
        like = self.values[parts[0]] if parts else 0.0
        out = self._zeros((chunk, chunk), like)
        if node.diagonal:
            for i, value in enumerate(self.values[parts.pop(0)]):
                out[i, i] = value
        for width, part in zip(node.widths, parts, strict=True):
            axes = (n.pair_axis(width), n.row_axis(width), n.key_axis(width))
            for pair, block in enumerate(self.aligned(part, axes)):
                left = 2 * width * pair
                out[left + width : left + 2 * width, left : left + width] = block
        return out

    def _block(self, pairs: Any, width: int) -> Any:
        starts = range(0, len(pairs), 2 * width)
        self.lengths.update({n.pair_axis(width): len(starts)})
        return np.stack([pairs[i + width : i + 2 * width, i : i + width] for i in starts])

    def _solved(self, node: n.Solve | n.Inverse) -> Any:
        match node:
            case n.Solve(args=(lower, rows), transposed=transposed):
                return self._solve(lower, rows, transposed=transposed)
            case _:
                return self._inverse(np.asarray(self.values[node.args[0]]))

    def _solve(self, lower: n.Node, rows: n.Node, *, transposed: bool) -> Any:
        """Substitution, row after row; from the last one if the tile is transposed."""
        first = (n.ROW, *(a for a in rows.axes if a != n.ROW))
        tile, right = self.values[lower], self.aligned(rows, first)
        order = range(len(tile))
        found = _substituted(tile.T if transposed else tile, right, order[:: 1 - 2 * transposed])
        return np.asarray(found).transpose([first.index(a) for a in rows.axes])

    def _inverse(self, tile: Any) -> Any:
        rows = range(len(tile))
        identity = self._zeros(tile.shape, tile)
        identity[rows, rows] = self.number(1)
        return _substituted(tile, identity, rows)

    def _slice(self, node: n.Node, shared: n.Axes, own: str) -> Any:
        axes = (*shared, own) if own else shared
        value = self.aligned(node, axes)
        return value if own else value[..., None]

    def _part(self, whole: n.Node, parts: list[n.Node], over: str, index: int, node: n.Node) -> Any:
        own = [next((a for a in p.axes if a not in whole.axes), "") for p in parts]
        lengths = [self.lengths[a] if a else 1 for a in own]
        shared = tuple(a for a in node.axes if a != own[index])
        value = self.aligned(whole, (*shared, over))
        start = sum(lengths[:index])
        piece = value[..., start : start + lengths[index]]
        return piece if own[index] else piece[..., 0]


def _substituted(tile: Any, rows: Any, order: range) -> Any:
    """The x with x = rows + tile x, where a row of the tile is 0 from its own place on."""
    found = rows.copy()
    done: list[int] = []
    for i in order:
        for j in done:
            found[i] = found[i] + found[j] * tile[i, j]
        done.append(i)
    return found


def _pair_first(node: n.Node, width: int) -> n.Axes:
    pair = (n.pair_axis(width), n.row_axis(width))
    return (*pair, *(a for a in node.axes if a not in pair))


def _at(axes: n.Axes, side: n.Side) -> tuple[Any, ...]:
    """The index that takes one side of a pair, behind the axes that stand before the rows."""
    return (*(slice(None) for _ in axes[: axes.index(n.ROW) + 1]), int(side == "right"))
