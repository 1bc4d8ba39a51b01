"""flash-linear-attention's kernels for the mixers that it has, given this project's inputs.

A row lays out the inputs of a core as the kernel wants them: [B, T, H, axes], decays as
logarithms, the scale of the paper. What the kernel leaves to its caller is done in PyTorch and
timed with it, as anybody who uses the kernel has to; `said` says what that is. fla is no
dependency: it is imported when a GPU is timed, and where it is absent the table says so.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Streams: TypeAlias = Mapping[str, Tensor]
Arguments: TypeAlias = dict[str, Any]


def _state(state: Streams) -> Any:
    """[B, H, K, V], float32: as both sides keep it."""
    return state["S"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A mixer in fla: functions of `module`, and their keyword arguments from a core's inputs.

    `recurrent` decodes; it takes the same arguments, some under another name (`renamed`), and
    the state that `initial` makes of this project's. `widest` is the longest K of the kernel.
    """

    module: str
    chunked: str
    inputs: tuple[str, ...]
    arguments: Callable[[Streams], Arguments]
    recurrent: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    initial: Callable[[Streams], Any] = _state
    widest: int = 256
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A peer whose functions have been imported."""

    peer: Peer
    chunked: Callable[..., Any]
    recurrent: Callable[..., Any] | None

    @property
    def name(self) -> str:
        """Where its kernel for training is."""
        return f"{self.peer.module}.{self.peer.chunked}"

    def forward(self, streams: Streams) -> Tensor:
        """The output [B, T, H, V] of whole sequences."""
        return _output(self.chunked(**self.peer.arguments(streams)))

    def decode(self, streams: Streams, initial: Any) -> Tensor:
        """The output of a token after a state; the kernel writes the next state too."""
        assert self.recurrent is not None
        given = recurrent_arguments(self.peer, streams, initial)
        return _output(self.recurrent(**given))


def recurrent_arguments(peer: Peer, streams: Streams, initial: Any) -> Arguments:
    """The keyword arguments of the peer's `recurrent`."""
    given = {peer.renamed.get(name, name): x for name, x in peer.arguments(streams).items()}
    return {**given, "initial_state": initial, "output_final_state": True}


def _output(result: Any) -> Tensor:
    output: Tensor = result[0] if isinstance(result, tuple) else result
    return output


def _elu_map(x: Streams) -> Arguments:
    q, k = functional.elu(x["q"]) + 1, functional.elu(x["k"]) + 1
    return {"q": q, "k": k, "v": x["v"], "scale": 1.0, "normalize": True}


def _elu_state(state: Streams) -> Any:
    """The sum of outer products, and the sum of keys [B, 1, H, K]."""
    return state["S"], state["sum"][:, None]


def _taylor(x: Streams) -> Arguments:
    return {"q": x["q"], "k": x["k"], "v": x["v"], "use_norm": True}


@cache
def retention_decay(heads: int, device: torch.device) -> Tensor:
    """log(1 - 2^(-5 - h)) [H]; made once, not at every call."""
    return (-(2.0 ** (-5 - torch.arange(heads, device=device)))).log1p()


@cache
def lightning_decay(heads: int, device: torch.device) -> Tensor:
    """-2^(-8 (h + 1) / H) (1 + 1e-5) [H], the first of one layer; made once."""
    places = torch.arange(1.0, heads + 1, device=device)
    return -(2.0 ** (-8 * places / heads)) * (1 + 1e-5)


def _retention(x: Streams) -> Arguments:
    q = x["q"]
    decay = retention_decay(q.shape[2], q.device)
    return {"q": q, "k": x["k"], "v": x["v"], "g_gamma": decay, "scale": q.shape[-1] ** -0.5}


def _lightning(x: Streams) -> Arguments:
    q = x["q"]
    decay = lightning_decay(q.shape[2], q.device)
    return {"q": q, "k": x["k"], "v": x["v"], "g_gamma": decay, "scale": 1.0}


def _gla(x: Streams) -> Arguments:
    given = {"q": x["q"], "k": x["k"], "v": x["v"], "g": x["log_a"]}
    return {**given, "scale": x["q"].shape[-1] ** -0.5}


def _hgrn2(x: Streams) -> Arguments:
    return {**_gla(x), "scale": 1.0}


def _mamba2(x: Streams) -> Arguments:
    copies = x["u"].shape[2] // x["C"].shape[2]
    q, k = (x[name].repeat_interleave(copies, 2) for name in ("C", "B"))
    return {"q": q, "k": k, "v": x["dt"][..., None] * x["u"], "g": x["log_a"], "scale": 1.0}


def _rwkv6(x: Streams) -> Arguments:
    return {**{name: x[name] for name in ("r", "k", "v", "u")}, "w": x["log_w"], "scale": 1.0}


def _rwkv5(x: Streams) -> Arguments:
    decay = x["log_w"].expand_as(x["k"]).contiguous()
    return {**_rwkv6(x), "w": decay}


def _delta(x: Streams) -> Arguments:
    gates = {"g": x["log_a"]} if "log_a" in x else {}
    given = {"q": x["q"], "k": x["k"], "v": x["v"], "beta": x["beta"], **gates}
    return {**given, "scale": x["q"].shape[-1] ** -0.5}


def _rwkv7(x: Streams) -> Arguments:
    given = {"r": x["r"], "w": x["log_w"], "k": x["k"], "v": x["v"]}
    return {**given, "a": -x["e"], "b": x["a"] * x["e"], "scale": 1.0}


QKV = ("q", "k", "v")


def _delta_rule(module: str, kernel: str, inputs: tuple[str, ...] = ()) -> Peer:
    """A delta rule: keys that erase are those that are written at."""
    return Peer(
        module=f"fla.ops.{module}",
        chunked=f"chunk_{kernel}",
        recurrent=f"fused_recurrent_{kernel}",
        inputs=(*QKV, "beta", *inputs),
        arguments=_delta,
    )


def _simple_gla(
    arguments: Callable[[Streams], Arguments], inputs: tuple[str, ...] = QKV, said: str = ""
) -> Peer:
    """A decay for each head."""
    return Peer(
        module="fla.ops.simple_gla",
        chunked="chunk_simple_gla",
        recurrent="fused_recurrent_simple_gla",
        inputs=inputs,
        arguments=arguments,
        said=said,
    )


def _diagonal(arguments: Callable[[Streams], Arguments]) -> Peer:
    """A decay along K."""
    return Peer(
        module="fla.ops.gla",
        chunked="chunk_gla",
        recurrent="fused_recurrent_gla",
        renamed={"g": "gk"},
        inputs=(*QKV, "log_a"),
        arguments=arguments,
    )


def _bonus(arguments: Callable[[Streams], Arguments], said: str = "") -> Peer:
    """A decay along K, and a bonus for the token itself."""
    return Peer(
        module="fla.ops.rwkv6",
        chunked="chunk_rwkv6",
        recurrent="fused_recurrent_rwkv6",
        inputs=("u", "r", "k", "v", "log_w"),
        arguments=arguments,
        said=said,
    )


def _based(chunked: str, widest: int, said: str) -> Peer:
    """A polynomial of q · k over its sum: nothing that decodes."""
    return Peer(
        module="fla.ops.based",
        chunked=chunked,
        inputs=QKV,
        arguments=_taylor,
        widest=widest,
        said=said,
    )


PEERS: dict[str, tuple[Peer, ...]] = {
    "linear_attention": (
        Peer(
            module="fla.ops.linear_attn",
            chunked="chunk_linear_attn",
            recurrent="fused_recurrent_linear_attn",
            inputs=QKV,
            arguments=_elu_map,
            initial=_elu_state,
            said="elu + 1 before the kernel; divides by the sum + 1e-10",
        ),
    ),
    "based": (
        _based("fused_chunk_based", 16, "divides by the sum + 1e-6; nothing for decoding"),
        _based(
            "parallel_based", 128, "all pairs of tokens, since K is above 16; nothing for decoding"
        ),
    ),
    "retnet": (_simple_gla(_retention),),
    "lightning": (_simple_gla(_lightning),),
    "gla": (_diagonal(_gla),),
    "hgrn2": (_diagonal(_hgrn2),),
    "mamba2": (
        _simple_gla(
            _mamba2,
            ("B", "C", "u", "dt", "log_a"),
            "B and C repeated for every head, dt * u before the kernel",
        ),
    ),
    "rwkv6": (_bonus(_rwkv6),),
    "deltanet": (_delta_rule("delta_rule", "delta_rule"),),
    "gated_deltanet": (_delta_rule("gated_delta_rule", "gated_delta_rule", ("log_a",)),),
    "kda": (_delta_rule("kda", "kda", ("log_a",)),),
    "rwkv7": (
        Peer(
            module="fla.ops.rwkv7",
            chunked="chunk_rwkv7",
            recurrent="fused_recurrent_rwkv7",
            inputs=("r", "k", "v", "a", "e", "log_w"),
            arguments=_rwkv7,
            said="-e and a * e before the kernel",
        ),
    ),
    "rwkv5": (_bonus(_rwkv5, "rwkv6's kernel, the decay repeated for every token"),),
}
"""By the name of the spec; of several the first that is wide enough. A spec of that name whose core
takes other inputs has none."""


def peer_of(name: str, inputs: Collection[str], size: int) -> Peer | None:
    """The peer of a spec whose core takes these inputs, with axes of this length."""
    for peer in PEERS.get(name, ()):
        if peer.widest >= size and set(peer.inputs) == set(inputs):
            return peer
    return None


def loaded(peer: Peer) -> Loaded | str:
    """The peer's functions, or in a few words why there are none."""
    try:
        module = import_module(peer.module)
    except ModuleNotFoundError as error:
        absent = (error.name or "").partition(".")[0]
        return "not installed" if absent == "fla" else f"cannot be imported without {absent}"
    chunked = getattr(module, peer.chunked, None)
    if chunked is None:
        return f"this version has no {peer.chunked}"
    recurrent = getattr(module, peer.recurrent, None) if peer.recurrent else None
    return Loaded(peer=peer, chunked=chunked, recurrent=recurrent)
