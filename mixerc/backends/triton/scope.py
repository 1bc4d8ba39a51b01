"""What is known at a place of a kernel's text."""

from dataclasses import dataclass, field

from mixerc.backends.triton.values import Value
from mixerc.plan import nodes as n


@dataclass(slots=True)
class Scope:
    """The values known at a place of the text, and the index that stands for each axis there."""

    parent: "Scope | None" = None
    indices: dict[str, str] = field(default_factory=dict)
    values: dict[n.Node, Value] = field(default_factory=dict)

    def find(self, node: n.Node) -> Value | None:
        """The value of a node, if it is known here and is that of the same block."""
        if node in self.values:
            return self.values[node]
        if self.parent is None or set(node.axes) & self.indices.keys():
            return None
        return self.parent.find(node)

    def has(self, axis: str) -> bool:
        """Whether there is a block of an axis here."""
        return axis in self.indices or (self.parent is not None and self.parent.has(axis))

    def index(self, axis: str) -> str:
        """The variable with the places of an axis."""
        if axis in self.indices:
            return self.indices[axis]
        assert self.parent is not None, f"no block of {axis} here"
        return self.parent.index(axis)
