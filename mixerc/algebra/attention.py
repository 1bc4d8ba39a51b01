"""Masked attention, as data: sums over s whose weight does not split, or whose mask is no prefix.

    o[t] = sum over s where mask(t, s) of  weight(t, s) · decays · value[s],  / normalize

A weight that is the exponential of a score is held by that score, so that a running maximum can be
taken out of it. Several sums are joined by the spec's own lines.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mixerc.algebra.logarithm import logarithm
from mixerc.algebra.masks.conditions import Condition, Index
from mixerc.algebra.masks.extents import AllTokens, Extent, NoCache, Ring, extent
from mixerc.algebra.masks.of_mixer import USUAL_SIZES, Mask, masks_of, usual_sizes
from mixerc.algebra.masks.translate import MaskError
from mixerc.algebra.rows_read import rows_read
from mixerc.algebra.terms import ATTENTION, LANDMARK, NotLinear, apply
from mixerc.ir.expr import Apply, Expr, Number, Position, Read, Size, TimeSum
from mixerc.ir.mixer import Branch, Input, Mixer, Param, Update, Value
from mixerc.ir.ranges import environment, range_of
from mixerc.ir.show import show_expr
from mixerc.ir.sorts import Kind, Time
from mixerc.ir.walk import core_expressions, walk


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedSum:
    """One sum. `mask` and `condition` say the same: with it, rows that nothing reads see no key.
    `tables` says over which times, in blocks of how many tokens, each table of the mask is, and
    `rows` at which tokens the output reads the sum, if not at all.

    `score` is the logarithm of the weight where that is `exponential`, else the weight. `shifted`
    is `normalize` over the sum of weights e^-m · w for any m, divided by e^m: it reads `sum` and
    `unit`, which is e^-m. It is absent where no such form exists, and then no maximum is taken out.
    """

    name: str
    mask: Expr
    condition: Condition
    tables: tuple[tuple[str, Index], ...]
    rows: Expr | None
    score: Expr
    exponential: bool
    value: Expr
    decay: Expr | None
    normalize: Expr | None
    shifted: Expr | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Sums over s, the lines that join them, what a cache must hold, the sizes in the masks."""

    sums: tuple[MaskedSum, ...]
    lines: tuple[Value, ...]
    output: Expr
    extent: Extent
    sizes: tuple[tuple[str, float], ...]

    @property
    def joined(self) -> bool:
        """Whether the output is more than one sum."""
        return not (isinstance(self.output, Read) and self.output.name == self.sums[0].name)

    @property
    def decays(self) -> tuple[str, ...]:
        """Decays that are inputs of the core by themselves."""
        found = (each.decay for each in self.sums)
        return tuple(dict.fromkeys(decay.name for decay in found if isinstance(decay, Read)))


UNIT = "unit"
"""What `MaskedSum.shifted` calls e^-m."""


def attention(mixer: Mixer) -> Attention:
    """The sums of a mixer whose constants are written out; raises NotLinear with the reason."""
    if any(isinstance(e, TimeSum) for e in core_expressions_of(mixer)):
        line = mixer.core.output
        raise NotLinear("it sums over every token of the sequence", line.span, LANDMARK)
    _refuse(mixer)
    needed = rows_read(mixer.core)
    sizes = _mask_sizes(mixer)
    sums = tuple(_sum(mixer, branch, needed[branch.name]) for branch in mixer.core.branches)
    lines = tuple(line for line in mixer.core.lines if not isinstance(line, Update))
    return Attention(
        sums=sums,
        lines=lines,
        output=mixer.core.output.expr,
        extent=_joined([_extent(each) for each in sums]),
        sizes=tuple(sizes.items()),
    )


def core_expressions_of(mixer: Mixer) -> Iterator[Expr]:
    """Every node of the core."""
    return (node for root in core_expressions(mixer.core) for node in walk(root))


def _sum(mixer: Mixer, branch: Branch, rows: Expr | None) -> MaskedSum:
    """One branch; `rows` is the condition under which its output is read at all."""
    seen = branch.mask if rows is None else apply("and", branch.mask, rows)
    mask = _condition(mixer, replace(branch, mask=seen))
    score = logarithm(branch.weight)
    return MaskedSum(
        name=branch.name,
        mask=seen,
        condition=mask.condition,
        tables=tuple(mask.tables.items()),
        rows=rows,
        score=branch.weight if score is None else score,
        exponential=score is not None,
        value=branch.value,
        decay=branch.decay,
        normalize=branch.normalize,
        shifted=None if branch.normalize is None else _shifted(branch.normalize),
    )


def _condition(mixer: Mixer, branch: Branch) -> Mask:
    core = replace(mixer.core, branches=(branch,))
    try:
        masks = masks_of(replace(mixer, core=core), usual_sizes(mixer))
    except MaskError as error:
        raise NotLinear(f"of its mask nothing is known: {error}", branch.span, ATTENTION) from None
    if len(masks) > 1:
        reason = f"the mask `{show_expr(branch.mask)}` differs from head to head"
        raise NotLinear(reason, branch.mask.span, ATTENTION)
    return masks[0]


def _mask_sizes(mixer: Mixer) -> dict[str, float]:
    """The header sizes that masks and their tables read: a file is made for their numbers."""
    names: dict[str, Expr] = {}
    for branch in mixer.core.branches:
        for root in (branch.mask, *_blocks(mixer, branch.mask)):
            names |= {node.name: node for node in walk(root) if isinstance(node, Size)}
    own = {size.name for size in mixer.sizes}
    for name in (names.keys() & USUAL_SIZES.keys()) - own:
        raise NotLinear(f"its mask reads {name}", names[name].span, ATTENTION)
    found = {}
    for size in mixer.sizes:
        if size.name in names:
            if not isinstance(size.default, Number):
                reason = f"its mask reads {size.name}, which has to be given as a number"
                raise NotLinear(reason, names[size.name].span, ATTENTION)
            found[size.name] = float(size.default.value)
    return found


def _blocks(mixer: Mixer, mask: Expr) -> Iterator[Expr]:
    """Over blocks of how many tokens the tables of a mask are declared."""
    read = {node.name for node in walk(mask) if isinstance(node, Read)}
    for line in mixer.lines:
        if isinstance(line, Input | Param) and line.name in read:
            yield from (block for _, block in line.index if block is not None)


def _refuse(mixer: Mixer) -> None:
    """What the tile sweep does not speak of."""
    tables = {
        line.name: line for line in mixer.lines if isinstance(line, Input | Param) and line.index
    }
    for node in core_expressions_of(mixer):
        match node:
            case Read(name=name) if name in tables:
                reason = f"the core reads the table `{name}` outside a mask"
                raise NotLinear(reason, node.span, ATTENTION)
            case Read(name=name, time=Time.PREVIOUS):
                raise NotLinear(f"the core reads `{name}[t-1]`", node.span, ATTENTION)
            case _ if node.sort.kind is Kind.COMPLEX:
                raise NotLinear("the core has complex values", node.span, ATTENTION)
    for line in (*mixer.core.lines, mixer.core.output):
        for node in walk(line.expr):
            if isinstance(node, Position):
                reason = "a line behind the sums reads the position of a token"
                raise NotLinear(reason, node.span, ATTENTION)
    env = environment([size.name for size in mixer.sizes], mixer.lines)
    for branch in mixer.core.branches:
        if branch.states:
            reason = "under this mask a cache is kept, and no state: write `state cache`"
            raise NotLinear(reason, branch.states[0].span, ATTENTION)
        if branch.decay is not None and branch.decay.sort.axes:
            axes = ", ".join(branch.decay.sort.axes)
            reason = (
                f"the decay of {branch.name} lies along {axes}, so no score of two tokens has it"
            )
            raise NotLinear(reason, branch.decay.span, ATTENTION)
        if branch.decay is not None and range_of(branch.decay, env).low < 0:
            reason = f"the decay of {branch.name} may be negative, and has no logarithm then"
            raise NotLinear(reason, branch.decay.span, ATTENTION)
        if len(branch.value.sort.axes) > 1:
            reason = f"the value of {branch.name} has more than one axis"
            raise NotLinear(reason, branch.value.span, ATTENTION)


def _shifted(normalize: Expr) -> Expr | None:
    """f(e^m · sum) / e^m over `sum` and e^-m, for a normaliser f; None where f has no such form."""
    if not any(isinstance(node, Read) and node.name == "sum" for node in walk(normalize)):
        return apply("mul", normalize, Read(name=UNIT, time=Time.T, sort=normalize.sort))
    match normalize:
        case Read(name="sum"):
            return normalize
        case Apply(primitive="add" | "sub" | "max" | "min" | "abs" | "neg"):
            parts = tuple(_shifted(operand) for operand in normalize.operands)
            known = tuple(part for part in parts if part is not None)
            return replace(normalize, operands=known) if len(known) == len(parts) else None
        case Apply(primitive="mul", operands=(left, right)) if isinstance(left, Number | Size):
            inner = _shifted(right)
            return None if inner is None else replace(normalize, operands=(left, inner))
        case Apply(primitive="mul" | "div", operands=(left, right)) if isinstance(
            right, Number | Size
        ):
            inner = _shifted(left)
            return None if inner is None else replace(normalize, operands=(inner, right))
        case _:
            return None


def _extent(each: MaskedSum) -> Extent:
    """What a cache holds for one sum: a decay is a product over all tokens in between."""
    found = extent(each.condition)
    match found:
        case Ring(pinned=pinned) if pinned and each.decay is not None:
            return AllTokens(reason="The decay of the first tokens runs over all later ones.")
        case _:
            return found


def _joined(extents: list[Extent]) -> Extent:
    """What serves all sums."""
    for found in extents:
        if isinstance(found, NoCache):
            return found
    for found in extents:
        if isinstance(found, AllTokens):
            return found
    rings = [found for found in extents if isinstance(found, Ring)]
    same = {found.documents for found in rings}
    return Ring(
        window=max(ring.window for ring in rings),
        pinned=max(ring.pinned for ring in rings),
        documents=same.pop() if len(same) == 1 else (),
    )
