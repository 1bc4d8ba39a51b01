"""The ground rules of sorts: how axes, heads, kinds and times of operands combine."""

from collections.abc import Sequence

from mixerc.ir.expr import Expr
from mixerc.ir.primitives import PRIMITIVES
from mixerc.ir.sorts import SHARED, Axis, Heads, Kind

SAME_NUMBERS = frozenset({"neg", "add", "sub", "mul", "floordiv", "mod", "max", "min", "abs"})
COMPLEX_OPERANDS = frozenset(
    [
        "neg",
        "add",
        "sub",
        "mul",
        "div",
        "pow",
        "exp",
        "expm1",
        "log",
        "sqrt",
        "abs",
        "sin",
        "cos",
        "real",
        "imag",
        "conj",
        "where",
        "lerp",
        "eq",
        "ne",
    ]
)
CONDITIONS = frozenset({"and", "or", "not"})
FUNCTIONS = tuple(
    name
    for name, row in PRIMITIVES.items()
    if row.written
    and name not in CONDITIONS
    and name
    not in [
        "neg",
        "add",
        "sub",
        "mul",
        "div",
        "floordiv",
        "mod",
        "pow",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
    ]
)
STEPS = [
    "linear",
    "conv",
    "rmsnorm",
    "layernorm",
    "l2norm",
    "rope",
    "glu",
    "swiglu",
    "geglu",
]  # fmt: skip
REDUCTIONS = ("sum", "max", "softmax")
DRAWS = {
    "normal": (0, 2),
    "uniform": (2,),
    "loguniform": (2,),
    "orthogonal": (0,),
    "xavier": (0,),
    "choose": (1,),
}
SPECIAL_FUNCTIONS = ("arange", "concat", "first_layer", "fold")
BUILD_SIZES = ("d_model", "heads", "layer", "layers", "length", "pi")
SETTABLE = frozenset({"d_model", "heads", "layers", "length"})
GIVEN = frozenset(
    [
        "x",
        "y",
        "o",
        "x0",
        "T",
        "d_model",
        "head",
        "heads",
        "layer",
        "layers",
        "length",
        "sum",
        "pi",
        "causal",
        "full",
    ]
)
RESERVED = GIVEN | {*FUNCTIONS, *STEPS, *REDUCTIONS, *DRAWS, *SPECIAL_FUNCTIONS, "repeat"}


def join_heads(operands: Sequence[Expr]) -> Heads | None:
    """Each head wins over a group, a group over none; None where two groups differ."""
    joined = SHARED
    for heads in (operand.sort.heads for operand in operands):
        if heads.shared or heads == joined:
            continue
        if joined.shared or not heads.group:
            joined = heads
        elif joined.group:
            return None
    return joined


def join_times(operands: Sequence[Expr]) -> frozenset[str]:
    """A value varies with every time that one of its operands varies with."""
    return frozenset[str]().union(*(operand.sort.times for operand in operands))


def union_axes(operands: Sequence[Expr]) -> tuple[Axis, ...]:
    """Every axis once, left to right: what an outer product has."""
    return tuple(dict.fromkeys(axis for operand in operands for axis in operand.sort.axes))


def widest_axes(operands: Sequence[Expr]) -> tuple[Axis, ...] | None:
    """The axes of the operand that has all the axes of the others; None if there is none."""
    needed = set(union_axes(operands))
    for operand in operands:
        if set(operand.sort.axes) == needed:
            return operand.sort.axes
    return None


def join_kinds(primitive: str, operands: Sequence[Expr]) -> Kind:
    """The kind of a primitive's result, where its operands are such as it takes."""
    kinds = {operand.sort.kind for operand in operands}
    match PRIMITIVES[primitive].result:
        case "bool":
            return Kind.BOOL
        case "complex":
            return Kind.COMPLEX
        case "real":
            return Kind.INT if kinds == {Kind.INT} and primitive == "abs" else Kind.REAL
        case _:
            return _same_kind(primitive, operands)


def _same_kind(primitive: str, operands: Sequence[Expr]) -> Kind:
    chosen = operands[1:] if primitive == "where" else operands
    kinds = {operand.sort.kind for operand in chosen}
    if Kind.COMPLEX in kinds:
        return Kind.COMPLEX
    if len(kinds) == 1 and (primitive == "where" or primitive in SAME_NUMBERS):
        return kinds.pop()
    return Kind.REAL


def contracted_pairs(left: Sequence[Axis], right: Sequence[Axis]) -> list[tuple[Axis, Axis]]:
    """The pairs of axes that `left @ right` could sum over; it is legal where there is one.

    `N'` of one side meets `N` of the other, which has no `N'` itself; every other axis meets
    the axis of the same name.
    """
    pairs = [(axis, axis) for axis in left if axis in right]
    for copies, others, flip in ((left, right, False), (right, left, True)):
        for copy in (axis for axis in copies if axis.endswith("'")):
            plain = copy.removesuffix("'")
            if plain in others and copy not in others:
                pairs = [pair for pair in pairs if pair != (plain, plain)]
                pairs.append((plain, copy) if flip else (copy, plain))
    return pairs
