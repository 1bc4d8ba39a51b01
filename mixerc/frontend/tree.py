"""From Lark's tree to the syntax tree: one method for each rule of `grammar/mix.lark`."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias

from lark import Token, Transformer_NonRecursive, v_args
from lark.tree import Meta

from mixerc.diagnostics.diagnostic import Diagnostic
from mixerc.diagnostics.span import Span
from mixerc.frontend import errors_syntax as errors
from mixerc.frontend.syntax import (
    AxisRef,
    Binary,
    BlockLine,
    Bounds,
    BranchLine,
    Call,
    Clause,
    Compare,
    Declared,
    Define,
    Expr,
    Feature,
    Header,
    Indexed,
    InputLine,
    Keyword,
    Name,
    Number,
    ParamLine,
    Paren,
    Pipe,
    Recurrence,
    Spec,
    StateLine,
    Statement,
    Unary,
)

# What a float64 holds, and with it what a kernel can.
LARGEST_EXPONENT = 308
MOST_DIGITS = 400

Axes: TypeAlias = tuple[AxisRef | Expr, ...]
Size: TypeAlias = tuple[str, Expr | None, Span]


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """`q[K]` or `S[t-1]`, while it is open what the brackets hold."""

    span: Span
    name: Token
    axes: Axes


def to_span(file: str, place: Meta | Token) -> Span:
    """Where a tree or a token of Lark stands."""
    return Span(
        file=file,
        line=place.line or 0,
        column=place.column or 0,
        end_line=place.end_line or 0,
        end_column=place.end_column or 0,
    )


def _in_range(text: str) -> bool:
    """Whether a float64 holds the number; asked of its digits, since 10^999999999 takes long."""
    mantissa, _, exponent = text.lower().partition("e")
    whole = mantissa.partition(".")[0].lstrip("0")
    digits = exponent.lstrip("+-").lstrip("0") or "0"
    if len(mantissa) > MOST_DIGITS or len(digits) > len(str(LARGEST_EXPONENT)):
        return False
    power = -int(digits) if exponent.startswith("-") else int(digits)
    return power >= -LARGEST_EXPONENT and power + len(whole) <= LARGEST_EXPONENT


@v_args(inline=True, meta=True)
class ToSyntax(Transformer_NonRecursive[Token, Spec]):
    """Builds nodes bottom-up; what the grammar could not forbid is collected in `mistakes`."""

    def __init__(self, file: str) -> None:
        super().__init__(visit_tokens=False)
        self.file = file
        self.mistakes: list[Diagnostic] = []

    def _span(self, place: Meta | Token) -> Span:
        return to_span(self.file, place)

    # Expressions

    def number(self, meta: Meta, token: Token) -> Number:
        text = str(token)
        legal = _in_range(text)
        if not legal:
            self.mistakes.append(errors.number_out_of_range(self._span(meta), text))
        return Number(span=self._span(meta), value=Fraction(text if legal else 0), text=text)

    def name(self, meta: Meta, token: Token) -> Name:
        return Name(span=self._span(meta), id=str(token))

    def indexed(self, meta: Meta, name: Token, index: Expr) -> Indexed:
        return Indexed(span=self._span(meta), id=str(name), id_span=self._span(name), index=index)

    def call(self, meta: Meta, name: Token, *arguments: Expr | Keyword) -> Call:
        return self._call(meta, name, "", arguments)

    def reduction(self, meta: Meta, name: Token, axis: Expr, *arguments: Expr | Keyword) -> Call:
        match axis:
            case Name(id=text):
                return self._call(meta, name, text, arguments)
            case _:
                self.mistakes.append(errors.reduction_axis(axis.span, str(name)))
                return self._call(meta, name, "", arguments)

    def _call(
        self, meta: Meta, name: Token, axis: str, arguments: tuple[Expr | Keyword, ...]
    ) -> Call:
        return Call(
            span=self._span(meta),
            id=str(name),
            id_span=self._span(name),
            axis=axis,
            arguments=tuple(each for each in arguments if not isinstance(each, Keyword)),
            keywords=tuple(each for each in arguments if isinstance(each, Keyword)),
        )

    def copy(self, meta: Meta, name: Token, prime: Token) -> Name:
        return Name(span=self._span(meta), id=f"{name}{prime}")

    def keyword(self, meta: Meta, name: Token, value: Expr) -> Keyword:
        return Keyword(span=self._span(meta), name=str(name), value=value)

    def unary(self, meta: Meta, operator: Token, operand: Expr) -> Unary:
        return Unary(span=self._span(meta), operator=str(operator), operand=operand)

    def binary(self, meta: Meta, left: Expr, operator: Token, right: Expr) -> Binary:
        match str(operator), left, right:
            case "@", Binary(operator="@"), _:
                self.mistakes.append(errors.contraction_chain(self._span(operator), left.span))
            case "*" | "/" | "//" | "%", _, (
                Binary(operator="@") | Unary(operand=Binary(operator="@"))
            ):
                self.mistakes.append(errors.contraction_place(right.span, self._span(operator)))
            case _:
                pass
        return Binary(span=self._span(meta), operator=str(operator), left=left, right=right)

    def compare(self, meta: Meta, first: Expr, *rest: Expr | Token) -> Compare:
        operators = tuple(str(each) for each in rest if isinstance(each, Token))
        operands = tuple(each for each in rest if not isinstance(each, Token))
        return Compare(span=self._span(meta), operands=(first, *operands), operators=operators)

    def pipe(self, meta: Meta, source: Expr, step: Name | Call) -> Pipe:
        return Pipe(span=self._span(meta), source=source, step=step)

    def paren(self, meta: Meta, inner: Expr) -> Paren:
        return Paren(span=self._span(meta), inner=inner)

    # Declarations

    def axis(self, meta: Meta, name: Token, prime: Token | None = None) -> AxisRef:
        return AxisRef(span=self._span(meta), name=f"{name}{prime or ''}", block=None)

    def axes(self, meta: Meta, *axes: AxisRef | Expr) -> Axes:
        return axes

    def declared(self, meta: Meta, name: Token, axes: Axes | None) -> Left:
        return Left(span=self._span(meta), name=name, axes=axes or ())

    def bounds(self, meta: Meta, left: Token, low: Expr, high: Expr, right: Token) -> Bounds:
        return Bounds(
            span=self._span(meta), low=low, high=high, low_open=left == "(", high_open=right == ")"
        )

    def grouped(self, meta: Meta, groups: Expr) -> Expr:
        return groups

    def _axes(self, axes: Axes) -> tuple[AxisRef, ...]:
        return tuple(self._axis(axis) for axis in axes)

    def _axis(self, written: AxisRef | Expr) -> AxisRef:
        """An axis of a declaration; `t-1` stands in the brackets of a recurrence only."""
        match written:
            case AxisRef():
                return written
            case Name(id=time):
                return AxisRef(span=written.span, name=time, block=None)
            case Binary(operator="//", left=Name(id=time), right=block):
                return AxisRef(span=written.span, name=time, block=block)
            case _:
                self.mistakes.append(errors.table_axis(written.span))
                return AxisRef(span=written.span, name="t", block=None)

    def _declared(self, lefts: Iterable[Left]) -> tuple[Declared, ...]:
        return tuple(
            Declared(
                span=left.span,
                name=str(left.name),
                name_span=self._span(left.name),
                axes=self._axes(left.axes),
            )
            for left in lefts
        )

    # Statements

    def input(self, meta: Meta, grouped: Expr | None, *rest: Any) -> InputLine:
        *lefts, kind, bounds = rest
        return InputLine(
            span=self._span(meta),
            declared=self._declared(lefts),
            grouped=grouped,
            kind=str(kind or ""),
            bounds=bounds,
        )

    def parameter(self, meta: Meta, grouped: Expr | None, keyword: Token, *rest: Any) -> ParamLine:
        *lefts, init = rest
        return ParamLine(
            span=self._span(meta),
            declared=self._declared(lefts),
            grouped=grouped,
            learned=keyword == "param",
            init=init,
        )

    def define(self, meta: Meta, grouped: Expr | None, *rest: Any) -> Define | Recurrence:
        *lefts, expr = rest
        match lefts:
            case [Left(name=name, axes=(Name() | Binary() as index,))] if grouped is None:
                return Recurrence(
                    span=self._span(meta),
                    name=str(name),
                    name_span=self._span(name),
                    index=index,
                    expr=expr,
                )
            case _:
                return Define(
                    span=self._span(meta),
                    declared=self._declared(lefts),
                    grouped=grouped,
                    expr=expr,
                )

    def clause(self, meta: Meta, keyword: Token, expr: Expr) -> Clause:
        return Clause(span=self._span(meta), keyword=str(keyword), expr=expr)

    def feature(
        self, meta: Meta, name: Token, parameters: tuple[str, ...], axes: Axes | None, expr: Expr
    ) -> Feature:
        return Feature(
            span=self._span(meta),
            name=str(name),
            parameters=parameters,
            axes=None if axes is None else self._axes(axes),
            expr=expr,
        )

    def parameters(self, meta: Meta, *names: Token) -> tuple[str, ...]:
        return tuple(str(name) for name in names)

    def state(self, meta: Meta, *rest: Any) -> StateLine:
        match rest:
            case (Token(type="CACHE"),):
                return StateLine(span=self._span(meta), declared=(), kind="", cache=True)
            case (*lefts, kind):
                return StateLine(
                    span=self._span(meta),
                    declared=self._declared(lefts),
                    kind=str(kind or ""),
                    cache=False,
                )
        raise AssertionError(rest)

    def branch(
        self, meta: Meta, keyword: Token, name: Token, *clauses: Clause | Feature | StateLine
    ) -> BranchLine:
        span = self._span(keyword).to(clauses[-1].span)
        return BranchLine(span=span, name=str(name), clauses=clauses)

    def block(self, meta: Meta, shared: Token | None, name: Token, expr: Expr) -> BlockLine:
        span = self._span(meta)
        return BlockLine(span=span, name=str(name), shared=shared is not None, expr=expr)

    # The file

    def size(self, meta: Meta, name: Token, default: Expr | None) -> Size:
        return str(name), default, self._span(meta)

    def header(self, meta: Meta, keyword: Token, name: Token, *sizes: Size | None) -> Header:
        return Header(
            span=self._span(meta),
            stack=keyword == "stack",
            name=str(name),
            sizes=tuple(size for size in sizes if size is not None),
            citation=(),
        )

    def start(self, meta: Meta, header: Header, *rest: Token | Statement) -> Spec:
        return Spec(
            span=self._span(meta),
            header=replace(
                header, citation=tuple(each[1:-1] for each in rest if isinstance(each, Token))
            ),
            statements=tuple(each for each in rest if not isinstance(each, Token)),
        )
