"""Prints the bands of a mask as loop bounds: text that Python and a Triton kernel both can read.

It is made of + - * // and two functions, which Python calls max and min and Triton tl.maximum and
tl.minimum. A quotient of what may be below 0 is written so that rounding down and rounding
towards 0 agree.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from mixerc.algebra.masks import forms
from mixerc.algebra.masks.bands import Band, Bands
from mixerc.algebra.masks.bounds import Ranges, bounds
from mixerc.algebra.masks.clauses import impossible
from mixerc.algebra.masks.conditions import TRUE, at_least_zero
from mixerc.algebra.masks.exactness import attained
from mixerc.algebra.masks.forms import Atom, Form, Quotient, Variable
from mixerc.backends.module.linear import sum_text
from mixerc.backends.module.printer import apply_text

PYTHON: Mapping[str, str] = MappingProxyType(
    {"t0": "t0", "t1": "t1", "T": "T", "maximum": "max", "minimum": "min"}
)
"""How a text calls the first query of a block, the one behind its last, the length, max and min."""

LONGEST = 2**30
"""Positions are taken to be less than this."""
_NEAR = 2**16
"""Down from 0 so far, a multiple of the divisor is added to what is divided."""
_SEQUENCES: Ranges = {
    Variable.T: (0, LONGEST - 1),
    Variable.S: (0, LONGEST - 1),
    Variable.LENGTH: (1, LONGEST),
}
_LENGTH = forms.single(Variable.LENGTH)
_MINUS_ONE = forms.number(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BandNames:
    """What the ends of a band are called."""

    begin: str
    end: str
    sure_begin: str
    sure_end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundsText:
    """Lines that find the keys that queries t0 <= t < t1 see, and names of ends in them.

    They see none but begin <= s < end of some band, and each of them sees all keys of
    sure_begin <= s < sure_end; any of these may be empty. Where the bands are ordered a loop takes
    them one after the other, each from the larger of its begin and the end before it: nothing is
    skipped and nothing comes twice. Needs 0 <= t0 < t1 and t0 < T; t1 may be above T.
    """

    lines: tuple[str, ...]
    bands: tuple[BandNames, ...]


def bounds_text(bands: Bands, names: Mapping[str, str] = PYTHON) -> BoundsText:
    """The bounds of the bands, in their order; `names` as in PYTHON."""
    many = len(bands.bands) > 1
    printed = [
        _Printed(band=band, names=names, tail=f"_{index}" if many else "", many=many)
        for index, band in enumerate(bands.bands)
    ]
    lines = [line for each in printed for line in each.lines()]
    if bands.ordered:
        # Over several queries a band may begin left of the one before it.
        for left, right in reversed(list(pairwise(printed))):
            if not left.begins_before(right.band):
                begin = left.ends().begin
                least = f"{names['minimum']}({begin}, {right.ends().begin})"
                lines.append(f"{begin} = {least}")
    return BoundsText(
        lines=tuple(dict.fromkeys(lines)), bands=tuple(each.ends() for each in printed)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Printed:
    band: Band
    names: Mapping[str, str]
    tail: str
    many: bool

    def ends(self) -> BandNames:
        """The names of the band's ends."""
        tail = self.tail
        return BandNames(
            begin=f"begin{tail}",
            end=f"end{tail}",
            sure_begin=f"sure_begin{tail}",
            sure_end=f"sure_end{tail}",
        )

    def lines(self) -> list[str]:
        """The lines of the band."""
        ends = self.ends()
        lines = [*self._queries(), f"{ends.begin} = {self._lower(0)}"]
        lines.append(f"{ends.end} = {self._upper(1)}")
        if self._cut or (self.many and self.band.lower and not self._always()):
            lines += self._if_any(ends)
        if self.band.guard != TRUE:
            return [*lines, f"{ends.sure_begin} = {ends.begin}", f"{ends.sure_end} = {ends.begin}"]
        lines.append(f"{ends.sure_begin} = {self._lower(1)}")
        lines.append(f"{ends.sure_end} = {self._upper(0)}")
        if self._cut:
            sure = f"{self._flag(self._every())} * {self.names['T']}"
            lines.append(f"{ends.sure_end} = {self._nested('minimum', [ends.sure_end, sure])}")
        return lines

    def begins_before(self, other: Band) -> bool:
        """Whether its begin is proved to be no larger than the other's, over any queries."""
        if self._cut and self.band.lower:  # it may be for fewer queries than the other
            return False
        return all(any(_below(a, b) for b in other.lower) for a in self.band.lower)

    def _always(self) -> bool:
        """Whether it is proved that every query has a key in the band."""
        lower = [forms.ZERO, *self.band.lower]
        upper = [forms.single(Variable.LENGTH), *self.band.upper]
        return all(_never(forms.plus(a, b, -1)) for a in lower for b in upper)

    def _if_any(self, ends: BandNames) -> list[str]:
        """Without a key in the band it ends at 0 or before, and begins at T or behind."""
        counts = [f"{self._end} - {self._begin}"] if self._cut else []
        counts += [f"{ends.end} - {ends.begin}"]
        any_ = f"any{self.tail}"
        length = self.names["T"]
        lines = [f"{any_} = {self._flag(self._nested('minimum', counts))}"]
        lines.append(f"{ends.end} = {self._nested('minimum', [ends.end, f'{any_} * {length}'])}")
        begin = self._nested("maximum", [ends.begin, f"(1 - {any_}) * {length}"])
        return [*lines, f"{ends.begin} = {begin}"]

    @property
    def _cut(self) -> bool:
        """Whether the band is for some queries only."""
        return bool(self.band.first or self.band.last)

    @property
    def _begin(self) -> str:
        return f"t_begin{self.tail}" if self._cut else self.names["t0"]

    @property
    def _end(self) -> str:
        return f"t_end{self.tail}" if self._cut else "t_end"

    def _there(self) -> list[str]:
        return [self.names["t1"], self.names["T"]]

    def _queries(self) -> list[str]:
        """Lines for the queries of the block that are the band's."""
        lasts = [self._extreme(form, 0) for form in self.band.last]
        lines = [f"{self._end} = {self._nested('minimum', [*self._there(), *lasts])}"]
        if self._cut:
            firsts = [self._extreme(form, 0) for form in self.band.first]
            begin = self._nested("maximum", [self.names["t0"], *firsts])
            lines.insert(0, f"{self._begin} = {begin}")
        return lines

    def _every(self) -> str:
        """1 where every query of the block is the band's, else no more than 0."""
        there = self._nested("minimum", self._there())
        return f"1 + {self.names['t0']} - {self._begin} + {self._end} - {there}"

    def _flag(self, count: str) -> str:
        """1 where the count is above 0, else 0."""
        return self._nested("minimum", [self._nested("maximum", [count, "0"]), "1"])

    def _lower(self, side: int) -> str:
        """The largest lower end, each at its least (0) or greatest (1) over the queries."""
        ends = [form for form in self.band.lower if bounds(form, _SEQUENCES)[1] > 0]
        texts = [self._extreme(form, side) for form in ends]
        safe = (attained(form) and _never(forms.plus(_MINUS_ONE, form, -1)) for form in ends)
        inside = any(not form.terms for form in ends) or (not self._cut and any(safe))
        return self._nested("maximum", texts if inside else [*texts, "0"])

    def _upper(self, side: int) -> str:
        """The smallest upper end."""
        gaps = [forms.plus(form, forms.single(Variable.LENGTH), -1) for form in self.band.upper]
        pairs = zip(self.band.upper, gaps, strict=True)
        kept = [(form, gap) for form, gap in pairs if bounds(gap, _SEQUENCES)[0] < 0]
        texts = [self._extreme(form, side) for form, _ in kept]
        safe = (attained(form) and _never(forms.plus(gap, _MINUS_ONE)) for form, gap in kept)
        inside = not self._cut and any(safe)
        return self._nested("minimum", texts if inside else [*texts, self.names["T"]])

    def _nested(self, name: str, texts: Iterable[str]) -> str:
        """The largest or the smallest of some texts: both functions take two."""
        first, *rest = dict.fromkeys(texts)
        for text in rest:
            first = f"{self.names[name]}({first}, {text})"
        return first

    def _extreme(self, form: Form, side: int) -> str:
        """The least or the greatest of a form: each of its terms goes one way with t."""
        terms, constant = [], int(form.constant)
        for atom, value in form.terms:
            factor = int(value)
            text, more = self._atom(atom, side if factor > 0 else 1 - side)
            terms.append((text, factor))
            constant += factor * more
        return sum_text(terms, constant)

    def _atom(self, atom: Atom, side: int) -> tuple[str, int]:
        """A text and a number to add to it."""
        match atom:
            case Variable.LENGTH:
                return self.names["T"], 0
            case Variable():
                return (self._end, -1) if side else (self._begin, 0)
            case Quotient(form=form, divisor=divisor):
                return self._quotient(form, divisor, side)
            case _:
                raise AssertionError(f"a band has no end with {forms.show_atom(atom)}")

    def _quotient(self, form: Form, divisor: int, side: int) -> tuple[str, int]:
        """x // divisor, rounded down wherever `//` rounds to."""
        least = int(bounds(form, _SEQUENCES)[0])
        more = -(min(least, 0) // divisor)
        if least >= -_NEAR:
            moved = forms.plus(form, forms.number(more * divisor))
            return apply_text("floordiv", (self._extreme(moved, side), str(divisor))), -more
        inner = self._extreme(form, side)
        above, below = (self._nested(name, [inner, "0"]) for name in ("maximum", "minimum"))
        return f"({above} // {divisor} - ({divisor - 1} - {below}) // {divisor})", 0


def _below(a: Form, b: Form) -> bool:
    """Whether the least of a over some queries is proved to be no larger than that of b."""
    return attained(b) and _never(forms.plus(forms.plus(a, b, -1), _MINUS_ONE))


def _never(form: Form) -> bool:
    """Whether it is proved that the form is below 0."""
    return impossible(at_least_zero(form))
