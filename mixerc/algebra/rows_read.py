"""At which tokens the output reads a sum: `where(c, far, near)` reads `far` where c holds."""

from collections.abc import Iterator

from mixerc.algebra.terms import apply
from mixerc.ir.expr import Apply, Expr, Read
from mixerc.ir.mixer import Core
from mixerc.ir.sorts import Time
from mixerc.ir.walk import children

Conditions = tuple[Expr, ...]


def rows_read(core: Core) -> dict[str, Expr | None]:
    """For each branch a condition on t outside of which nothing reads it; None: read everywhere.

    A sum that is not read need not be computed, whatever its mask lets it see.
    """
    found: dict[str, list[Conditions]] = {branch.name: [] for branch in core.branches}
    for root in (*(line.expr for line in core.lines), core.output.expr):
        for name, conditions in _reads(root, ()):
            if name in found:
                found[name].append(conditions)
    return {name: _any(paths) for name, paths in found.items()}


def _reads(expr: Expr, under: Conditions) -> Iterator[tuple[str, Conditions]]:
    """Each read with the conditions that stand around it."""
    match expr:
        case Read(name=name):
            yield name, under
        case Apply(primitive="where", operands=(test, yes, no)) if _of_rows(test):
            yield from _reads(test, under)
            yield from _reads(yes, (*under, test))
            yield from _reads(no, (*under, apply("not", test)))
        case _:
            for child in children(expr):
                yield from _reads(child, under)


def _of_rows(test: Expr) -> bool:
    """Whether a condition is a stream of conditions, or made of such."""
    match test:
        case Read(time=Time.T, sort=sort):
            return not sort.axes and sort.heads.shared
        case Apply(primitive="and" | "or" | "not", operands=operands):
            return all(_of_rows(operand) for operand in operands)
        case _:
            return False


def _any(paths: list[Conditions]) -> Expr | None:
    """That one of the paths is taken; a sum that is read without condition is read everywhere."""
    if not paths or () in paths:
        return None
    total: Expr | None = None
    for path in paths:
        every = path[0]
        for test in path[1:]:
            every = apply("and", every, test)
        total = every if total is None else apply("or", total, every)
    return total
