"""Names of the variables of generated kernels."""

from mixerc.backends.module.identifiers import identifier
from mixerc.plan import nodes as n


class Names:
    """One variable for each node of a plan, the same in every kernel of a program."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = dict.fromkeys(_RESERVED, 1)
        self._names: dict[n.Node, str] = {}
        self._beside: dict[tuple[str, n.Node], str] = {}

    def of(self, node: n.Node) -> str:
        """The node's variable."""
        if node not in self._names:
            self._names[node] = self._fresh(stem(node))
        return self._names[node]

    def beside(self, called: str, node: n.Node) -> str:
        """A variable of its own for what belongs to a node: `last_h` for h."""
        if (called, node) not in self._beside:
            self._beside[called, node] = self._fresh(f"{called}_{self.of(node)}")
        return self._beside[called, node]

    def _fresh(self, called: str) -> str:
        count = self._taken.get(called, 0)
        self._taken[called] = count + 1
        return called if count == 0 else f"{called}_{count + 1}"


_RESERVED = (
    *("torch", "functional", "math", "abs", "max", "min", "head"),
    *("piece", "streams", "constants", "states", "boundaries", "size", "chunks", "valid"),
    *("pad", "halves", "place", "unpick", "grow", "blocks", "level", "join", "filled"),
    "inverted",
    *(
        "along",
        "stacked",
        "by_runs",
        "row",
        "rows",
        "into",
        "by_rows",
        "rows_of",
        "scanned",
        "scanned_together",
        "peaked",
    ),
)


def stem(node: n.Node) -> str:
    """What a node's variable is called after."""
    match node:
        case n.Load(name=name) | n.Carry(state=name):
            return identifier(name)
        case n.HeadIndex():
            return "head_index"
        case n.Map(primitive=primitive):
            return _WORDS.get(primitive, f"{primitive}_")
        case n.Contract():
            return "dot"
        case n.Halves(side=side, width=width):
            return f"{side}{width}"
        case n.Grow(side=side, width=width):
            return f"{'prefix' if side == 'right' else 'suffix'}{2 * width}"
        case n.Blocks():
            return "scores"
        case n.Pad():
            return "tokens"
        case n.Sum():
            return "summed"
        case n.Block(width=width):
            return f"level{width}"
        case _:
            return type(node).__name__.lower()


_WORDS = {
    "exp": "raised",
    "mul": "product",
    "add": "total",
    "sub": "difference",
    "div": "ratio",
    "neg": "minus",
}
