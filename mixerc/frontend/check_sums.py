"""What the sums of a core must obey whatever their inputs are.

A decay stays between -1 and 1, a decay needs a mask that implies s <= t, and a token whose sum is
divided by itself sees at least one key. Ranges prove it; a mistake is shown by an example.
"""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import product

from mixerc.frontend import errors_core, syntax
from mixerc.frontend.scope import Scope, poisoned
from mixerc.frontend.witness import exceeding
from mixerc.ir.expr import Expr, Size
from mixerc.ir.interval import SIGNED_UNIT, Interval, point, within
from mixerc.ir.mixer import Branch, LayerLine, SizeDef
from mixerc.ir.ranges import environment, range_of
from mixerc.ir.walk import walk

LONGEST = 8
USUAL_SIZES = {"d_model": 512, "heads": 4, "length": LONGEST, "layer": 0, "layers": 1}

Clauses = Mapping[str, syntax.Clause]


def check_sums(
    scope: Scope,
    spec: syntax.Spec,
    header: tuple[SizeDef, ...],
    lines: list[LayerLine],
    branches: tuple[Branch, ...],
) -> None:
    """Report decays without a bound or an order, and masks that leave a token without keys."""
    if not branches:
        return
    sizes = default_sizes(header)
    env = environment([size.name for size in header], lines)
    for branch in branches:
        clauses = _clauses(spec, branch)
        if branch.decay is not None:
            if not within(range_of(branch.decay, env), SIGNED_UNIT):
                _check_bound(scope, branch.decay, clauses, lines, sizes, env)
            _check_order(scope, branch, clauses, sizes)
        if branch.normalize is not None:
            _check_rows(scope, branch, branch.normalize, clauses, sizes, env)


def default_sizes(header: Iterable[SizeDef]) -> dict[str, Interval]:
    """The header sizes at their defaults; those without one are left out."""
    sizes = {name: point(value) for name, value in USUAL_SIZES.items()}
    for size in header:
        if size.default is None or poisoned(size.default):
            sizes.pop(size.name, None)
        else:
            sizes[size.name] = range_of(size.default, sizes)
    return sizes


def _clauses(spec: syntax.Spec, branch: Branch) -> Clauses:
    """The clauses that a sum was made of, by keyword."""
    named = [
        line.clauses
        for line in spec.statements
        if isinstance(line, syntax.BranchLine) and line.name == branch.name
    ]
    lines = named[0] if named else spec.statements
    return {line.keyword: line for line in lines if isinstance(line, syntax.Clause)}


def _check_bound(
    scope: Scope,
    decay: Expr,
    clauses: Clauses,
    lines: list[LayerLine],
    sizes: Mapping[str, Interval],
    env: Mapping[str, Interval],
) -> None:
    """What is neither proven nor refuted is left to the check of a call's values."""
    example = exceeding(decay, lines, sizes, env)
    if example is not None:
        scope.report(errors_core.decay_exceeds_one(clauses["decay"].expr.span, example))


def _check_order(
    scope: Scope, branch: Branch, clauses: Clauses, sizes: Mapping[str, Interval]
) -> None:
    for tokens, t in _rows():
        for s in range(t + 1, tokens):
            seen = range_of(branch.mask, _at(sizes, tokens, t, s))
            if seen.high > 0:
                sees = "sees" if seen.point == 1 else "may see"
                pair = f"t = {t} {sees} s = {s}{_where(branch.mask, sizes)}"
                decay, mask = clauses["decay"], clauses["mask"]
                scope.report(errors_core.decay_without_order(decay.expr.span, mask.expr.span, pair))
                return


def _check_rows(
    scope: Scope,
    branch: Branch,
    normalize: Expr,
    clauses: Clauses,
    sizes: Mapping[str, Interval],
    env: Mapping[str, Interval],
) -> None:
    """A normalizer that is not 0 where the sum is 0 may divide an empty row."""
    if range_of(normalize, {**env, "sum": point(0)}).point != 0:
        return
    mask = branch.mask
    for (tokens, t), head in product(_rows(), _heads(mask, sizes)):
        at_head = {**sizes, **head}
        keys = (range_of(mask, _at(at_head, tokens, t, s)) for s in range(tokens))
        if all(seen.point == 0 for seen in keys):
            row = f"t = {t} of {tokens}" if _reads(mask, "T") else f"t = {t}"
            row += _where(mask, at_head)
            scope.report(errors_core.empty_mask_row(clauses["mask"].expr.span, row))
            return


def _rows() -> Iterator[tuple[int, int]]:
    """Each token of short sequences, as (length, t)."""
    for tokens in range(1, LONGEST + 1):
        for t in range(tokens):
            yield tokens, t


def _at(sizes: Mapping[str, Interval], tokens: int, t: int, s: int) -> dict[str, Interval]:
    times = {"T": tokens, "t": t, "s": s}
    return {**sizes, **{name: point(value) for name, value in times.items()}}


def _heads(mask: Expr, sizes: Mapping[str, Interval]) -> list[dict[str, Interval]]:
    """Each head by itself, where the mask tells them apart."""
    count = sizes["heads"].point if "heads" in sizes else None
    if count is None or not _reads(mask, "head"):
        return [{}]
    return [{"head": point(head)} for head in range(min(int(count), LONGEST))]


def _reads(mask: Expr, size: str) -> bool:
    return any(isinstance(node, Size) and node.name == size for node in walk(mask))


def _where(mask: Expr, sizes: Mapping[str, Interval]) -> str:
    """The sizes that the mask reads, as `, where W = 0`."""
    read = dict.fromkeys(node.name for node in walk(mask) if isinstance(node, Size))
    values = {name: sizes[name].point for name in read if name in sizes}
    shown = [f"{name} = {value}" for name, value in values.items() if isinstance(value, Fraction)]
    return f", where {', '.join(shown)}" if shown else ""
