"""The syntax tree, as written: nothing is looked up, nothing is checked."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from mixerc.diagnostics.span import NOWHERE, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What every node carries."""

    span: Span = field(default=NOWHERE, repr=False, compare=False)


# Expressions


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Node):
    """A literal; `text` is how it was written."""

    value: Fraction
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Name(Node):
    """A bare name; `t` and `s` as numbers are names too."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed(Node):
    """`k[s]`, `S[t-1]`: a name at a time; the index is any expression here."""

    id: str
    id_span: Span = field(default=NOWHERE, repr=False, compare=False)
    index: "Expr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyword(Node):
    """`bias = 0` among the arguments of a call, a step or a header."""

    name: str
    value: "Expr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Node):
    """`exp(e)`, `sum[K](e)`, `linear(16, bias = 0)`; `axis` is the bracket: `K`, `N'`, `s`, ""."""

    id: str
    id_span: Span = field(default=NOWHERE, repr=False, compare=False)
    axis: str
    arguments: tuple["Expr", ...]
    keywords: tuple[Keyword, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary(Node):
    """`-e`, `not e`."""

    operator: str
    operand: "Expr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary(Node):
    """`+ - * / // % @ ^ and or`."""

    operator: str
    left: "Expr"
    right: "Expr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare(Node):
    """`a < b <= c`, chained: one operator fewer than operands."""

    operands: tuple["Expr", ...]
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipe(Node):
    """`source | step`; the step is a Name or a Call."""

    source: "Expr"
    step: "Name | Call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paren(Node):
    """`(e)`: kept, since a bracketed contraction may stand where a bare one may not."""

    inner: "Expr"


Expr: TypeAlias = Number | Name | Indexed | Call | Unary | Binary | Compare | Pipe | Paren


# Declarations


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisRef(Node):
    """An axis of a declaration: `K`, `N'`, or for tables `t`, `s`, `t // B`.

    For a table index `name` is "t" or "s" and `block` the expression after `//`, if any.
    """

    name: str
    block: "Expr | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared(Node):
    """`q[K]`: a name and its axes."""

    name: str
    name_span: Span = field(default=NOWHERE, repr=False, compare=False)
    axes: tuple[AxisRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds(Node):
    """`(0, 1]` of an input; a side that is not a plain number is an expression."""

    low: Expr
    high: Expr
    low_open: bool
    high_open: bool


# Statements. `grouped` is the G of `grouped(G)`, or None.


@dataclass(frozen=True, slots=True, kw_only=True)
class Header(Node):
    """`mixer NAME(sizes)` or `stack NAME(sizes)`, with the citation lines below it.

    A size without `= default` has a value of None.
    """

    stack: bool
    name: str
    sizes: tuple[tuple[str, Expr | None, Span], ...]
    citation: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputLine(Node):
    """`input a[K] in (0, 1]`, `input mark bool`; `kind` is "", "bool", "int" or "complex"."""

    declared: tuple[Declared, ...]
    grouped: Expr | None
    kind: str
    bounds: Bounds | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamLine(Node):
    """`param A[N] = init` (learned) or `buffer W[M, K] = init`."""

    declared: tuple[Declared, ...]
    grouped: Expr | None
    learned: bool
    init: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Define(Node):
    """`q[K], k[K] = e`; also `o[V] = e` and `y = e`."""

    declared: tuple[Declared, ...]
    grouped: Expr | None
    expr: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause(Node):
    """`mask e`, `weight e`, `value e`, `decay e`, `normalize e`."""

    keyword: str
    expr: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature(Node):
    """`feature phi(z)[M] = e`: a function of `parameters`; `axes` is None where not written."""

    name: str
    parameters: tuple[str, ...]
    axes: tuple[AxisRef, ...] | None
    expr: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLine(Node):
    """`state S[K, V]`, `state h[N] complex`, `state num[E], den[E]`, `state cache` (no names)."""

    declared: tuple[Declared, ...]
    kind: str
    cache: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence(Node):
    """`S[t] = e`; the index is any expression here."""

    name: str
    name_span: Span = field(default=NOWHERE, repr=False, compare=False)
    index: Expr
    expr: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchLine(Node):
    """`branch near` and its indented clauses."""

    name: str
    clauses: tuple["Clause | Feature | StateLine", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLine(Node):
    """`block rec = e`, `shared block attn = e`."""

    name: str
    shared: bool
    expr: Expr


Statement: TypeAlias = (
    InputLine
    | ParamLine
    | Define
    | Clause
    | Feature
    | StateLine
    | Recurrence
    | BranchLine
    | BlockLine
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment(Node):
    """`# …`; `alone` if nothing else stands on its line. Kept for the formatter only."""

    text: str
    alone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec(Node):
    """One file: a header and its statements. After `resolve`, a stack holds the specs it uses."""

    header: Header
    statements: tuple[Statement, ...]
    comments: tuple[Comment, ...] = field(default=(), repr=False, compare=False)
    uses: tuple["Spec", ...] = ()
