"""Recurrences taken apart: which states have to be solved together, in which order, and how.

A state whose update is `coefficient * h[t-1] + rest`, elementwise, is a scan; its `coefficient` and
`rest` may read states that are solved before it. A few states that feed one another are a scan too,
with a small matrix for a coefficient. An update that is not affine goes token by token.
"""

from dataclasses import dataclass

from mixerc.algebra.affine import Affine, affine
from mixerc.algebra.careful import careful
from mixerc.algebra.newton import check_slopes
from mixerc.algebra.recurrence import inlined
from mixerc.algebra.stabilise import stabilised
from mixerc.algebra.terms import NONLINEAR, NotLinear
from mixerc.algebra.together import Together, together
from mixerc.algebra.unsupported import refuse_unsupported
from mixerc.diagnostics.span import NOWHERE, Span
from mixerc.ir.expr import Expr, Read
from mixerc.ir.mixer import Mixer, State
from mixerc.ir.ranges import environment
from mixerc.ir.sorts import Time
from mixerc.ir.walk import walk


@dataclass(frozen=True, slots=True)
class Running:
    """A state that is max(m[t-1] + shift, floor): affine too, with a maximum for a sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """States that are solved together. `scan` is the affine form of one, or of several, or a
    running maximum; without it `reason`, at `span`, says what is in its way, and `family` what
    class that makes; `wide` is what keeps Newton's method from it, or None."""

    states: tuple[State, ...]
    scan: Affine | Together | Running | None
    reason: str = ""
    span: Span = NOWHERE
    family: str = ""
    wide: NotLinear | None = None


@dataclass(frozen=True, slots=True)
class Peak:
    """The state that is a running maximum m, and the states that are kept as e^-m times themselves:
    the mixer is the same function of its inputs for every m."""

    name: str
    scaled: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """States in the order of the spec, the update of each with intermediate values written out,
    the output; and the stages in an order in which they can be solved."""

    states: tuple[State, ...]
    updates: tuple[Expr, ...]
    output: Expr
    stages: tuple[Stage, ...]
    peak: Peak | None = None

    @property
    def obstacle(self) -> Stage | None:
        """The first stage that has to be taken token by token."""
        return next((stage for stage in self.stages if stage.scan is None), None)

    @property
    def newton(self) -> bool:
        """Whether Newton's method can solve what is not affine, and there is such a thing."""
        return self.obstacle is not None and self.wide is None

    @property
    def bent(self) -> frozenset[str]:
        """The states that no scan solves."""
        stages = (stage for stage in self.stages if stage.scan is None)
        return frozenset(state.name for stage in stages for state in stage.states)

    @property
    def wide(self) -> NotLinear | None:
        """What keeps Newton's method from it: the first slope that is not small."""
        return next((stage.wide for stage in self.stages if stage.wide is not None), None)


def recurrence(mixer: Mixer) -> Recurrence:
    """The stages of a mixer given by updates of its states; raises NotLinear for what the
    compiled forms do not speak of."""
    refuse_unsupported(mixer)
    written, output = inlined(mixer)
    updates, output = {name: careful(e) for name, e in written.items()}, careful(output)
    states, peak = mixer.core.states, None
    env = environment([size.name for size in mixer.sizes], mixer.lines)
    stable = stabilised(states, updates, output, env)
    if stable is not None:
        states, output, peak = stable.states, stable.output, Peak(stable.peak, stable.scaled)
        updates = {s.name: e for s, e in zip(states, stable.updates, strict=True)}
    feeds = _feeds(updates)
    return Recurrence(
        peak=peak,
        states=states,
        updates=tuple(updates[state.name] for state in states),
        output=output,
        stages=tuple(
            _stage(names, states, updates, peak.name if peak is not None else "")
            for names in _in_order(feeds)
        ),
    )


def _feeds(updates: dict[str, Expr]) -> dict[str, frozenset[str]]:
    """For each state those that its update reads, by way of others too."""
    reads = {
        name: {e.name for e in walk(expr) if isinstance(e, Read) and e.name in updates}
        for name, expr in updates.items()
    }
    for middle in updates:
        for found in reads.values():
            if middle in found:
                found |= reads[middle]
    return {name: frozenset(found) for name, found in reads.items()}


def _in_order(feeds: dict[str, frozenset[str]]) -> list[tuple[str, ...]]:
    """States that feed one another side by side, each group behind those that feed it."""
    groups: list[tuple[str, ...]] = []
    for name, reads in feeds.items():
        group = tuple(n for n in feeds if n == name or (n in reads and name in feeds[n]))
        if group not in groups:
            groups.append(group)
    return sorted(groups, key=lambda group: len(feeds[group[0]] | set(group)))


def _stage(
    names: tuple[str, ...], states: tuple[State, ...], updates: dict[str, Expr], peak: str
) -> Stage:
    own = tuple(state for state in states if state.name in names)
    if len(names) > 1:  # a maximum that the compiler made is no reason to name first
        own = tuple(sorted(own, key=lambda state: state.name == peak))
        names = tuple(state.name for state in own)
    if names == (peak,):
        return Stage(states=own, scan=Running())
    try:
        if len(names) > 1:
            return Stage(states=own, scan=together(own, updates))
        return Stage(states=own, scan=affine(updates[names[0]], names[0], Time.PREVIOUS))
    except NotLinear as leaves:
        reason, family = leaves.reason, leaves.family
        if len(names) > 1:
            reason, family = f"{' and '.join(names)} feed one another, and {reason}", NONLINEAR
        return Stage(
            states=own,
            scan=None,
            reason=reason,
            span=leaves.span,
            family=family,
            wide=_wide(own, updates, peak),
        )


def _wide(states: tuple[State, ...], updates: dict[str, Expr], peak: str) -> NotLinear | None:
    try:
        check_slopes(states, updates, peak)
    except NotLinear as found:
        return found
    return None
