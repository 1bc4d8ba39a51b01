"""The core of a generated file of masked attention: streams, caches, and the lines behind sums."""

from dataclasses import dataclass, replace
from functools import cached_property
from textwrap import dedent

from mixerc.algebra.attention import Attention
from mixerc.algebra.engines import Tuned, tuned
from mixerc.algebra.masks.extents import AllTokens, NoCache, Ring
from mixerc.backends.module.dimensions import BATCH, HEADS, TIME, Text, own_dims
from mixerc.backends.module.expression import Scope
from mixerc.backends.module.identifiers import identifier
from mixerc.backends.module.inline import used_names
from mixerc.backends.module.layout import laid_out, tuple_text
from mixerc.backends.module.pipes import printed_step
from mixerc.backends.module.signature import CoreInput, Signature, core_lines, names_text
from mixerc.backends.module.sizes import sizes_in
from mixerc.backends.module.stepwise import stepwise
from mixerc.ir.expr import Size
from mixerc.ir.mixer import Mixer, Value
from mixerc.ir.sorts import EACH, Kind, Sort
from mixerc.ir.walk import walk
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.sweep import SweepPlan, kept_names


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionView:
    """Every slot of attention.py.j2; `kernels` is the text of the sums."""

    name: str
    sizes: str
    given: str
    streams: str
    params: str
    decays: str
    library: str
    kernels: str
    of_op: str
    constants: str
    tables: str
    cached: str
    window: str
    pinned: str
    mask_reads: bool
    sweeps: str
    lengths: tuple[str, ...]
    parts: str
    values: tuple[str, ...]
    like: str
    wide: bool
    signature: tuple[str, ...]
    elsewhere: tuple[str, ...]
    summary: str
    fixed: tuple[tuple[str, str], ...]
    heads: str
    layout: tuple[str, ...]
    without: tuple[str, ...]
    outputs: str
    after: tuple[str, ...]
    engine: tuple[str, ...]
    key_and_value: str


class AttentionCore:
    """Reads off a mixer and its plan what the core's text needs; with `devices`, other files may
    serve other devices and tuned engines take what is theirs."""

    template = "attention.py.j2"

    def __init__(
        self, mixer: Mixer, plan: SweepPlan, *, devices: bool = False, every_axis: bool = False
    ) -> None:
        self.mixer = mixer
        self.plan = plan
        self.devices = devices
        self.every_axis = every_axis
        loads = {x.name: x for sweep in plan.sweeps for part in sweep.parts for x in part.loads}
        every = tuple(
            self._input(name, sort, stream=stream) for name, sort, stream in core_lines(mixer)
        )
        self.op_inputs = tuple(i for i in every if i.called in self._read())
        beside = tuple(i for i in every if i not in self.op_inputs)
        self.loads = loads
        self.signature = Signature(mixer, self.op_inputs, self._sizes(), self._counts(), beside)

    @property
    def attention(self) -> Attention:
        """The algebra."""
        return self.plan.attention

    @property
    def logarithms(self) -> frozenset[str]:
        """The decays that are given as logarithms."""
        return self.plan.logarithms

    @property
    def kept(self) -> tuple[str, ...]:
        """The streams of which a cache keeps tokens; none where there is no cache."""
        caches = isinstance(self.attention.extent, Ring | AllTokens)
        return kept_names(self.plan) if caches else ()

    def _input(self, name: str, sort: Sort, *, stream: bool) -> CoreInput:
        log = name in self.plan.logarithms
        return CoreInput(
            called=f"log_{name}" if log else name,
            axes=sort.axes,
            sort=sort,
            stream=stream,
            logarithm=log,
        )

    def _read(self) -> frozenset[str]:
        """The names that sums read."""
        parts = (part for sweep in self.plan.sweeps for part in sweep.parts)
        return frozenset(load.name for part in parts for load in part.loads) | {"x"}

    def _sizes(self) -> tuple[str, ...]:
        """The sizes that parts, values and the lines behind them speak of, and the heads."""
        found = {"heads": None}
        for sweep in self.plan.sweeps:
            for part in sweep.parts:
                for function in (part.function, part.backward):
                    if function is not None:
                        found |= dict.fromkeys(sizes_in(function.nodes))
                        found |= dict.fromkeys(self._axes_of(function))
        roots = [*(line.expr for line in self.attention.lines), self.attention.output]
        nodes = (node for root in roots for node in walk(root))
        found |= dict.fromkeys(node.name for node in nodes if isinstance(node, Size))
        found |= dict.fromkeys(name for name, _ in self.attention.sizes)
        values = (axis for each in self.attention.sums for axis in each.value.sort.axes)
        found |= dict.fromkeys(axis.rstrip("'") for axis in values)
        return tuple(name for name in found if name not in ("head", "pi", "T"))

    def _axes_of(self, function: n.ChunkFunction) -> tuple[str, ...]:
        """The axes of a part, for targets whose kernels have to know all of them."""
        if not self.every_axis:
            return ()
        axes = (axis for node in function.nodes for axis in node.axes if not is_tile(axis))
        return tuple(axis.rstrip("'") for axis in axes)

    def _counts(self) -> frozenset[str]:
        """The sizes that are whole numbers: lengths of axes, and what masks compare with."""
        nodes: list[n.Node] = []
        for sweep in self.plan.sweeps:
            for part in sweep.parts:
                nodes += part.function.nodes
        axes = [a.rstrip("'") for node in nodes for a in node.axes if not is_tile(a)]
        axes += [a.rstrip("'") for each in self.attention.sums for a in each.value.sort.axes]
        whole = (name for name, value in self.attention.sizes if value == int(value))
        return frozenset((*axes, *whole))

    def view(self, library: str, kernels: str) -> AttentionView:
        """The view; `kernels` is the text of the sums."""
        signature, attention = self.signature, self.attention
        streams, constants = signature.streams, signature.constants
        ring = attention.extent if isinstance(attention.extent, Ring) else None
        tables = {name for sweep in self.plan.sweeps for name, _, _ in sweep.tables}
        return AttentionView(
            name=self.mixer.name,
            sizes=names_text(size.name for size in self.mixer.sizes),
            given=names_text(signature.options),
            streams=names_text(i.plain for i in signature.inputs if i.stream),
            params=names_text(i.plain for i in signature.inputs if not i.stream),
            decays=names_text(attention.decays),
            library=library,
            kernels=kernels,
            of_op=names_text(i.called for i in streams),
            constants=names_text(i.called for i in constants),
            tables=names_text(sorted(tables)),
            cached=names_text(self.kept),
            window=str(ring.window) if ring else "None",
            pinned=str(ring.pinned) if ring else "0",
            mask_reads=self._mask_reads(),
            sweeps=tuple_text([f"SUM_{identifier(s.name).upper()}" for s in self.plan.sweeps]),
            lengths=signature.lengths(),
            parts=self._parts(),
            values=self._values(),
            like=self._like(),
            wide=attention.joined,
            signature=signature.head(),
            elsewhere=signature.elsewhere() if self.devices else (),
            summary=self.mixer.citation[0] if self.mixer.citation else self.mixer.name,
            fixed=tuple((identifier(name), f"{value:g}") for name, value in attention.sizes),
            heads=signature.heads(),
            layout=self._layout(),
            without=laid_out(f"WITHOUT = {self._without()}", 0),
            outputs=", ".join(f"o_{identifier(s.name)}" for s in self.plan.sweeps),
            after=self._after(),
            engine=self._engine(),
            key_and_value=self._key_and_value(),
        )

    def _parts(self) -> str:
        """Streams, constants and caches in one list, and what follows them."""
        first = len(self.signature.streams)
        second = first + len(self.signature.constants)
        third = second + (len(self.kept) + 1 if self.kept else 0)
        return (
            f"tensors[:{first}], tensors[{first}:{second}], "
            f"tensors[{second}:{third}], tensors[{third}:]"
        )

    @cached_property
    def tuned(self) -> Tuned | None:
        """What a tuned engine takes, for a file that hands it over."""
        return tuned(self.attention) if self.devices else None

    def _engine(self) -> tuple[str, ...]:
        """The call of the engine, where it has the whole sum."""
        if self.tuned is None:
            return ()
        names = ", ".join(identifier(x) for x in self._streams_of(self.tuned))
        scale = self.signature.number(self.tuned.scale)
        window = self.tuned.window
        query = identifier(self.tuned.query)
        within_window = "" if window is None else f"{query}.shape[1] <= {window} and "
        call = f"return by_engine({names}, scale={scale}, causal={self.tuned.causal})"
        return (
            f"if {within_window}engine_takes(mode, state, cu_seqlens, {names}):",
            *(f"    {line}" for line in laid_out(call, 8)),
        )

    def _streams_of(self, found: Tuned) -> tuple[str, str, str]:
        return found.query, found.key, found.value

    def _key_and_value(self) -> str:
        """The names of the streams that the engine takes for keys and values."""
        return "" if self.tuned is None else names_text(self._streams_of(self.tuned)[1:])

    def _without(self) -> str:
        """The modes that there are not, and why."""
        match self.attention.extent:
            case NoCache(reason=reason):
                return f'{{"recurrent": "{reason}"}}'
            case _:
                return "{}"

    def _mask_reads(self) -> bool:
        tables = {name for sweep in self.plan.sweeps for name, _, _ in sweep.tables}
        reads = {load.name for sweep in self.plan.sweeps for load in sweep.allowed.loads}
        return bool(reads - tables - {"t", "s"})

    def _values(self) -> tuple[str, ...]:
        """For each sum the text of its value's length, or '' where the value has no axis."""
        found = []
        for each in self.attention.sums:
            axes = each.value.sort.axes
            found.append(f'size["{axes[0]}"]' if axes else "")
        return tuple(found)

    def _like(self) -> str:
        """The first stream of real numbers that is no decay: outputs have its dtype."""
        decays = self.attention.decays
        streams = self.signature.streams
        real = [i for i in streams if i.sort.kind == Kind.REAL]
        plain_ones = [i for i in real if i.spec_name not in decays] or real
        return f"streams[{streams.index(plain_ones[0])}]"

    def _layout(self) -> tuple[str, ...]:
        streams = ", ".join(
            f"{i.name}.unsqueeze(2)" if i.sort.heads.shared else i.name
            for i in self.signature.streams
        )
        constants = ", ".join(self._constant(i) for i in self.signature.constants)
        return (
            f"rows = {self.signature.streams[0].name}.shape[0]",
            *laid_out(f"streams = [{streams}]", 4),
            *laid_out(f"constants = [{constants}]", 4),
            f"given = {self.signature.given_values()}",
        )

    def _constant(self, value: CoreInput) -> str:
        """One row a batch row, so that a cotangent can be asked for each."""
        if value.sort.heads.shared:
            return f"{value.name}.expand(rows, 1, *{value.name}.shape)"
        return f"{value.name}.expand(rows, *{value.name}.shape)"

    def _after(self) -> tuple[str, ...]:
        """The lines that join the sums to the output."""
        values = {i.spec_name: text_of(i) for i in self.signature.inputs}
        for each in self.attention.sums:
            axes = each.value.sort.axes
            text = f"o_{identifier(each.name)}"
            values[each.name] = Text(text=text, dims=(BATCH, TIME, HEADS, *axes))
        lines: list[str] = []
        output = self.mixer.core.output
        final = Value(name="o", sort=output.sort, expr=self.attention.output)
        for line in (*self.attention.lines, final):
            scope = Scope(values=values, step=printed_step)
            # In a core a value of groups stands for each head of its group.
            heads = EACH if line.sort.heads.group else line.sort.heads
            sort = replace(line.sort, heads=heads)
            value, texts = stepwise(identifier(line.name), line.expr, scope, sort)
            values[line.name] = value
            lines += [part for text in texts for part in laid_out(text, 4)]
        if self.attention.joined:
            lines.append(f"o = o.to({self._like()}.dtype)")
        used = used_names(dedent("\n".join(lines)))
        sizes = [f'{name} = size["{name}"]' for name in self._sizes() if name in used - {"heads"}]
        whole = ("size = lengths(streams, constants, given)",) if sizes else ()
        return (*whole, *sizes, *lines)


def text_of(value: CoreInput) -> Text:
    """An input of `mix` in the lines behind its sums, groups on their heads."""
    lead = (BATCH, TIME) if value.stream else ()
    dims = (*lead, *own_dims(value.sort))
    if not value.sort.heads.group:
        return Text(text=value.name, dims=dims)
    text = f"per_head({value.name}, heads, {len(lead)})"
    return Text(text=text, dims=(*lead, HEADS, *value.sort.axes))
