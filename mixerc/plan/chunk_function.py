"""The only transition mathematics: a linear mixer over one chunk of C tokens.

With prefixes P and suffixes F of the decays (see `decay`), per readout and write,

    A   = sum over levels of (q·P)(k·F)',  o = A v + (q·P) S,  S' = S·total + (k·F)' v

where decays along the value axes multiply v and o instead, level by level, and a scalar decay
multiplies the scores. Masked rows write nothing and decay by 1. What a write takes from the state
is solved for first (see `solve`): its rows are U + W S, and then they are values as any others.
"""

from dataclasses import dataclass

from mixerc.algebra.linear import Linear, LinearState, Readout, Write
from mixerc.algebra.stabilise import FALL
from mixerc.ir import expr as e
from mixerc.ir.expr import Expr
from mixerc.plan import nodes as n
from mixerc.plan.build import Builder
from mixerc.plan.decay import Decay, grown, widths
from mixerc.plan.lower import lower, lower_product
from mixerc.plan.solve import Rows, solved


def chunk_function(
    linear: Linear,
    chunk: int,
    logarithms: frozenset[str],
    still: frozenset[str] = frozenset(),
) -> n.ChunkFunction:
    """The chunk function; decays named in `logarithms` are given as `log_<name>`, and streams in
    `still` have no cotangent."""
    b = Builder(logarithms)
    states = {state.name: _ChunkState(b, state, chunk, logarithms) for state in linear.states}
    reads: dict[str, n.Node] = {}
    handed = [x for state in states.values() for x in state.handed]
    for readout in linear.readouts:
        plain = lower_product(b, readout.query)
        query = _substitute(b, plain, reads)
        if query is not plain:  # it is made of readouts before it
            handed += [*reads.values(), query]
        reads[readout.name] = states[readout.state].read(readout, query)
    output = _substitute(b, lower(b, linear.output), reads)
    carries = tuple((state.carry, state.next()) for state in states.values())
    return n.ChunkFunction(
        nodes=b.nodes,
        outputs=(("o", output),),
        carries=carries,
        chunk=chunk,
        handed=tuple(dict.fromkeys(handed)),
        still=still,
    )


def _substitute(b: Builder, node: n.Node, reads: dict[str, n.Node]) -> n.Node:
    """The node over rows, with readouts in their places."""
    return rebuilt(b, node, {b.load(name, read.axes): read for name, read in reads.items()})


def rebuilt(b: Builder, node: n.Node, by: dict[n.Node, n.Node]) -> n.Node:
    """The node with some of its ancestors replaced."""
    if node in by:
        return by[node]
    args = tuple(rebuilt(b, arg, by) for arg in node.args)
    if args == node.args:
        return node
    by[node] = made = b.rebuild(node, args)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class _Groups:
    """The decays of a state by what they lie along; a scalar joins the keys or the values."""

    keys: Decay | None
    values: Decay | None
    scalar: Decay | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _How:
    """How a row reads its state: `before` its own decay, and without (`strict`) its own writes."""

    before: bool
    strict: bool


class _ChunkState:
    """One state over one chunk."""

    def __init__(
        self, b: Builder, state: LinearState, chunk: int, logarithms: frozenset[str]
    ) -> None:
        self.b = b
        self.state = state
        self.chunk = chunk
        self.groups = _grouped(b, state, logarithms)
        self.carry = b.carry(state.name, state.axes)
        self.handed: list[n.Node] = []
        self.values = self._solved() if state.rank else {}

    def read(self, readout: Readout, query: n.Node) -> n.Node:
        """One readout: what the chunk's own tokens wrote, and what the carried state holds."""
        b, groups = self.b, self.groups
        query = b.spread(query, (n.ROW,))
        how = _How(before=readout.before, strict=readout.before)
        rows = self._rows(query, how)
        terms = [self._within(write, how, query, rows) for write in self.state.writes]
        held = b.contract(self._outer(how, rows), self.carry, self.state.key_axes)
        if groups.values is not None:
            held = b("mul", self._value_prefix(how)[-1], held)
        return b.add_all([*terms, held])

    def _rows(self, query: n.Node, how: _How) -> tuple[n.Node, ...]:
        """The query at every level."""
        b, along = self.b, self.groups.keys
        start = query if along is None or how.before else b("mul", query, along.value(b))
        return grown(b, start, along, self.chunk, "right").levels

    def _outer(self, how: _How, rows: tuple[n.Node, ...]) -> n.Node:
        """The query as the state before the chunk is read by it."""
        if self.groups.scalar is None:
            return rows[-1]
        return self.b("mul", rows[-1], self._scalar_prefixes(self.groups.scalar, how)[-1])

    def next(self) -> n.Node:
        """The state after the chunk."""
        b, groups = self.b, self.groups
        kept: n.Node = self.carry
        for decay in (groups.keys, groups.values, groups.scalar):
            if decay is not None:
                kept = b("mul", kept, decay.whole(b, self.chunk))
        for write in self.state.writes:
            key = grown(b, self._key(write), groups.keys, self.chunk, "left").whole
            if groups.scalar is not None:
                key = b("mul", key, self._scalar_suffixes(groups.scalar)[-1])
            value = grown(b, self._value(write), groups.values, self.chunk, "left").whole
            kept = b("add", kept, b.contract(key, value, (n.ROW,)))
        return kept

    def _key(self, write: Write) -> n.Node:
        """The key with every key axis: a write may be the same along some of them."""
        key = self.b.spread(lower_product(self.b, write.key), self.state.key_axes)
        return self.b.pad(key, 0)

    def _value(self, write: Write) -> n.Node:
        return self.values[write] if write.query is not None else self._given(write)

    def _given(self, write: Write) -> n.Node:
        """What the token itself gives for a value."""
        value = lower_product(self.b, write.value)
        if write.query is not None and isinstance(value, n.Number) and not value.value:
            return value  # nothing is written but what is read
        value = self.b.spread(value, self.state.value_axes)
        return self.b.spread(value, (n.ROW,))

    def _solved(self) -> dict[Write, n.Node]:
        """The values of the writes that ask the state: what the chunk's own tokens wrote and what
        the carried state holds."""
        asking = [write for write in self.state.writes if write.query is not None]
        rows, lower = [], []
        for write in asking:
            how = _How(before=not write.decayed, strict=True)
            query = self._query(write)
            grows = self._rows(query, how)
            known = [other for other in self.state.writes if other.query is None]
            own = [self._within(other, how, query, grows) for other in known]
            rows.append(Rows(self.b.add_all([self._given(write), *own]), self._outer(how, grows)))
            if self.chunk > 1:
                lower.append([self._scores(other, how, query, grows) for other in asking])
        if self.chunk > 1:
            rows = solved(self.b, lower, rows)
            self.handed = [x for row in rows for x in (row.own, row.factor)]
        return {
            write: self.b(
                "add", row.own, self.b.contract(row.factor, self.carry, self.state.key_axes)
            )
            for write, row in zip(asking, rows, strict=True)
        }

    def _query(self, write: Write) -> n.Node:
        """What a write asks the state with."""
        assert write.query is not None
        query = self.b.spread(lower(self.b, write.query), self.state.key_axes)
        return self.b.spread(query, (n.ROW,))

    def _value_prefix(self, how: _How) -> tuple[n.Node, ...]:
        """Decays along the value axes from the start of the block up to each row."""
        decay = self.groups.values
        assert decay is not None
        b = self.b
        start = decay.value(b)
        if how.before:
            start = b.spread(b.node(1), start.axes)
        return grown(b, start, decay, self.chunk, "right").levels

    def _within(self, write: Write, how: _How, query: n.Node, rows: tuple[n.Node, ...]) -> n.Node:
        """What the chunk's own tokens wrote, as each row reads it."""
        if how.strict and self.chunk == 1:
            return self.b.node(0)
        if self.groups.values is not None:
            return self._by_levels(write, how, query, rows)
        scores = self._scores(write, how, query, rows)
        value = self.b.rename(self._value(write), n.ROW, n.KEY_ROW)
        return self.b.contract(scores, value, (n.KEY_ROW,))

    def _scores(self, write: Write, how: _How, query: n.Node, rows: tuple[n.Node, ...]) -> n.Node:
        b, key, groups = self.b, self._key(write), self.groups
        if groups.keys is not None:
            keys = grown(b, key, groups.keys, self.chunk, "left").levels
            parts = tuple((w, self._level(rows, keys, w)) for w in widths(self.chunk))
            diagonal = None if how.strict else b.contract(query, key, self.state.key_axes)
            return b.blocks(diagonal, parts)
        plain = b.contract(query, b.rename(key, n.ROW, n.KEY_ROW), self.state.key_axes)
        if groups.scalar is None:
            return b.triangle(plain, strict=how.strict)
        if how.strict and not how.before:
            plain = b.triangle(plain, strict=True)
        return b("mul", plain, self._pairwise(groups.scalar, how))

    def _pairwise(self, decay: Decay, how: _How) -> n.Node:
        """The product of a scalar decay over s < j <= t (or < t) for every pair of the chunk."""
        prefixes = self._scalar_prefixes(decay, how)
        suffixes = self._scalar_suffixes(decay)
        parts = tuple((w, self._level(prefixes, suffixes, w)) for w in widths(self.chunk))
        one = self.b.spread(self.b.node(1), (n.ROW,))
        return self.b.blocks(None if how.before else one, parts)

    def _scalar_prefixes(self, decay: Decay, how: _How) -> tuple[n.Node, ...]:
        """A scalar decay multiplies rows once, so its products grow by themselves."""
        one = self.b.spread(self.b.node(1), (n.ROW,))
        start = one if how.before else decay.value(self.b)
        return grown(self.b, start, decay, self.chunk, "right").levels

    def _scalar_suffixes(self, decay: Decay) -> tuple[n.Node, ...]:
        one = self.b.spread(self.b.node(1), (n.ROW,))
        return grown(self.b, one, decay, self.chunk, "left").levels

    def _level(self, rows: tuple[n.Node, ...], keys: tuple[n.Node, ...], width: int) -> n.Node:
        """Scores of right rows against left rows of each pair of blocks of `width` rows."""
        b, level = self.b, width.bit_length() - 1
        right = b.halves(rows[level], width, "right")
        left = b.halves(keys[level], width, "left")
        left = b.rename(left, n.row_axis(width), n.key_axis(width))
        return b.contract(right, left, self.state.key_axes)

    def _by_levels(
        self, write: Write, how: _How, query: n.Node, rows: tuple[n.Node, ...]
    ) -> n.Node:
        """With decays along the value axes each level has values of its own."""
        b, groups = self.b, self.groups
        keys = grown(b, self._key(write), groups.keys, self.chunk, "left").levels
        values = grown(b, self._value(write), groups.values, self.chunk, "left").levels
        prefixes = self._value_prefix(how)
        plain = None
        if groups.keys is None:  # scores are the same at every level
            plain = b.contract(query, b.rename(keys[0], n.ROW, n.KEY_ROW), self.state.key_axes)
        terms = []
        if not how.strict:
            score = b.contract(query, self._key(write), self.state.key_axes)
            terms.append(b("mul", score, self._value(write)))
        for level, w in enumerate(widths(self.chunk)):
            value = b.rename(b.halves(values[level], w, "left"), n.row_axis(w), n.key_axis(w))
            scores = self._level(rows, keys, w) if plain is None else b.block(plain, w)
            mixed = b.contract(scores, value, (n.key_axis(w),))
            decayed = b("mul", b.halves(prefixes[level], w, "right"), mixed)
            terms.append(b.place(decayed, w, "right"))
        return b.add_all(terms)


def _grouped(b: Builder, state: LinearState, logarithms: frozenset[str]) -> _Groups:
    keys = [d for d in state.decays if set(d.sort.axes) & set(state.key_axes)]
    values = [d for d in state.decays if set(d.sort.axes) & set(state.value_axes)]
    scalar = [d for d in state.decays if not d.sort.axes]
    if keys:
        keys, scalar = keys + scalar, []
    elif values:
        values, scalar = values + scalar, []
    return _Groups(
        keys=_decay(b, keys, logarithms),
        values=_decay(b, values, logarithms),
        scalar=_decay(b, scalar, logarithms),
    )


def _decay(b: Builder, parts: list[Expr], logarithms: frozenset[str]) -> Decay | None:
    """The product of some decays: as logarithms if each of them is known as one."""
    if not parts:
        return None
    logs = [_logarithm(b, part, logarithms) for part in parts]
    if all(log is not None for log in logs):
        rows = b.add_all([log for log in logs if log is not None])
        return Decay(rows=b.pad(rows, 0), logarithmic=True)
    rows = b.node(1)
    for part, log in zip(parts, logs, strict=True):
        # A maximum may fall by any amount where another decay is 0; together they are at most 1.
        rows = b("mul", rows, lower(b, part) if log is None else b("exp", b("min", log, FALL)))
    return Decay(rows=b.pad(rows, 1), logarithmic=False)


def _logarithm(b: Builder, decay: Expr, logarithms: frozenset[str]) -> n.Node | None:
    match decay:
        case e.Read(name=name, sort=sort) if name in logarithms:
            return b.load(f"log_{name}", ((n.ROW,) if sort.times else ()) + sort.axes)
        case e.Apply(primitive="exp", operands=(inner,)):
            return lower(b, inner)
        case _:
            return None
