"""Masks that leave a query without keys, or let a token see a later one where an order is needed.

The checker looks at every pair of short sequences; here is what only longer ones show. A query
without keys is a mistake where its sum is divided by itself, else a note.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from mixerc.algebra.errors import future_token, product_of_times, row_without_keys
from mixerc.algebra.masks.boxes import Boxes, evaluate
from mixerc.algebra.masks.conditions import AtLeastZero, Condition, IsZero, literals, show
from mixerc.algebra.masks.flags import MAY_HOLD
from mixerc.algebra.masks.forms import Form, Product, Variable, single
from mixerc.algebra.masks.forms import times_of as times_of_form
from mixerc.algebra.masks.of_mixer import Mask, masks_of, usual_sizes
from mixerc.algebra.masks.relative import relative_form
from mixerc.algebra.masks.translate import MaskError
from mixerc.algebra.masks.values import NOTHING_KNOWN
from mixerc.algebra.masks.verdicts import causality, rows
from mixerc.diagnostics.diagnostic import Diagnostic
from mixerc.diagnostics.span import Span
from mixerc.ir.expr import Size
from mixerc.ir.interval import point
from mixerc.ir.mixer import Branch, Mixer
from mixerc.ir.ranges import environment, range_of
from mixerc.ir.walk import walk

FIRST = 64
"""Keys that an example counts among."""


def mask_mistakes(mixer: Mixer) -> tuple[Diagnostic, ...]:
    """Rows that are divided by nothing; states and decays whose mask lets in later tokens.

    Each sum gets one, at the header's default sizes; masks without a value there get none.
    """
    env = environment([size.name for size in mixer.sizes], mixer.lines)
    found: dict[str, Diagnostic] = {}
    for branch, mask in _masks(mixer):
        mistake = _product(branch, mask) or _future(mixer, branch, mask)
        nothing = {**env, "sum": point(0)}
        normalize = branch.normalize
        if mistake is None and normalize and range_of(normalize, nothing).point == 0:
            mistake = _empty(mixer, branch, mask)
        if mistake is not None:
            found.setdefault(branch.name, mistake)
    return tuple(found.values())


def mask_notes(mixer: Mixer) -> tuple[Diagnostic, ...]:
    """A note for each sum that is empty for some query, which then gets 0."""
    found: dict[str, Diagnostic] = {}
    for branch, mask in _masks(mixer):
        note = _empty(mixer, branch, mask)
        if note is not None:
            said = replace(note, severity="note", notes=("its sum is 0",), helps=())
            found.setdefault(branch.name, said)
    return tuple(found.values())


def _masks(mixer: Mixer) -> Iterator[tuple[Branch, Mask]]:
    branches = {branch.name: branch for branch in mixer.core.branches}
    try:
        masks = masks_of(mixer, usual_sizes(mixer))
    except MaskError:
        return
    yield from ((branches[mask.branch], mask) for mask in masks)


def _future(mixer: Mixer, branch: Branch, mask: Mask) -> Diagnostic | None:
    """The first part of a sum that needs an order, under a mask that has none."""
    if branch.states:
        needs = branch.states[0].span, "this state holds the tokens up to t"
    elif branch.decay is not None:
        needs = branch.decay.span, "this decay is a product over s < j <= t"
    else:
        return None
    example = causality(mask.condition).example
    if example is None:
        return None
    sees = "sees" if example.certain else "may see"
    pair = f"t = {example.t} {sees} s = {example.s}{_where(mixer, branch, mask)}"
    return future_token(_span(branch), pair, *needs)


def _product(branch: Branch, mask: Mask) -> Diagnostic | None:
    """A comparison with a product of t and s, and how many keys two queries see by it."""
    for literal in literals(mask.condition):
        if isinstance(literal, AtLeastZero | IsZero) and _multiplies(literal.form):
            few, more = (_seen(literal, t) for t in (4, 8))
            counts = f"t = 4 sees {few} of the first {FIRST} keys, t = 8 sees {more}"
            return product_of_times(_span(branch), show(literal), counts)
    return None


def _multiplies(form: Form) -> bool:
    """Whether it has a product in which query and key move apart: (t - s) ^ 2 is none."""
    both = {Variable.T, Variable.S}
    return any(
        isinstance(atom, Product)
        and both <= times_of_form(single(atom))
        and not (relative_form(atom.left) and relative_form(atom.right))
        for atom, _ in form.terms
    )


def _seen(literal: Condition, t: int) -> int:
    """How many of the first keys a query sees by one comparison."""
    places, keys = np.full(FIRST, t), np.arange(FIRST)
    boxes = Boxes(t=(places, places), s=(keys, keys), length=FIRST)
    return int(np.count_nonzero(evaluate(literal, boxes, NOTHING_KNOWN) & MAY_HOLD))


def _empty(mixer: Mixer, branch: Branch, mask: Mask) -> Diagnostic | None:
    example = rows(mask.condition).example
    if example is None:
        return None
    of = f" of {example.length}" if _reads_length(branch) else ""
    return row_without_keys(_span(branch), f"t = {example.t}{of}{_where(mixer, branch, mask)}")


def _span(branch: Branch) -> Span:
    return branch.mask.span if branch.mask.span.line else branch.span


def _reads_length(branch: Branch) -> bool:
    return any(isinstance(node, Size) and node.name == "T" for node in walk(branch.mask))


def _where(mixer: Mixer, branch: Branch, mask: Mask) -> str:
    """The sizes that the mask reads, as `, where W = 0`."""
    sizes: dict[str, Fraction] = usual_sizes(mixer)
    if mask.head is not None:
        sizes["head"] = Fraction(mask.head)
    read = dict.fromkeys(node.name for node in walk(branch.mask) if isinstance(node, Size))
    shown = [f"{name} = {sizes[name]}" for name in read if name in sizes]
    return f", where {', '.join(shown)}" if shown else ""
