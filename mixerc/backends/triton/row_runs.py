"""How a recurrence's file runs its programs: rows at once, and the table of tiles.

A kernel over tiles of rows holds a number of places, rows times places of axes, that follows from
how many tiles it holds at once; token by token a tile has a block of each axis, as ever.
"""

from functools import partial

from mixerc.backends.module.layout import tuple_text
from mixerc.backends.triton.kernel_view import KernelView
from mixerc.backends.triton.launches import LaunchView
from mixerc.backends.triton.row_by_row import ROWS
from mixerc.backends.triton.tiling import Hardware
from mixerc.plan.recurrence import RecurrencePlan

_PLACES = (8, 4, 2, 1)
"""Places of a tile that a thread has."""
_WORDS = 132
"""Places of all tiles that a thread can hold at once. Calibrated on what compilers say of the
shipped specs, which the tests keep as data; addresses of rows take as much again."""


def row_forward_lines(plan: RecurrencePlan) -> tuple[str, ...]:
    """The forward of the file, behind the sizes."""
    program = "program, chunk = recurrent_piece, 1"
    if plan.forward is not None:
        program += ' if recurrent else (forward_piece, rows_at_once("forward_1", size))'
        program = program.replace("recurrent_piece, 1", "(recurrent_piece, 1)")
    return (
        *_newton_lines(plan),
        program,
        "run = (program, chunk, streams, constants, states, size, outputs, cu_seqlens, in_place)",
        "return [*outputs, *run_forward(*run, RowRun)]",
    )


def _newton_lines(plan: RecurrencePlan) -> tuple[str, ...]:
    """The forward by Newton's method, where there is no other over all rows."""
    if plan.newton is None:
        return ()
    guessed = tuple_text([*map(str, plan.guessed)])
    return (
        "if not recurrent:",
        f"    programs = (newton_piece, {guessed}, states_piece, recurrent_piece)",
        '    run = (programs, rows_at_once("newton_1", size), streams, constants, states, size)',
        "    return [*outputs, *newton_forward(*run, outputs, cu_seqlens)]",
    )


def row_backward_lines(plan: RecurrencePlan) -> tuple[str, ...]:
    """The backward of the file."""
    of_states = tuple_text([*map(str, plan.moved)])
    tiled = plan.forward is not None or not plan.backward.row_by_row
    chunk = 'rows_at_once("backward_1", size)' if tiled else str(ROWS)
    if plan.newton is None:
        return (f"return run_backward(programs, {chunk}, *run, RowRun, {of_states})",)
    return (
        "kept = None if kept is None else halves_before(kept)",
        f"return run_backward(programs, {chunk}, *run, RowRun, {of_states}, kept)",
    )


def row_tiles(views: tuple[LaunchView, ...], hardware: Hardware) -> str:
    """The table of tiles, and what a thread may use of registers."""
    tiles, whole = [], []
    for template, kernel in (pair for view in views for pair in view.kernels):
        tiles.append(f'    "{kernel.name}": {_tile(template, kernel, hardware)},')
        whole.append(f'    "{kernel.name}": {_whole(kernel)},')
    registers = {"maxnreg": hardware.registers} if hardware.registers else {}
    head = f"REGISTERS = {registers}".replace("'", '"')
    return "\n".join((head, "TILES = {", *tiles, "}", "WHOLE = {", *whole, "}"))


def over_rows(views: tuple[LaunchView, ...], hardware: Hardware) -> tuple[str, ...]:
    """What a file of kernels over chunks says of others over rows."""
    kernels = [pair for view in views for pair in view.kernels]
    return (
        *(f'TILES["{k.name}"] = {_tile(template, k, hardware)}' for template, k in kernels),
        *(["WHOLE = {", *(f'    "{k.name}": {_whole(k)},' for _, k in kernels), "}"]),
    )


def _whole(kernel: KernelView) -> str:
    """The axes of which a kernel's tiles hold every place."""
    return tuple_text([f'"{axis}"' for axis in kernel.axes if axis not in kernel.split])


def _tile(template: str, kernel: KernelView, hardware: Hardware) -> tuple[int, int]:
    if kernel.doors.tokens:
        return hardware.tiling(partial(kernel.held, 1), tokens=True)
    if template == "map":
        return hardware.tiling(partial(kernel.held, ROWS))
    places = next((p for p in _PLACES if p * kernel.weight <= _WORDS), _PLACES[-1])
    return 32 * kernel.warps * places, kernel.warps
