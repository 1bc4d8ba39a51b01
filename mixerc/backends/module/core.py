"""The core of a generated file as a view: programs, sizes, layouts, and the signature of `mix`."""

from dataclasses import dataclass
from textwrap import fill, wrap
from typing import Protocol

from mixerc.backends.module.arguments import (
    constant_text,
    core_inputs,
    steps_lines,
    stream_text,
)
from mixerc.backends.module.layout import laid_out, tuple_text
from mixerc.backends.module.signature import (
    NEWTON,
    PARALLEL,
    RECURRENT,
    CoreInput,
    Signature,
    names_text,
)
from mixerc.backends.module.sizes import sizes_of
from mixerc.ir.mixer import Mixer
from mixerc.ir.sorts import Kind
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.distribute import Program


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
    signature: tuple[str, ...]
    elsewhere: tuple[str, ...]
    summary: str
    heads: str
    layout: tuple[str, ...]
    zeros: tuple[str, ...]
    given_states: tuple[str, ...]
    result: str
    after: str
    saving: str
    saved: str
    arriving: str
    shapes: str
    modes: tuple[str, ...]
    forward: tuple[str, ...]
    backward: tuple[str, ...]


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


class CorePlan(Protocol):
    """What a core asks of its plan: one of chunks, or one of rows."""

    @property
    def chunk(self) -> int:
        """Tokens that a program works on at once."""

    @property
    def logarithms(self) -> frozenset[str]:
        """The decays that are given as logarithms."""

    @property
    def programs(self) -> tuple[tuple[str, Program], ...]:
        """Every program with its name."""

    @property
    def rows(self) -> tuple[n.Load, ...]:
        """Streams that a program finds before the others: no inputs of the op."""

    @property
    def carries(self) -> tuple[tuple[n.Carry, n.Node], ...]:
        """The states, and what becomes of them."""

    @property
    def backward(self) -> Program:
        """The adjoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """How a core runs its programs: the lines of its forward and backward behind the sizes, why
    there is no parallel mode, where there is none, the state that is a running maximum, and whether
    Newton's method is a mode, or else why not."""

    forward: tuple[str, ...]
    backward: tuple[str, ...]
    sequential: str = ""
    peak: str = ""
    newton: bool = False
    wide: str = ""


BY_CHUNKS = Runs(
    forward=(
        "program, chunk = (recurrent_piece, 1) if recurrent else (forward_piece, CHUNK)",
        "run = (program, chunk, streams, constants, states, size, outputs, cu_seqlens, in_place)",
        "return [*outputs, *run_forward(*run)]",
    ),
    backward=("return run_backward(programs, CHUNK, *run)",),
)
"""Forward in chunks, or token by token; backward in chunks."""


def over_peaks(name: str) -> Runs:
    """The same, behind a pass that finds a running maximum: the last one of the states."""
    found = "rows, last = peaks_of(streams, constants, states[-1:], size, cu_seqlens)"
    return Runs(
        forward=(
            "if recurrent:",
            "    run = (recurrent_piece, 1, streams, constants, states, size, outputs, cu_seqlens)",
            "    return [*outputs, *run_forward(*run, in_place)]",
            found,
            "run = ([*streams, *rows], constants, states[:-1], size, outputs, cu_seqlens, False)",
            "return [*outputs, *run_forward(forward_piece, CHUNK, *run), *last]",
        ),
        backward=(
            found.replace("last", "_"),
            "run = ([*streams, *rows], constants, states[:-1], size, outputs, finals[:-1])",
            "made = run_backward(programs, CHUNK, *run, cu_seqlens)",
            "of_inputs = [*made[: len(streams)], *made[len(streams) + 2 :]]",
            "return [*of_inputs, torch.zeros_like(states[-1])]",
        ),
        peak=name,
    )


class Core:
    """Reads off a mixer and its plan what the core's text needs.

    With `every_axis` the sizes are those of all inputs, not only those that kernels speak of; with
    `devices`, other files may serve tensors of other devices.
    """

    template = "core.py.j2"

    def __init__(
        self,
        mixer: Mixer,
        plan: CorePlan,
        runs: Runs,
        *,
        decays: tuple[str, ...] = (),
        every_axis: bool = False,
        devices: bool = False,
    ) -> None:
        self.mixer = mixer
        self.plan = plan
        self.every_axis = every_axis
        self.devices = devices
        self.runs = runs
        self.decays = decays
        self.loads_of = core_inputs(
            mixer, (program for _, program in plan.programs), plan.logarithms
        )
        self.states = plan.carries
        self.signature = Signature(
            mixer,
            tuple(self.loads_of),
            self._sizes(),
            frozenset(self._axes()),
            mode=RECURRENT if runs.sequential else PARALLEL,
        )
        self.streams, self.constants = self.signature.streams, self.signature.constants

    @property
    def logarithms(self) -> frozenset[str]:
        """The decays that are given as logarithms."""
        return self.plan.logarithms

    @property
    def loads(self) -> Inputs:
        """What the op receives, as loads of the plan."""
        return Inputs(
            streams=(*(self.loads_of[i] for i in self.streams), *self.plan.rows),
            constants=tuple(self.loads_of[i] for i in self.constants),
            shared=frozenset(
                i.called for i in self.loads_of if i.sort.heads.shared or i.sort.heads.group
            ),
        )

    def view(self, library: str, kernels: str) -> CoreView:
        """The view; `kernels` is the text of the programs."""
        first, second = len(self.streams), len(self.streams) + len(self.constants)
        third = second + len(self.states)
        carried = [carry for carry, _ in self.states]
        return CoreView(
            name=self.mixer.name,
            sizes=names_text(size.name for size in self.mixer.sizes),
            chunk=self.plan.chunk,
            given=names_text(self.signature.options),
            streams=names_text(i.plain for i in self.streams),
            params=names_text(i.plain for i in self.constants),
            decays=names_text(self.decays),
            library=library,
            kernels=kernels,
            lengths=self.signature.lengths(),
            parts=f"tensors[:{first}], tensors[{first}:{second}], "
            f"tensors[{second}:{third}], tensors[{third}:]",
            output=self._output(),
            signature=self.signature.head(),
            elsewhere=self.signature.elsewhere() if self.devices else (),
            summary=fill(self._summary(), 96, subsequent_indent="    "),
            heads=self.signature.heads(),
            layout=self._layout(),
            zeros=_list_lines([self._zero(carry) for carry in carried]),
            given_states=_list_lines([self._given_state(carry) for carry in carried]),
            result=self._result(),
            after=self._after(),
            **self._solving(),
            modes=self._modes(),
            forward=self.runs.forward,
            backward=self._backward(),
        )

    def _summary(self) -> str:
        return self.mixer.citation[0] if self.mixer.citation else self.mixer.name

    def _given_state(self, carry: n.Carry) -> str:
        """A state as the op has it: with a head, if it belongs to none."""
        text = f'state["{carry.state}"].to({_dtype(carry)})'
        if carry.state in self._headless():
            text += ".unsqueeze(1)"
        if carry.state == self.runs.peak:  # without it the others are as in the equations
            text = f'{text} if "{carry.state}" in state else {self._filled(carry, "0")}'
        return text

    def _headless(self) -> tuple[str, ...]:
        """The states that belong to no head."""
        found = tuple(s.name for s in self.mixer.core.states if s.sort.heads.shared)
        return (*found, self.runs.peak) if found else ()

    def _result(self) -> str:
        """The output as the spec has it: one that belongs to no head has none."""
        return "o.squeeze(2)" if self.mixer.core.output.sort.heads.shared else "o"

    def _after(self) -> str:
        """The states after the last token, each as the spec has it."""
        names, states = names_text(carry.state for carry, _ in self.states), "after"
        if self._headless():
            held = (carry.state in self._headless() for carry, _ in self.states)
            bare = [f"after[{i}]{'.squeeze(1)' * one}" for i, one in enumerate(held)]
            states = tuple_text(bare)
        if self.runs.newton:
            return f"solved_state({names}, {states}, after)"
        return f"State(zip({names}, {states}, strict=True))"

    def _solving(self) -> dict[str, str]:
        """What the forward keeps for the backward: the states that Newton's method found."""
        if not self.runs.newton:
            return {
                "saving": "nothing",
                "saved": "()",
                "arriving": "outputs, finals = cotangents[:1], cotangents[1:]",
                "shapes": "forward_shapes",
            }
        count = len(self.states)
        return {
            "saving": "states that it solved for",
            "saved": f"outputs[{1 + count}:{1 + 2 * count}]",
            "arriving": f"kept, outputs, finals = arriving(cotangents, {count})",
            "shapes": "newton_shapes",
        }

    def _modes(self) -> tuple[str, ...]:
        """The modes that there are; and those that there are not, and why."""
        if not self.runs.sequential:
            return (f"MODES = {names_text((PARALLEL, RECURRENT))}",)
        without = {PARALLEL: self.runs.sequential}
        if not self.runs.newton:
            without[NEWTON] = self.runs.wide
        modes = (RECURRENT, NEWTON) if self.runs.newton else (RECURRENT,)
        lines = [f"MODES = {names_text(modes)}", "WITHOUT = {"]
        for mode, reason in without.items():
            text = reason.replace('"', "'")
            parts = wrap(text, 80, drop_whitespace=False, break_long_words=False)
            lines += [f'    "{mode}": (', *(f'        "{part}"' for part in parts), "    ),"]
        return (*lines, "}")

    def _backward(self) -> tuple[str, ...]:
        """The run of the programs that find states again and take the adjoint."""
        of = f"{self._gradients(self.streams)}, {self._gradients(self.constants)}"
        return (f"programs = (states_piece, backward_piece, {of})", *self.runs.backward)

    def _sizes(self) -> tuple[str, ...]:
        """Sizes that kernels speak of, and lengths of the axes of states and output."""
        found: dict[str, None] = {}
        for _, program in self.plan.programs:
            for kernel in program.kernels:
                found.update(dict.fromkeys(sizes_of(kernel)))
                if any(isinstance(x, n.HeadIndex) for x in kernel.inputs):
                    found["heads"] = None
        for carry, _ in self.states:
            found.update(dict.fromkeys(axis.rstrip("'") for axis in _own_axes(carry)))
        found.update(dict.fromkeys(axis.rstrip("'") for axis in self.mixer.core.output.sort.axes))
        if self.every_axis:
            axes = (axis for value in self.loads_of for axis in value.axes)
            found.update(dict.fromkeys(axis.rstrip("'") for axis in axes))
        return tuple(found)

    def _axes(self) -> set[str]:
        """The sizes that are the length of an axis, of a state or within a kernel."""
        kernels = (kernel for _, program in self.plan.programs for kernel in program.kernels)
        nodes = [node for kernel in kernels for node in (*kernel.inputs, *kernel.body)]
        nodes += [carry for carry, _ in self.states]
        return {a.rstrip("'") for node in nodes for a in node.axes if not is_tile(a)}

    def _output(self) -> str:
        """The empty output, in the dtype of the first stream that is not a decay."""
        real = [i for i in self.streams if i.sort.kind == Kind.REAL] or list(self.streams)
        plain = [i for i in real if not i.logarithm and i.name not in self.decays] or real
        like = f"streams[{self.streams.index(plain[0])}]"
        axes = [f'size["{axis.rstrip(chr(39))}"]' for axis in self.mixer.core.output.sort.axes]
        shape = ", ".join(("*streams[0].shape[:2]", "heads", *axes))
        if self.mixer.core.output.sort.kind is Kind.COMPLEX:
            shape += ", dtype=accumulation(streams).to_complex()"
        elif plain[0].sort.kind is Kind.COMPLEX:  # and the output is not
            shape += ", dtype=accumulation(streams)"
        return f"{like}.new_empty({shape})"

    def _gradients(self, values: tuple[CoreInput, ...]) -> str:
        """Positions of the inputs whose cotangents the backward program gives, in its order."""
        position = {f"d_{value.called}": i for i, value in enumerate(values)}
        found = [position[name] for name, _ in self.plan.backward.outputs if name in position]
        return tuple_text([str(i) for i in found])

    def _layout(self) -> tuple[str, ...]:
        streams = ", ".join(stream_text(value) for value in self.streams)
        constants = ", ".join(constant_text(value) for value in self.constants)
        return (
            *steps_lines(self.mixer, (*self.streams, *self.constants)),
            f"rows = {self.streams[0].name}.shape[0]",
            *laid_out(f"streams = [{streams}]", 4),
            *laid_out(f"constants = [{constants}]", 4),
            f"given = {self.signature.given_values()}",
            *(("size = lengths(streams, constants, given)",) if self.runs.peak else ()),
        )

    def _zero(self, carry: n.Carry) -> str:
        """A state before the first token; nothing is below the first exponent."""
        return self._filled(carry, "-math.inf" if carry.state == self.runs.peak else "0")

    def _filled(self, carry: n.Carry, value: str) -> str:
        axes = ", ".join(f'size["{axis.rstrip(chr(39))}"]' for axis in _own_axes(carry))
        shape = ", ".join(part for part in ("sequences", "heads", axes) if part)
        name = self.streams[0].name
        if value == "0":
            return f"{name}.new_zeros({shape}, dtype={_dtype(carry)})"
        return f"{name}.new_full(({shape}), {value}, dtype={_dtype(carry)})"


def _own_axes(carry: n.Carry) -> n.Axes:
    """The axes that the spec gives to a state."""
    return tuple(axis for axis in carry.axes if not is_tile(axis))


def _dtype(carry: n.Carry) -> str:
    return "dtype.to_complex()" if carry.complex else "dtype"


def _list_lines(items: list[str]) -> tuple[str, ...]:
    return laid_out(f"states = [{', '.join(items)}]", 8)
