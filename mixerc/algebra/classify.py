"""What kind of mixer the equations are, which modes follow, and for the others why not."""

from dataclasses import dataclass, replace

from mixerc.algebra.attention import Attention, attention
from mixerc.algebra.errors import state_other_shape, weight_does_not_split
from mixerc.algebra.landmarks import Landmarks, landmarks
from mixerc.algebra.linear import Linear, decay_names, transition
from mixerc.algebra.masks.extents import Extent, NoCache, Ring
from mixerc.algebra.masks.mistakes import mask_mistakes
from mixerc.algebra.recurrence import linear_recurrence, substituted
from mixerc.algebra.scaled import scaled
from mixerc.algebra.stages import Recurrence, recurrence
from mixerc.algebra.sums import linear_sum, unfitting
from mixerc.algebra.terms import (
    ATTENTION,
    ELEMENTWISE,
    LANDMARK,
    LOW_RANK,
    SEVERAL,
    DoesNotSplit,
    NotLinear,
)
from mixerc.algebra.unfold import unfolded
from mixerc.algebra.unsupported import refuse_unsupported
from mixerc.diagnostics.diagnostic import SpecError
from mixerc.diagnostics.span import NOWHERE, Span
from mixerc.ir.expr import Expr
from mixerc.ir.mixer import Mixer, Value
from mixerc.ir.ranges import environment
from mixerc.ir.sorts import Kind
from mixerc.ir.walk import core_expressions, map_core, walk

ONE_BY_ONE = "tokens are taken one after the other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One way to run a mixer: legal, or the reason why not and where the spec says so."""

    name: str
    legal: bool
    reason: str
    span: Span = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Algebra:
    """The verdict: the class in words, the linear form or the masked sums, every mode."""

    family: str
    linear: Linear | None
    modes: tuple[Mode, ...]
    attention: Attention | None = None
    landmarks: Landmarks | None = None
    recurrence: Recurrence | None = None

    @property
    def decays(self) -> tuple[str, ...]:
        """Decays that are inputs of the core by themselves: these may be given as logarithms."""
        if self.linear is not None:
            return decay_names(self.linear)
        return () if self.attention is None else self.attention.decays

    @property
    def fast(self) -> bool:
        """Whether there are kernels for it."""
        forms = (self.linear, self.attention, self.landmarks, self.recurrence)
        return any(form is not None for form in forms)


def classify(mixer: Mixer) -> Algebra:
    """Reads the class off the equations; the mixer's name plays no part.

    Raises SpecError where a declared state cannot be what the sum keeps, and for masks that leave a
    token without keys to divide by, or let in later ones where a state or a decay needs an order.
    """
    mistakes = mask_mistakes(mixer)
    if mistakes:
        raise SpecError(mistakes)
    try:
        linear = _linear(mixer)
    except DoesNotSplit as leaves:
        _refuse_state(mixer, leaves)
        return _masked(mixer, leaves)
    except NotLinear as leaves:
        return _masked(mixer, leaves)
    _check_states(mixer, linear)
    kinds = tuple(dict.fromkeys(transition(state) for state in linear.states))
    return Algebra(
        family=f"linear, {' and '.join(kinds)} transition",
        linear=linear,
        modes=(
            Mode(name="parallel", legal=True, reason="chunks: scores within, states between"),
            Mode(name="recurrent", legal=True, reason=f"keeps {_kept(linear)}"),
            Mode(name="reference", legal=True, reason="the equations, token by token"),
        ),
    )


def _masked(mixer: Mixer, leaves: NotLinear) -> Algebra:
    """The class of masked attention, or why there are no kernels."""
    try:
        written = _written(mixer)
        dense = landmarks(written)
        if dense is not None:
            return _landmarks(dense)
        if not mixer.core.branches:
            return _recurrence(recurrence(written), leaves)
        found = attention(written)
    except NotLinear as reason:
        return _without(mixer, reason)
    extent = found.extent
    order = extent.reason if isinstance(extent, NoCache) else ""
    return Algebra(
        family=ATTENTION if len(found.sums) == 1 else f"{SEVERAL}: {len(found.sums)} masked sums",
        linear=None,
        attention=found,
        modes=(
            Mode(name="parallel", legal=True, reason="tiles that the mask allows, one pass each"),
            Mode(name="recurrent", legal=not order, reason=order or _cache(extent)),
            Mode(name="reference", legal=True, reason="the equations, token by token"),
        ),
    )


def _recurrence(found: Recurrence, leaves: NotLinear) -> Algebra:
    """The class of a recurrence: scans, one behind the other, or token by token. `leaves` says why
    there are no chunks of it: of a transition of low rank nothing else would do."""
    obstacle, several = found.obstacle, len(found.stages) > 1
    if obstacle is not None and obstacle.family == leaves.family == LOW_RANK:
        obstacle = replace(obstacle, reason=leaves.reason, span=leaves.span)
    if obstacle is None:
        family = f"{SEVERAL}: {len(found.stages)} scans" if several else ELEMENTWISE
        how = "a scan" if not several else "scans, each with those before it solved"
        parallel = Mode(name="parallel", legal=True, reason=f"{how}, in blocks of tokens")
    else:
        family = obstacle.family
        reason = f"{obstacle.reason}; {ONE_BY_ONE}"
        parallel = Mode(name="parallel", legal=False, reason=reason, span=obstacle.span)
    newton = () if obstacle is None else (_newton(found),)
    kept = ", ".join(f"{s.name}[{', '.join(s.sort.axes)}]" for s in found.states)
    return Algebra(
        family=family,
        linear=None,
        recurrence=found,
        modes=(
            parallel,
            *newton,
            Mode(name="recurrent", legal=True, reason=f"keeps {kept}"),
            Mode(name="reference", legal=True, reason="the equations, token by token"),
        ),
    )


def _newton(found: Recurrence) -> Mode:
    """Newton's method over the whole sequence, for what no scan solves."""
    if found.wide is not None:
        wide = found.wide
        return Mode(name="newton", legal=False, reason=wide.reason, span=wide.span)
    rows = max(len(stage.states) for stage in found.stages if stage.scan is None)
    slopes = "numbers" if rows == 1 else f"matrices of {rows} rows"
    reason = f"each step of Newton's method is a scan, whose factors are slopes: {slopes}"
    return Mode(name="newton", legal=True, reason=reason)


def _landmarks(found: Landmarks) -> Algebra:
    return Algebra(
        family=LANDMARK,
        linear=None,
        landmarks=found,
        modes=(
            Mode(name="parallel", legal=True, reason="dense products over the whole sequence"),
            Mode(name="recurrent", legal=False, reason=found.reason),
            Mode(name="reference", legal=True, reason="the equations, token by token"),
        ),
    )


def _cache(extent: Extent) -> str:
    """What the recurrent mode keeps."""
    match extent:
        case Ring(window=window, pinned=0):
            return f"keeps the last {window:,} tokens"
        case Ring(window=window, pinned=pinned):
            return f"keeps the first {pinned:,} tokens and the last {window:,}"
        case _:
            return "keeps all tokens"


def _refuse_state(mixer: Mixer, leaves: DoesNotSplit) -> None:
    for branch in mixer.core.branches:
        if branch.states:
            where = leaves.span
            found = weight_does_not_split(where, leaves.reason, branch.states[0].span)
            raise SpecError((found,))


def _check_states(mixer: Mixer, linear: Linear) -> None:
    kept = tuple(f"{s.name}[{', '.join(s.axes)}]" if s.axes else s.name for s in linear.states)
    for branch in mixer.core.branches:
        state = unfitting(branch, linear)
        if state is not None:
            raise SpecError((state_other_shape(state.span, state.name, kept),))


def _kept(linear: Linear) -> str:
    states = ", ".join(f"{s.name}[{', '.join(s.axes)}]" for s in linear.states)
    return states if linear.scaled is None else f"{states}, and a running maximum"


def _without(mixer: Mixer, leaves: NotLinear) -> Algebra:
    family = leaves.family or (ATTENTION if mixer.core.branches else "recurrence")
    reason = f"{leaves.reason}; this version has no fast form for the class ({family})"
    fast = tuple(
        Mode(name=name, legal=False, reason=reason, span=leaves.span)
        for name in ("parallel", "recurrent")
    )
    reference = Mode(name="reference", legal=True, reason="the equations, token by token")
    return Algebra(family=family, linear=None, modes=(*fast, reference))


def _linear(mixer: Mixer) -> Linear:
    inlined = _written(mixer)
    refuse_unsupported(inlined)
    _refuse_complex(inlined)
    found = linear_sum(inlined) if inlined.core.branches else linear_recurrence(inlined)
    env = environment([size.name for size in mixer.sizes], mixer.lines)
    return replace(found, scaled=scaled(found, env))


def _written(mixer: Mixer) -> Mixer:
    """The core with its folds, and the constants that it reads, written out."""
    constants: dict[str, Expr] = {}
    for line in mixer.lines:
        if isinstance(line, Value) and line.name not in mixer.core.inputs and not line.sort.times:
            constants[line.name] = substituted(line.expr, constants)
    return unfolded(map_core(mixer, lambda e: substituted(e, constants)))


def _refuse_complex(mixer: Mixer) -> None:
    """The chunk algebra of linear mixers speaks of real numbers."""
    for expr in core_expressions(mixer.core):
        for e in walk(expr):
            if e.sort.kind == Kind.COMPLEX:
                raise NotLinear("the core has complex values", e.span, ELEMENTWISE)
