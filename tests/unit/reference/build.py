"""Checked mixers built by hand: short constructors of the nodes that the tests need."""

from fractions import Fraction

from mixerc.ir.expr import Apply, Contract, Expr, Linear, Number, Position, Read, Size
from mixerc.ir.mixer import Branch, Core, Input, Mixer, State, Update, Value
from mixerc.ir.sorts import EACH, SHARED, Heads, Kind, Sort, Time

STREAM = frozenset({"t"})


def num(value: int | Fraction) -> Number:
    return Number(value=Fraction(value))


def size(name: str) -> Size:
    return Size(name=name)


def read(name: str, *axes: str, at: Time = Time.T) -> Read:
    return Read(name=name, time=at, sort=Sort(axes=axes, heads=EACH, times=STREAM))


def at_s(name: str, *axes: str) -> Read:
    return read(name, *axes, at=Time.S)


def before(name: str, *axes: str) -> Read:
    return read(name, *axes, at=Time.PREVIOUS)


def call(primitive: str, *operands: Expr) -> Apply:
    axes = dict.fromkeys(axis for operand in operands for axis in operand.sort.axes)
    return Apply(primitive=primitive, operands=operands, sort=Sort(axes=tuple(axes), heads=EACH))


def dot(left: Expr, right: Expr, axis: str, other: str | None = None) -> Contract:
    return Contract(left=left, right=right, left_axis=axis, right_axis=other or axis)


def position(time: Time) -> Position:
    return Position(time=time)


CAUSAL = call("le", position(Time.S), position(Time.T))


def stream(name: str, *axes: str, heads: Heads = EACH, kind: Kind = Kind.REAL) -> Input:
    sort = Sort(axes=axes, heads=heads, kind=kind, times=STREAM)
    return Input(name=name, sort=sort, range=None, index=())


def value(name: str, expr: Expr, *axes: str, heads: Heads = EACH) -> Value:
    return Value(name=name, sort=Sort(axes=axes, heads=heads, times=STREAM), expr=expr)


def sum_mixer(
    *lines: Input,
    weight: Expr,
    summed: Expr,
    axes: tuple[str, ...] = ("V",),
    mask: Expr = CAUSAL,
    decay: Expr | None = None,
    normalize: Expr | None = None,
) -> Mixer:
    """One sum whose inputs are streams given from outside."""
    branch = Branch(
        name="o",
        sort=Sort(axes=axes, heads=EACH, times=STREAM),
        mask=mask,
        weight=weight,
        value=summed,
        decay=decay,
        normalize=normalize,
        states=(),
    )
    core = Core(
        branches=(branch,),
        states=(),
        lines=(),
        output=value("o", read("o", *axes), *axes),
        inputs=tuple(line.name for line in lines),
    )
    return Mixer(name="by_hand", citation=(), sizes=(), lines=lines, core=core, y=None)


def recurrence(
    *lines: Input, state: State, update: Expr, output: Expr, axes: tuple[str, ...]
) -> Mixer:
    """One state, one update, an output."""
    core = Core(
        branches=(),
        states=(state,),
        lines=(Update(state=state.name, expr=update),),
        output=value("o", output, *axes),
        inputs=tuple(line.name for line in lines),
    )
    return Mixer(name="by_hand", citation=(), sizes=(), lines=lines, core=core, y=None)


def state(name: str, *axes: str, kind: Kind = Kind.REAL) -> State:
    return State(name=name, sort=Sort(axes=axes, heads=EACH, kind=kind, times=STREAM))


def linear(source: Expr, *axes: str, heads: Heads = EACH, bias: Expr | None = None) -> Linear:
    return Linear(
        source=source,
        features=None,
        bias=bias,
        init=None,
        blocks=None,
        sort=Sort(axes=axes, heads=heads, times=STREAM),
    )


X = Read(name="x", time=Time.T, sort=Sort(axes=("d_model",), heads=SHARED, times=STREAM))
