"""Stand-in until the printer of checked specs is here."""

from mixerc.ir.expr import Expr


def show_expr(expr: Expr) -> str:
    """A short form of an expression."""
    return type(expr).__name__
