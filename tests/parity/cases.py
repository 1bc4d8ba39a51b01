"""Which oracle stands for which spec, on which inputs.

A stream is written as its axes and how it is drawn: "G K key" is [B, T, G, K] of unit length.
`param` at the front leaves B and T away. H is the axis of heads.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tests.parity import loops, oracles

Run = Callable[..., tuple[Tensor, Tensor | None]]
BATCH, TIME = 2, 21
MODES = ("reference", "parallel", "recurrent", "newton")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A spec, the sizes it is compiled with, its inputs and those who compute the same."""

    spec: str
    streams: Mapping[str, str]
    oracles: tuple[Run, ...]
    loop: Run
    sizes: Mapping[str, int]
    heads: int = 2
    state: str = "S"
    modes: tuple[str, ...] = MODES
    resets: bool = True
    scaled: bool = True  # its state is kept over the running maximum, where there is one
    derive: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda inputs: {}
    derived_streams: tuple[str, ...] = ()

    @property
    def has_resets(self) -> bool:
        """Whether a decay of exactly 0 can be tried."""
        return self.resets and any(text.endswith("decay") for text in self.streams.values())

    def over_time(self, name: str) -> bool:
        """Whether an input has an axis of time; parameters and constants have none."""
        text = self.streams.get(name)
        return name in self.derived_streams if text is None else not text.startswith("param")


def _decay(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Numbers in (0, 1), some exactly 1."""
    a = torch.rand(shape, generator=generator, dtype=torch.float64)
    return a.masked_fill(torch.rand(shape, generator=generator) < 0.1, 1.0)


DRAWS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "normal": lambda x, _: x,
    "key": lambda x, _: x / x.norm(dim=-1, keepdim=True),
    "unit": lambda x, _: x.sigmoid(),
    "positive": lambda x, _: x.exp(),
    "decay": lambda x, generator: _decay(tuple(x.shape), generator),
    "bool": lambda x, _: x > 0,
    "phase": lambda x, _: x.sigmoid() * torch.exp(3j * x),
    "stable": lambda x, _: torch.complex(-x.exp(), 3 * x),
    "complex": lambda x, _: torch.complex(x, x.flip(-1)),
}


def draw(case: Case, *, time: int = TIME, seed: int = 0) -> dict[str, Tensor]:
    """The inputs of a case, in float64."""
    generator = torch.Generator().manual_seed(seed)
    sizes = {"H": case.heads, **case.sizes}
    inputs = {}
    for name, text in case.streams.items():
        words = text.split()
        kind = words.pop() if words[-1] in DRAWS else "normal"
        lead = [] if words[:1] == ["param"] else [BATCH, time]
        shape = [*lead, *(sizes[axis] for axis in words if axis != "param")]
        x = torch.randn(shape, generator=generator, dtype=torch.float64)
        inputs[name] = DRAWS[kind](x, generator)
    return {**inputs, **case.derive(inputs)}


def with_resets(case: Case, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same inputs, each decay exactly 0 at token 5."""
    inputs = {name: x.clone() for name, x in inputs.items()}
    for name, text in case.streams.items():
        if text.endswith("decay"):
            inputs[name][:, 5] = 0.0
    return inputs


def case(spec: str, axes: str, streams: Mapping[str, str], *runs: Run, **rest: Any) -> Case:
    """A case whose last run is the plain loop; `axes` are the sizes, "K=4 V=6"."""
    sizes = {name: int(value) for name, value in (pair.split("=") for pair in axes.split())}
    return Case(spec=spec, sizes=sizes, streams=streams, oracles=runs[:-1], loop=runs[-1], **rest)


def _mamba2_decay(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """exp(-(h + 1) dt)."""
    heads = torch.arange(inputs["dt"].shape[2], dtype=torch.float64)
    return {"a": (-(heads + 1) * inputs["dt"]).exp()}


def _held(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """exp(0.3 A), A scaled so that its logarithm is read back unwrapped."""
    return {"a": (0.3 * inputs["A"]).exp()}


def _no_peepholes(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """torch's LSTM has none."""
    return {name: torch.zeros_like(inputs["af"]) for name in ("pf", "po")}


def streaming(t: Any, s: Any) -> Any:
    """A window of 5 and 2 sinks."""
    return (s <= t) & ((t - s < 5) | (s < 2))


def fixed(t: Any, s: Any) -> Any:
    """Blocks of 6, the last 2 of each before."""
    return (s <= t) & ((t // 6 == s // 6) | (s % 6 >= 4))


def dilated(t: Any, s: Any) -> Any:
    """4 tokens, 3 apart."""
    return (t >= s) & (t - s < 12) & ((t - s) % 3 == 0)


QKV = {"q": "H K", "k": "H K", "v": "H V"}
HEAD = {"q": "H D", "k": "H D", "v": "H D"}
GROUPED = {"q": "H D", "k": "G D", "v": "G D"}
DELTA = {"q": "H K", "k": "H K key", "v": "H V", "beta": "H unit"}
RWKV = {"r": "H K", "k": "H K", "v": "H V"}
COMPLEX = {"re": "H N", "im": "H N"}
KV = "K=4 V=6"


def patterned(spec: str, axes: str, sees: Callable[[Any, Any], Any]) -> Case:
    """Softmax attention under a pattern."""
    runs = [partial(family.pattern, sees=sees) for family in (oracles, loops)]
    return case(spec, f"D=4 {axes}", HEAD, *runs)


ATTENTION = (
    case("attention", "D=4", HEAD, oracles.attention, oracles.attention_fla),
    case("gqa", "D=4 G=2", GROUPED, oracles.attention, oracles.attention_fla, heads=6),
    case(
        "mistral",
        "D=4 G=2 W=5",
        GROUPED,
        partial(oracles.window, W=5),
        partial(oracles.window_fla, W=5),
        heads=4,
    ),
    patterned("streaming", "W=5 sinks=2", streaming),
    patterned("fixed", "L=6 C=2", fixed),
    patterned("dilated", "W=4 R=3", dilated),
    case(
        "prefix_lm",
        "D=4",
        {**HEAD, "prefix": "bool"},
        oracles.prefix_lm,
        loops.prefix_lm,
        modes=MODES[:2],
    ),
    case(
        "alibi",
        "D=4",
        HEAD,
        oracles.alibi,
        loops.alibi,
        heads=4,
    ),
    case(
        "softcap",
        "D=4 G=2 cap=3",
        GROUPED,
        partial(oracles.softcap, cap=3.0),
        partial(loops.softcap, cap=3.0),
        heads=4,
    ),
    case(
        "forgetting_attention",
        "D=4",
        {**HEAD, "f": "H unit"},
        oracles.forgetting_attention,
        loops.forgetting_attention,
    ),
)

LINEAR = (
    case("linear_attention", KV, QKV, oracles.linear_attention, loops.linear_attention),
    case("performer", f"{KV} M=7", {**QKV, "W": "param H M K"}, oracles.performer, loops.performer),
    case("based", KV, QKV, oracles.based, loops.based),
    case(
        "retnet",
        KV,
        QKV,
        oracles.retnet,
        oracles.retnet_paper,
        loops.retnet,
        heads=5,
    ),
    case(
        "lightning",
        KV,
        QKV,
        oracles.lightning,
        oracles.lightning_chunked,
        loops.lightning,
    ),
    case("gla", KV, {**QKV, "a": "H K decay"}, oracles.gla, loops.gla),
    case("hgrn2", KV, {**QKV, "a": "H K decay"}, oracles.hgrn2, loops.hgrn2),
    case("gsa", f"{KV} M=3", {**QKV, "a": "H M decay"}, oracles.gsa, loops.gsa),
    case("gateloop", KV, {**QKV, "a": "H K phase"}, oracles.gateloop, loops.gateloop),
    case(
        "mamba2",
        "P=5 N=3 G=2",
        {"C": "G N", "B": "G N", "dt": "H positive", "u": "H P"},
        oracles.mamba2,
        oracles.mamba2_fla,
        loops.mamba2,
        heads=4,
        derive=_mamba2_decay,
        derived_streams=("a",),
    ),
    case("mlstm", KV, {**QKV, "i": "H", "f": "H unit"}, oracles.mlstm, loops.mlstm),
)

DELTAS = (
    case("deltanet", KV, DELTA, oracles.deltanet, loops.deltanet),
    case(
        "gated_deltanet",
        f"{KV} G=2",
        {**DELTA, "q": "G K", "k": "G K key", "a": "H decay"},
        oracles.gated_deltanet,
        oracles.gated_deltanet_chunked,
        oracles.gated_deltanet_fla,
        loops.gated_deltanet,
        heads=4,
        resets=False,
    ),
    case(
        "kda",
        KV,
        {**DELTA, "a": "H K decay"},
        oracles.kda,
        oracles.kda_transformers,
        loops.delta,
    ),
    case(
        "deltaproduct",
        f"{KV} J=2",
        {
            "q": "H K",
            "k": "H J K key",
            "v": "H J V",
            "beta": "H J unit",
            "a": "H decay",
        },
        oracles.deltaproduct,
        loops.deltaproduct,
    ),
)

RWKVS = (
    case(
        "rwkv4",
        "E=6",
        {"k": "H E", "v": "H E", "w": "param H E unit", "u": "param H E"},
        oracles.rwkv4,
        loops.rwkv4,
        heads=1,
    ),
    case(
        "rwkv5",
        KV,
        {**RWKV, "w": "param H K unit", "u": "param H K"},
        oracles.rwkv5,
        loops.rwkv5,
    ),
    case("rwkv6", KV, {**RWKV, "w": "H K decay", "u": "param H K"}, oracles.rwkv6, loops.rwkv6),
    case(
        "rwkv7",
        KV,
        {**RWKV, "w": "H K decay", "a": "H K unit", "e": "H K key"},
        oracles.rwkv7,
        oracles.rwkv7_fla,
        loops.rwkv7,
    ),
)

ELEMENTWISE = (
    case(
        "hgrn", "E=6", {"a": "H E decay", "u": "H E"}, oracles.hgrn, loops.hgrn, heads=1, state="h"
    ),
    case(
        "rglru",
        "E=6",
        {"a": "H E unit", "i": "H E unit", "u": "H E"},
        oracles.rglru,
        loops.rglru,
        state="h",
    ),
    case(
        "mingru",
        "E=6",
        {"z": "H E unit", "u": "H E positive"},
        oracles.mingru,
        loops.mingru,
        heads=1,
        state="h",
    ),
    case(
        "minlstm",
        "E=6",
        {"f": "H E unit", "i": "H E unit", "u": "H E positive"},
        oracles.minlstm,
        loops.minlstm,
        heads=1,
        state="h",
    ),
    case(
        "mamba",
        "E=6 N=3",
        {
            "u": "H E",
            "dt": "H E positive",
            "B": "H N",
            "C": "H N",
            "A_log": "param H E N",
            "D": "param H E",
        },
        oracles.mamba,
        oracles.mamba_transformers,
        loops.mamba,
        heads=1,
        state="h",
    ),
    case(
        "s5",
        "N=4",
        {**COMPLEX, "A": "param H N stable"},
        oracles.s5,
        loops.s5,
        heads=1,
        state="h",
        derive=_held,
    ),
    case(
        "lru",
        "N=4",
        {**COMPLEX, "a": "param H N phase", "gamma": "param H N"},
        oracles.lru,
        loops.lru,
        heads=1,
        state="h",
    ),
)

SQUARE = "param H E E"
STEPS = ("reference", "recurrent", "newton")
NONLINEAR = (
    case(
        "rnn",
        "E=5",
        {"u": "H E", "R": SQUARE},
        oracles.rnn,
        loops.rnn,
        heads=1,
        state="h",
        modes=STEPS,
    ),
    case(
        "gru",
        "E=5",
        {
            **dict.fromkeys(("ur", "uz", "un"), "H E"),
            **dict.fromkeys(("Rr", "Rz", "Rn"), SQUARE),
            "b": "param H E",
        },
        oracles.gru,
        loops.gru,
        heads=1,
        state="h",
        modes=STEPS,
    ),
    case(
        "lstm",
        "E=5",
        {
            **dict.fromkeys(("ui", "uf", "ug", "up"), "H E"),
            **dict.fromkeys(("Ri", "Rf", "Rg", "Rp"), SQUARE),
        },
        oracles.lstm,
        loops.lstm,
        heads=1,
        state="h",
        modes=STEPS,
    ),
    case(
        "slstm",
        "E=5",
        {
            **dict.fromkeys(("ix", "fx", "zx", "px"), "H E"),
            **dict.fromkeys(("Ri", "Rf", "Rz", "Rp"), SQUARE),
        },
        oracles.slstm,
        loops.slstm,
        state="h",
        scaled=False,
        modes=STEPS,
    ),
    case(
        "paragru",
        "E=5",
        {
            **dict.fromkeys(("ur", "uz", "uh"), "H E"),
            **dict.fromkeys(("ar", "az", "ah"), "param H E"),
        },
        oracles.paragru,
        loops.paragru,
        heads=1,
        state="h",
        modes=STEPS,
    ),
    case(
        "paralstm",
        "E=5",
        {
            **dict.fromkeys(("uf", "uz", "uo"), "H E"),
            **dict.fromkeys(("af", "az", "ao"), "param H E"),
        },
        oracles.paralstm,
        loops.paralstm,
        heads=1,
        state="h",
        modes=STEPS,
        derive=_no_peepholes,
    ),
)

CASES = (*ATTENTION, *LINEAR, *DELTAS, *RWKVS, *ELEMENTWISE, *NONLINEAR)
