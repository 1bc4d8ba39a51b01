"""Prints a mask as a function that says of tiles whether a pair may be allowed, and all must be.

It is interval arithmetic, a line a comparison. Its helpers stand in templates/module/ranges.py.
Values come from `read`, by these keys: `doc[t]` and `doc[s]` are a stream, or a table over one time
(in blocks), as read by queries and by keys, each a Stretch; `link` is a table over both times, a
Grid.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mixerc.algebra.masks.bounds import Ranges, atom_bounds, bounds
from mixerc.algebra.masks.conditions import (
    All,
    Always,
    AtLeastZero,
    Condition,
    Holds,
    IsZero,
    Literal,
    Some,
    Unknown,
    all_of,
    literals,
    show,
    some_of,
    times_of,
)
from mixerc.algebra.masks.forms import (
    Atom,
    Form,
    Larger,
    Product,
    Quotient,
    Remainder,
    Stream,
    Variable,
)
from mixerc.backends.module.layout import laid_out
from mixerc.backends.module.linear import sum_text
from mixerc.backends.module.printer import apply_text

LONGEST = 2**28
"""Positions are taken to be less than this: products of two then fit a word."""
LARGEST = 2**40
"""Numbers of streams too; the same limit stands in templates/module/ranges.py."""
_WORD = 2**62
_WIDTH = 92
_SHORT = 40
_SEQUENCES: Ranges = {
    Variable.T: (0, LONGEST - 1),
    Variable.S: (0, LONGEST - 1),
    Variable.LENGTH: (1, LONGEST),
}

Ends = tuple[str, str]
"""Texts of the least and of the greatest value."""


def tiles_text(condition: Condition, name: str = "near_tiles") -> str:
    """`def near_tiles(t, s, length, read)`: of tiles, from (first, last) queries and keys.

    It gives two flags a tile: whether a pair may be allowed, whether every pair is.
    """
    condition = _said(condition)
    printed = _Printed()
    may, must = printed.joined(condition, "may"), printed.joined(condition, "must")
    varies = any(times_of(each) - {Variable.LENGTH} for each in literals(condition) if _known(each))
    if not varies:
        may, must = (f"torch.full_like(t0, {each}, dtype=torch.bool)" for each in (may, must))
    lines = [
        f"def {name}(t, s, length, read):",
        '    """Of tiles of queries t and keys s: may a pair be allowed, and is every pair."""',
        "    (t0, t1), (s0, s1) = t, s",
    ]
    lines += [f"    {line}" for line in printed.lines]
    if varies and not isinstance(condition, All | Some):
        return "\n".join([*lines, f"    return {may}, {must}", ""])
    lines += _statement(f"may = {may}") + _statement(f"must = {must}")
    return "\n".join([*lines, "    return may, must", ""])


def read_key(name: str, times: Iterable[Variable]) -> str:
    """Under which key `read` has a stream or a table that is read at these times."""
    first, *more = times
    return name if more else f"{name}[{first}]"


def reads_of_tiles(condition: Condition) -> tuple[str, ...]:
    """The keys that the function looks up."""
    printed = _Printed()
    printed.joined(_said(condition), "may")
    return tuple(printed.keys)


def _statement(text: str) -> list[str]:
    return [f"    {line}" for line in laid_out(text, 8)]


def _said(condition: Condition) -> Condition:
    """Without comparisons that hold in every sequence or in none; what leaves a word is open."""
    match condition:
        case All(parts=parts):
            return all_of(map(_said, parts))
        case Some(parts=parts):
            return some_of(map(_said, parts))
        case AtLeastZero(form=form):
            low, high = bounds(form, _SEQUENCES)
            if low >= 0 or high < 0:
                return Always(value=low >= 0)
        case IsZero(form=form, negated=negative):
            low, high = bounds(form, _SEQUENCES)
            if low > 0 or high < 0:
                return Always(value=negative)
        case _:
            return condition
    if _fits(form):
        return condition
    return Unknown(text=show(condition), times=times_of(condition))


def _known(literal: Literal) -> bool:
    return not isinstance(literal, Unknown)


def _fits(form: Form) -> bool:
    """Whether nothing that is computed on the way to the form leaves 64 bits."""
    total = abs(int(form.constant))
    for atom, coefficient in form.terms:
        total += abs(int(coefficient)) * _largest(atom)
    return total < _WORD and all(_fits(inner) for atom, _ in form.terms for inner in _inside(atom))


def _largest(atom: Atom) -> int:
    match atom:
        case Stream():
            return LARGEST
        case Product(left=left, right=right):
            return _most(left) * _most(right)
        case Larger(left=left, right=right):
            return max(_most(left), _most(right))
        case Remainder(modulus=modulus):
            return modulus
        case Quotient(form=form, divisor=divisor):
            return max(_most(form), divisor)
        case Variable():
            return int(max(map(abs, atom_bounds(atom, _SEQUENCES))))


def _most(form: Form) -> int:
    terms = (abs(int(coefficient)) * _largest(atom) for atom, coefficient in form.terms)
    return sum(terms, abs(int(form.constant)))


def _inside(atom: Atom) -> tuple[Form, ...]:
    match atom:
        case Quotient(form=form) | Remainder(form=form):
            return (form,)
        case Product(left=left, right=right) | Larger(left=left, right=right):
            return (left, right)
        case _:
            return ()


@dataclass(slots=True, kw_only=True)
class _Printed:
    """The lines so far, and the names that comparisons and their parts have in them."""

    lines: list[str] = field(default_factory=list)
    numbers: dict[Condition, int] = field(default_factory=dict)
    named: dict[Atom, Ends] = field(default_factory=dict)
    keys: dict[str, None] = field(default_factory=dict)

    def joined(self, condition: Condition, flag: str) -> str:
        """The condition as text over the flags of its comparisons."""
        match condition:
            case Always(value=value):
                return str(value)
            case All(parts=parts) | Some(parts=parts):
                symbol = " & " if isinstance(condition, All) else " | "
                return symbol.join(self._part(part, flag) for part in parts)
            case _:
                if condition not in self.numbers:
                    number = len(self.numbers) + 1
                    self._flags(f"may_{number}, must_{number}", condition)
                    self.numbers[condition] = number
                return f"{flag}_{self.numbers[condition]}"

    def _part(self, condition: Condition, flag: str) -> str:
        """A part of a condition: in brackets, or by a name if it is long."""
        if not isinstance(condition, All | Some):
            return self.joined(condition, flag)
        if condition not in self.numbers:
            texts = {each: self.joined(condition, each) for each in ("may", "must")}
            if len(texts["must"]) <= _SHORT:
                return f"({texts[flag]})"
            number = len(self.numbers) + 1  # behind those of its parts
            for each, text in texts.items():
                self.lines += laid_out(f"{each}_{number} = {text}", 8)
            self.numbers[condition] = number
        return f"{flag}_{self.numbers[condition]}"

    def _flags(self, names: str, literal: Literal) -> None:
        texts: tuple[str, ...]
        match literal:
            case AtLeastZero(form=form):
                texts = self._at_least_zero(form)
            case IsZero(form=form, negated=negative):
                left, right, _ = self._sides(form)
                call = "unequal_ranges" if negative else "equal_ranges"
                texts = (f"{call}(({', '.join(left)}), ({', '.join(right)}))",)
            case Holds():
                texts = self._holds(literal)
            case Unknown():
                texts = ("True", "False")
        self._add(names, texts, show(literal))

    def _add(self, names: str, texts: tuple[str, ...], comment: str) -> None:
        """`may, must = …`, on two lines where one is too long."""
        together = f"{names} = {', '.join(texts)}"
        behind = f"{together}  # {comment}"
        if len(behind) + 4 <= _WIDTH:
            self.lines.append(behind)
            return
        split = len(texts) > 1 and len(together) + 4 > _WIDTH
        pairs = zip(names.split(", "), texts, strict=True) if split else ()
        statements = [f"{name} = {text}" for name, text in pairs] or [together]
        self.lines += _wrapped_comment(comment)
        self.lines += [line for each in statements for line in laid_out(each, 8)]

    def _at_least_zero(self, form: Form) -> Ends:
        (low, high), (other_low, other_high), turned = self._sides(form)
        if turned:  # left <= right
            return f"{low} <= {other_high}", f"{high} <= {other_low}"
        return f"{high} >= {other_low}", f"{low} >= {other_high}"

    def _holds(self, literal: Holds) -> tuple[str]:
        texts = [_in_blocks(end, block) for v, block in literal.at for end in (f"{v}0", f"{v}1")]
        read = self._read(literal.name, [variable for variable, _ in literal.at])
        flags = f"{read}.flags({', '.join(texts)})"
        return (f"opposite(*{flags})" if literal.negated else flags,)

    def _read(self, name: str, times: list[Variable]) -> str:
        key = read_key(name, times)
        self.keys[key] = None
        return f'read["{key}"]'

    def _sides(self, form: Form) -> tuple[Ends, Ends, bool]:
        """What is added and what is subtracted, as `show` writes it, and whether they are turned.

        Times of queries and of keys mostly part so, and only the comparison is made once a tile.
        """
        added = [(atom, int(c)) for atom, c in form.terms if c > 0]
        taken = [(atom, -int(c)) for atom, c in form.terms if c < 0]
        constant = int(form.constant)
        on_left = constant > 0 and bool(taken)
        left = self._sum(added, constant if on_left else 0)
        right = self._sum(taken, 0 if on_left else -constant)
        return (left, right, False) if added else (right, left, True)

    def _sum(self, terms: Iterable[tuple[Atom, int]], constant: int) -> Ends:
        """The ends of a sum; of what is subtracted the other end counts."""
        known = [(self._atom(atom), factor) for atom, factor in terms]
        low = [(ends[factor < 0], factor) for ends, factor in known]
        high = [(ends[factor > 0], factor) for ends, factor in known]
        return sum_text(low, constant), sum_text(high, constant)

    def _form(self, form: Form) -> Ends:
        return self._sum(((atom, int(c)) for atom, c in form.terms), int(form.constant))

    def _atom(self, atom: Atom) -> Ends:
        match atom:
            case Variable.LENGTH:
                return "length", "length"
            case Variable():
                return f"{atom}0", f"{atom}1"
            case Quotient(form=form, divisor=divisor):
                low, high = (apply_text("floordiv", (x, str(divisor))) for x in self._form(form))
                return low, high
            case _:
                if atom not in self.named:
                    self.named[atom] = self._by_name(atom)
                return self.named[atom]

    def _by_name(self, atom: Stream | Remainder | Product | Larger) -> Ends:
        """The atom's ends on a line of their own."""
        match atom:
            case Stream(name=name, time=time, block=block):
                ends = f"{name}_{time}0", f"{name}_{time}1"
                at = ", ".join(_in_blocks(end, block) for end in (f"{time}0", f"{time}1"))
                read = self._read(name, [time])
                texts: tuple[str, ...] = (f"{read}.least({at})", f"{read}.greatest({at})")
            case Remainder(form=form, modulus=modulus):
                texts = (f"remainder_range({', '.join(self._form(form))}, {modulus})",)
                ends = self._next_ends()
            case Product(left=left, right=right) | Larger(left=left, right=right):
                call = "product_range" if isinstance(atom, Product) else "larger_range"
                both = (f"({', '.join(self._form(side))})" for side in (left, right))
                texts = (f"{call}({', '.join(both)})",)
                ends = self._next_ends()
        names = ", ".join(ends)
        if len(names) + len(", ".join(texts)) + 7 > _WIDTH and len(texts) > 1:
            statements = [f"{end} = {text}" for end, text in zip(ends, texts, strict=True)]
        else:
            statements = [f"{names} = {', '.join(texts)}"]
        self.lines += [line for each in statements for line in laid_out(each, 8)]
        return ends

    def _next_ends(self) -> Ends:
        number = 1 + sum(not isinstance(atom, Stream) for atom in self.named)
        return f"low_{number}", f"high_{number}"


def _in_blocks(text: str, block: int) -> str:
    return text if block == 1 else f"{text} // {block}"


def _wrapped_comment(text: str) -> Iterator[str]:
    """Comment lines that fit."""
    line = "#"
    for word in text.split(" "):
        if len(line) + 1 + len(word) + 4 > _WIDTH and line != "#":
            yield line
            line = "#"
        line += f" {word}"
    yield line
