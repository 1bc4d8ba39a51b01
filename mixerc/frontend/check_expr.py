"""Expressions, bottom-up: each operand has its sort before the node that holds it."""

from typing import assert_never

from mixerc.frontend import syntax
from mixerc.frontend.arithmetic import OPERATORS, apply, contract
from mixerc.frontend.check_call import check_call
from mixerc.frontend.check_names import read_at, read_name
from mixerc.frontend.check_step import check_pipe
from mixerc.frontend.scope import Place, Scope
from mixerc.ir.expr import Expr, Number


def check_expr(scope: Scope, place: Place, node: syntax.Expr) -> Expr:
    """The checked expression; after a mistake, one that silences what follows from it."""
    match node:
        case syntax.Number():
            return Number(value=node.value, span=node.span)
        case syntax.Name():
            return read_name(scope, place, node)
        case syntax.Indexed():
            return read_at(scope, place, node)
        case syntax.Call():
            return check_call(scope, place, node, check_expr)
        case syntax.Unary():
            operand = check_expr(scope, place, node.operand)
            return apply(scope, "not" if node.operator == "not" else "neg", (operand,), node.span)
        case syntax.Binary():
            return _binary(scope, place, node)
        case syntax.Compare():
            return _compare(scope, place, node)
        case syntax.Pipe():
            return check_pipe(scope, place, node, check_expr)
        case syntax.Paren():
            return check_expr(scope, place, node.inner)
        case _:
            assert_never(node)


def _binary(scope: Scope, place: Place, node: syntax.Binary) -> Expr:
    left = check_expr(scope, place, node.left)
    right = check_expr(scope, place, node.right)
    if node.operator == "@":
        return contract(scope, left, right, node.span)
    return apply(scope, OPERATORS.get(node.operator, node.operator), (left, right), node.span)


def _compare(scope: Scope, place: Place, node: syntax.Compare) -> Expr:
    """`a < b <= c` is `a < b and b <= c`."""
    operands = [check_expr(scope, place, operand) for operand in node.operands]
    spans = [operand.span for operand in node.operands]
    checked = [
        apply(scope, OPERATORS[operator], tuple(operands[i : i + 2]), spans[i].to(spans[i + 1]))
        for i, operator in enumerate(node.operators)
    ]
    result = checked[0]
    for condition in checked[1:]:
        result = apply(scope, "and", (result, condition), node.span)
    return result
