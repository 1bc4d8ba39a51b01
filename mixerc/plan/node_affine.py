"""A node as affine in a carried state: factor * state + addend, elementwise."""

from collections.abc import Callable
from dataclasses import dataclass

from mixerc.plan import nodes as n
from mixerc.plan.build import Builder
from mixerc.plan.distribute import descendants

Form = tuple[n.Node | None, n.Node | None]
"""The factor and the addend; None stands for 0."""


def affine_form(b: Builder, carry: n.Carry, after: n.Node) -> tuple[n.Node, n.Node] | None:
    """The factor and the addend, or None where the next state is not of that form."""
    form = _Walk(b, carry, descendants(b.nodes, {carry})).of(after)
    return None if form is None else (form[0] or b.node(0), form[1] or b.node(0))


def peak_form(b: Builder, carry: n.Carry, after: n.Node) -> tuple[n.Node, n.Node] | None:
    """What is added to the state, and the least that it becomes: max(shift + state, floor)."""
    reached = descendants(b.nodes, {carry})
    match after:
        case n.Spread(args=(inner,), axes=axes) if set(axes) == set(inner.axes):
            return peak_form(b, carry, inner)
        case n.Map(primitive="max", args=(left, right)) if right not in reached:
            form = peak_form(b, carry, left)
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


@dataclass(frozen=True, slots=True)
class _Walk:
    b: Builder
    carry: n.Carry
    reached: set[n.Node]

    def of(self, node: n.Node) -> Form | None:
        """The form of a node; None where it has none."""
        if node is self.carry:
            return self.b.node(1), None
        if node not in self.reached:
            return None, node
        match node:
            case n.Map(primitive="add" | "sub" as sign, args=(left, right)):
                return self._joined(sign, self.of(left), self.of(right))
            case n.Map(primitive="neg", args=(inner,)):
                return self._each(self.of(inner), lambda x: self.b("neg", x))
            case n.Map(primitive="mul", args=(left, right)):
                return self._product(left, right)
            case n.Map(primitive="div", args=(left, right)) if right not in self.reached:
                return self._each(self.of(left), lambda x: self.b("div", x, right))
            case n.Map(primitive="real", args=(inner,)) if not self.carry.complex:
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
        if form is None:
            return None
        factor, addend = form
        return (
            None if factor is None else made(factor),
            None if addend is None else made(addend),
        )

    def _product(self, left: n.Node, right: n.Node) -> Form | None:
        if left in self.reached and right in self.reached:
            return None
        state, other = (left, right) if left in self.reached else (right, left)
        return self._each(self.of(state), lambda x: self.b("mul", other, x))

    def _joined(self, sign: str, left: Form | None, right: Form | None) -> Form | None:
        if left is None or right is None:
            return None
        pairs = tuple(self._sum(sign, *pair) for pair in zip(left, right, strict=True))
        return pairs[0], pairs[1]

    def _sum(self, sign: str, left: n.Node | None, right: n.Node | None) -> n.Node | None:
        if right is None:
            return left
        if left is None:
            return right if sign == "add" else self.b("neg", right)
        return self.b(sign, left, right)

    def _chosen(self, test: n.Node, a: Form | None, b: Form | None) -> Form | None:
        if a is None or b is None:
            return None
        made = tuple(
            None if x is None and y is None else self.b("where", test, x or 0, y or 0)
            for x, y in zip(a, b, strict=True)
        )
        return made[0], made[1]
