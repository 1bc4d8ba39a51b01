"""The parts of a tile sweep as functions of plain torch, and the record that holds them."""

from collections.abc import Iterable
from dataclasses import dataclass

from mixerc.algebra.attention import MaskedSum
from mixerc.algebra.masks.relative import relative
from mixerc.backends.module.bodies import LIKE, KernelPrinter
from mixerc.backends.module.identifiers import identifier
from mixerc.backends.module.inline import used_names
from mixerc.backends.module.layout import laid_out, tuple_text
from mixerc.backends.module.names import Names
from mixerc.plan import nodes as n
from mixerc.plan.adjoint import cotangent_name
from mixerc.plan.distribute import Kernel, Schedule, is_scalar
from mixerc.plan.sweep import ALLOWED, POSITIONS, Part, Sweep, key_names, row_names


@dataclass(frozen=True, slots=True, kw_only=True)
class PartView:
    """A function of a part: its head, what it is for, its lines, what it returns."""

    head: tuple[str, ...]
    summary: str
    lines: tuple[str, ...]
    returns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepView:
    """Every slot of sweep.py.j2."""

    name: str
    parts: tuple[PartView, ...]
    tiles: str
    fields: tuple[str, ...]
    kernels: tuple[str, ...] = ()


SUMMARIES = {
    "queries": "What scores read of queries.",
    "keys": "What scores read of keys, and the value.",
    "scores": "The score of each query and key.",
    "allowed": "Whether a query sees a key.",
    "decay": "What is kept from a token to the next.",
    "divisor": "What the sum is divided by.",
}


def sweep_view(
    sweep: Sweep, tiles: str, fields: tuple[str, ...], kernels: tuple[str, ...] = ()
) -> SweepView:
    """The view of a sum; `tiles` is the text of its mask's bounds, `fields` what is said of it.
    Scores are not printed where `kernels` make them."""
    views, held = [], []
    for kind, part in sweep.named_parts:
        if kernels and kind == "scores":
            continue
        for back in (False, True):
            if back and part.backward is None:
                continue
            printed = _Printed(sweep.name, kind, part, back=back)
            views.append(printed.view())
            held.append(printed.entry())
    absent = [
        f"{prefix}{kind}=None,"
        for kind in SUMMARIES
        if getattr(sweep, kind) is None
        for prefix in ("", "d_")
    ]
    return SweepView(
        name=sweep_name(sweep),
        parts=tuple(views),
        tiles=tiles.strip(),
        fields=(*(line for each in held for line in laid_out(each, 4)), *absent, *fields),
        kernels=kernels,
    )


def sweep_name(sweep: Sweep) -> str:
    """The variable that holds the record."""
    return f"SUM_{identifier(sweep.name).upper()}"


class _Printed:
    """One function of one part."""

    def __init__(self, sweep: str, kind: str, part: Part, *, back: bool) -> None:
        self.kind, self.back, self.part = kind, back, part
        self.name = f"{identifier(sweep)}_{'d_' if back else ''}{kind}"
        function = part.backward if back else part.function
        assert function is not None
        self.function = function
        self.given = {cotangent_name(name) for name, _ in part.function.outputs} if back else set()
        names = Names()
        self.loads = sorted(
            (x for x in function.nodes if isinstance(x, n.Load)), key=lambda x: x.name in POSITIONS
        )
        heads = [x for x in function.nodes if isinstance(x, n.HeadIndex)]
        for load in self.loads:
            names.of(load)
        self.kernel = Kernel(
            schedule=Schedule.CHUNK_MAP,
            reverse=False,
            inputs=(*self.loads, *heads),
            body=tuple(x for x in function.nodes if not _given(x)),
            stores=tuple(node for _, node in function.outputs),
        )
        self.printer = KernelPrinter(self.kernel, names, 0, sweeps=True)
        self.lines = self.printer.lines(4)
        self.results = self._results()
        used = used_names("\n".join(self.lines + self.results))
        known = {names.of(x) for x in self.kernel.inputs}
        counted = [name for name in ("rows", "keys", LIKE) if name in used - known]
        extras = [*self.printer.extras(), *counted]
        self.parameters = [*(names.of(x) for x in self.kernel.inputs), *extras]
        self.reads = [*map(self._key, self.loads), *("head_index" for _ in heads), *extras]

    def _key(self, load: n.Load) -> str:
        """Under which name a value is found."""
        if load.name in self.given or (self.kind == "scores" and load.name not in POSITIONS):
            return load.name
        if load.name in POSITIONS:
            return load.name if self.kind == "allowed" else f"at_{load.name}"
        match n.ROW in load.axes, n.KEY_ROW in load.axes:
            case True, False:
                return f"{load.name}_t"
            case False, True:
                return f"{load.name}_s"
            case _:
                return load.name

    def _results(self) -> tuple[str, ...]:
        wanted: dict[str, n.Axes] = {ALLOWED: (n.ROW, n.KEY_ROW)}
        if self.back:
            wanted = {cotangent_name(x.name): x.axes for x in self.part.loads}
        texts = [
            self.printer.printer.aligned(node, wanted.get(name, _rows_first(node.axes)))
            for name, node in self.function.outputs
        ]
        return laid_out(f"return {tuple_text(texts)}", 4)

    def gives(self) -> list[str]:
        """The names of what it returns."""
        return [name.removeprefix("d_") if self.back else name for name, _ in self.function.outputs]

    def view(self) -> PartView:
        """The view of the function."""
        summary = SUMMARIES[self.kind]
        return PartView(
            head=laid_out(f"def {self.name}({', '.join(self.parameters)}):", 0),
            summary=f"Back from: {summary[0].lower()}{summary[1:]}" if self.back else summary,
            lines=self.lines,
            returns=self.results,
        )

    def entry(self) -> str:
        """Its field in the record."""
        reads, gives = ([f'"{name}"' for name in names] for names in (self.reads, self.gives()))
        field = f"{'d_' if self.back else ''}{self.kind}"
        return f"{field}=Part({self.name}, {_names(reads)}, {_names(gives)}),"


def _names(items: list[str]) -> str:
    return tuple_text(items) if items else "()"


def _given(node: n.Node) -> bool:
    return isinstance(node, n.Load | n.HeadIndex) or is_scalar(node)


def _rows_first(axes: n.Axes) -> n.Axes:
    return tuple(sorted(axes, key=lambda axis: (axis != n.ROW, axis != n.KEY_ROW)))


def sweep_fields(sweep: Sweep, each: MaskedSum, tiles: str) -> tuple[str, ...]:
    """What the schedule has to know of a sum beside its functions."""
    tables = [f'"{name}": ({rows}, {keys})' for name, rows, keys in sweep.tables]
    apart = {*POSITIONS, *(name for name, _, _ in sweep.tables)}
    streams = dict.fromkeys(x.name for x in sweep.allowed.loads if x.name not in apart)
    fields = (
        f"of_rows={_strings(row_names(sweep))}",
        f"of_keys={_strings(key_names(sweep))}",
        f"tiles={tiles}",
        f"tables={{{', '.join(tables)}}}",
        f"mask_streams={_strings(tuple(streams))}",
        f"of_mask={_strings(_read(sweep.allowed.loads))}",
        f"of_divisor={_strings(_read(sweep.divisor.loads if sweep.divisor else ()))}",
        f"relative={relative(each.condition)}",
        f"exponential={sweep.exponential}",
        f"stable={sweep.stable}",
        f"logarithmic={sweep.logarithmic}",
        f"value_axis={sweep.value_axis}",
    )
    return tuple(line for field in fields for line in laid_out(f"{field},", 4))


def _read(loads: Iterable[n.Load]) -> tuple[str, ...]:
    """The names of values of queries and keys that a part may read; positions always."""
    sides = {n.ROW: "t", n.KEY_ROW: "s"}
    found = (f"{x.name}_{side}" for x in loads for row, side in sides.items() if row in x.axes)
    return tuple(dict.fromkeys((*POSITIONS, *found)))


def _strings(names: tuple[str, ...]) -> str:
    return tuple_text([f'"{name}"' for name in names]) if names else "()"
