"""The decays of a sweep in its kernels: what they read and carry, and the lines of a tile.

The product over s < j <= t is made of sums of logarithms over contiguous runs: within the block of
queries, within the block of keys, and over what lies between, which grows as a kernel walks away
from the diagonal. The device functions are in templates/triton/device.py.
"""

from dataclasses import dataclass

from mixerc.backends.triton.doors import HERE, THERE, Door

Carried = tuple[tuple[str, str], ...]
"""Variables that go from tile to tile, with their first values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecayText:
    """What a kernel has of decays: doors whose tiles it loads and others; what it passes to a tile
    and carries; lines before its loops, before each head, in a tile, and for its adjoint."""

    here: tuple[Door, ...] = ()
    there: tuple[Door, ...] = ()
    held: tuple[Door, ...] = ()
    outs: tuple[Door, ...] = ()
    passed: tuple[str, ...] = ()
    carried: Carried = ()
    before: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    tile: tuple[str, ...] = ()
    adjoint: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tile)


NO_DECAY = DecayText()
_LOGS = Door(name="logs", side=THERE)
_ZERO = "tl.zeros([], ACC)"
_NONE = "tl.zeros((HERE,), ACC)"


def decay_text(kind: str, *, exponential: bool) -> DecayText:
    """The text of a kernel."""
    match kind:
        case "keys":
            return _keys(exponential)
        case "token":
            return _token(exponential)
        case _:
            return _rows(exponential, back=kind == "rows")


def _joined(exponential: bool) -> str:
    return "score = score + decay" if exponential else "score = score * tl.exp(decay)"


def _adjoint(exponential: bool, *lines: str) -> tuple[str, ...]:
    """Lines that read `d`, the cotangent of the logarithm of a pair's decay."""
    if exponential:
        return ("d = d_score", *lines)
    return ("d = d_score * score", *lines, "d_score = d_score * tl.exp(decay)")


def _rows(exponential: bool, *, back: bool) -> DecayText:
    call = "first, stop, near, between, edge, runs, logs_from, logs_row, THERE, ACC"
    plain = DecayText(
        here=(Door(name="runs", side=HERE),),
        held=(_LOGS,),
        passed=("near", "logs_from", "logs_row"),
        carried=(("between", _ZERO), ("edge", "near")),
        before=("near = here_first + start",),
        tile=(f"decay, between, edge = decay_of_rows({call})", _joined(exponential)),
    )
    if not back:
        return plain
    out = Door(name="d_runs", side=HERE)
    made = "tl.cumsum(d_far, axis=0, reverse=True) + d_near"
    line = (
        "d_far, d_near = d_decay_of_rows("
        "d, first, stop, near, d_far, d_near, d_sums_from + number, THERE)"
    )
    return DecayText(
        here=plain.here,
        held=(_LOGS, Door(name="d_sums", side="")),
        outs=(out,),
        passed=(*plain.passed, "d_sums_from"),
        carried=(*plain.carried, ("d_far", _NONE), ("d_near", _NONE)),
        before=(*plain.before, "d_sums_from += block * d_sums_row"),
        tile=plain.tile,
        adjoint=_adjoint(exponential, line),
        after=(f"d_runs = {made}", out.store("d_runs", "i", "here", "here_in")),
    )


def _keys(exponential: bool) -> DecayText:
    call = (
        "first + start, stop + start, here_first, here_stop, between, edge, runs, "
        "logs_from, logs_row, HERE, ACC"
    )
    edge = "tl.minimum(here_first + HERE, here_stop)"
    out = Door(name="d_logs", side=HERE)
    line = "d_before = d_decay_of_keys(d, first + start, here_first, here_stop, d_before)"
    return DecayText(
        there=(Door(name="runs", side=THERE),),
        held=(_LOGS,),
        outs=(out,),
        passed=("here_first", "here_stop", "start", "logs_from", "logs_row"),
        carried=(("between", _ZERO), ("edge", edge), ("d_before", _NONE)),
        within=(f"between, edge = {_ZERO}, {edge}",),
        tile=(f"decay, between, edge = decay_of_keys({call})", _joined(exponential)),
        adjoint=_adjoint(exponential, line),
        after=(out.store("sums_before(d_before)", "i", "here", "here_in"),),
    )


def _token(exponential: bool) -> DecayText:
    place = "since_from + tl.arange(0, HERE)[:, None] * since_row + first + j[None, :]"
    return DecayText(
        held=(Door(name="since", side=HERE),),
        passed=("since_from", "since_row"),
        tile=(
            f"decay = tl.load({place}, mask=t_in[:, None] & s_in[None, :], other=0.0)",
            _joined(exponential),
        ),
    )
