"""A checked mixer: sizes, inputs, parameters, the layer's lines, the core, and the output."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from mixerc.diagnostics.span import NOWHERE, Span
from mixerc.ir.expr import Expr
from mixerc.ir.sorts import Axis, Sort


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeDef:
    """A header size; `default` is an expression of earlier sizes and d_model, heads, …"""

    name: str
    default: Expr | None
    span: Span = field(default=NOWHERE, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Declared bounds of an input; None is unbounded on that side."""

    low: Fraction | None
    high: Fraction | None
    low_open: bool
    high_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A stream that does not come from x, or a table over `index` times.

    `index` is empty for streams; for a table it is what it is declared over, in order with its
    axes: each entry is (time, block), block None or the expression B of `t // B`.
    """

    name: str
    sort: Sort
    range: Range | None
    index: tuple[tuple[str, Expr | None], ...]
    span: Span = field(default=NOWHERE, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A value drawn when the layer is built: learned (`param`) or not (`buffer`)."""

    name: str
    sort: Sort
    learned: bool
    init: Expr
    index: tuple[tuple[str, Expr | None], ...]
    span: Span = field(default=NOWHERE, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """`q[K] = …`: a constant, a stream, or (in the core) an intermediate value."""

    name: str
    sort: Sort
    expr: Expr
    span: Span = field(default=NOWHERE, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A declared state. Its axes are kept in the declared order; 0 before the first token."""

    name: str
    sort: Sort
    span: Span = field(default=NOWHERE, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """`S[t] = …`: the one update of a state. Reads of `S[t-1]` stand for the old value."""

    state: str
    expr: Expr
    span: Span = field(default=NOWHERE, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One sum over s: sum_s [mask] · weight · prod_{s<j<=t} decay[j] · value[s], / normalize.

    `name` is "o" where the spec has no `branch`. `mask` is a bool of t and s. `value` has only
    the time s. `decay` and `normalize` (an expression that reads `sum`) may be absent.
    `states` are the declared ones, or empty for `state cache`.
    """

    name: str
    sort: Sort
    mask: Expr
    weight: Expr
    value: Expr
    decay: Expr | None
    normalize: Expr | None
    states: tuple[State, ...]
    span: Span = field(default=NOWHERE, repr=False, compare=False)


CoreLine: TypeAlias = Update | Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What moves information between tokens.

    Either `branches` (sums over s) or `states` with `lines` (updates and intermediate values
    in source order); `output` is `o`. `lines` of a sum form are the intermediates between the
    branches and o. `inputs` names what the core reads from outside, in order of definition.
    """

    branches: tuple[Branch, ...]
    states: tuple[State, ...]
    lines: tuple[CoreLine, ...]
    output: Value
    inputs: tuple[str, ...]


LayerLine: TypeAlias = Input | Param | Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixer:
    """A checked spec. `lines` are the inputs, constants, parameters and streams above the core.

    Constants (values without times that depend on sizes and `head` alone) that the core reads
    are not among `core.inputs`: the core computes them. `y` is None where the spec has none.
    """

    name: str
    citation: tuple[str, ...]
    sizes: tuple[SizeDef, ...]
    lines: tuple[LayerLine, ...]
    core: Core
    y: Expr | None
    span: Span = field(default=NOWHERE, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A function of x in a stack: new weights at each use, or the same ones if `shared`."""

    name: str
    shared: bool
    expr: Expr
    span: Span = field(default=NOWHERE, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A checked stack; `mixers` are the checked specs it uses, in order of first use."""

    name: str
    citation: tuple[str, ...]
    sizes: tuple[SizeDef, ...]
    blocks: tuple[Block, ...]
    y: Expr
    mixers: tuple[Mixer, ...]
    span: Span = field(default=NOWHERE, repr=False, compare=False)


AxisNames: TypeAlias = tuple[Axis, ...]
