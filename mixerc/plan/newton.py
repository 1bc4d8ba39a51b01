"""A step of Newton's method over all rows of a nonlinear recurrence at once.

Around a guess of the states before each row every update f is replaced by its tangent,

    state after = f(guess) + sum of slope(guess) * (state before - guess),

which is an affine scan: Lim et al. 2024, arXiv:2309.12252; Danieli et al. 2025, arXiv:2510.21450.
Slopes are those of the adjoint; where the guess is the solution, a step changes nothing.
"""

from dataclasses import dataclass, replace

from mixerc.plan import nodes as n
from mixerc.plan.adjoint import adjoint
from mixerc.plan.build import Builder
from mixerc.plan.chunk_function import rebuilt
from mixerc.plan.distribute import Program
from mixerc.plan.node_affine import affine_forms
from mixerc.plan.staged import Carries, groups_of, staged
from mixerc.plan.verify import verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Newton:
    """The program of a step, and the states that it is given before each row: those that are not
    affine. It gives the output, and every state before each row."""

    program: Program
    guesses: tuple[n.Carry, ...]


def newton_plan(function: n.ChunkFunction, bent: frozenset[str]) -> Newton:
    """The step for the equations over rows, of which those of the states `bent` are not affine;
    every slope must be taken place by place."""
    step = Step(replace(function, still=frozenset()), bent)
    program = verify(staged(step.function()))
    assert not program.row_by_row, "a step of Newton's method is a scan"
    return Newton(program=program, guesses=tuple(step.guesses))


class Step:
    """Replaces one group of states after the other; `by` has what stands for what."""

    def __init__(self, given: n.ChunkFunction, bent: frozenset[str]) -> None:
        self.given, self.bent = given, bent
        self.b = Builder()
        for node in given.nodes:
            self.b.intern(node)
        self.by: dict[n.Node, n.Node] = {}
        self.guesses: list[n.Carry] = []
        self.solved: dict[n.Carry, tuple[n.Carry, n.Node]] = {}

    def function(self) -> n.ChunkFunction:
        """The equations of a step."""
        for group in groups_of(self.given):
            now = tuple((carry, rebuilt(self.b, after, self.by)) for carry, after in group)
            made = self._tangents(now) if group[0][0].state in self.bent else now
            for (carry, after), pair in zip(group, made, strict=True):
                self.solved[carry] = pair
                self.by[after] = pair[1]
                if pair[0] is not carry:
                    self.by[carry] = pair[0]
        outputs = [(name, rebuilt(self.b, node, self.by)) for name, node in self.given.outputs]
        carries = tuple(self.solved[carry] for carry, _ in self.given.carries)
        outputs += [(f"before_{carry.state}", carry) for carry, _ in carries]
        return replace(
            self.given, nodes=self.b.nodes, outputs=tuple(outputs), carries=carries, handed=()
        )

    def _tangents(self, group: Carries) -> Carries:
        """The group's states by other names, with the tangents of their updates."""
        slopes = self._slopes(group)
        states = [
            self.b.carry(f"new_{carry.state}", carry.axes, complex=carry.complex)
            for carry, _ in group
        ]
        moves = [self.b("sub", new, old) for new, (old, _) in zip(states, group, strict=True)]
        self.guesses += [carry for carry, _ in group]
        made = []
        for i, (state, (_, after)) in enumerate(zip(states, group, strict=True)):
            steps = [self.b("mul", slopes[j][i], move) for j, move in enumerate(moves)]
            tangent = self.b.add_all([after, *steps])
            made.append((state, self.b.laid_as(tangent, state.axes)))
        return tuple(made)

    def _slopes(self, group: Carries) -> list[tuple[n.Node, ...]]:
        """For each state before a row, the slope of each one after it: the adjoint is affine in
        cotangents, and these are its factors."""
        alone = n.ChunkFunction(nodes=self.b.nodes, outputs=(), carries=group, chunk=1)
        back = adjoint(alone)
        for node in back.nodes:
            self.b.intern(node)
        forms = affine_forms(self.b, back.carries)
        assert forms is not None, "a state feeds another place of itself"
        count = len(group)
        return [forms.factors[j * count : (j + 1) * count] for j in range(count)]
