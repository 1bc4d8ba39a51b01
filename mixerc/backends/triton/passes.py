"""The kernels of a tile sweep as views for their templates.

`forward` and `rows` have a program for each block of queries of a head, `keys` one for each block
of keys of a group of heads, and `token` one for each part of a cache. What they visit is in closed
form where the mask is bands of keys, and in tables of tiles elsewhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mixerc.algebra.attention import MaskedSum
from mixerc.algebra.masks.bands import Bands
from mixerc.algebra.masks.conditions import TRUE, Condition
from mixerc.algebra.masks.structure import structure
from mixerc.algebra.masks.turned import turned
from mixerc.backends.module.bounds import bounds_text
from mixerc.backends.module.identifiers import identifier
from mixerc.backends.module.layout import laid_out, tuple_text
from mixerc.backends.triton.doors import HERE, THERE, Door, axes_lines
from mixerc.backends.triton.values import block_of, size_of
from mixerc.backends.triton.visit import VALUE_AXIS, Orientation, Visit, VisitPrinter
from mixerc.plan import nodes as n
from mixerc.plan.sweep import Sweep

_NAMES = {"t0": "t0", "t1": "t1", "T": "length", "maximum": "tl.maximum", "minimum": "tl.minimum"}
_COUNTS = ("blocks", "length", "here_count", "there_count", "here_low", "there_low")
_SPANS = ("here_spans_at", "there_spans_at", "starts_at", "tiles_at")
_OPTIONS = ("CLOSED", "HERE", "THERE", "ACC", "DOT", "PREC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A loop over tiles: `before` it, its range, and its body."""

    before: tuple[str, ...]
    over: str
    body: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassView:
    """Every slot of a kernel's templates. `visit` is the template of what is done with a tile."""

    name: str
    summary: str
    integers: str
    head: tuple[str, ...]
    before: tuple[str, ...]
    within: tuple[str, ...]
    each: bool
    pad: str
    bands: tuple[Loop, ...]
    table: tuple[Loop, ...]
    after: tuple[str, ...]
    visit: str
    visit_head: tuple[str, ...]
    own: str
    other: str
    loads: tuple[str, ...]
    scores: tuple[str, ...]
    score: str
    mask: tuple[str, ...]
    inside: str
    allowed: str
    stable: bool
    exponential: bool
    product: str
    top: str
    scale: str
    shift: str
    adjoint: tuple[str, ...]
    carried: str
    record: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
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


class Passes:
    """Prints the kernels of one sum."""

    def __init__(self, sweep: Sweep, each: MaskedSum, sizes: Mapping[str, float]) -> None:
        self.sweep, self.each, self.sizes = sweep, each, sizes
        self.numbers: dict[str, str] = {}
        self.stem = identifier(sweep.name)

    def views(self) -> tuple[PassView, ...]:
        """All kernels, in the order of the file."""
        return self._forward(), self._rows(), self._keys()

    def _printer(self, orientation: Orientation) -> VisitPrinter:
        return VisitPrinter(self.sweep, orientation, self.numbers, self.sizes)

    def _forward(self) -> PassView:
        orientation = Orientation()
        printer = self._printer(orientation)
        visit = printer.visit()
        parts = self.summing(printer, "forward", "The sum of each query.")
        return self._view(orientation, visit, parts)

    def summing(self, printer: VisitPrinter, kind: str, summary: str) -> _Parts:
        """What kernels have in common that make the sum itself."""
        lines, divisor, more = printer.divisor()
        out = Door(name="out", side=HERE, axes=(VALUE_AXIS,))
        tops, weights = (Door(name=name, side=HERE) for name in ("tops", "weights"))
        after = ["top = tl.where(weight == 0, 0.0, top)"] if self.sweep.stable else []
        after += lines
        if divisor:
            after += [
                f"divisor = {divisor}",
                "total = total / tl.where(divisor == 0, 1.0, divisor)[:, None]",
            ]
        stored = ((out, "total"), (tops, "top"), (weights, "weight"))
        after += [door.store(value, "i", "here", "here_in") for door, value in stored]
        least = "-3.0e38" if self.sweep.stable else "0.0"
        return _Parts(
            kind=kind,
            summary=summary,
            template="summed.py.j2",
            carried=(
                ("total", f"tl.zeros((HERE, {block_of(VALUE_AXIS)}), ACC)"),
                ("top", f"tl.full((HERE,), {least}, ACC)"),
                ("weight", "tl.zeros((HERE,), ACC)"),
            ),
            here=more,
            there=(Door(name="value", side=THERE, axes=(VALUE_AXIS,)),),
            outs=(out, tops, weights),
            after=tuple(after),
        )

    def _rows(self) -> PassView:
        """The cotangents of what scores read of queries, and of constants."""
        orientation = Orientation()
        visit = self._printer(orientation).visit(lambda axes: n.KEY_ROW not in axes)
        parts = self._back(visit, "rows", "Cotangents of what scores read of queries.")
        return self._view(orientation, visit, parts)

    def _keys(self) -> PassView:
        """The cotangents of what scores read of keys, and of the value."""
        orientation = Orientation(turned=True)
        visit = self._printer(orientation).visit(lambda axes: n.ROW in axes)
        parts = self._back(visit, "keys", "Cotangents of what scores read of keys, and the value.")
        return self._view(orientation, visit, parts)

    def _back(self, visit: Visit, kind: str, summary: str) -> _Parts:
        keys = kind == "keys"
        query, key = (THERE, HERE) if keys else (HERE, THERE)
        value = Door(name="value", side=key, axes=(VALUE_AXIS,))
        of_rows = (
            Door(name="cotangent", side=query, axes=(VALUE_AXIS,)),
            *(Door(name=name, side=query) for name in ("tops", "scale", "shift")),
        )
        outs = [door for door, _ in visit.gives]
        if keys:
            outs.append(Door(name="d_value", side=HERE, axes=(VALUE_AXIS,)))
        carried = tuple((f"{door.tile}", f"tl.zeros({_shape(door)}, ACC)") for door in outs)
        return _Parts(
            kind=kind,
            summary=summary,
            template="back.py.j2",
            carried=carried,
            here=(value,) if keys else of_rows,
            there=of_rows if keys else (value,),
            outs=tuple(outs),
            after=tuple(door.store(door.tile, "i", "here", "here_in") for door in outs),
        )

    def _view(self, orientation: Orientation, visit: Visit, parts: _Parts) -> PassView:
        name = f"{self.stem}_{parts.kind}"
        keys = orientation.turned
        here, there = (*visit.here, *parts.here), (*visit.there, *parts.there)
        inner = (*there, *visit.constants)
        doors = tuple(dict.fromkeys((*here, *inner, *parts.outs)))
        axes = tuple(dict.fromkeys(a for door in doors for a in door.axes))
        sizes = tuple(dict.fromkeys(size_of(axis) for axis in axes))
        lengths = (*sizes, *map(block_of, sizes), *self._others(axes))
        tables = [x for table in visit.tables for x in table.parameters]
        fixed = (*lengths, *self.numbers.values(), *_OPTIONS)
        constants = [f"{x}: tl.constexpr" for x in fixed]
        strides = [x for door in doors for x in (f"{door.tile}_at", *door.strides)]
        blocked = [f"{x.tile}_row" for x in parts.outs if not x.side]
        head = (*strides, *blocked, *tables, *_SPANS, *_COUNTS, "GROUPS", "EACH", *constants)
        own, other = ("s", "t") if keys else ("t", "s")
        passed = self._passed(visit, there, here, own, lengths)
        names = tuple(name for name, _ in parts.carried)
        call = _Call(name=name, carried=names, passed=passed, constants=frozenset(fixed))
        starts = tuple(door.start() for door in inner)
        own_starts = tuple(door.start() for door in (*here, *parts.outs) if door.side)
        loaded = tuple(door.load("i", "here", "here_in") for door in here)
        loaded += () if keys else tuple(door.load("", "", "") for door in visit.constants)
        return PassView(
            name=name,
            summary=parts.summary,
            integers=str([*_COUNTS]).replace("'", '"'),
            head=laid_out(f"def {name}({', '.join(head)}):", 0),
            before=(
                *axes_lines(doors),
                *own_starts,
                *(() if keys else starts),
                *(f"{x.start()} + block * {x.tile}_row" for x in parts.outs if not x.side),
                *loaded,
                *(f"{name} = {text}" for name, text in parts.carried),
            ),
            within=(*starts, *(x.load("", "", "") for x in visit.constants)) if keys else (),
            each=keys,
            pad="    " if keys else "",
            bands=self._bands(call, keys=keys, always=bool(blocked)),
            table=self._table(call, always=bool(blocked)),
            after=parts.after,
            visit=f"triton/{parts.template}",
            visit_head=laid_out(f"def {name}_tile({', '.join(call.parameters)}):", 0),
            own=own,
            other=other,
            loads=(
                *axes_lines(doors),
                *(door.load("j", "there", f"{other}_in") for door in there),
                *(table.load(turned=keys) for table in visit.tables),
            ),
            scores=visit.scores,
            score=visit.score,
            mask=visit.mask,
            inside=f"{other}_in[None, :]" + (f" & {own}_in[:, None]" if blocked else ""),
            allowed=visit.allowed and f" & ({visit.allowed})",
            stable=self.sweep.stable,
            exponential=self.sweep.exponential,
            product="value, tl.trans(cotangent)" if keys else "cotangent, tl.trans(value)",
            top="tops[None, :]" if keys else "tops[:, None]",
            scale="scale[None, :]" if keys else "scale[:, None]",
            shift="shift[None, :]" if keys else "shift[:, None]",
            adjoint=(
                *visit.adjoint,
                *(f"{door.tile} += {text}" for door, text in visit.gives),
                *(("d_value += matmul(w, cotangent, ACC, DOT, PREC)",) if keys else ()),
            ),
            carried=", ".join(names),
            record=_record(parts.kind, name, doors, sizes, visit),
        )

    def _others(self, axes: Iterable[str]) -> tuple[str, ...]:
        """Axes beside others of their size: tiles hold all of their places."""
        return tuple(block_of(axis) for axis in axes if axis.endswith("'"))

    def _passed(
        self,
        visit: Visit,
        there: tuple[Door, ...],
        here: tuple[Door, ...],
        own: str,
        lengths: tuple[str, ...],
    ) -> tuple[str, ...]:
        """What a tile is made from, by the names that it has in the kernel and in the function."""
        tables = (x for table in visit.tables for x in table.parameters)
        walked = (x for door in there for x in (f"{door.tile}_from", door.strides[3]))
        tiles = (door.tile for door in (*here, *visit.constants))
        fixed = (*lengths, *self.numbers.values(), "HERE", "THERE", "ACC", "DOT", "PREC")
        head = ("h",) if visit.head else ()
        return (own, f"{own}_in", *head, *tiles, *walked, *tables, "length", *fixed)

    def _bands(self, call: "_Call", *, keys: bool, always: bool) -> tuple[Loop, ...]:
        """Loops in closed form over the tiles of each band."""
        found = bands_of(self.each.condition, keys=keys)
        if found is None:
            return ()
        loops = []
        for band, text in zip(found.bands, bounds_text(found, _NAMES), strict=True):
            ends = f"{text.begin}, {text.end}, {text.sure_begin}, {text.sure_end}"
            head = (
                *(("done = tl.maximum(done, end)",) if loops else ()),
                *text.lines,
                f"begin, near, far, end = band_of({ends}, there_low, there_count, done, THERE)",
            )
            sure = band.guard == TRUE and not always
            spans = [("begin", "near", True), ("near", "far", False), ("far", "end", True)]
            if not sure:
                spans = [("begin", "end", True)]
            elif _same(text.lines, text.begin, text.sure_begin):
                spans = spans[1:]
            for index, (low, high, masked) in enumerate(spans):
                body = call.lines("place", "there_count", "there_low", masked=masked)
                over = f"for place in range({low}, {high}, THERE):"
                loops.append(Loop(before=() if index else head, over=over, body=body))
        return tuple(loops)

    def _table(self, call: "_Call", *, always: bool) -> tuple[Loop, ...]:
        """Loops over the tiles of a table: those with a pair that is not allowed, and the full."""
        spot = "first, stop, low = span_of(tile, there_count, there_low, there_spans_at, THERE)"
        loops = []
        for index, masked in enumerate((True, False)):
            start, stop = (f"tl.load(starts_at + 2 * block + {index + i})" for i in (0, 1))
            body = (
                "tile = tl.load(tiles_at + step)",
                spot,
                *call.lines("first", "stop", "low", masked=masked or always),
            )
            loops.append(Loop(before=(), over=f"for step in range({start}, {stop}):", body=body))
        return tuple(loops)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """The function of a tile: what it carries from tile to tile, and what it is passed."""

    name: str
    carried: tuple[str, ...]
    passed: tuple[str, ...]
    constants: frozenset[str]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Those of the function."""
        fixed = [f"{x}: tl.constexpr" if x in self.constants else x for x in self.passed]
        return (*self.carried, "first", "stop", "low", *fixed, "MASKED: tl.constexpr")

    def lines(self, first: str, stop: str, low: str, *, masked: bool) -> tuple[str, ...]:
        """A call."""
        arguments = (*self.carried, first, stop, low, *self.passed, str(masked))
        carried = ", ".join(self.carried)
        return laid_out(f"{carried} = {self.name}_tile({', '.join(arguments)})", 12)


def _record(kind: str, name: str, doors: Iterable[Door], sizes: Iterable[str], visit: Visit) -> str:
    """What a launch has to know of a kernel: its values (with tokens or without), axes, tables."""
    held = ", ".join(f'"{door.name}": {bool(door.side)}' for door in doors)
    axes = [f'"{size}"' for size in sizes]
    tables = [f'"{table.name}"' for table in visit.tables]
    texts = (tuple_text(x) if x else "()" for x in (axes, tables))
    return f'{kind}_kernel=({name}, {{{held}}}, {", ".join(texts)}),'


def _shape(door: Door) -> str:
    lengths = [*(["HERE"] if door.side else []), *(block_of(axis) for axis in door.axes)]
    return f"({', '.join(lengths)}{',' if len(lengths) == 1 else ''})" if lengths else "[]"


def _same(lines: Iterable[str], one: str, other: str) -> bool:
    """Whether two variables are given the same text."""
    texts = dict(line.split(" = ", 1) for line in lines)
    return texts[one] == texts[other]


def bands_of(condition: Condition, *, keys: bool) -> Bands | None:
    """The bands of keys of a mask, or of queries, if kernels can walk over them in closed form."""
    found = structure(turned(condition) if keys else condition)
    return found if isinstance(found, Bands) and found.ordered else None
