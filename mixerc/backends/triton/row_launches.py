"""What the launches of a recurrence have in common: states and values in halves, where complex."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mixerc.backends.module.layout import tuple_text
from mixerc.backends.triton.carried import state_dims, state_name
from mixerc.backends.triton.launches import Launches, LaunchView, quoted
from mixerc.backends.triton.memory import Doors
from mixerc.backends.triton.token_kernel import Carries, Out, token_kernel
from mixerc.backends.triton.values import size_of
from mixerc.plan import nodes as n
from mixerc.plan.build import is_tile
from mixerc.plan.pairs import HALVES, Numbers, Pairs


@dataclass(slots=True)
class RowLaunches(Launches):
    """Writes the launches of one program of a recurrence."""

    pairs: Pairs = field(default_factory=Pairs)

    def recurrent(self) -> LaunchView:
        """Row after row, in one kernel."""
        outs = self.outs({"out": self.program.outputs[0][1]})
        carries = self.halves_of(self.program.carries)
        view = token_kernel("recurrent_1", outs, carries, Doors(tokens=True, buffers={}))
        given = {"out_at": "outputs[0]"}
        for index, (carry, _) in enumerate(self.program.carries):
            # A state without an axis that programs split is read by several: not moved in place.
            own = set(view.split) <= set(carry.axes)
            memory = "run.after" if own else "torch.empty_like"
            self.lines.append(f"last_{index} = {memory}(states[{index}])")
            given |= self.ends(carry, index)
        self.launch("scan", "token_scan", view, given)
        return self.view("The recurrent mode.", "size, outputs", self.lasts())

    def halves_of(self, carries: Iterable[tuple[n.Carry, n.Node]]) -> Carries:
        """States with what becomes of them, as real numbers."""
        return tuple(
            (half, made)
            for carry, after in carries
            for half, made in zip(self.carried(carry), self.becomes(carry, after), strict=True)
        )

    def carried(self, carry: n.Carry) -> tuple[n.Carry, ...]:
        """A state as one or two real ones."""
        return tuple(x for x in self.pairs.of(carry) if isinstance(x, n.Carry))

    def becomes(self, carry: n.Carry, after: n.Node) -> Numbers:
        """What a state becomes, with as many halves as it has."""
        made = self.pairs.of(after)
        return (*made, self.pairs.b.node(0))[: 1 + carry.complex]

    def outs(self, named: dict[str, n.Node], loads: Iterable[str] = ()) -> tuple[Out, ...]:
        """What is stored, both halves of complex values; `loads` are those of which the values are
        cotangents."""
        of_complex = dict(zip(named, map(self.is_complex, loads), strict=False))
        found = []
        for name, node in named.items():
            made = self.pairs.of(node)
            if of_complex.get(name) and len(made) == 1:
                made = (*made, self.pairs.b.spread(self.pairs.b.node(0), node.axes))
            halves: tuple[n.Half, ...] = HALVES if len(made) == 2 else ("",)
            pointer = f"{name}_at"
            pairs = zip(made, halves, strict=True)
            found += [Out(pointer=pointer, node=x, half=half) for x, half in pairs]
        return tuple(found)

    def moved(self) -> dict[str, str]:
        """The pointers of the states before the first row and after the last one."""
        given: dict[str, str] = {}
        for index, (carry, _) in enumerate(self.program.carries):
            self.lines.append(f"last_{index} = torch.empty_like(states[{index}])")
            given |= self.ends(carry, index)
        return given

    def ends(self, carry: n.Carry, index: int) -> dict[str, str]:
        """The pointers of one of them."""
        name = state_name(carry)
        return {f"state_{name}_at": f"states[{index}]", f"last_{name}_at": f"last_{index}"}

    def is_complex(self, load: str) -> bool:
        """Whether an input is of complex numbers."""
        every = (*self.inputs.streams, *self.inputs.constants)
        return any(x.complex for x in every if x.name == load)

    def memory_of(self, node: n.Node, load: str, count: str) -> str:
        """Memory for the cotangent of a load, or for so many parts of it."""
        plain = load not in self.inputs.shared and not self.is_complex(load)
        rows = n.ROW in node.axes
        dtype = f"{self.tensor(load)}.dtype" if plain and rows else "run.acc"
        lengths = [f'size["{size_of(a)}"]' for a in node.axes if not is_tile(a)]
        lengths += ["2"] * self.is_complex(load)
        return f"run.memory({rows}, {count}, {dtype}, {tuple_text(lengths)})"

    def state_lengths(self, carry: n.Carry) -> str:
        """The lengths of a state in memory."""
        return ", ".join((*self.lengths(state_dims(carry)), *(["2"] * carry.complex)))

    def quoted(self, names: Iterable[str]) -> str:
        """A tuple of names."""
        return tuple_text(quoted(names))
