"""The meaning of a mixer's core: token by token, as its equations say, over any domain."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from mixerc.ir.expr import Read
from mixerc.ir.mixer import CoreLine, Mixer, Update, Value
from mixerc.ir.sorts import Kind, Sort
from mixerc.ir.walk import walk
from mixerc.reference import named
from mixerc.reference.domain import Array, Domain
from mixerc.reference.evaluate import Scope, evaluate, no_step
from mixerc.reference.float64 import FLOAT64
from mixerc.reference.named import BATCH, KEYS, Named
from mixerc.reference.sequence import (
    core_reads,
    gather,
    keeps_everything,
    kept_tokens,
    value_dims,
)
from mixerc.reference.sizes import Sizes, infer_sizes, lengths
from mixerc.reference.sums import branch_row, next_decays
from mixerc.reference.tokens import Run, Token, scope_of

State = dict[str, Any]


def run_core(
    mixer: Mixer,
    inputs: Mapping[str, Any],
    sizes: Sizes,
    *,
    domain: Domain = FLOAT64,
    state: Mapping[str, Any] | None = None,
) -> tuple[Array, State]:
    """The core's output [B, T, H, axes] and what a next call needs to go on.

    Inputs are streams [B, T, H, axes], or [B, T, G, axes] if grouped and [B, T, axes] if they
    belong to no head, and parameters [H, axes]. The state holds each declared state of a
    recurrence [B, H, axes], the number `t` of tokens so far, and the past of the streams
    [B, T, H, axes] that later tokens read: all of it for a sum, one token for `u[t-1]`.
    """
    known = infer_sizes(mixer, inputs, sizes)
    before = dict(state or {})
    sequence = gather(mixer, inputs, known, domain, before)
    constants = compute_constants(mixer, sequence.constants, known, domain)
    run = Run(mixer=mixer, domain=domain, sizes=known, sequence=sequence, constants=constants)
    old = _initial(run, before)
    decays: dict[str, Named | None] = {}
    outputs = []
    for index in range(-sequence.start if mixer.core.branches else 0, sequence.count):
        now: dict[str, Named] = {}
        scope = scope_of(Token(run=run, index=index, old=old, now=now))
        for branch in mixer.core.branches:
            decays[branch.name] = next_decays(branch, decays.get(branch.name), scope)
        if index >= 0:
            _compute(run, decays, scope, now)
            output = evaluate(mixer.core.output.expr, scope)
            outputs.append(_settle(mixer.core.output.sort, output, run))
            old = now
    return _stacked(outputs, run), _final(run, old)


def compute_constants(
    mixer: Mixer, given: Mapping[str, Named], sizes: Sizes, domain: Domain
) -> dict[str, Named]:
    """The given values of no time and those that the core reads and must compute from them."""
    wanted = {read.name for read in core_reads(mixer.core)} - set(mixer.core.inputs)
    lines = [line for line in mixer.lines if isinstance(line, Value)]
    for line in reversed(lines):
        if line.name in wanted:
            wanted |= {node.name for node in walk(line.expr) if isinstance(node, Read)}
    values = dict(given)
    scope = Scope(
        domain=domain,
        sizes=sizes,
        read=lambda name, time: values[name],
        position=_no_position,
        step=no_step,
    )
    for line in lines:
        if line.name in wanted and line.name not in mixer.core.inputs:
            values[line.name] = evaluate(line.expr, scope)
    return values


def _no_position(time: object) -> Named:
    raise ValueError("a constant has no time")


def _compute(
    run: Run, decays: Mapping[str, Named | None], scope: Scope, now: dict[str, Named]
) -> None:
    """The core's branches and lines at one token, in order, into `now`."""
    core = run.mixer.core
    for branch in core.branches:
        row = branch_row(branch, decays[branch.name], scope)
        now[branch.name] = _settle(branch.sort, row, run)
    sorts = {state.name: state.sort for state in core.states}
    for line in core.lines:
        name, sort = _target(line, sorts)
        now[name] = _settle(sort, evaluate(line.expr, scope), run)


def _target(line: CoreLine, states: Mapping[str, Sort]) -> tuple[str, Sort]:
    match line:
        case Update(state=state):
            return state, states[state]
        case Value(name=name, sort=sort):
            return name, sort
        case _:
            assert_never(line)


def _settle(sort: Sort, value: Named, run: Run) -> Named:
    """A value of one token in its declared layout [BATCH, heads, axes]."""
    dims = value_dims(sort)
    sizes = lengths(run.sizes, dims[1:]) | {BATCH: run.sequence.batch}
    settled = named.conform(run.domain, value, dims, sizes)
    for dim in dims:
        if settled.size(dim) != sizes[dim]:
            raise ValueError(f"a value has {settled.size(dim)} along {dim}, not {sizes[dim]}")
    return settled


def _zeros(sort: Sort, run: Run) -> Named:
    dims = value_dims(sort)
    sizes = lengths(run.sizes, dims[1:]) | {BATCH: run.sequence.batch}
    shape = tuple(sizes[dim] for dim in dims)
    return Named(run.domain.zeros(shape, sort.kind is Kind.COMPLEX), dims)


def _initial(run: Run, state: Mapping[str, Any]) -> dict[str, Named]:
    """States and core values that `[t-1]` finds at the first token: given, or 0."""
    core = run.mixer.core
    sorts = {s.name: s.sort for s in core.states}
    lines = [line for line in core.lines if isinstance(line, Value)]
    sorts |= {line.name: line.sort for line in lines if line.name in kept_tokens(core)}
    values = {}
    for name, sort in sorts.items():
        zeros = _zeros(sort, run)
        given = name in state
        values[name] = Named(run.domain.convert(state[name]), zeros.dims) if given else zeros
    return values


def _stacked(outputs: Sequence[Named], run: Run) -> Array:
    """The tokens' outputs as one array [B, T, H, axes]."""
    arrays = [output.array for output in outputs]
    if arrays:
        return run.domain.stack(arrays, 1)
    zeros = _zeros(run.mixer.core.output.sort, run)
    shape = tuple(zeros.array.shape)
    return run.domain.zeros((shape[0], 0, *shape[1:]), False)


def _final(run: Run, old: Mapping[str, Named]) -> State:
    core, sequence = run.mixer.core, run.sequence
    state: State = {"t": sequence.start + sequence.count}
    kept = kept_tokens(core)
    names = {s.name for s in core.states} | {name for name in kept if name in old}
    state |= {name: value.array for name, value in old.items() if name in names}
    for name, value in sequence.streams.items():
        held = value.size(KEYS)
        keep = held if keeps_everything(core) else min(held, int(name in kept))
        if keep:
            places = range(held - keep, held)
            state[name] = named.take(run.domain, value, KEYS, places).array
    return state
