"""Nodes as affine in carried states: a sum of factor * state, and an addend, elementwise."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mixerc.plan import nodes as n
from mixerc.plan.build import Builder
from mixerc.plan.distribute import Kernel, Schedule, descendants, is_scalar

Form = tuple[n.Node | None, ...]
"""The factor of each state, and the addend; None stands for 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """Next states as factors times states and addends; the factors of each next state, row by row
    of their matrix."""

    factors: tuple[n.Node, ...]
    addends: tuple[n.Node, ...]


def affine_forms(b: Builder, group: tuple[tuple[n.Carry, n.Node], ...]) -> Forms | None:
    """What the states of a group become as an affine function of them, place by place; None where
    it is none, or where their places are not the same."""
    carries = tuple(carry for carry, _ in group)
    if len({(carry.axes, carry.complex) for carry in carries}) > 1:
        return None
    walk = _Walk(b, carries, descendants(b.nodes, set(carries)))
    forms = [walk.of(after) for _, after in group]
    found = [tuple(x or b.node(0) for x in form) for form in forms if form is not None]
    if len(found) < len(group):
        return None
    return Forms(
        factors=tuple(x for form in found for x in form[:-1]),
        addends=tuple(form[-1] for form in found),
    )


def updates_of(b: Builder, kernel: Kernel) -> tuple[tuple[n.Carry, n.Node], ...]:
    """The states of a scan with what they become; of a scan without a body, from its forms."""
    if not kernel.addends:
        return kernel.carries
    if kernel.schedule == Schedule.PEAK_SCAN:
        ((carry, _),), (shift,), (floor,) = kernel.carries, kernel.factors, kernel.addends
        return ((carry, b("max", b("add", shift, carry), floor)),)
    count = len(kernel.carries)
    made = []
    for i, (carry, _) in enumerate(kernel.carries):
        row = kernel.factors[i * count : (i + 1) * count]
        terms = (b("mul", f, x) for f, (x, _) in zip(row, kernel.carries, strict=True))
        made.append((carry, b.add_all([*terms, kernel.addends[i]])))
    return tuple(made)


def peak_form(b: Builder, carry: n.Carry, after: n.Node) -> Forms | None:
    """What is added to the state, and the least that it becomes: max(shift + state, floor)."""
    found = _peak(b, carry, after, descendants(b.nodes, {carry}))
    return None if found is None else Forms(factors=found[:1], addends=found[1:])


def _peak(
    b: Builder, carry: n.Carry, after: n.Node, reached: set[n.Node]
) -> tuple[n.Node, n.Node] | None:
    match after:
        case n.Spread(args=(inner,), axes=axes) if set(axes) == set(inner.axes):
            return _peak(b, carry, inner, reached)
        case n.Map(primitive="max", args=(left, right)) if right not in reached:
            form = _peak(b, carry, left, reached)
            if form is None:
                shift = _shift(carry, left, reached)
                return None if shift is None else (shift, right)
            return form[0], b("max", form[1], right)
        case _:
            return None


def _shift(carry: n.Carry, node: n.Node, reached: set[n.Node]) -> n.Node | None:
    match node:
        case n.Map(primitive="add", args=(left, right)) if left is carry and right not in reached:
            return right
        case _:
            return None


def _bare(node: n.Node) -> n.Node:
    """A number, if that is all that is spread."""
    match node:
        case n.Spread(args=(inner,)) if is_scalar(inner):
            return inner
        case _:
            return node


@dataclass(frozen=True, slots=True)
class _Walk:
    b: Builder
    carries: tuple[n.Carry, ...]
    reached: set[n.Node]
    found: dict[n.Node, Form | None] = field(default_factory=dict)

    def of(self, node: n.Node) -> Form | None:
        """The form of a node; None where it has none."""
        if node not in self.found:
            self.found[node] = self._form(node)
        return self.found[node]

    def _form(self, node: n.Node) -> Form | None:
        if node not in self.reached:
            return (*(None for _ in self.carries), _bare(node))
        match node:
            case n.Carry():
                own = (self.b.node(1) if carry is node else None for carry in self.carries)
                return (*own, None)
            case n.Map(primitive="add" | "sub" as sign, args=(left, right)):
                return self._joined(sign, self.of(left), self.of(right))
            case n.Map(primitive="neg", args=(inner,)):
                return self._each(self.of(inner), lambda x: self.b("neg", x))
            case n.Map(primitive="mul", args=(left, right)):
                return self._product(left, right)
            case n.Map(primitive="div", args=(left, right)) if right not in self.reached:
                return self._each(self.of(left), lambda x: self.b("div", x, right))
            case n.Map(primitive="real", args=(inner,)) if not self.carries[0].complex:
                return self._each(self.of(inner), self._real)
            case n.Map(primitive="lerp", args=(a, b, w)) if w not in self.reached:
                keep = self._each(self.of(a), lambda x: self.b("mul", self.b("sub", 1, w), x))
                take = self._each(self.of(b), lambda x: self.b("mul", w, x))
                return self._joined("add", keep, take)
            case n.Map(primitive="where", args=(test, a, b)) if test not in self.reached:
                return self._chosen(test, self.of(a), self.of(b))
            case n.Spread(args=(inner,), axes=axes) if set(axes) == set(inner.axes):
                return self.of(inner)
            case _:
                return None

    def _real(self, node: n.Node) -> n.Node:
        return self.b("real", node) if self.b.is_complex(node) else node

    def _each(self, form: Form | None, made: Callable[[n.Node], n.Node]) -> Form | None:
        return form and tuple(None if x is None else made(x) for x in form)

    def _product(self, left: n.Node, right: n.Node) -> Form | None:
        if left in self.reached and right in self.reached:
            return None
        state, other = (left, right) if left in self.reached else (right, left)
        return self._each(self.of(state), lambda x: self.b("mul", other, x))

    def _joined(self, sign: str, left: Form | None, right: Form | None) -> Form | None:
        if left is None or right is None:
            return None
        return tuple(self._sum(sign, *pair) for pair in zip(left, right, strict=True))

    def _sum(self, sign: str, left: n.Node | None, right: n.Node | None) -> n.Node | None:
        if right is None:
            return left
        if left is None:
            return right if sign == "add" else self.b("neg", right)
        return self.b(sign, left, right)

    def _chosen(self, test: n.Node, a: Form | None, b: Form | None) -> Form | None:
        if a is None or b is None:
            return None
        return tuple(
            None if x is None and y is None else self.b("where", test, x or 0, y or 0)
            for x, y in zip(a, b, strict=True)
        )
