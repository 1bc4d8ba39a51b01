"""The core of a generated file as a view: programs, sizes, layouts, and the signature of `mix`."""

from collections.abc import Iterable
from dataclasses import dataclass

from mixerc.algebra.linear import Linear, decay_names
from mixerc.backends.module.identifiers import identifier
from mixerc.backends.module.layout import laid_out, tuple_text
from mixerc.backends.module.printer import NumberText, apply_text, number_text
from mixerc.backends.module.sizes import sizes_of
from mixerc.ir.expr import Apply, Expr, Number, Size
from mixerc.ir.mixer import Input, Mixer, Param, Value
from mixerc.ir.sorts import Kind, Sort
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.plan import Plan, loads


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreView:
    """Every slot of core.py.j2; `kernels` is the text of the programs."""

    name: str
    sizes: str
    chunk: int
    given: str
    streams: str
    params: str
    decays: str
    library: str
    kernels: str
    lengths: tuple[str, ...]
    parts: str
    output: str
    of_streams: str
    of_constants: str
    signature: tuple[str, ...]
    elsewhere: tuple[str, ...]
    summary: str
    heads: str
    layout: tuple[str, ...]
    zeros: tuple[str, ...]
    given_states: tuple[str, ...]
    state_names: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreInput:
    """One argument of `mix`: its load in the plan and its sort in the spec."""

    load: n.Load
    sort: Sort
    logarithm: bool = False

    @property
    def name(self) -> str:
        """The argument's name."""
        return identifier(self.load.name)

    @property
    def streams(self) -> bool:
        """Whether it changes from token to token."""
        return n.ROW in self.load.axes


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What the op receives, in order: streams (with tokens) and constants (without). Those in
    `shared` may have fewer heads than the mixer."""

    streams: tuple[n.Load, ...]
    constants: tuple[n.Load, ...]
    shared: frozenset[str] = frozenset()

    def place(self, load: n.Load) -> str:
        """Where a program finds a load; cotangents of outputs stand behind the streams."""
        for list_name, values in (("streams", self.streams), ("constants", self.constants)):
            for index, value in enumerate(values):
                if value.name == load.name:
                    return f"{list_name}[{index}]"
        return f"streams[{len(self.streams)}]"


class Core:
    """Reads off a mixer and its plan what the core's text needs.

    With `every_axis` the sizes are those of all inputs, not only those that kernels speak of; with
    `devices`, other files may serve tensors of other devices.
    """

    def __init__(
        self,
        mixer: Mixer,
        linear: Linear,
        plan: Plan,
        *,
        every_axis: bool = False,
        devices: bool = False,
    ) -> None:
        self.mixer = mixer
        self.plan = plan
        self.every_axis = every_axis
        self.devices = devices
        self.decays = decay_names(linear)
        self.inputs = _core_inputs(mixer, plan)
        self.streams = tuple(i for i in self.inputs if i.streams)
        self.constants = tuple(i for i in self.inputs if not i.streams)
        self.states = plan.forward.carries
        self.sizes = self._sizes()

    @property
    def loads(self) -> Inputs:
        """What the op receives, as loads of the plan."""
        return Inputs(
            streams=tuple(i.load for i in self.streams),
            constants=tuple(i.load for i in self.constants),
            shared=frozenset(
                i.load.name for i in self.inputs if i.sort.heads.shared or i.sort.heads.group
            ),
        )

    def view(self, library: str, kernels: str) -> CoreView:
        """The view; `kernels` is the text of the programs."""
        first, second = len(self.streams), len(self.streams) + len(self.constants)
        third = second + len(self.states)
        carried = [carry for carry, _ in self.states]
        return CoreView(
            name=self.mixer.name,
            sizes=_names(size.name for size in self.mixer.sizes),
            chunk=self.plan.chunk,
            given=_names(self.options),
            streams=_names(_plain(i) for i in self.streams),
            params=_names(_plain(i) for i in self.constants),
            decays=_names(self.decays),
            library=library,
            kernels=kernels,
            lengths=self._lengths(),
            parts=f"tensors[:{first}], tensors[{first}:{second}], "
            f"tensors[{second}:{third}], tensors[{third}:]",
            output=self._output(),
            of_streams=self._gradients(self.streams),
            of_constants=self._gradients(self.constants),
            signature=self._signature(),
            elsewhere=self._elsewhere() if self.devices else (),
            summary=self.mixer.citation[0] if self.mixer.citation else self.mixer.name,
            heads=self._heads(),
            layout=self._layout(),
            zeros=_list_lines([self._zero(carry) for carry in carried]),
            given_states=_list_lines([f'state["{c.state}"].to(dtype)' for c in carried]),
            state_names=_names(carry.state for carry in carried),
        )

    def _sizes(self) -> tuple[str, ...]:
        """Sizes that kernels speak of, and lengths of the axes of states and output."""
        found: dict[str, None] = {}
        for _, program in self.plan.programs:
            for kernel in program.kernels:
                found.update(dict.fromkeys(sizes_of(kernel)))
                if any(isinstance(x, n.HeadIndex) for x in kernel.inputs):
                    found["heads"] = None
        for carry, _ in self.states:
            found.update(dict.fromkeys(axis.rstrip("'") for axis in carry.axes))
        found.update(dict.fromkeys(axis.rstrip("'") for axis in self.mixer.core.output.sort.axes))
        if self.every_axis:
            axes = (axis for value in self.inputs for axis in value.load.axes if not is_tile(axis))
            found.update(dict.fromkeys(axis.rstrip("'") for axis in axes))
        return tuple(found)

    def _source(self, size: str) -> str:
        """Where a size can be read: the shape of an input, or '' where it has to be given."""
        for group, values in (("streams", self.streams), ("constants", self.constants)):
            for index, value in enumerate(values):
                axes = [a.rstrip("'") for a in value.load.axes if not is_tile(a)]
                if size in axes:
                    return f"{group}[{index}].shape[{axes.index(size) - len(axes)}]"
        return ""

    @property
    def given(self) -> tuple[str, ...]:
        """The sizes that no shape tells."""
        return tuple(size for size in self.sizes if not self._source(size))

    @property
    def options(self) -> tuple[str, ...]:
        """The sizes that `mix` takes as keywords; it counts the heads itself."""
        return tuple(size for size in self.given if size != "heads")

    def _lengths(self) -> tuple[str, ...]:
        entries = []
        for size in self.sizes:
            source = self._source(size) or self._number(size)
            entries.append(f'"{size}": {source}')
        return laid_out("return {" + ", ".join(entries) + "}", 4)

    def _number(self, size: str) -> str:
        text = f"given[{self.given.index(size)}]"
        return f"int({text})" if size in self._axes() | {"heads"} else text

    def _axes(self) -> set[str]:
        """The sizes that are the length of an axis, of a state or within a kernel."""
        kernels = (kernel for _, program in self.plan.programs for kernel in program.kernels)
        nodes = [node for kernel in kernels for node in (*kernel.inputs, *kernel.body)]
        nodes += [carry for carry, _ in self.states]
        return {a.rstrip("'") for node in nodes for a in node.axes if not is_tile(a)}

    def _output(self) -> str:
        """The empty output, in the dtype of the first stream that is not a decay."""
        real = [i for i in self.streams if i.sort.kind == Kind.REAL]
        plain = [i for i in real if not i.logarithm and i.name not in self.decays] or real
        like = f"streams[{self.streams.index(plain[0])}]"
        axes = [f'size["{axis.rstrip(chr(39))}"]' for axis in self.mixer.core.output.sort.axes]
        shape = ", ".join(("*streams[0].shape[:2]", "heads", *axes))
        return f"{like}.new_empty({shape})"

    def _gradients(self, values: tuple[CoreInput, ...]) -> str:
        """Positions of the inputs whose cotangents the backward program gives, in its order."""
        position = {f"d_{value.load.name}": i for i, value in enumerate(values)}
        found = [position[name] for name, _ in self.plan.backward.outputs if name in position]
        return tuple_text([str(i) for i in found])

    def _signature(self) -> tuple[str, ...]:
        defaults = {
            size.name: number_text(size.default.value)
            for size in self.mixer.sizes
            if isinstance(size.default, Number)
        }
        defaults |= {size: "None" for size in self.options if self._from_others(size)}
        defaults |= {"layer": "0", "layers": "1"}
        sizes = [f"{size}={defaults[size]}" if size in defaults else size for size in self.options]
        parameters = ("*", *(i.name for i in self.inputs), *_OPTIONS, *sizes)
        return laid_out(f"def mix({', '.join(parameters)}):", 0)

    def _elsewhere(self) -> tuple[str, ...]:
        """Hands tensors of another device to the file that is for it."""
        options = [name for o in _OPTIONS if (name := o.split("=")[0]) != "chunk"]
        names = [*(i.name for i in self.inputs), *options, *self.options]
        call = f"return other({', '.join(f'{name}={name}' for name in names)})"
        return (
            f"other = ELSEWHERE.get({self.streams[0].name}.device.type)",
            "if other is not None:",
            *(f"    {line}" for line in laid_out(call, 8)),
        )

    def _heads(self) -> str:
        for value in self.inputs:
            if not value.sort.heads.shared and not value.sort.heads.group:
                return f"{value.name}.shape[{2 if value.streams else 0}]"
        grouped = [i for i in self.inputs if i.sort.heads.group]
        return f"{grouped[0].name}.shape[{2 if grouped[0].streams else 0}]" if grouped else "1"

    def _layout(self) -> tuple[str, ...]:
        streams = ", ".join(_stream(value) for value in self.streams)
        constants = ", ".join(_constant(value) for value in self.constants)
        given = tuple_text([f"float({self._given(size)})" for size in self.given])
        return (
            f"rows = {self.streams[0].name}.shape[0]",
            *laid_out(f"streams = [{streams}]", 4),
            *laid_out(f"constants = [{constants}]", 4),
            f"given = {given}",
        )

    def _given(self, size: str) -> str:
        """A size as a number: its argument, or its default where that reads known sizes."""
        default = self._from_others(size)
        return f"{default} if {size} is None else {size}" if default else size

    def _from_others(self, size: str) -> str:
        """The text of a size's default over sizes that shapes tell; '' where there is none."""
        default = next((s.default for s in self.mixer.sizes if s.name == size), None)
        if default is None or isinstance(default, Number):
            return ""
        return self._size_text(default)

    def _other(self, size: str) -> str:
        """The text of a size that no shape tells: its argument, or its default; '' for neither."""
        default = next((s.default for s in self.mixer.sizes if s.name == size), None)
        text = "" if default is None else self._size_text(default)
        if size not in self.options or not text:
            return text
        return size if isinstance(default, Number) else f"({text} if {size} is None else {size})"

    def _size_text(self, expr: Expr) -> str:
        match expr:
            case Number(value=value):
                return NumberText(number_text(value))
            case Size(name="heads"):
                return NumberText("heads")
            case Size(name=name):
                return NumberText(self._source(name) or self._other(name))
            case Apply(primitive=primitive, operands=operands):
                texts = tuple(NumberText(self._size_text(operand)) for operand in operands)
                return apply_text(primitive, texts) if all(texts) else ""
            case _:
                return ""

    def _zero(self, carry: n.Carry) -> str:
        axes = ", ".join(f'size["{axis.rstrip(chr(39))}"]' for axis in carry.axes)
        shape = ", ".join(part for part in ("sequences", "heads", axes) if part)
        return f"{self.streams[0].name}.new_zeros({shape}, dtype=dtype)"


_OPTIONS = (
    *("state=None", 'mode="parallel"', "chunk=None", "cu_seqlens=None"),
    "in_place=False",
)


def _list_lines(items: list[str]) -> tuple[str, ...]:
    return laid_out(f"states = [{', '.join(items)}]", 8)


def _plain(value: CoreInput) -> str:
    """The name that the spec gives to an input."""
    return value.name.removeprefix("log_") if value.logarithm else value.name


def _names(names: Iterable[str]) -> str:
    return tuple_text([f'"{name}"' for name in names])


def _stream(value: CoreInput) -> str:
    if value.sort.heads.shared:
        return f"{value.name}.unsqueeze(2)"
    return f"per_head({value.name}, heads, 2)" if value.sort.heads.group else value.name


def _constant(value: CoreInput) -> str:
    """One row a batch row, so that a cotangent can be asked for each."""
    if value.sort.heads.shared:
        return f"{value.name}.expand(rows, 1, *{value.name}.shape)"
    name = f"per_head({value.name}, heads, 0)" if value.sort.heads.group else value.name
    return (
        f"{name}.expand(rows, *{value.name}.shape)"
        if name == value.name
        else (f"{name}.expand(rows, heads, *{value.name}.shape[1:])")
    )


def _core_inputs(mixer: Mixer, plan: Plan) -> tuple[CoreInput, ...]:
    """The core's inputs in the order of the spec, decays under the name they are given by."""
    used = {load.name: load for _, program in plan.programs[:3] for load in loads(program)}
    found = []
    for line in mixer.lines:
        match line:
            case (
                Input(name=name, sort=sort)
                | Param(name=name, sort=sort)
                | Value(name=name, sort=sort)
            ):
                load = used.get(f"log_{name}" if name in plan.logarithms else name)
                if load is not None and name in mixer.core.inputs:
                    found.append(CoreInput(load=load, sort=sort, logarithm=name in plan.logarithms))
    if "x" in mixer.core.inputs and "x" in used:
        found.insert(0, CoreInput(load=used["x"], sort=Sort(axes=used["x"].axes[1:])))
    return tuple(found)
