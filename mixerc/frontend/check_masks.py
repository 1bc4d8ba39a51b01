"""Masks that leave a query without keys, or a decay without an order, however long that takes.

`check_sums` looks at every pair of short sequences; the algebra of masks finds what only longer
ones show. A query without keys is a mistake where its sum is divided by itself, else a note.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from mixerc.algebra.masks.of_mixer import Mask, masks_of, usual_sizes
from mixerc.algebra.masks.translate import MaskError
from mixerc.algebra.masks.verdicts import Example, causality, rows
from mixerc.diagnostics.diagnostic import Diagnostic
from mixerc.diagnostics.span import Span
from mixerc.frontend.errors_core import decay_without_order, empty_mask_row
from mixerc.ir.expr import Size
from mixerc.ir.interval import point
from mixerc.ir.mixer import Branch, Mixer
from mixerc.ir.ranges import environment, range_of
from mixerc.ir.walk import walk


def mask_mistakes(mixer: Mixer) -> tuple[Diagnostic, ...]:
    """Rows that are divided by nothing, and decays whose mask lets a token see a later one."""
    env = environment([size.name for size in mixer.sizes], mixer.lines)
    found = []
    for branch, mask in _masks(mixer):
        if branch.decay is not None:
            example = causality(mask.condition).example
            if example is not None:
                pair = _pair(mixer, branch, mask, example)
                found.append(decay_without_order(branch.decay.span, _span(branch), pair))
        if branch.normalize is not None:
            nothing = range_of(branch.normalize, {**env, "sum": point(0)}).point
            if nothing == 0:
                found += _empty(mixer, branch, mask)
    return tuple(found)


def mask_notes(mixer: Mixer) -> tuple[Diagnostic, ...]:
    """A note for each sum that is empty for some query, and divided by nothing."""
    found = []
    for branch, mask in _masks(mixer):
        for each in _empty(mixer, branch, mask):
            notes = ("its sum is 0",)
            helps = ("let each token see itself, if this is not meant",)
            found.append(replace(each, severity="note", notes=notes, helps=helps))
    return tuple(found)


def _masks(mixer: Mixer) -> Iterator[tuple[Branch, Mask]]:
    """The masks at the usual sizes; of heads that differ the first ones."""
    branches = {branch.name: branch for branch in mixer.core.branches}
    try:
        masks = masks_of(mixer, usual_sizes(mixer))
    except MaskError:
        return
    yield from ((branches[mask.branch], mask) for mask in masks)


def _empty(mixer: Mixer, branch: Branch, mask: Mask) -> list[Diagnostic]:
    example = rows(mask.condition).example
    if example is None:
        return []
    of = f" of {example.length}" if _reads(branch, "T") else ""
    row = f"t = {example.t}{of}{_where(mixer, branch, mask)}"
    return [empty_mask_row(_span(branch), row)]


def _pair(mixer: Mixer, branch: Branch, mask: Mask, example: Example) -> str:
    sees = "sees" if example.certain else "may see"
    return f"t = {example.t} {sees} s = {example.s}{_where(mixer, branch, mask)}"


def _span(branch: Branch) -> Span:
    return branch.mask.span if branch.mask.span.line else branch.span


def _reads(branch: Branch, size: str) -> bool:
    return any(isinstance(node, Size) and node.name == size for node in walk(branch.mask))


def _where(mixer: Mixer, branch: Branch, mask: Mask) -> str:
    """The sizes that the mask reads, as `, where W = 0`."""
    sizes: dict[str, Fraction] = usual_sizes(mixer)
    if mask.head is not None:
        sizes["head"] = Fraction(mask.head)
    read = dict.fromkeys(node.name for node in walk(branch.mask) if isinstance(node, Size))
    shown = [f"{name} = {sizes[name]}" for name in read if name in sizes]
    return f", where {', '.join(shown)}" if shown else ""
