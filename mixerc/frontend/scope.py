"""What the checker knows while it reads a spec: the names so far, the place, the mistakes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import TypeAlias

from mixerc.diagnostics.diagnostic import Diagnostic
from mixerc.diagnostics.span import Span
from mixerc.frontend import syntax
from mixerc.ir.expr import Concat, Expr, Number, Size
from mixerc.ir.masks import CAUSAL, FULL
from mixerc.ir.sorts import FEATURES, SHARED, Axis, Sort

POISONED = Sort(axes=("?",))
POISON: Expr = Number(value=Fraction(0), sort=POISONED)

T_ONLY = frozenset({"t"})
S_ONLY = frozenset({"s"})
BOTH = frozenset({"t", "s"})


def poisoned(*exprs: Expr) -> bool:
    """True if any of these comes from a mistake that was already reported."""
    return any("?" in expr.sort.axes for expr in exprs)


class Role(StrEnum):
    """What a name stands for, in the words of the messages."""

    STREAM = "stream"
    INPUT = "input"
    PARAM = "parameter"
    CONSTANT = "constant"
    BRANCH = "branch"
    STATE = "state"
    CORE = "value of the core"
    FEATURE = "feature"
    BLOCK = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """A name that a line above has defined.

    `table`: declared over times, read bare. `learned`: it is a parameter or comes from one.
    """

    name: str
    role: Role
    sort: Sort
    span: Span
    table: bool = False
    learned: bool = False
    feature: syntax.Feature | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an expression stands: what it may read there, and where its steps land.

    `what` names the place in messages. Names of a `hidden` role have no value there yet: the lines
    of the core follow its sums, and a decay needs its tokens all at once. `times` are in scope;
    with `explicit`, streams must say which one they are read at. `given` are the given names that
    only some places may read. `target` is where `linear` and a draw land, `joins` where `concat`
    does. `bound` holds the arguments of a feature that is written out, and the variable of a
    fold; inside a fold, values are taken at the current index of `folded` axes.
    """

    what: str
    hidden: frozenset[Role] = frozenset()
    times: frozenset[str] = frozenset()
    explicit: bool = False
    layers: bool = False
    sizes_only: bool = False
    init: bool = False
    given: frozenset[str] = frozenset()
    target: Sort | None = None
    joins: Axis | None = None
    bound: Mapping[str, Expr] = field(default_factory=dict)
    folded: frozenset[Axis] = frozenset()


A_FEATURE = "a feature"
LINES = frozenset({Role.CORE})

SIZE = Place(what="a size", sizes_only=True)
MASK = Place(
    what="the mask",
    hidden=LINES,
    times=BOTH,
    explicit=True,
    bound=MappingProxyType({"causal": CAUSAL, "full": FULL}),
)
WEIGHT = Place(what="the weight", hidden=LINES, times=BOTH, explicit=True)
VALUE = Place(what="the value", hidden=LINES, times=S_ONLY, explicit=True)
DECAY = Place(what="the decay", hidden=frozenset({Role.CORE, Role.BRANCH}), times=T_ONLY)


def normalize_place(total: Expr) -> Place:
    """The normalizer reads `sum`, the sum of the weights."""
    return Place(what="the normalizer", hidden=LINES, times=T_ONLY, bound={"sum": total})


def init_place(target: Sort) -> Place:
    """An initial value that fills `target`; a table's may use the times it is declared over."""
    return Place(what="an initial value", init=True, times=target.times, target=target)


def stream_place(target: Sort) -> Place:
    """The right side of a line of the layer."""
    return Place(
        what="a stream",
        times=T_ONLY,
        layers=True,
        given=frozenset({"x"}),
        target=target,
        joins=_only(target.axes),
    )


def core_place(target: Sort) -> Place:
    """A line of the core: one time, no layers."""
    return Place(
        what="the core",
        times=T_ONLY,
        given=frozenset({"x"}),
        target=target,
        joins=_only(target.axes),
    )


def output_place(what: str, given: frozenset[str]) -> Place:
    """`y` or a block: what it computes belongs to no head and has the axis d_model."""
    return Place(
        what=what,
        times=T_ONLY,
        layers=True,
        given=given,
        target=Sort(axes=("d_model",), heads=SHARED, times=T_ONLY),
        joins=FEATURES,
    )


def _only(axes: tuple[Axis, ...]) -> Axis | None:
    return axes[0] if len(axes) == 1 else None


def inside_feature(place: Place, feature: syntax.Feature, bound: Mapping[str, Expr]) -> Place:
    """The place of a feature's body where it is used; its own axis is what `concat` lands on."""
    joins = place.joins if feature.axes is None else _only(tuple(a.name for a in feature.axes))
    return replace(place, what=A_FEATURE, layers=False, joins=joins, bound=bound, given=frozenset())


@dataclass(slots=True)
class Scope:
    """The names that stand above, what was read of them, and the mistakes so far.

    `places` has every name that the spec defines anywhere, to tell a name that stands below from
    one that does not exist. `sizes` are the header's, `lengths` those of them that count something:
    the places of an axis, groups, features. `mixers` are those that a stack may use, `joined`
    what `concat` has made.
    """

    name: str
    stack: bool
    places: Mapping[str, Span]
    mixers: Mapping[str, syntax.Header] = field(default_factory=dict)
    sizes: dict[str, Span] = field(default_factory=dict)
    lengths: set[str] = field(default_factory=set)
    symbols: dict[str, Symbol] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    updated: set[str] = field(default_factory=set)
    joined: list[Concat] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def report(self, diagnostic: Diagnostic) -> Expr:
        """Note a mistake; the result stands for the expression that cannot be had."""
        key = (diagnostic.slug, diagnostic.span)
        if key not in {(known.slug, known.span) for known in self.diagnostics}:
            self.diagnostics.append(diagnostic)
        return POISON

    def count(self, size: Expr) -> Expr:
        """Note that a size counts something, where it is one of the header's by itself."""
        if isinstance(size, Size):
            self.lengths.add(size.name)
        return size

    def visible(self, place: Place) -> list[str]:
        """The names that a spelling mistake in this place may have meant."""
        return [*self.symbols, *self.sizes, *place.bound, *place.given]


Check: TypeAlias = Callable[[Scope, Place, syntax.Expr], Expr]
