"""Cuts a function over rows into kernels: a scan for each group of states that feed one another,
in an order in which they can be solved, and maps over all rows for everything else.

A scan hands on the states before and after each row; what else it computes on its way is computed
again by the maps that need it, for all rows at once.
"""

from collections.abc import Iterable
from dataclasses import replace

from mixerc.algebra.together import MOST
from mixerc.plan import nodes as n
from mixerc.plan.build import Builder
from mixerc.plan.distribute import (
    Kernel,
    Program,
    Schedule,
    ancestors,
    descendants,
    is_given,
    is_scalar,
)
from mixerc.plan.node_affine import Forms, affine_forms, peak_form

Carries = tuple[tuple[n.Carry, n.Node], ...]


def staged(
    function: n.ChunkFunction,
    *,
    affine: bool = True,
    reverse: bool = False,
    boundaries: bool = False,
) -> Program:
    """The program of a function over rows; with `boundaries` it gives the states before each row.

    Without `affine` every scan goes row by row.
    """
    cut = _Stages(function, affine, reverse)
    kept = tuple(carry for carry, _ in function.carries) if boundaries else ()
    return Program(
        chunk=function.chunk,
        kernels=_stored(cut.kernels, (*(node for _, node in function.outputs), *kept)),
        outputs=function.outputs,
        carries=cut.carries,
        boundaries=kept,
    )


class _Stages:
    """Makes the kernels in order; `made` are the values that those before have made."""

    def __init__(self, function: n.ChunkFunction, affine: bool, reverse: bool) -> None:
        self.b = Builder()
        for node in function.nodes:
            self.b.intern(node)
        carries = tuple((c, self.b.laid_as(after, c.axes)) for c, after in function.carries)
        function = replace(function, nodes=self.b.nodes, carries=carries)
        self.carries = carries
        self.reverse = reverse
        self.made: set[n.Node] = set()
        self.kernels: list[Kernel] = []
        unsolved = {carry for carry, _ in function.carries}
        for group in groups_of(function) if affine else _together(function):
            if not affine or not self._affine(group):
                self._by_rows(group, unsolved)
            unsolved -= {carry for carry, _ in group}
        self._map({node for _, node in function.outputs})

    def _affine(self, group: Carries) -> bool:
        """Solves a group by a scan without a body, if it has the form of one."""
        forms, schedule = self._forms(group), Schedule.AFFINE_SCAN
        if forms is None and len(group) == 1:
            forms, schedule = peak_form(self.b, *group[0]), Schedule.PEAK_SCAN
        if forms is None:
            return False
        every = (*forms.factors, *forms.addends)
        self._map(set(every))
        kernel = Kernel(
            schedule=schedule,
            reverse=self.reverse,
            inputs=tuple(dict.fromkeys(x for x in every if not is_scalar(x))),
            body=(),
            stores=(),
            carries=group,
            factors=forms.factors,
            addends=forms.addends,
        )
        self._solved(kernel)
        return True

    def _forms(self, group: Carries) -> Forms | None:
        return affine_forms(self.b, group) if len(group) <= MOST else None

    def _by_rows(self, group: Carries, unsolved: set[n.Carry]) -> None:
        nodes = self.b.nodes
        carries, nexts = {carry for carry, _ in group}, {after for _, after in group}
        body = descendants(nodes, set(carries)) & ancestors(nodes, set(nexts)) - carries
        inputs = {arg for node in body for arg in node.args if not is_scalar(arg)}
        inputs = (inputs | nexts) - body - carries
        self._map(inputs - unsolved)
        kernel = Kernel(
            schedule=Schedule.ROW_SCAN,
            reverse=self.reverse,
            inputs=tuple(x for x in nodes if x in inputs),
            body=tuple(x for x in nodes if x in body),
            stores=(),
            carries=group,
        )
        self._solved(kernel)

    def _solved(self, kernel: Kernel) -> None:
        self.kernels.append(kernel)
        self.made |= {node for pair in kernel.carries for node in pair}

    def _map(self, roots: set[n.Node]) -> None:
        """A map that makes what is missing for the roots."""
        nodes = self.b.nodes
        needed, waiting = set[n.Node](), list(roots)
        while waiting:
            node = waiting.pop()
            if node not in needed | self.made and not is_given(node):
                needed.add(node)
                waiting += node.args
        if not needed:
            return
        body = tuple(x for x in nodes if x in needed)
        inputs = {arg for node in body for arg in node.args if not is_scalar(arg)} - needed
        self.kernels.append(
            Kernel(
                schedule=Schedule.ROW_MAP,
                reverse=False,
                inputs=tuple(x for x in nodes if x in inputs),
                body=body,
                stores=(),
            )
        )
        self.made |= needed


def groups_of(function: n.ChunkFunction) -> list[Carries]:
    """States that feed one another side by side, each group behind those that feed it."""
    feeds = {
        carry: {c for c, _ in function.carries} & ancestors(function.nodes, {after})
        for carry, after in function.carries
    }
    for middle in feeds:
        for found in feeds.values():
            if middle in found:
                found |= feeds[middle]
    groups: list[Carries] = []
    for carry in feeds:
        own = tuple(
            pair
            for pair in function.carries
            if pair[0] is carry or (pair[0] in feeds[carry] and carry in feeds[pair[0]])
        )
        if own not in groups:
            groups.append(own)
    return sorted(groups, key=lambda group: len(feeds[group[0][0]] | {c for c, _ in group}))


def _together(function: n.ChunkFunction) -> list[Carries]:
    return [function.carries] if function.carries else []


def _stored(kernels: Iterable[Kernel], wanted: tuple[n.Node, ...]) -> tuple[Kernel, ...]:
    """The kernels, each storing what later ones, or the caller, take from it."""
    found: list[Kernel] = []
    used = set(wanted)
    for kernel in reversed(list(kernels)):
        own = [*kernel.body] if kernel.schedule == Schedule.ROW_MAP else []
        own += [node for pair in kernel.carries for node in pair]
        stores = tuple(node for node in dict.fromkeys(own) if node in used)
        found.append(replace(kernel, stores=stores))
        used |= set(kernel.inputs)
    return tuple(reversed(found))
