"""A kernel of a tile sweep as the view of its templates."""

from collections.abc import Iterable
from dataclasses import dataclass

from mixerc.algebra.attention import MaskedSum
from mixerc.backends.module.layout import laid_out, packed, tuple_text
from mixerc.backends.triton.decays import NO_DECAY, decay_text
from mixerc.backends.triton.doors import Door, axes_lines
from mixerc.backends.triton.values import block_of, size_of
from mixerc.backends.triton.visit import HEAD, Orientation, Visit
from mixerc.backends.triton.walks import Call, Loop, closed, table, walk_of
from mixerc.plan.sweep import Sweep

_COUNTS = ("blocks", "length", "here_count", "there_count", "here_low", "there_low")
_SPANS = ("here_spans_at", "there_spans_at", "starts_at", "tiles_at", "documents_at")
_SLOTS = ("positions_at", "seen_at")
_OPTIONS = ("CLOSED", "HERE", "THERE", "ACC", "DOT", "PREC")


@dataclass(frozen=True, slots=True, kw_only=True)
class PassView:
    """Every slot of a kernel's templates. `visit` is the template of what is done with a tile."""

    name: str
    template: str
    summary: str
    integers: str
    head: tuple[str, ...]
    before: tuple[str, ...]
    within: tuple[str, ...]
    each: bool
    pad: str
    bands: tuple[Loop, ...]
    table: Loop
    after: tuple[str, ...]
    visit: str
    visit_head: tuple[str, ...]
    positions: tuple[str, ...]
    own: str
    other: str
    loads: tuple[str, ...]
    scores: tuple[str, ...]
    score: str
    decay: tuple[str, ...]
    d_decay: tuple[str, ...]
    mask: tuple[str, ...]
    inside: str
    allowed: str
    stable: bool
    exponential: bool
    product: str
    query: str
    adjoint: tuple[str, ...]
    carried: str
    record: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is special to a kernel: accumulators with their first values, doors that only it has,
    and lines around its loops."""

    kind: str
    summary: str
    template: str
    carried: tuple[tuple[str, str], ...]
    here: tuple[Door, ...] = ()
    there: tuple[Door, ...] = ()
    outs: tuple[Door, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Writes the view of one kernel of a sum; `numbers` are the plain numbers of its text."""

    sweep: Sweep
    each: MaskedSum
    stem: str
    numbers: tuple[str, ...]

    def view(self, orientation: Orientation, visit: Visit, parts: Parts) -> PassView:
        """The view."""
        return _Writing(self, orientation, visit, parts).view()


class _Writing:
    """One kernel at work: its doors, and the names in its text."""

    def __init__(
        self, writer: Writer, orientation: Orientation, visit: Visit, parts: Parts
    ) -> None:
        self.writer, self.visit, self.parts = writer, visit, parts
        self.sweep, self.condition = writer.sweep, writer.each.condition
        self.keys, self.token = orientation.turned, orientation.heads
        self.name = f"{writer.stem}_{parts.kind}_kernel"
        self.own, self.other = ("s", "t") if self.keys else ("t", "s")
        self.decay = NO_DECAY
        if self.sweep.decay is not None:
            self.decay = decay_text(parts.kind, exponential=self.sweep.exponential)
        self.here = (*visit.here, *parts.here, *self.decay.here)
        self.there = (*visit.there, *parts.there, *self.decay.there)
        self.outs = (*parts.outs, *self.decay.outs)
        self.carried = (*parts.carried, *self.decay.carried)
        every = (*self.here, *self.there, *visit.constants, *self.outs, *self.decay.held)
        self.doors = tuple(dict.fromkeys(every))
        self.axes = tuple(dict.fromkeys(a for door in self.doors for a in door.axes))
        self.sizes = tuple(dict.fromkeys(size_of(axis) for axis in self.axes))
        # Axes beside others of their size: tiles hold all of their places too.
        others = tuple(block_of(axis) for axis in self.axes if axis.endswith("'"))
        self.lengths = (*self.sizes, *map(block_of, self.sizes), *others)
        self.tables = [x for table in visit.tables for x in table.parameters]
        self.blocked = [door for door in parts.outs if not door.side]
        self.call = Call(
            name=self.name,
            carried=tuple(name for name, _ in self.carried),
            passed=self._passed(),
            constants=frozenset((*self.lengths, *writer.numbers, *_OPTIONS)),
            always=bool(self.blocked),
            numbered=bool(self.decay),
        )

    def _passed(self) -> tuple[str, ...]:
        """What a tile is made from, by the names that it has in the kernel and in the function."""
        walked = (x for door in self.there for x in (f"{door.tile}_from", door.strides[3]))
        tiles = (door.tile for door in (*self.here, *self.visit.constants))
        fixed = (*self.lengths, *self.writer.numbers, "HERE", "THERE", "ACC", "DOT", "PREC")
        head = (HEAD if self.token else "h",) if self.visit.head else ()
        slots = ("s_from",) if self.token else ()
        own = (self.own, f"{self.own}_in", *head, *slots, *self.decay.passed)
        return (*own, *tiles, *walked, *self.tables, "length", *fixed)

    def view(self) -> PassView:
        """Every slot."""
        visit, parts, sweep = self.visit, self.parts, self.sweep
        return PassView(
            name=self.name,
            template="token" if self.token else "sweep",
            summary=parts.summary,
            integers=str([*_COUNTS]).replace("'", '"'),
            head=self._head(),
            before=_broken(self._before()),
            within=self._within(),
            each=self.keys,
            pad="    " if self.keys else "",
            bands=self._bands(),
            table=table(self.call, leftwards=self._leftwards),
            after=_broken((*parts.after, *self.decay.after)),
            visit=f"triton/{parts.template}",
            visit_head=packed(f"def {self.name}_tile(", self.call.parameters, "):", 0),
            positions=self._positions(),
            own=self.own,
            other=self.other,
            loads=_broken(self._loads()),
            scores=visit.scores,
            score=visit.score,
            decay=self.decay.tile,
            d_decay=self.decay.adjoint,
            mask=visit.mask,
            inside=self._inside(),
            allowed=visit.allowed and f" & ({visit.allowed})",
            stable=sweep.stable,
            exponential=sweep.exponential,
            product="value, tl.trans(cotangent)" if self.keys else "cotangent, tl.trans(value)",
            query="[None, :]" if self.keys else "[:, None]",
            adjoint=self._adjoint(),
            carried=", ".join(self.call.carried),
            record=self._record(),
        )

    @property
    def _leftwards(self) -> bool:
        """Whether keys are visited from the query backwards, as what is added up between asks."""
        return bool(self.decay) and not self.keys

    def _bands(self) -> tuple[Loop, ...]:
        """The loops in closed form, if there are any."""
        walk = walk_of(self.condition, keys=self.keys, in_turn=bool(self.decay))
        return tuple(closed(walk, self.call, leftwards=self._leftwards))

    def _head(self) -> tuple[str, ...]:
        """The kernel's parameters."""
        fixed = (*self.lengths, *self.writer.numbers, *_OPTIONS)
        strides = [x for door in self.doors for x in (f"{door.tile}_at", *door.strides)]
        blocked = [f"{x.tile}_row" for x in (*self.outs, *self.decay.held) if not x.side]
        spans = _SLOTS if self.token else _SPANS
        start = ("start",) if self.decay else ()
        plain = (*strides, *blocked, *self.tables, *spans, *_COUNTS, *start, "GROUPS", "EACH")
        constants = (f"{name}: tl.constexpr" for name in fixed)
        return packed(f"def {self.name}(", (*plain, *constants), "):", 0)

    def _before(self) -> tuple[str, ...]:
        """What stands before the loops: its own values, and accumulators."""
        outs = [door for door in self.outs if door.side]
        inner = () if self.keys else self._inner()
        return (
            *axes_lines(self.doors),
            *(door.start() for door in (*self.here, *outs, *inner)),
            *(f"{x.start()} + block * {x.tile}_row" for x in self.blocked),
            *(door.load("i", "here", "here_in") for door in self.here),
            *(() if self.keys else self._constants()),
            *self.decay.before,
            *(f"{name} = {text}" for name, text in self.carried),
        )

    def _inner(self) -> tuple[Door, ...]:
        """What differs from head to head of a group of keys."""
        return (*self.there, *self.visit.constants, *self.decay.held)

    def _constants(self) -> tuple[str, ...]:
        return tuple(door.load("", "", "") for door in self.visit.constants)

    def _within(self) -> tuple[str, ...]:
        """What stands in the loop over the heads of a group; or in that over the slots."""
        if self.token:
            return self.call.lines("place", "there_count", "0", "True", "0")
        if not self.keys:
            return ()
        starts = (door.start() for door in self._inner())
        return (*starts, *self._constants(), *self.decay.within)

    def _positions(self) -> tuple[str, ...]:
        """The positions of the tokens of a tile, and which of them there are."""
        if self.token:
            load = "tl.load(s_from + first + j, mask=first + j < stop, other=-1)"
            return (f"s = {load}", "s_in = s >= 0")
        return (
            f"{self.other} = low + first + j",
            f"{self.other}_in = first + j < stop",
        )

    def _loads(self) -> tuple[str, ...]:
        return (
            *axes_lines(self.doors),
            *(door.load("j", "there", f"{self.other}_in") for door in self.there),
            *(table.load(turned=self.keys) for table in self.visit.tables),
        )

    def _inside(self) -> str:
        """Which pairs there are; of rows that there are not only sums over rows take notice."""
        own = f" & {self.own}_in[:, None]" if self.blocked else ""
        return f"{self.other}_in[None, :]{own}"

    def _adjoint(self) -> tuple[str, ...]:
        value = ("d_value += matmul(w, cotangent, ACC, DOT, PREC)",) if self.keys else ()
        added = (f"{door.tile} += {text}" for door, text in self.visit.gives)
        return (*self.visit.adjoint, *added, *value)

    def _record(self) -> str:
        """What a launch has to know of it: its values (of tokens or not), axes, tables."""
        held = ", ".join(f'"{door.name}": {bool(door.side)}' for door in self.doors)
        axes = [f'"{size}"' for size in self.sizes]
        tables = [f'"{table.name}"' for table in self.visit.tables]
        texts = (tuple_text(x) if x else "()" for x in (axes, tables))
        return f"{self.parts.kind}_kernel=({self.name}, {{{held}}}, {', '.join(texts)}),"


def _broken(lines: Iterable[str]) -> tuple[str, ...]:
    """Statements of a function, long ones on several lines."""
    return tuple(part for line in lines for part in laid_out(line, 4))
