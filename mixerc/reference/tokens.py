"""One token of a run: what every name and time means there."""

from collections.abc import Mapping
from dataclasses import dataclass

from mixerc.ir.mixer import Mixer
from mixerc.ir.sorts import Time
from mixerc.reference import named
from mixerc.reference.domain import Domain
from mixerc.reference.evaluate import Scope, no_step
from mixerc.reference.named import KEYS, Named
from mixerc.reference.sequence import Sequence, look_up
from mixerc.reference.sizes import Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What all tokens of a run share."""

    mixer: Mixer
    domain: Domain
    sizes: Sizes
    sequence: Sequence
    constants: Mapping[str, Named]


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """The new token number `index` (negative: one of the past that is kept).

    `old` are the core's values after the token before, `now` those computed so far.
    """

    run: Run
    index: int
    old: Mapping[str, Named]
    now: Mapping[str, Named]

    @property
    def position(self) -> int:
        """The token's place in the whole sequence."""
        return self.run.sequence.start + self.index


def scope_of(token: Token) -> Scope:
    """The scope in which the core's expressions are evaluated at a token."""
    run = token.run
    return Scope(
        domain=run.domain,
        sizes=run.sizes,
        read=lambda name, time: _read(token, name, time),
        position=lambda time: _position(token, time),
        step=no_step,
        tokens=run.sequence.start + run.sequence.count,
    )


def key_positions(sequence: Sequence) -> list[int]:
    """The positions of the tokens that are kept or new."""
    held = len(next(iter(sequence.tokens.values())))
    end = sequence.start + sequence.count
    return list(range(end - held, end))


def _position(token: Token, time: Time) -> Named:
    domain, sequence = token.run.domain, token.run.sequence
    if time is not Time.S:
        return Named(domain.number(token.position), ())
    keys = key_positions(sequence)
    first = Named(domain.number(keys[0]), ())
    return named.apply(domain, "add", [Named(domain.arange(len(keys)), (KEYS,)), first])


def _read(token: Token, name: str, time: Time) -> Named:
    sequence = token.run.sequence
    if time is Time.PREVIOUS:
        return _previous(token, name)
    if name in token.now:
        return token.now[name]
    if name in sequence.streams:
        return sequence.streams[name] if time is Time.S else _stream(token, name, token.index)
    if name in token.run.constants:
        return token.run.constants[name]
    if name in sequence.tables:
        table = sequence.tables[name]
        return look_up(token.run.domain, table, token.position, key_positions(sequence))
    raise ValueError(f"{name} is read before it has a value")


def _previous(token: Token, name: str) -> Named:
    if name in token.old:
        return token.old[name]
    return _stream(token, name, token.index - 1)


def _stream(token: Token, name: str, index: int) -> Named:
    """One token of a stream; 0 before the first."""
    tokens = token.run.sequence.tokens[name]
    place = len(tokens) - token.run.sequence.count + index
    if place >= 0:
        return tokens[place]
    domain, like = token.run.domain, tokens[0]
    zeros = domain.zeros(tuple(like.array.shape), False)
    return Named(zeros, like.dims)
