"""Strategies for syntax trees that some text gives, and for texts that are nearly a spec."""

from fractions import Fraction
from pathlib import Path

from hypothesis import strategies as st

from mixerc.diagnostics.span import NOWHERE
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
    Unary,
)

SPECS = sorted((Path(__file__).parents[3] / "specs").glob("*.mix"))
LEVELS = {"|": 0, "or": 1, "and": 2, "not": 3, "<": 4, "+": 5, "*": 6, "-x": 7, "@": 8, "^": 9}
SAME = {"-": "+", "/": "*", "//": "*", "%": "*"}
ATOM = 10
KINDS = ("atom", "binary", "power", "sign", "not", "compare", "read", "call", "pipe", "paren")


def level(expr: Expr) -> int:
    """How tightly the outermost operator binds."""
    match expr:
        case Binary(operator=operator):
            return LEVELS[SAME.get(operator, operator)]
        case Unary(operator=operator):
            return LEVELS["-x" if operator == "-" else "not"]
        case Compare():
            return LEVELS["<"]
        case Pipe():
            return LEVELS["|"]
        case _:
            return ATOM


def fit(expr: Expr, least: int) -> Expr:
    """The expression, in brackets where it binds too loosely."""
    return expr if level(expr) >= least else Paren(inner=expr)


def binary(operator: str, left: Expr, right: Expr) -> Binary:
    """A left-associative operation; no contraction stands at the right of a product."""
    own = LEVELS[SAME.get(operator, operator)]
    after = LEVELS["^"] if own == LEVELS["*"] else own + 1
    before = LEVELS["^"] if operator == "@" else own
    return Binary(operator=operator, left=fit(left, before), right=fit(right, after))


def power(left: Expr, right: Expr, minus: bool) -> Binary:
    """A power, whose exponent may have a sign."""
    exponent = fit(right, LEVELS["^"])
    if minus:
        exponent = Unary(operator="-", operand=exponent)
    return Binary(operator="^", left=fit(left, ATOM), right=exponent)


def unary(operator: str, operand: Expr) -> Unary:
    """A sign or a negation."""
    least = LEVELS["-x" if operator == "-" else "not"]
    return Unary(operator=operator, operand=fit(operand, least))


def compare(operands: list[Expr], operators: list[str]) -> Compare:
    """A chain of comparisons."""
    return Compare(
        operands=tuple(fit(operand, LEVELS["+"]) for operand in operands),
        operators=tuple(operators[: len(operands) - 1]),
    )


def number(text: str) -> Number:
    """A literal."""
    return Number(value=Fraction(text), text=text)


names = st.sampled_from(["x", "q", "A_log", "o", "sum", "K", "x0", "tt", "maskx", "in_", "_"])
numbers = st.sampled_from(["0", "1", "16", "0.001", "1e-5", "4096"]).map(number)
times = st.sampled_from(["t", "s"])
signs = st.sampled_from(["+", "-", "*", "/", "//", "%", "@", "and", "or"])
comparators = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
atoms = numbers | st.builds(Name, id=names | times)


@st.composite
def calls(draw: st.DrawFn, depth: int, step: bool = False) -> Call:
    """A call; a step has no bracket for an axis."""
    inner = expressions(depth)
    arguments = tuple(draw(st.lists(inner, max_size=2)))
    keywords = tuple(draw(st.lists(st.builds(Keyword, name=names, value=inner), max_size=2)))
    axis = "" if step else draw(st.sampled_from(["", "K", "N'", "s"]))
    name = draw(names if step or axis else names | st.just("complex"))
    return Call(id=name, axis=axis, arguments=arguments, keywords=keywords)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 4) -> Expr:
    """An expression of at most a depth."""
    if depth == 0:
        return draw(atoms)
    inner = expressions(depth - 1)
    match draw(st.sampled_from(KINDS)):
        case "binary":
            return binary(draw(signs), draw(inner), draw(inner))
        case "power":
            return power(draw(inner), draw(inner), draw(st.booleans()))
        case "sign":
            return unary("-", draw(inner))
        case "not":
            return unary("not", draw(inner))
        case "compare":
            operators = draw(st.lists(comparators, min_size=1, max_size=2))
            return compare([draw(inner) for _ in range(len(operators) + 1)], operators)
        case "read":
            return Indexed(id=draw(names), index=draw(inner))
        case "call":
            return draw(calls(depth - 1))
        case "pipe":
            step = st.builds(Name, id=names) | calls(depth - 1, step=True)
            return Pipe(source=draw(inner), step=draw(step))
        case "paren":
            expr = draw(inner)
            return expr if isinstance(expr, Paren) else Paren(inner=expr)
        case _:
            return draw(atoms)


small = expressions(1)
axes = st.builds(AxisRef, name=st.sampled_from(["K", "V", "N'"]), block=st.none())
tables = st.builds(
    AxisRef, name=times, block=st.none() | small.map(lambda expr: fit(expr, LEVELS["^"]))
)
declared = st.builds(Declared, name=names, axes=st.lists(axes, max_size=2).map(tuple))
lefts = st.lists(declared, min_size=1, max_size=2).map(tuple)
table_lefts = st.lists(
    st.builds(Declared, name=names, axes=st.lists(axes | tables, max_size=2).map(tuple)),
    min_size=1,
    max_size=2,
).map(tuple)
groups = st.none() | small
times_of_states = st.builds(Name, id=times) | st.builds(
    Binary,
    operator=st.sampled_from(["+", "-"]),
    left=st.builds(Name, id=times),
    right=small.map(lambda expr: fit(expr, LEVELS["*"])),
)
bounds = st.builds(Bounds, low=small, high=small, low_open=st.booleans(), high_open=st.booleans())
clauses = st.one_of(
    st.builds(
        Clause,
        keyword=st.sampled_from(["mask", "weight", "value", "decay", "normalize"]),
        expr=expressions(),
    ),
    st.builds(
        Feature,
        name=names,
        parameters=st.lists(names, min_size=1, max_size=2).map(tuple),
        axes=st.none() | st.lists(axes, min_size=1, max_size=2).map(tuple),
        expr=expressions(),
    ),
    st.builds(StateLine, declared=st.just(()), kind=st.just(""), cache=st.just(True)),
    st.builds(
        StateLine, declared=lefts, kind=st.sampled_from(["", "complex"]), cache=st.just(False)
    ),
)
statements = st.one_of(
    clauses,
    st.builds(
        InputLine,
        declared=table_lefts,
        grouped=groups,
        kind=st.sampled_from(["", "bool", "int", "complex"]),
        bounds=st.none() | bounds,
    ),
    st.builds(ParamLine, declared=lefts, grouped=groups, learned=st.booleans(), init=expressions()),
    st.builds(Define, declared=lefts, grouped=groups, expr=expressions()),
    st.builds(Recurrence, name=names, index=times_of_states, expr=expressions()),
    st.builds(BranchLine, name=names, clauses=st.lists(clauses, min_size=1, max_size=3).map(tuple)),
    st.builds(BlockLine, name=names, shared=st.booleans(), expr=expressions()),
)
headers = st.builds(
    Header,
    stack=st.booleans(),
    name=names,
    sizes=st.lists(st.tuples(names, st.none() | small, st.just(NOWHERE)), max_size=2).map(tuple),
    citation=st.lists(st.sampled_from(["Yang et al. 2023", "#1, café"]), max_size=2).map(tuple),
)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """A spec that some text gives; whether it means anything is not asked."""
    return Spec(header=draw(headers), statements=tuple(draw(st.lists(statements, max_size=6))))


@st.composite
def nearly_specs(draw: st.DrawFn) -> str:
    """A shipped spec with a few pieces of it left out, doubled, swapped or replaced."""
    text = draw(st.sampled_from(SPECS)).read_text(encoding="utf-8")
    for _ in range(draw(st.integers(1, 4))):
        places = st.integers(0, len(text))
        one, two, three = sorted((draw(places), draw(places), draw(places)))
        inserted = draw(
            st.sampled_from(["", "(", "]", "|", "=", "\n", "\n  ", "t", "mask", "1e999", '"', "#"])
            | st.text(max_size=3)
        )
        near = min(two, one + draw(st.integers(0, 12)))
        text = draw(
            st.sampled_from(
                [
                    text[:one] + inserted + text[near:],
                    text[:one] + text[two:three] + text[one:two] + text[three:],
                    text[:near] + text[one:near] + text[near:],
                ]
            )
        )
    return text
