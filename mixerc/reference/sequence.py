"""What the core reads from outside: streams token by token, tables, values of no time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixerc.ir.expr import Read, TimeSum
from mixerc.ir.mixer import Core, Mixer
from mixerc.ir.sorts import Sort, Time
from mixerc.ir.walk import walk
from mixerc.reference import named
from mixerc.reference.domain import Domain
from mixerc.reference.named import BATCH, HEADS, KEYS, TIME, Dims, Named, head_dims
from mixerc.reference.sizes import Sizes, count_of, length, lengths, number_of
from mixerc.reference.sources import Source, source_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A value declared over times: dimensions TIME and KEYS count blocks of so many tokens."""

    value: Named
    blocks: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """The inputs of one run.

    `streams` [BATCH, KEYS, heads, axes] hold what is kept of the past and then the new tokens,
    `tokens` the same one by one; the last `count` of them are new and the first new one has the
    position `start`.
    """

    streams: Mapping[str, Named]
    tokens: Mapping[str, tuple[Named, ...]]
    constants: Mapping[str, Named]
    tables: Mapping[str, Table]
    batch: int
    count: int
    start: int


def core_reads(core: Core) -> list[Read]:
    """Every read of the core, in order."""
    roots = [line.expr for line in core.lines]
    for branch in core.branches:
        parts = (branch.mask, branch.weight, branch.value, branch.decay, branch.normalize)
        roots += [part for part in parts if part is not None]
    roots.append(core.output.expr)
    return [node for root in roots for node in walk(root) if isinstance(node, Read)]


def keeps_everything(core: Core) -> bool:
    """Whether a later token may look at every earlier one."""
    lines = [line.expr for line in (*core.lines, core.output)]
    sums = any(isinstance(node, TimeSum) for line in lines for node in walk(line))
    return bool(core.branches) or sums


def kept_tokens(core: Core) -> frozenset[str]:
    """The names whose last token is read by the next one (`u[t-1]`, states aside)."""
    states = {state.name for state in core.states}
    previous = {read.name for read in core_reads(core) if read.time is Time.PREVIOUS}
    return frozenset(previous - states)


def stream_dims(sort: Sort) -> Dims:
    """The layout of a stream: [BATCH, KEYS, heads or groups, axes]."""
    return (BATCH, KEYS, *head_dims(sort.heads), *sort.axes)


def value_dims(sort: Sort) -> Dims:
    """The layout of one token of a core value: [BATCH, heads, axes]."""
    heads = () if sort.heads.shared else (HEADS,)
    return (BATCH, *heads, *sort.axes)


def gather(
    mixer: Mixer, inputs: Mapping[str, Any], sizes: Sizes, domain: Domain, state: Mapping[str, Any]
) -> Sequence:
    """Sort the inputs by what they are, and put the kept past before the new tokens."""
    streams: dict[str, Named] = {}
    constants: dict[str, Named] = {}
    tables: dict[str, Table] = {}
    new: dict[str, Named] = {}
    for name in mixer.core.inputs:
        if name not in inputs:
            raise ValueError(f"the core of {mixer.name} reads {name}, which is not given")
        source, array = source_of(mixer, name), domain.convert(inputs[name])
        if source.index:
            tables[name] = as_table(Named(array, table_dims(source)), source, sizes)
        elif source.stream:
            new[name] = _shaped(name, array, stream_dims(source.sort), sizes, domain)
            streams[name] = _with_past(name, new[name], sizes, domain, state)
        else:
            constants[name] = _constant(name, array, source, sizes, domain)
    if not new:
        raise ValueError(f"the core of {mixer.name} reads no stream, so it has no length")
    first = next(iter(new.values()))
    return Sequence(
        streams=streams,
        tokens={name: named.unstack(domain, value, KEYS) for name, value in streams.items()},
        constants=constants,
        tables=tables,
        batch=first.size(BATCH),
        count=first.size(KEYS),
        start=int(state.get("t", 0)),
    )


def _shaped(name: str, array: Any, dims: Dims, sizes: Sizes, domain: Domain) -> Named:
    """The array as a value of these dimensions, its lengths checked, groups on heads."""
    if len(array.shape) != len(dims):
        raise ValueError(f"{name} should have the dimensions {dims}, not {tuple(array.shape)}")
    value = Named(array, dims)
    for dim, size in lengths(sizes, tuple(d for d in dims if d not in (BATCH, KEYS))).items():
        if value.size(dim) != size:
            raise ValueError(f"{name} has {value.size(dim)} along {dim}, not {size}")
    return on_heads(value, sizes, domain)


def on_heads(value: Named, sizes: Sizes, domain: Domain) -> Named:
    """In the core a value of groups stands for each head of its group."""
    if any(named.group_of(dim) is not None for dim in value.dims):
        return named.on_heads(domain, value, length(sizes, "heads"))
    return value


def _with_past(
    name: str, new: Named, sizes: Sizes, domain: Domain, state: Mapping[str, Any]
) -> Named:
    if name not in state:
        return new
    past = Named(domain.convert(state[name]), new.dims)
    return named.concat(domain, [past, new], KEYS)


def _constant(name: str, array: Any, source: Source, sizes: Sizes, domain: Domain) -> Named:
    """A value of no time; it may still differ from sequence to sequence (a sum over time)."""
    dims = (*head_dims(source.sort.heads), *source.sort.axes)
    if len(array.shape) == len(dims) + 1:
        dims = (BATCH, *dims)
    return _shaped(name, array, dims, sizes, domain)


def table_dims(source: Source) -> Dims:
    """The layout of a value of no stream: heads, axes, then the times of a table."""
    times = {"t": TIME, "s": KEYS}
    entries = tuple(times[name] for name, _ in source.index)
    return (*head_dims(source.sort.heads), *source.sort.axes, *entries)


def as_table(value: Named, source: Source, sizes: Sizes) -> Table:
    """A table with the number of tokens that each of its rows and columns stands for."""
    blocks = {
        name: 1 if block is None else count_of(name, number_of(block, sizes))
        for name, block in source.index
    }
    return Table(value=value, blocks=blocks)


def look_up(domain: Domain, table: Table, rows: list[int] | int, keys: list[int]) -> Named:
    """The entries of a table at the positions `rows` (one: the dimension goes) and `keys`."""
    value = table.value
    if KEYS in value.dims:
        value = named.take(domain, value, KEYS, [s // table.blocks["s"] for s in keys])
    if TIME in value.dims and isinstance(rows, int):
        return named.select(domain, value, TIME, rows // table.blocks["t"])
    if TIME in value.dims and isinstance(rows, list):
        return named.take(domain, value, TIME, [t // table.blocks["t"] for t in rows])
    return value
