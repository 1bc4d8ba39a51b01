"""The core of a generated file of landmark projections: the spec's lines as dense products."""

from collections.abc import Iterator
from dataclasses import dataclass

from mixerc.algebra.landmarks import Landmarks
from mixerc.backends.module.dimensions import BATCH, KEYS, TIME, Text, own_dims
from mixerc.backends.module.expression import Scope
from mixerc.backends.module.identifiers import identifier
from mixerc.backends.module.inline import used_names
from mixerc.backends.module.layout import laid_out, tuple_text
from mixerc.backends.module.pipes import printed_step
from mixerc.backends.module.signature import CoreInput, Signature, core_lines, names_text
from mixerc.backends.module.stepwise import stepwise
from mixerc.ir.expr import Position, Size
from mixerc.ir.mixer import Input, Mixer, Param, Value
from mixerc.ir.walk import walk


@dataclass(frozen=True, slots=True, kw_only=True)
class LandmarkView:
    """Every slot of landmarks.py.j2."""

    name: str
    sizes: str
    given: str
    streams: str
    params: str
    without: tuple[str, ...]
    signature: tuple[str, ...]
    summary: str
    per_sequence: tuple[str, ...]
    lines: tuple[str, ...]


class LandmarkCore:
    """Reads off a mixer what the core's text needs."""

    template = "landmarks.py.j2"
    logarithms: frozenset[str] = frozenset()

    def __init__(self, mixer: Mixer, landmarks: Landmarks) -> None:
        self.mixer = mixer
        self.landmarks = landmarks
        inputs = tuple(
            CoreInput(called=name, axes=sort.axes, sort=sort, stream=stream)
            for name, sort, stream in core_lines(mixer)
        )
        self.signature = Signature(mixer, inputs, self._sizes(), frozenset())

    def _sizes(self) -> tuple[str, ...]:
        """The sizes that the lines speak of."""
        roots = [*(line.expr for line in self.landmarks.lines), self.landmarks.output]
        nodes = (node for root in roots for node in walk(root))
        names = dict.fromkeys(node.name for node in nodes if isinstance(node, Size))
        return tuple(name for name in names if name not in ("head", "pi", "T", "heads"))

    def view(self, library: str, kernels: str) -> LandmarkView:
        """The view; there are no kernels and no ops."""
        inputs = self.signature.inputs
        without = f'WITHOUT = {{"recurrent": "{self.landmarks.reason}"}}'
        return LandmarkView(
            name=self.mixer.name,
            sizes=names_text(size.name for size in self.mixer.sizes),
            given=names_text(self.signature.options),
            streams=names_text(i.plain for i in inputs if i.stream),
            params=names_text(i.plain for i in inputs if not i.stream),
            without=laid_out(without, 0),
            signature=self.signature.head(),
            summary=self.mixer.citation[0] if self.mixer.citation else self.mixer.name,
            per_sequence=self._per_sequence(),
            lines=tuple(self._lines()),
        )

    def _per_sequence(self) -> tuple[str, ...]:
        """The call for one of several sequences in a row."""
        streams = {i.name for i in self.signature.streams}
        inputs = (f"{i.name}={i.name}" for i in self.signature.inputs if i.name not in streams)
        cut = (f"{name}={name}[:, first:last]" for name in (i.name for i in self.signature.streams))
        sizes = (f"{size}={size}" for size in self.signature.options)
        return laid_out(f"mix({', '.join((*cut, *inputs, *sizes))})[0]", 12)

    def _lines(self) -> Iterator[str]:
        """Inputs in the dtype of accumulation, sizes from shapes, and the spec's lines."""
        first = self.signature.streams[0].name
        like = next(i.name for i in self.signature.streams if i.sort.kind == "real")
        real = [i.name for i in self.signature.inputs if i.sort.kind == "real"]
        given = tuple_text(real)
        yield from laid_out(f"dtype, wide = {like}.dtype, accumulation({given})", 4)
        yield from laid_out(f"{given} = (x.to(wide) for x in {given})", 4)
        lines = tuple(self._statements())
        used = used_names("\n".join(lines))
        if "heads" in used:
            yield f"heads = {self.signature.heads()}"
        yield f"T = {first}.shape[1]"
        for size in self._sizes():
            source = self.signature.source(size)
            if source:
                yield f"{identifier(size)} = {self._shape(source)}"
        if any(isinstance(node, Position) for node in self._nodes()):
            yield f"t = torch.arange(T, device={first}.device, dtype=wide)[None]"
        yield from lines

    def _nodes(self) -> Iterator[object]:
        roots = (*(line.expr for line in self.landmarks.lines), self.landmarks.output)
        return (node for root in roots for node in walk(root))

    def _shape(self, source: str) -> str:
        """The length of an axis, from the input that has it."""
        group, rest = source.split("[", 1)
        index, tail = rest.split("]", 1)
        values = self.signature.streams if group == "streams" else self.signature.constants
        return f"{values[int(index)].name}{tail}"

    def _statements(self) -> Iterator[str]:
        values = dict(self._values())
        output = self.mixer.core.output
        final = Value(name="o", sort=output.sort, expr=self.landmarks.output)
        for line in (*self.landmarks.lines, final):
            scope = Scope(values=values, step=printed_step)
            value, texts = stepwise(identifier(line.name), line.expr, scope, line.sort)
            values[line.name] = value
            for text in texts:
                yield from laid_out(text, 4)

    def _values(self) -> Iterator[tuple[str, Text]]:
        """Each input with its dimensions; tables are as long as the sequence."""
        indices = {
            line.name: line.index for line in self.mixer.lines if isinstance(line, Input | Param)
        }
        for i in self.signature.inputs:
            index = indices.get(i.called, ())
            if index:
                times = {"t": TIME, "s": KEYS}
                dims = (*own_dims(i.sort), *(times[name] for name, _ in index))
                text = f"{i.name}[..., {', '.join(':T' for _ in index)}]"
                yield i.called, Text(text=text, dims=dims)
            else:
                lead = (BATCH, TIME) if i.stream else ()
                yield i.called, Text(text=i.name, dims=(*lead, *own_dims(i.sort)))
