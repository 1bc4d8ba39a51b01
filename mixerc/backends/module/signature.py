"""What a generated `mix` takes: inputs by name, sizes that shapes tell, and those to be given."""

from collections.abc import Iterable
from dataclasses import dataclass

from mixerc.backends.module.identifiers import identifier
from mixerc.backends.module.layout import laid_out, tuple_text
from mixerc.backends.module.printer import NumberText, apply_text, number_text
from mixerc.ir.expr import Apply, Expr, Number, Size
from mixerc.ir.mixer import Input, Mixer, Param, Value
from mixerc.ir.sorts import Axis, Sort
from mixerc.plan.nodes import Item

PARALLEL, RECURRENT, NEWTON = "parallel", "recurrent", "newton"
OPTIONS = ("state", "mode", "chunk", "cu_seqlens", "in_place")
"""What `mix` takes beside inputs and sizes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreInput:
    """One argument of `mix`, or one item of it: its name, its axes and sort, and whether each token
    has its own."""

    called: str
    axes: tuple[Axis, ...]
    sort: Sort
    stream: bool
    logarithm: bool = False
    item: Item | None = None

    @property
    def name(self) -> str:
        """The argument's name."""
        return identifier(self.item.name if self.item is not None else self.called)

    @property
    def spec_name(self) -> str:
        """The name that the spec gives to it."""
        if self.item is not None:
            return self.item.name
        return self.called.removeprefix("log_") if self.logarithm else self.called

    @property
    def plain(self) -> str:
        """The same as a name in Python."""
        return self.name.removeprefix("log_") if self.logarithm else self.name


class Signature:
    """The inputs of a core and the sizes that its text speaks of.

    `sizes` are these sizes, `counts` those of them that are lengths of axes. `beside` are inputs
    that only lines behind the kernels read; `mode` is the one that runs where none is asked for.
    """

    def __init__(
        self,
        mixer: Mixer,
        inputs: tuple[CoreInput, ...],
        sizes: tuple[str, ...],
        counts: frozenset[str],
        beside: tuple[CoreInput, ...] = (),
        mode: str = PARALLEL,
    ) -> None:
        self.mixer = mixer
        self.mode = mode
        order = [name for name, _, _ in core_lines(mixer)]
        self.inputs = tuple(sorted((*inputs, *beside), key=lambda i: order.index(i.spec_name)))
        self.streams = tuple(i for i in inputs if i.stream)
        self.constants = tuple(i for i in inputs if not i.stream)
        self.sizes = sizes
        self.counts = counts

    def source(self, size: str) -> str:
        """Where a size can be read: the shape of an input, or '' where it has to be given."""
        for group, values in (("streams", self.streams), ("constants", self.constants)):
            for index, value in enumerate(values):
                axes = [a.rstrip("'") for a in value.axes]
                if size in axes:
                    return f"{group}[{index}].shape[{axes.index(size) - len(axes)}]"
        return ""

    @property
    def given(self) -> tuple[str, ...]:
        """The sizes that no shape tells."""
        return tuple(size for size in self.sizes if not self.source(size))

    @property
    def options(self) -> tuple[str, ...]:
        """The sizes that `mix` takes as keywords; it counts the heads itself."""
        return tuple(size for size in self.given if size != "heads")

    def lengths(self) -> tuple[str, ...]:
        """The statement that returns every size."""
        entries = []
        for size in self.sizes:
            source = self.source(size) or self._number(size)
            entries.append(f'"{size}": {source}')
        return laid_out("return {" + ", ".join(entries) + "}", 4)

    def _number(self, size: str) -> str:
        text = f"given[{self.given.index(size)}]"
        return f"int({text})" if size in self.counts | {"heads"} else text

    def head(self) -> tuple[str, ...]:
        """`def mix(…):`, with the defaults of the spec."""
        defaults = {
            size.name: number_text(size.default.value)
            for size in self.mixer.sizes
            if isinstance(size.default, Number)
        }
        defaults |= {size: "None" for size in self.options if self._from_others(size)}
        defaults |= {"layer": "0", "layers": "1"}
        sizes = [f"{size}={defaults[size]}" if size in defaults else size for size in self.options]
        given = {"mode": f'"{self.mode}"', "in_place": "False"}
        options = [f"{name}={given.get(name, 'None')}" for name in OPTIONS]
        parameters = ("*", *self._names(), *options, *sizes)
        return laid_out(f"def mix({', '.join(parameters)}):", 0)

    def _names(self) -> tuple[str, ...]:
        """The arguments: several items of an input come in one."""
        return tuple(dict.fromkeys(i.name for i in self.inputs))

    def elsewhere(self) -> tuple[str, ...]:
        """Hands tensors of another device to the file that is for it."""
        options = [name for name in OPTIONS if name != "chunk"]
        names = [*self._names(), *options, *self.options]
        call = f"return other({', '.join(f'{name}={name}' for name in names)})"
        return (
            f"other = ELSEWHERE.get({self.streams[0].name}.device.type)",
            "if other is not None:",
            *(f"    {line}" for line in laid_out(call, 8)),
        )

    def heads(self) -> str:
        """Where the number of heads can be read."""
        for value in self.inputs:
            if not value.sort.heads.shared and not value.sort.heads.group:
                return f"{value.name}.shape[{2 if value.stream else 0}]"
        grouped = [i for i in self.inputs if i.sort.heads.group]
        return f"{grouped[0].name}.shape[{2 if grouped[0].stream else 0}]" if grouped else "1"

    def given_values(self) -> str:
        """The tuple of the sizes that no shape tells."""
        return tuple_text([f"float({self._given(size)})" for size in self.given])

    def number(self, expr: Expr) -> str:
        """The text of a number of sizes, where `mix` has its streams listed."""
        return self._size_text(expr)

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
                return NumberText(self.source(name) or self._other(name))
            case Apply(primitive=primitive, operands=operands):
                texts = tuple(NumberText(self._size_text(operand)) for operand in operands)
                return apply_text(primitive, texts) if all(texts) else ""
            case _:
                return ""


def names_text(names: Iterable[str]) -> str:
    """A tuple of strings, each of them once."""
    return tuple_text([f'"{name}"' for name in dict.fromkeys(names)])


def core_lines(mixer: Mixer) -> tuple[tuple[str, Sort, bool], ...]:
    """The core's inputs in the order of the spec: name, sort, whether each token has its own."""
    found: list[tuple[str, Sort, bool]] = []
    if "x" in mixer.core.inputs:
        found.append(("x", Sort(axes=("d_model",)), True))
    for line in mixer.lines:
        match line:
            case (
                Input(name=name, sort=sort, index=index) | Param(name=name, sort=sort, index=index)
            ):
                found.append((name, sort, bool(sort.times) and not index))
            case Value(name=name, sort=sort):
                found.append((name, sort, bool(sort.times)))
    return tuple(each for each in found if each[0] in mixer.core.inputs)
