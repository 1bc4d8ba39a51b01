"""Checked expressions as text of the language, with no more brackets than it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import assert_never

from mixerc.ir import expr as e
from mixerc.ir.masks import CAUSAL, FULL
from mixerc.ir.sorts import Axis, Time

PIPE, OR, AND, NOT, COMPARE, SUM, PRODUCT, MINUS, CONTRACT, POWER, ATOM = range(11)
_INFIX = {
    "or": ("or", OR),
    "and": ("and", AND),
    "eq": ("==", COMPARE),
    "ne": ("!=", COMPARE),
    "lt": ("<", COMPARE),
    "le": ("<=", COMPARE),
    "gt": (">", COMPARE),
    "ge": (">=", COMPARE),
    "add": ("+", SUM),
    "sub": ("-", SUM),
    "mul": ("*", PRODUCT),
    "div": ("/", PRODUCT),
    "floordiv": ("//", PRODUCT),
    "mod": ("%", PRODUCT),
}
_EPS = {"rmsnorm": Fraction(1, 100_000), "layernorm": Fraction(1, 100_000)}
_L2_EPS = Fraction(1, 1_000_000)
_BASE = 10000


@dataclass(frozen=True, slots=True, kw_only=True)
class TextContext:
    """What a read looks like: `explicit` times, and the names of states.

    `joining` has the features that stand for `concat` where it has no line to land on, by the
    axis and the number of parts.
    """

    explicit: bool = False
    states: frozenset[str] = frozenset()
    joining: Mapping[tuple[Axis, int], str] = field(default_factory=dict)


def show_expr(expr: e.Expr, context: TextContext | None = None) -> str:
    """The text of an expression, as it would stand on the right of a line."""
    return _Writer(context or TextContext()).at(expr, PIPE)


def show_number(value: Fraction) -> str:
    """A literal that reads back as the same number."""
    if value.denominator == 1:
        return str(value.numerator)
    with localcontext() as arithmetic:
        arithmetic.prec = 60
        decimal = Decimal(value.numerator) / Decimal(value.denominator)
    if Fraction(decimal) != value:
        return f"{value.numerator}/{value.denominator}"
    text = format(decimal.normalize(), "f")
    return text if abs(value) > Fraction(1, 10**7) else _scientific(decimal)


def _scientific(decimal: Decimal) -> str:
    digits = decimal.normalize()
    mantissa, exponent = f"{digits:e}".split("e")
    return f"{mantissa}e{int(exponent)}"


class _Writer:
    def __init__(self, context: TextContext) -> None:
        self.context = context

    def at(self, expr: e.Expr, level: int) -> str:
        """The text, in brackets if it binds looser than its place wants."""
        text, own = self.text(expr)
        return f"({text})" if own < level else text

    def text(self, expr: e.Expr) -> tuple[str, int]:
        """The text and how tightly its outermost operator binds."""
        if expr in (CAUSAL, FULL):
            return ("causal" if expr == CAUSAL else "full"), ATOM
        match expr:
            case e.Number(value=value):
                return self._number(value)
            case e.Size(name=name):
                return name, ATOM
            case e.Position(time=time):
                return str(time), ATOM
            case e.Read():
                return self._read(expr), ATOM
            case e.Apply(primitive=primitive, operands=operands):
                return self._apply(primitive, operands)
            case e.Contract(left=left, right=right):
                return f"{self.at(left, POWER)} @ {self.at(right, POWER)}", CONTRACT
            case e.Reduce(reduction=name, axis=axis, operand=operand):
                return f"{name}[{axis}]({self.at(operand, PIPE)})", ATOM
            case e.TimeSum(operand=operand):
                inner = replace(self.context, explicit=True)
                return f"sum[s]({_Writer(inner).at(operand, PIPE)})", ATOM
            case e.Fold(axis=axis, variable=variable, start=start, next=after):
                body = f"{variable} = {self.at(start, PIPE)}, {self.at(after, PIPE)}"
                return f"fold[{axis}]({body})", ATOM
            case e.Item(source=source, index=index):
                return f"{self._read(source)}[{index}]", ATOM
            case e.Arange(axis=axis):
                return f"arange({axis})", ATOM
            case e.Concat(parts=parts, axis=axis):
                name = self.context.joining.get((axis, len(parts)), "concat")
                return f"{name}({self._list(parts)})", ATOM
            case e.Draw(distribution=name, arguments=arguments):
                return (f"{name}({self._list(arguments)})" if arguments else name), ATOM
            case e.FirstLayer(source=source):
                return f"first_layer({self.at(source, PIPE)})", ATOM
            case _:
                return self._step(expr)

    def _number(self, value: Fraction) -> tuple[str, int]:
        text = show_number(value)
        if "/" in text:
            return text, PRODUCT
        return text, MINUS if value < 0 else ATOM

    def _read(self, read: e.Read) -> str:
        name = read.name
        match read.time:
            case Time.NONE:
                return name
            case Time.S | Time.PREVIOUS:
                return f"{name}[{read.time}]"
            case Time.T:
                timed = name in self.context.states
                timed |= self.context.explicit and "t" in read.sort.times
                return f"{name}[t]" if timed else name
            case _:
                assert_never(read.time)

    def _list(self, parts: tuple[e.Expr, ...]) -> str:
        return ", ".join(self.at(part, PIPE) for part in parts)

    def _apply(self, primitive: str, operands: tuple[e.Expr, ...]) -> tuple[str, int]:
        if primitive == "neg":
            return f"-{self.at(operands[0], MINUS)}", MINUS
        if primitive == "not":
            return f"not {self.at(operands[0], NOT)}", NOT
        if primitive == "pow":
            return self._power(*operands), POWER
        if primitive not in _INFIX:
            return f"{primitive}({self._list(operands)})", ATOM
        symbol, level = _INFIX[primitive]
        left, right = operands
        tight = POWER if level == PRODUCT else level + 1
        first = self.at(left, COMPARE + 1 if level == COMPARE else level)
        return f"{first} {symbol} {self.at(right, tight)}", level

    def _power(self, base: e.Expr, exponent: e.Expr) -> str:
        """`-` may stand in an exponent, and powers nest to the right."""
        text, level = self.text(exponent)
        negative = level == MINUS and not text[1:].startswith("-")
        shown = text if level >= POWER or (negative and _simple(exponent)) else f"({text})"
        return f"{self.at(base, ATOM)}^{shown}"

    def _step(self, expr: e.Expr) -> tuple[str, int]:
        match expr:
            case e.Linear(source=source):
                step = _call("linear", [self._optional("", expr.features), *self._linear(expr)])
            case e.Conv(source=source, width=width, bias=bias):
                step = _call("conv", [self.at(width, PIPE), self._optional("bias", bias)])
            case e.Norm(source=source):
                step = _call(expr.norm, self._norm(expr))
            case e.Rope(source=source, base=base, interleaved=interleaved):
                plain = isinstance(base, e.Number) and base.value == _BASE
                options = ["" if plain else f"base = {self.at(base, PIPE)}"]
                step = _call("rope", [*options, "interleaved = 1" if interleaved else ""])
            case e.Glu(gate=step, source=source):
                pass
            case e.UseBlock(source=source, block=step):
                pass
            case e.UseMixer(source=source):
                step = self._mixer(expr)
            case e.Repeat(source=source, count=count, steps=steps):
                names = [self._placeholder(use) for use in steps]
                step = _call("repeat", [self.at(count, PIPE), *names])
            case _:
                raise AssertionError(type(expr).__name__)
        return f"{self.at(source, PIPE)} | {step}", PIPE

    def _linear(self, step: e.Linear) -> list[str]:
        named = (("bias", step.bias), ("init", step.init), ("blocks", step.blocks))
        return [self._optional(name, value) for name, value in named]

    def _norm(self, step: e.Norm) -> list[str]:
        usual = _EPS.get(step.norm, _L2_EPS)
        return [
            "" if step.eps == usual else f"eps = {show_number(step.eps)}",
            "" if step.affine or step.norm == "l2norm" else "affine = 0",
            self._optional("groups", step.groups),
        ]

    def _optional(self, name: str, value: e.Expr | None) -> str:
        if value is None:
            return ""
        text = self.at(value, PIPE)
        return f"{name} = {text}" if name else text

    def _mixer(self, use: e.UseMixer) -> str:
        return _call(use.mixer, [f"{name} = {self.at(v, PIPE)}" for name, v in use.sizes])

    def _placeholder(self, use: e.Expr) -> str:
        match use:
            case e.UseBlock(block=block):
                return block
            case e.UseMixer():
                return self._mixer(use)
            case _:
                raise AssertionError(type(use).__name__)


def _simple(exponent: e.Expr) -> bool:
    """Whether a negative exponent is a number or a name, so that its extent cannot be misread."""
    match exponent:
        case e.Number() | e.Apply(primitive="neg", operands=(e.Number() | e.Size() | e.Read(),)):
            return True
        case _:
            return False


def _call(name: str, arguments: list[str]) -> str:
    given = [argument for argument in arguments if argument]
    return f"{name}({', '.join(given)})" if given else name
