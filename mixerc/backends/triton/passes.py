"""The kernels of a tile sweep: what is special to each.

`forward` and `rows` have a program for each block of queries of a head, `keys` one for each block
of keys of a group of heads, and `token` one for each part of a cache. What they visit is in closed
form where the mask is bands of keys, and in tables of tiles elsewhere.
"""

from collections.abc import Mapping

from mixerc.algebra.attention import UNIT, MaskedSum
from mixerc.backends.module.identifiers import identifier
from mixerc.backends.triton.doors import HERE, THERE, Door
from mixerc.backends.triton.pass_view import Parts, PassView, Writer
from mixerc.backends.triton.values import block_of
from mixerc.backends.triton.visit import VALUE_AXIS, Orientation, Visit, VisitPrinter
from mixerc.plan import nodes as n
from mixerc.plan.sweep import Sweep


class Passes:
    """Prints the kernels of one sum."""

    def __init__(self, sweep: Sweep, each: MaskedSum, sizes: Mapping[str, float]) -> None:
        self.sweep, self.each, self.sizes = sweep, each, sizes
        self.numbers: dict[str, str] = {}
        self.stem = identifier(sweep.name)

    def views(self) -> tuple[PassView, ...]:
        """All kernels, in the order of the file."""
        return self._forward(), self._rows(), self._keys(), self._token()

    def _printer(self, orientation: Orientation) -> VisitPrinter:
        return VisitPrinter(self.sweep, orientation, self.numbers, self.sizes)

    def _forward(self) -> PassView:
        orientation = Orientation()
        printer = self._printer(orientation)
        visit = printer.visit()
        parts = self._summing(printer, "forward", "The sum of each query.")
        return self._written(orientation, visit, parts)

    def _token(self) -> PassView:
        """One token after the slots of a cache, whose rows are the heads of a group."""
        orientation = Orientation(heads=True)
        printer = self._printer(orientation)
        visit = printer.visit()
        parts = self._summing(printer, "token", "One token, a part of a cache a program.")
        return self._written(orientation, visit, parts)

    def _written(self, orientation: Orientation, visit: Visit, parts: Parts) -> PassView:
        writer = Writer(
            sweep=self.sweep,
            each=self.each,
            stem=self.stem,
            numbers=tuple(self.numbers.values()),
        )
        return writer.view(orientation, visit, parts)

    def _summing(self, printer: VisitPrinter, kind: str, summary: str) -> Parts:
        """What kernels have in common that make the sum itself."""
        lines, divisor, more = printer.divisor() if kind == "forward" else ((), "", ())
        out = Door(name="out", side=HERE, axes=(VALUE_AXIS,))
        tops, weights = (Door(name=name, side=HERE) for name in ("tops", "weights"))
        after = ["top = tl.where(weight == 0, 0.0, top)"] if self.sweep.stable else []
        after += lines
        if divisor:
            after += [
                f"divisor = {divisor}",
                "total = total / tl.where(divisor == 0, 1.0, divisor)[:, None]",
            ]
        stored = ((out, "total"), (tops, "top"), (weights, "weight"))
        after += [door.store(value, "i", "here", "here_in") for door, value in stored]
        reads = self.sweep.divisor.loads if self.sweep.divisor is not None else ()
        of_unit = any(load.name == UNIT for load in reads)  # e^-m is held to 1 at most
        least = "-3.0e38" if self.sweep.stable and not of_unit else "0.0"
        return Parts(
            kind=kind,
            summary=summary,
            template="summed.py.j2",
            carried=(
                ("total", f"tl.zeros((HERE, {block_of(VALUE_AXIS)}), ACC)"),
                ("top", f"tl.full((HERE,), {least}, ACC)"),
                ("weight", "tl.zeros((HERE,), ACC)"),
            ),
            here=more,
            there=(Door(name="value", side=THERE, axes=(VALUE_AXIS,), multiplied=True),),
            outs=(out, tops, weights),
            after=tuple(after),
        )

    def _rows(self) -> PassView:
        """The cotangents of what scores read of queries, and of constants."""
        orientation = Orientation()
        visit = self._printer(orientation).visit(lambda axes: n.KEY_ROW not in axes)
        parts = self._back(visit, "rows", "Cotangents of what scores read of queries.")
        return self._written(orientation, visit, parts)

    def _keys(self) -> PassView:
        """The cotangents of what scores read of keys, and of the value."""
        orientation = Orientation(turned=True)
        visit = self._printer(orientation).visit(lambda axes: n.ROW in axes)
        parts = self._back(visit, "keys", "Cotangents of what scores read of keys, and the value.")
        return self._written(orientation, visit, parts)

    def _back(self, visit: Visit, kind: str, summary: str) -> Parts:
        keys = kind == "keys"
        query, key = (THERE, HERE) if keys else (HERE, THERE)
        value = Door(name="value", side=key, axes=(VALUE_AXIS,), multiplied=True)
        of_rows = (
            Door(name="cotangent", side=query, axes=(VALUE_AXIS,), multiplied=True),
            *(Door(name=name, side=query) for name in ("tops", "scale", "shift")),
        )
        outs = [door for door, _ in visit.gives]
        if keys:
            outs.append(Door(name="d_value", side=HERE, axes=(VALUE_AXIS,)))
        carried = tuple((f"{door.tile}", f"tl.zeros({_shape(door)}, ACC)") for door in outs)
        return Parts(
            kind=kind,
            summary=summary,
            template="back.py.j2",
            carried=carried,
            here=(value,) if keys else of_rows,
            there=of_rows if keys else (value,),
            outs=tuple(outs),
            after=tuple(door.store(door.tile, "i", "here", "here_in") for door in outs),
        )


def _shape(door: Door) -> str:
    lengths = [*(["HERE"] if door.side else []), *(block_of(axis) for axis in door.axes)]
    return f"({', '.join(lengths)}{',' if len(lengths) == 1 else ''})" if lengths else "[]"
