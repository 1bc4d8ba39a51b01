"""What no compiled core speaks of, whatever its class."""

from mixerc.algebra.terms import NotLinear
from mixerc.ir.expr import Norm, Position, Read, Size
from mixerc.ir.mixer import Input, Mixer, Param
from mixerc.ir.sorts import Time
from mixerc.ir.walk import core_expressions, walk


def refuse_unsupported(mixer: Mixer) -> None:
    """Raises NotLinear for tables, lengths, positions, steps of layers, and earlier inputs."""
    for line in mixer.lines:
        if isinstance(line, Input | Param) and line.index and line.name in mixer.core.inputs:
            raise NotLinear(f"the core reads the table `{line.name}`", line.span)
    states = {state.name for state in mixer.core.states}
    for expr in core_expressions(mixer.core):
        for e in walk(expr):
            match e:
                case Size(name="T"):
                    raise NotLinear("the core reads the length `T`", e.span)
                case Norm():
                    raise NotLinear("the core has a step of a layer", e.span)
                case Position():
                    raise NotLinear("the core reads the position of a token", e.span)
                case Read(name=name, time=Time.PREVIOUS) if name not in states:
                    raise NotLinear(f"the core reads the token before (`{name}[t-1]`)", e.span)
