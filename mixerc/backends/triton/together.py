"""Scans over a tile of rows of states that feed one another: what is written for each number of
them. A step is their matrix of factors, row by row, and their addends."""

from dataclasses import dataclass
from itertools import product

from mixerc.backends.module.layout import laid_out, tuple_text

MOST = 8
"""States of a scan over real numbers: as many as may be solved together, or halves of those."""

_WHEN = ("after each row", "before each row and after it")


@dataclass(frozen=True, slots=True, kw_only=True)
class TogetherView:
    """Every slot of together.py.j2: how steps are composed, and how a tile is scanned."""

    composing: str
    first: tuple[str, ...]
    steps: tuple[str, ...]
    scanning: str
    second: tuple[str, ...]
    lines: tuple[str, ...]


def scan_name(count: int, *, both: bool) -> str:
    """The function that scans so many states; `both` gives them before each row too."""
    return f"scanned_together_{count}" + "_both" * both


def together_views(text: str) -> tuple[TogetherView, ...]:
    """What a text of kernels calls of it."""
    kinds = product(range(2, MOST + 1), (False, True))
    return tuple(
        _view(count, both=both)
        for count, both in kinds
        if f"{scan_name(count, both=both)}(" in text
    )


def _view(count: int, *, both: bool) -> TogetherView:
    composed = f"composed_together_{count}" + "_both" * both
    wholes, inners = _step("f", "a", count), _step("e", "c", count) if both else []
    then, before = _step("g", "b", count), _step("d", "k", count) if both else []
    scanned = scan_name(count, both=both)
    states = [f"s{i}" for i in range(count)]
    arguments = [*wholes, *states, "i", "valid", "reverse: tl.constexpr"]
    return TogetherView(
        composing=f"One step of {count} states that feed one another, then another"
        + ", beside all but the last." * both
        + "." * (not both),
        first=laid_out(f"def {composed}({', '.join((*wholes, *inners, *then, *before))}):", 0),
        steps=laid_out(
            f"return {tuple_text([*_then('g', 'b', count), *_inner(count, both=both)])}", 4
        ),
        scanning=f"The states {_WHEN[both]}, and the last ones.",
        second=laid_out(f"def {scanned}({', '.join(arguments)}):", 0),
        lines=_lines(count, composed, both=both),
    )


def _step(factor: str, addend: str, count: int) -> list[str]:
    """The names of a step's numbers."""
    places = product(range(count), repeat=2)
    return [*(f"{factor}{i}{j}" for i, j in places), *(f"{addend}{i}" for i in range(count))]


def _then(factor: str, addend: str, count: int) -> list[str]:
    """A step behind the step of `f` and `a`."""
    every = range(count)
    products = [
        " + ".join(f"{factor}{i}{k} * f{k}{j}" for k in every) for i, j in product(every, every)
    ]
    return [*products, *(f"{_applied(factor, 'a', i, count)} + {addend}{i}" for i in every)]


def _inner(count: int, *, both: bool) -> list[str]:
    """All but the last of the steps of both sides."""
    return _then("d", "k", count) if both else []


def _applied(factor: str, state: str, i: int, count: int) -> str:
    return " + ".join(f"{factor}{i}{k} * {state}{k}" for k in range(count))


def _lines(count: int, composed: str, *, both: bool) -> tuple[str, ...]:
    """The scan of a tile: rows that there are not leave the states as they are."""
    every = range(count)
    wholes = _step("f", "a", count)
    still = {f"f{i}{i}" for i in every}
    lines = [f"{x} = tl.where(valid, {x}, {1.0 if x in still else 0.0})" for x in wholes]
    given, made = wholes, _step("p", "t", count)
    if both:
        lines.append("one, nothing = tl.full(f00.shape, 1.0, f00.dtype), tl.zeros_like(f00)")
        given = [*wholes, *("one" if x in still else "nothing" for x in wholes)]
        made = [*made, *_step("q", "r", count)]
    scan = f"tl.associative_scan(({', '.join(given)}), 0, {composed}, reverse)"
    lines.append(f"{', '.join(made)} = {scan}")
    lines += [f"h{i} = tl.expand_dims(s{i}, 0)" for i in every]
    lines += [f"x{i} = {_applied('p', 'h', i, count)} + t{i}" for i in every]
    before = [f"{_applied('q', 'h', i, count)} + r{i}" for i in every] if both else []
    lasts = [f"last_of(x{i}, i, reverse)" for i in every]
    lines.append(f"return {tuple_text([*before, *(f'x{i}' for i in every), *lasts])}")
    return tuple(part for line in lines for part in laid_out(line, 4))
