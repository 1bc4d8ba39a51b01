"""Prints the bands of a mask as loop bounds: text that Python and a Triton kernel both can read.

It is made of + - * // and two functions, which Python calls max and min and Triton tl.maximum and
tl.minimum. A quotient of what may be below 0 is written so that rounding down and rounding
towards 0 agree.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class BandText:
    """Lines that find the keys of a band, and the names of what they find.

    Queries t0 <= t < t1 see no keys of the band but begin <= s < end, and each of them sees all of
    sure_begin <= s < sure_end, where that is not empty. An end above 0 has a key below it, but for
    the last band's: a loop over ordered bands goes on from the larger of a begin and the end
    before it. Needs 0 <= t0 < t1 and t0 < T; t1 may be above T.
    """

    lines: tuple[str, ...]
    begin: str
    end: str
    sure_begin: str
    sure_end: str


def bounds_text(bands: Bands, names: Mapping[str, str] = PYTHON) -> tuple[BandText, ...]:
    """The bounds of each band, in the order of the bands; `names` as in PYTHON."""
    last = len(bands.bands) - 1
    return tuple(
        _Printed(
            band=band,
            names=names,
            tail=f"_{index}" if last else "",
            followed=index < last or not bands.ordered,
        ).text()
        for index, band in enumerate(bands.bands)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Printed:
    band: Band
    names: Mapping[str, str]
    tail: str
    followed: bool

    def text(self) -> BandText:
        """The lines of the band."""
        begin, end, sure_begin, sure_end = (
            f"{name}{self.tail}" for name in ("begin", "end", "sure_begin", "sure_end")
        )
        lines = [*self._queries(), f"{begin} = {self._lower(0)}", f"{end} = {self._upper(1)}"]
        if self._cut:  # no key without a query
            lines.append(f"{end} = {self._unless(f'{self._end} - {self._begin}', end)}")
        if self.followed and self.band.lower:
            lines.append(f"{end} = {self._unless(f'{end} - {begin}', end)}")
        if self.band.guard != TRUE:
            lines += [f"{sure_begin} = {begin}", f"{sure_end} = {begin}"]
        else:
            lines += [f"{sure_begin} = {self._lower(1)}", f"{sure_end} = {self._upper(0)}"]
            if self._cut:
                lines.append(f"{sure_end} = {self._unless(self._every(), sure_end)}")
        return BandText(
            lines=tuple(lines), begin=begin, end=end, sure_begin=sure_begin, sure_end=sure_end
        )

    @property
    def _cut(self) -> bool:
        """Whether the band is for some queries only."""
        return bool(self.band.first or self.band.last)

    @property
    def _begin(self) -> str:
        return f"t_begin{self.tail}" if self._cut else self.names["t0"]

    @property
    def _end(self) -> str:
        return f"t_end{self.tail}"

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

    def _unless(self, count: str, end: str) -> str:
        """The end where the count is above 0; elsewhere not above 0."""
        one = self._nested("minimum", [self._nested("maximum", [count, "0"]), "1"])
        return self._nested("minimum", [end, f"{one} * {self.names['T']}"])

    def _lower(self, side: int) -> str:
        """The largest lower end, each at its least (0) or greatest (1) over the queries."""
        ends = [form for form in self.band.lower if bounds(form, _SEQUENCES)[1] > 0]
        texts = [self._extreme(form, side) for form in ends]
        below = [at_least_zero(forms.plus(forms.number(-1), form, -1)) for form in ends]
        safe = (attained(form) and impossible(c) for form, c in zip(ends, below, strict=True))
        inside = not self._cut and any(safe)
        return self._nested("maximum", texts if inside else [*texts, "0"])

    def _upper(self, side: int) -> str:
        """The smallest upper end."""
        gaps = [forms.plus(form, forms.single(Variable.LENGTH), -1) for form in self.band.upper]
        kept = [
            (form, at_least_zero(forms.plus(gap, forms.number(-1))))
            for form, gap in zip(self.band.upper, gaps, strict=True)
            if bounds(gap, _SEQUENCES)[0] < 0
        ]
        texts = [self._extreme(form, side) for form, _ in kept]
        inside = not self._cut and any(attained(form) and impossible(c) for form, c in kept)
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
