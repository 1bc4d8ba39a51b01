"""What is known of a mixer's masks, in lines of text."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import groupby

from mixerc.algebra.masks import forms
from mixerc.algebra.masks.bands import Band, Bands
from mixerc.algebra.masks.conditions import TRUE, Condition, show
from mixerc.algebra.masks.cost import band_pairs
from mixerc.algebra.masks.extents import AllTokens, Extent, NoCache, Ring, extent
from mixerc.algebra.masks.of_mixer import Mask, masks_of
from mixerc.algebra.masks.plain import Plain, PlainMask, plain
from mixerc.algebra.masks.structure import Documents, Structure, Tiles, structure
from mixerc.algebra.masks.table import tile_table
from mixerc.algebra.masks.verdicts import Verdict, causality, rows
from mixerc.ir.expr import Read
from mixerc.ir.mixer import Branch, Mixer
from mixerc.ir.sorts import Heads, Kind, Time
from mixerc.ir.walk import walk

LENGTH = 4096
BLOCK = 64
WIDTHS = {"bf16": 2, "fp32": 4}
_BYTES = {Kind.BOOL: 1, Kind.INT: 8}


def mask_lines(mixer: Mixer, sizes: Mapping[str, float | Fraction]) -> Iterator[str]:
    """Pattern, order, rows, cache and tiles of each sum; heads with the same mask together.

    Raises MaskError for a mask that has no value at these sizes.
    """
    branches = {branch.name: branch for branch in mixer.core.branches}
    masks = masks_of(mixer, sizes)
    for (name, condition), same in groupby(masks, key=lambda mask: (mask.branch, mask.condition)):
        yield f"Mask{_place(list(same), len(branches))}:"
        yield from (f"  {line}" for line in _lines(condition, _token(mixer, branches[name], sizes)))


def _place(same: list[Mask], branches: int) -> str:
    of = f" of {same[0].branch}" if branches > 1 else ""
    first, last = same[0].head, same[-1].head
    if first is None:
        return of
    return f"{of}, head {first}" if first == last else f"{of}, heads {first} to {last}"


def _lines(condition: Condition, token: "Token") -> Iterator[str]:
    order, found, shape = causality(condition), plain(condition), structure(condition)
    yield f"keys    {pattern(condition, found)}"
    yield f"order   {_order(order)}"
    yield f"rows    {_rows(rows(condition))}"
    yield f"cache   {_cache(extent(condition, order), token)}"
    yield f"tiles   {_tiles(condition, shape)}"


def pattern(condition: Condition, found: PlainMask | None) -> str:
    """Which keys a query sees."""
    if found is None:
        return show(condition)
    text = {
        Plain.FULL: "all",
        Plain.CAUSAL: "all up to its own",
        Plain.WINDOW: f"the last {found.window:,}, its own among them" if found.window else "",
    }[found.kind]
    same = " and ".join(f"`{name}`" for name in found.documents)
    return f"{text}, of the same {same}" if same else text


def _order(verdict: Verdict) -> str:
    example = verdict.example
    if verdict.proved:
        return "causal, proved"
    if example is None:
        return f"not shown to be causal; no later key is seen up to T = {verdict.searched:,}"
    sees = "sees" if example.certain else "may see"
    return f"not causal: query t = {example.t} {sees} key s = {example.s}"


def _rows(verdict: Verdict) -> str:
    example = verdict.example
    if verdict.proved:
        return "every query sees a key, proved"
    if example is None:
        return "a query may see no key: that hangs on values"
    return f"query t = {example.t} of {example.length} sees no key; its output is 0"


def _cache(found: Extent, token: "Token") -> str:
    match found:
        case NoCache(reason=reason):
            return f"none. {reason}"
        case AllTokens(reason=reason):
            text = f"every token, {token}. {reason}"
        case Ring(window=window, pinned=pinned):
            first = f" and the first {pinned:,}" if pinned else ""
            total = (window + pinned) * token.count("bf16")
            text = f"the last {window:,} tokens{first}, {token}; {total:,} together."
    names = " and ".join(f"`{name}`" for name in found.documents)
    emptied = f" It may be emptied where {names} changes, if no number comes back."
    return text + (emptied if names else "")


def _tiles(condition: Condition, shape: Structure) -> str:
    table = tile_table(condition, LENGTH, BLOCK, BLOCK)
    count = (-(-LENGTH // BLOCK)) ** 2
    pairs = band_pairs(shape, LENGTH) if isinstance(shape, Bands) else None
    shown = f"{pairs:,} pairs in " if pairs is not None else ""
    seen = f"{shown}{table.visited:,} of {count:,} tiles, {int(table.full.sum()):,} of them full"
    most = "" if _is_static(shape) else "at most "
    return f"{_kind(shape)}; at T = {LENGTH:,} {most}{seen}"


def _is_static(shape: Structure) -> bool:
    return isinstance(shape, Bands) or (isinstance(shape, Tiles) and not shape.reads + shape.open)


def _kind(shape: Structure) -> str:
    match shape:
        case Bands(bands=bands):
            return "loop bounds: " + (", ".join(map(_band, bands)) or "no keys")
        case Documents(streams=streams, inner=inner):
            names = " and ".join(f"`{name}`" for name in streams)
            return f"runs of equal {names}, within them {_kind(inner)}"
        case Tiles(reads=reads):
            names = ", ".join(f"`{name}`" for name in reads)
            return f"a table of tiles, from the values of {names}" if names else "a table of tiles"


def _band(band: Band) -> str:
    low = _extreme("max", band.lower) or "0"
    text = f"{low} <= s < {_extreme('min', band.upper) or 'T'}"
    if band.first or band.last:
        first, last = _extreme("max", band.first) or "0", _extreme("min", band.last) or "T"
        text += f" for {first} <= t < {last}"
    return text if band.guard == TRUE else f"{text} with {show(band.guard)}"


def _extreme(name: str, ends: Iterable[forms.Form]) -> str:
    texts = [forms.show(end) for end in ends]
    return f"{name}({', '.join(texts)})" if len(texts) > 1 else "".join(texts)


class Token:
    """What a cache keeps of a token: numbers of the streams that later queries read, and bytes
    of those that the mask reads."""

    def __init__(self, numbers: Mapping[str, int], others: int) -> None:
        self.numbers, self.others = numbers, others

    def count(self, dtype: str) -> int:
        """Bytes a token."""
        return sum(self.numbers.values()) * WIDTHS[dtype] + self.others

    def __str__(self) -> str:
        names = ", ".join(f"`{name}`" for name in self.numbers)
        return f"each with {names}: {self.count('bf16'):,} bytes a layer in bf16"


def _token(mixer: Mixer, branch: Branch, sizes: Mapping[str, float | Fraction]) -> Token:
    numbers, others = {}, {}
    lines = {line.name: line for line in mixer.lines}
    for part in (branch.weight, branch.value, branch.mask):
        for node in walk(part):
            if isinstance(node, Read) and node.time == Time.S and node.name in lines:
                sort = lines[node.name].sort
                count = _copies(sort.heads, sizes)
                for axis in sort.axes:
                    count *= int(sizes[axis.rstrip("'")])
                if sort.kind in _BYTES:
                    others[node.name] = count * _BYTES[sort.kind]
                else:
                    numbers[node.name] = count * (2 if sort.kind == Kind.COMPLEX else 1)
    if branch.decay is not None:
        # A decay is kept as its running product, one number for each of its own.
        numbers["decay"] = _copies(branch.decay.sort.heads, sizes)
    return Token(numbers, sum(others.values()))


def _copies(heads: Heads, sizes: Mapping[str, float | Fraction]) -> int:
    return 1 if heads.shared else int(sizes.get(heads.group, sizes["heads"]))
