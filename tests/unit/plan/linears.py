"""Linear mixers for the tests of plans: every place where a decay can lie, read before or after."""

from mixerc.algebra.linear import Linear, LinearState, Readout, Write
from mixerc.algebra.terms import Factor
from mixerc.ir.expr import Apply, Contract, Expr, Read
from mixerc.ir.sorts import EACH, Sort, Time

TOKEN = frozenset({"t"})


def stream(name: str, *axes: str) -> Read:
    return Read(name=name, time=Time.T, sort=Sort(axes=axes, heads=EACH, times=TOKEN))


def product(*exprs: Expr) -> tuple[Factor, ...]:
    return tuple(Factor(expr=expr) for expr in exprs)


SCALAR, KEYS, VALUES = stream("g"), stream("a", "K"), stream("b", "V")
DECAYS = {
    "identity": (),
    "scalar": (SCALAR,),
    "keys": (KEYS,),
    "values": (VALUES,),
    "both": (KEYS, VALUES),
    "scalar and keys": (SCALAR, KEYS),
    "scalar and values": (SCALAR, VALUES),
}


def linear(decays: tuple[Expr, ...], *, before: bool, bonus: bool = False) -> Linear:
    """S = decays ∘ S + k vᵀ read by q; with the bonus, o also has (q · (u ∘ k)) v."""
    write = Write(key=product(stream("k", "K")), value=product(stream("v", "V")))
    state = LinearState(name="S", axes=("K", "V"), key_axes=("K",), decays=decays, writes=(write,))
    read = Readout(name="#0", state="S", query=product(stream("q", "K")), before=before)
    output: Expr = stream("#0", "V")
    if bonus:
        output = _plus_bonus(output)
    return Linear(states=(state,), readouts=(read,), output=output)


def _plus_bonus(output: Expr) -> Expr:
    u = Read(name="u", time=Time.NONE, sort=Sort(axes=("K",), heads=EACH))
    weighed = Apply(primitive="mul", operands=(u, stream("k", "K")), sort=stream("k", "K").sort)
    score = Contract(
        left=stream("q", "K"),
        right=weighed,
        left_axis="K",
        right_axis="K",
        sort=Sort(heads=EACH, times=TOKEN),
    )
    sort = output.sort
    local = Apply(primitive="mul", operands=(score, stream("v", "V")), sort=sort)
    return Apply(primitive="add", operands=(output, local), sort=sort)


def shapes(decays: tuple[Expr, ...], tokens: int, k: int, v: int, *, bonus: bool = False):
    """Shapes of the inputs, one batch row and head."""
    sizes = {"K": k, "V": v}
    streams = [stream("q", "K"), stream("k", "K"), stream("v", "V"), *decays]
    found = {s.name: (tokens, *(sizes[a] for a in s.sort.axes)) for s in streams}
    return {**found, "u": (k,)} if bonus else found


def recurrence(inputs, state, decays, *, before: bool, bonus: bool = False):
    """The token loop over any ring: outputs [T, V] as nested lists, and the last state."""
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    keys, values = range(k.shape[1]), range(v.shape[1])
    state = [[state[i, j] for j in values] for i in keys]
    outputs = []
    for t in range(len(k)):
        old = state
        state = [
            [_decayed(inputs, decays, t, i, j) * old[i][j] + k[t, i] * v[t, j] for j in values]
            for i in keys
        ]
        read = old if before else state
        row = [sum(q[t, i] * read[i][j] for i in keys) for j in values]
        if bonus:
            score = sum(q[t, i] * inputs["u"][i] * k[t, i] for i in keys)
            row = [row[j] + score * v[t, j] for j in values]
        outputs.append(row)
    return outputs, state


def _decayed(inputs, decays, t: int, i: int, j: int):
    total = 1
    for decay in decays:
        value = inputs[decay.name][t]
        if decay.sort.axes == ("K",):
            value = value[i]
        elif decay.sort.axes == ("V",):
            value = value[j]
        total = total * value
    return total
