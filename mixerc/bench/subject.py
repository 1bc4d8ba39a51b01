"""The mixer that is timed: compiled, with its linear form and the floor of its plan."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mixerc.algebra.classify import classify
from mixerc.algebra.linear import Linear, decay_names
from mixerc.algebra.unfold import folded_steps
from mixerc.api import compile as compile_spec
from mixerc.bench.inputs import Setting
from mixerc.compiler import front, lowered, read_source
from mixerc.explain import numeric_sizes, shared_streams
from mixerc.ir.mixer import Mixer, Stack
from mixerc.plan.cost import cost
from mixerc.plan.floor import Floor, floor, state_bytes
from mixerc.plan.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Subject:
    """`core` is the compiled mixer; `logarithms` says that its decays are given as logarithms.

    `text` is the spec's, `target` what it was compiled for.
    """

    mixer: Mixer
    linear: Linear
    core: Any
    text: str
    target: str
    logarithms: bool

    @cached_property
    def plan(self) -> Plan:
        """The plan that the target's file was made from, for the decays as they are given."""
        decays = frozenset(decay_names(self.linear) if self.logarithms else ())
        made, _ = lowered(
            self.target, self.mixer, self.linear, self.text, chunk=None, logarithms=decays
        )
        return made

    def floor(self, names: Iterable[str], setting: Setting) -> Floor:
        """The floor of these programs, for all tokens and heads of the setting."""
        sizes, shares = self.sizes(setting), self.shares(setting)
        programs = [dict(self.plan.programs)[name] for name in names]
        found = floor(programs, sizes, word=setting.dtype.itemsize, shares=shares)
        return found.times(setting.batch * setting.tokens * setting.heads)

    def operations(self, names: Iterable[str], setting: Setting) -> float:
        """All operations of these programs, products or not, for all tokens and heads."""
        programs = [dict(self.plan.programs)[name] for name in names]
        found = sum(cost(program, self.sizes(setting)).operations for program in programs)
        return setting.batch * setting.tokens * setting.heads * found

    def sizes(self, setting: Setting) -> dict[str, int]:
        """Every size of the header, as the setting has it."""
        named = dict.fromkeys(numeric_sizes(self.mixer, {}), setting.size)
        return named | folded_steps(self.mixer)

    def shares(self, setting: Setting) -> dict[str, float]:
        """Rows to a head of the streams that heads share: one group serves all of them."""
        groups = dict.fromkeys(self.sizes(setting), 1.0)
        return shared_streams(self.mixer, {**groups, "heads": float(setting.heads)})

    def state_bytes(self, setting: Setting) -> int:
        """Bytes of all states of one head and one sequence."""
        sizes = self.sizes(setting)
        return sum(state_bytes(state, sizes) for state in self.linear.states)


def subject_of(spec: str | Path, *, target: str, logarithms: bool) -> Subject:
    """Compiles the spec; raises ValueError for a class that is not timed, or has no kernels."""
    source = read_source(spec)
    mixer = front(source)
    linear = None if isinstance(mixer, Stack) else classify(mixer).linear
    if isinstance(mixer, Stack) or linear is None:
        raise ValueError(f"{mixer.name} is of no class that is timed: linear, masked attention")
    core = compile_spec(spec, target=target)
    return Subject(
        mixer=mixer,
        linear=linear,
        core=core,
        text=source.text,
        target=target,
        logarithms=logarithms,
    )
