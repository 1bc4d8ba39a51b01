"""Checked expressions: a closed set of nodes, each with its sort and its place in the spec."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from mixerc.diagnostics.span import NOWHERE, Span
from mixerc.ir.sorts import SCALAR, Axis, Sort, Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What every expression carries."""

    sort: Sort = SCALAR
    span: Span = field(default=NOWHERE, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Node):
    """A literal, exact as written."""

    value: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Size(Node):
    """A number known once a layer is built: a header size, `d_model`, `heads`, `layer`, `layers`,
    `pi`; or `head` (the index of the head, varies with it) or `T` (the length)."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Position(Node):
    """`t` or `s` used as a number."""

    time: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Node):
    """A named value: stream, constant, parameter, table, state, branch, or `sum` in normalize.

    States are read at `T` (after their update) or `PREVIOUS` (before it).
    """

    name: str
    time: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply(Node):
    """A scalar primitive of `ir.primitives`, elementwise, operands broadcast by axis name."""

    primitive: str
    operands: tuple["Expr", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract(Node):
    """`left @ right`: the sum over one axis; the two sides may name it `N` and `N'`."""

    left: "Expr"
    right: "Expr"
    left_axis: Axis
    right_axis: Axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduce(Node):
    """`sum[K](e)`, `max[K](e)`, `softmax[K](e)`; softmax keeps the axis."""

    reduction: str
    axis: Axis
    operand: "Expr"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSum(Node):
    """`sum[s](e)`: the sum over every token s of the sequence."""

    operand: "Expr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold(Node):
    """`fold[J](U = start, next)`: U runs through `next` once for each index of J, in order.

    Inside `next` a read of `variable` is the value so far; values with the axis J are taken at
    the current index. The result has the sort of `start`.
    """

    axis: Axis
    variable: str
    start: "Expr"
    next: "Expr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(Node):
    """A named value at one place of an axis, which no spec writes: a step of a fold that is written
    out. `called` is a name of its own for it."""

    source: Read
    axis: Axis
    index: int
    called: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arange(Node):
    """`arange(N)`: 0, 1, … along the axis N."""

    axis: Axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Concat(Node):
    """`concat(a, b, …)`: along the one axis of each part, onto the axis at the left."""

    parts: tuple["Expr", ...]
    axis: Axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw(Node):
    """A random initial value: normal, uniform, loguniform, orthogonal, xavier, choose."""

    distribution: str
    arguments: tuple["Expr", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear(Node):
    """`source | linear`: joins all heads and axes of the source, lands on the node's sort.

    `features` is the number of unnamed features of `linear(n)`, None where named axes are the
    target. `bias` is its initial value, None for no bias. `blocks`: a block-diagonal weight.
    """

    source: "Expr"
    features: "Expr | None"
    bias: "Expr | None"
    init: "Expr | None"
    blocks: "Expr | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv(Node):
    """`conv(n)`: causal depthwise convolution of width n over time, zeros before the start."""

    source: "Expr"
    width: "Expr"
    bias: "Expr | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm(Node):
    """`rmsnorm`, `layernorm` (learned gain, and shift for layernorm) or `l2norm` (none).

    Without `groups` each head is normalised by itself over its axes, with one gain for all
    heads; with groups the heads are joined, cut in `groups`, and each channel has a gain.
    """

    norm: str
    source: "Expr"
    eps: Fraction
    affine: bool
    groups: "Expr | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rope(Node):
    """Rotary position embedding over the value's one axis; pairs are halves, or neighbours."""

    source: "Expr"
    base: "Expr"
    interleaved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Glu(Node):
    """`glu`, `swiglu`, `geglu` of 2n unnamed features: act(first half) * second half."""

    gate: str
    source: "Expr"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLayer(Node):
    """`first_layer(v)`: the value that this name had in the stack's first layer."""

    source: "Expr"


@dataclass(frozen=True, slots=True, kw_only=True)
class UseBlock(Node):
    """In a stack: a block of this stack applied to the source."""

    source: "Expr"
    block: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UseMixer(Node):
    """In a stack: another spec's layer applied to the source, with sizes given by name."""

    source: "Expr"
    mixer: str
    sizes: tuple[tuple[str, "Expr"], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat(Node):
    """`x | repeat(N, a, b, …)`: the blocks or mixers in order, N times, new weights each time.

    Each step is a UseBlock or UseMixer whose source is the placeholder `Read("x")`.
    """

    source: "Expr"
    count: "Expr"
    steps: tuple["Expr", ...]


Expr: TypeAlias = (
    Number
    | Size
    | Position
    | Read
    | Apply
    | Contract
    | Reduce
    | TimeSum
    | Fold
    | Item
    | Arange
    | Concat
    | Draw
    | Linear
    | Conv
    | Norm
    | Rope
    | Glu
    | FirstLayer
    | UseBlock
    | UseMixer
    | Repeat
)
