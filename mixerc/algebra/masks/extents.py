"""How long a key is needed: what a cache must hold for queries that come one by one."""

from dataclasses import dataclass

from mixerc.algebra.masks import forms
from mixerc.algebra.masks.clauses import Clause, TooManyClauses, disjoint
from mixerc.algebra.masks.conditions import All, Condition, all_of, literals, show, times_of
from mixerc.algebra.masks.forms import Variable
from mixerc.algebra.masks.prover import greatest
from mixerc.algebra.masks.structure import documents_of
from mixerc.algebra.masks.verdicts import Verdict, causality

_T, _S = forms.single(Variable.T), forms.single(Variable.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllTokens:
    """Every token is kept: the past has no bound."""

    reason: str
    documents: tuple[str, ...] = ()

    def slots(self, length: int) -> int:
        """How many tokens are kept after `length` of them."""
        return length


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """The last `window` tokens are kept, a query's own among them, and the first `pinned`.

    Key s is seen last by query s + window - 1, unless s < pinned.
    """

    window: int
    pinned: int = 0
    documents: tuple[str, ...] = ()

    def slots(self, length: int) -> int:
        """How many tokens are kept after `length` of them."""
        return min(length, self.window + self.pinned)

    def last_query(self, key: int) -> int | None:
        """The last query that can see a key; None where every later one may."""
        return None if key < self.pinned else key + self.window - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NoCache:
    """Tokens cannot be taken one by one; the reason is a sentence."""

    reason: str


Extent = AllTokens | Ring | NoCache


def extent(condition: Condition, verdict: Verdict | None = None) -> Extent:
    """How long a key is needed; `verdict` is that of `causality`, if it is known."""
    order = causality(condition) if verdict is None else verdict
    if not order.proved:
        return NoCache(reason=_future(order))
    if any(Variable.LENGTH in times_of(literal) for literal in literals(condition)):
        return NoCache(reason="The mask reads the length T, which decoding does not know.")
    documents, _ = documents_of(condition)
    try:
        found = disjoint(condition)
    except TooManyClauses:
        return AllTokens(reason="The mask has too many alternatives to bound its past.")
    window, pinned, unbounded = _reach(found)
    if unbounded is not None:
        return AllTokens(reason=_reason(unbounded), documents=documents)
    return Ring(window=window, pinned=pinned, documents=documents)


def _reach(clauses: tuple[Clause, ...]) -> tuple[int, int, Condition | None]:
    """The longest bounded distance + 1, the first tokens that stay, what else is seen for ever."""
    window, pinned = 1, 0
    for clause in clauses:
        key = frozenset(clause)
        distance = greatest(forms.plus(_T, _S, -1), key)
        last = greatest(_S, key)
        if isinstance(distance, int):
            window = max(window, distance + 1)
        elif isinstance(last, int):
            pinned = max(pinned, last + 1)
        elif distance > 0:
            return window, pinned, all_of(clause)
    return window, pinned, None


def _reason(clause: Condition) -> str:
    """Which keys may be seen however long ago they were."""
    parts = clause.parts if isinstance(clause, All) else (clause,)
    of_keys = [part for part in parts if times_of(part) == {Variable.S}]
    which = f" with {show(all_of(of_keys))}" if of_keys else ""
    return f"Nothing bounds how much later keys{which} are seen."


def _future(order: Verdict) -> str:
    example = order.example
    if example is None:
        return (
            f"That no query sees a later key was not proved (looked at T up to {order.searched})."
        )
    sees = "sees" if example.certain else "may see"
    return f"Query t = {example.t} {sees} the later key s = {example.s}."
