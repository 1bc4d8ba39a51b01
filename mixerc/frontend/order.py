"""The order in which `mixerc fmt` puts the lines of a spec."""

import heapq
from collections import defaultdict
from collections.abc import Iterable
from enum import IntEnum
from typing import assert_never

from mixerc.frontend.mentions import mentions, sums_over_time
from mixerc.frontend.syntax import (
    BlockLine,
    BranchLine,
    Clause,
    Define,
    Feature,
    InputLine,
    ParamLine,
    Recurrence,
    StateLine,
    Statement,
)


class Rank(IntEnum):
    """What a line is; lines stand in this order."""

    INPUT = 0
    CONSTANT = 1
    PARAM = 2
    STREAM = 3
    MASK = 4
    FEATURE = 5
    WEIGHT = 6
    VALUE = 7
    DECAY = 8
    NORMALIZE = 9
    STATE = 10
    BRANCH = 11
    CORE = 12
    OUTPUT = 13
    LAST = 14


# What is known of names before any line defines one.
GIVEN = dict.fromkeys(("x", "x0", "t", "s", "T"), Rank.STREAM) | {"o": Rank.OUTPUT}


def ranked(statements: Iterable[Statement]) -> list[tuple[Rank, Statement]]:
    """The statements in their canonical order: stable, and none above one that it uses."""
    written = list(statements)
    ranks = _ranks(written)
    above = _above(written)
    below: dict[int, list[int]] = defaultdict(list)
    for index, needed in enumerate(above):
        for other in needed:
            below[other].append(index)
    missing = [len(needed) for needed in above]
    ready = [(ranks[index], index) for index, count in enumerate(missing) if count == 0]
    heapq.heapify(ready)
    result = []
    while ready:
        rank, index = heapq.heappop(ready)
        result.append((rank, written[index]))
        for other in below[index]:
            missing[other] -= 1
            if missing[other] == 0:
                heapq.heappush(ready, (ranks[other], other))
    return result


def _ranks(statements: list[Statement]) -> list[Rank]:
    """The rank of each line, whatever order they are in: what a value reads lifts its rank."""
    known = dict(GIVEN)
    while True:
        ranks = [_rank(statement, known) for statement in statements]
        before = dict(known)
        for statement, rank in zip(statements, ranks, strict=True):
            for name in _gives(statement):
                known[name] = max(known.get(name, rank), rank)
        if known == before:
            return ranks


def _rank(statement: Statement, known: dict[str, Rank]) -> Rank:
    match statement:
        case InputLine():
            return Rank.INPUT
        case ParamLine():
            return Rank.PARAM
        case Define():
            return _rank_of_value(statement, known)
        case BlockLine():
            return Rank.STREAM
        case Clause(keyword=keyword):
            return Rank[keyword.upper()]
        case Feature():
            return Rank.FEATURE
        case StateLine():
            return Rank.STATE
        case BranchLine():
            return Rank.BRANCH
        case Recurrence():
            return Rank.CORE
        case _:
            assert_never(statement)


def _rank_of_value(define: Define, known: dict[str, Rank]) -> Rank:
    """A line belongs to the last part of the spec that it reads from."""
    names = _gives(define)
    read = {known[name] for name, _ in mentions(define) if name in known} - {Rank.CONSTANT}
    latest = max(read, default=Rank.CONSTANT)
    if "y" in names:
        return Rank.LAST
    if "o" in names:
        return Rank.CORE
    if latest >= Rank.OUTPUT:
        return Rank.OUTPUT
    if latest >= Rank.STATE or sums_over_time(define.expr):
        return Rank.CORE
    return Rank.STREAM if read else Rank.CONSTANT


def _gives(statement: Statement) -> set[str]:
    """The names that a line defines, or whose value it sets."""
    match statement:
        case InputLine() | ParamLine() | Define() | StateLine():
            return {declared.name for declared in statement.declared}
        case Feature() | BranchLine() | BlockLine() | Recurrence():
            return {statement.name}
        case Clause():
            return set()
        case _:
            assert_never(statement)


def _above(statements: list[Statement]) -> list[set[int]]:
    """For each line the lines above it that give a name which it reads, or gives too."""
    givers: dict[str, list[int]] = defaultdict(list)
    result = []
    for index, statement in enumerate(statements):
        gives = _gives(statement)
        names = gives | {name for name, _ in mentions(statement)}
        result.append({other for name in names for other in givers[name]})
        for name in gives:
            givers[name].append(index)
    return result
