"""Pieces of the syntax tree as text, spaced as the language's own examples are."""

from typing import assert_never

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
    StateLine,
    Statement,
    Unary,
)


def expression(expr: Expr) -> str:
    """An expression; it has several lines where it was written in several."""
    match expr:
        case Number(text=text) | Name(id=text):
            return text
        case Indexed(id=name, index=index):
            return f"{name}[{time(index)}]"
        case Call():
            return _call(expr)
        case Unary(operator=operator, operand=operand):
            return f"{operator}{' ' * operator.isalpha()}{expression(operand)}"
        case Binary():
            return _binary(expr)
        case Compare(operands=operands, operators=operators):
            return _chain(operands, operators)
        case Pipe(source=source, step=step):
            return _chain((source, step), ("|",))
        case Paren(inner=inner):
            return _bracketed(inner)
        case _:
            assert_never(expr)


def _bracketed(inner: Expr) -> str:
    """One pair of brackets, however many are written."""
    text = expression(inner)
    return text if isinstance(inner, Paren) else f"({text})"


def _call(call: Call) -> str:
    axis = f"[{call.axis}]" if call.axis else ""
    positional = [expression(argument) for argument in call.arguments]
    named = [keyword(each) for each in call.keywords]
    # A fold names its start and only then says what comes next.
    arguments = named + positional if call.id == "fold" else positional + named
    return f"{call.id}{axis}({', '.join(arguments)})"


def keyword(argument: Keyword) -> str:
    """`bias = 0`."""
    return f"{argument.name} = {expression(argument.value)}"


def _binary(expr: Binary) -> str:
    match expr:
        case Binary(operator="/", left=Number(), right=Number()):
            tight = True  # 1/16 is read as one number
        case Binary(operator="^", left=Number() | Name()):
            tight = True
        case Binary(operator="^", right=Number() | Name()):
            tight = True
        case _:
            tight = False
    if tight:
        return f"{expression(expr.left)}{expr.operator}{expression(expr.right)}"
    return _chain((expr.left, expr.right), (expr.operator,))


def _chain(operands: tuple[Expr, ...], operators: tuple[str, ...]) -> str:
    """Operands with operators between them; a line break before an operator stays."""
    text = expression(operands[0])
    for before, operator, operand in zip(operands, operators, operands[1:], strict=False):
        gap = "\n  " if before.span.end_line < operand.span.line else " "
        text += f"{gap}{operator} {expression(operand)}"
    return text


def time(index: Expr) -> str:
    """What stands in the brackets of a read: `t-1` is one word."""
    match index:
        case Binary(
            operator="+" | "-" as operator, left=Name() as left, right=Name() | Number() as right
        ):
            return f"{expression(left)}{operator}{expression(right)}"
        case _:
            return expression(index)


def axes(items: tuple[AxisRef, ...]) -> str:
    """`[K, V]`, `[t // B]`; nothing for a scalar."""
    return f"[{', '.join(_axis(item) for item in items)}]" if items else ""


def _axis(axis: AxisRef) -> str:
    return axis.name if axis.block is None else f"{axis.name} // {expression(axis.block)}"


def declarations(items: tuple[Declared, ...], grouped: Expr | None = None) -> str:
    """`grouped(G) q[K], k[K]`."""
    names = ", ".join(f"{item.name}{axes(item.axes)}" for item in items)
    return names if grouped is None else f"grouped({expression(grouped)}) {names}"


def bounds(written: Bounds) -> str:
    """`(0, 1]`."""
    left = "(" if written.low_open else "["
    right = ")" if written.high_open else "]"
    return f"{left}{expression(written.low)}, {expression(written.high)}{right}"


def header(written: Header) -> str:
    """`mixer gla(K = 64, V)`."""
    sizes = [
        name if default is None else f"{name} = {expression(default)}"
        for name, default, _ in written.sizes
    ]
    kind = "stack" if written.stack else "mixer"
    return f"{kind} {written.name}({', '.join(sizes)})" if sizes else f"{kind} {written.name}"


def parts(statement: Statement) -> tuple[str, str, str]:
    """A statement as a clause's keyword, what stands left of its `=`, and what stands right of it.

    A clause has no middle part; a statement that is no clause has no keyword. The keyword of a
    declaration belongs to its left side, since it is the `=` that is aligned there.
    """
    match statement:
        case InputLine():
            return "", "", _input(statement)
        case ParamLine(declared=declared, grouped=grouped, learned=learned, init=init):
            word = "param" if learned else "buffer"
            names = f"{word} {declarations(declared)}"
            prefix = f"grouped({expression(grouped)}) " if grouped is not None else ""
            return "", prefix + names, expression(init)
        case Define(declared=declared, grouped=grouped, expr=expr):
            return "", declarations(declared, grouped), expression(expr)
        case Recurrence(name=name, index=index, expr=expr):
            return "", f"{name}[{time(index)}]", expression(expr)
        case BlockLine(name=name, shared=shared, expr=expr):
            return "", f"{'shared ' if shared else ''}block {name}", expression(expr)
        case Clause(keyword=word, expr=expr):
            return word, "", expression(expr)
        case Feature(name=name, parameters=names, axes=marked, expr=expr):
            left = f"{name}({', '.join(names)}){axes(marked or ())}"
            return "feature", "", f"{left} = {expression(expr)}"
        case StateLine():
            return "state", "", _state(statement)
        case BranchLine(name=name):
            return "", "", f"branch {name}"
        case _:
            assert_never(statement)


def _input(line: InputLine) -> str:
    prefix = f"grouped({expression(line.grouped)}) " if line.grouped is not None else ""
    words = [
        f"{prefix}input {declarations(line.declared)}",
        line.kind,
        "" if line.bounds is None else f"in {bounds(line.bounds)}",
    ]
    return " ".join(word for word in words if word)


def _state(line: StateLine) -> str:
    return "cache" if line.cache else f"{declarations(line.declared)} {line.kind}".rstrip()
