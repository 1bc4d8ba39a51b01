"""What `mixerc bench` gives to fla's kernels: the same arguments, given to fla's own plain
functions, make what the reference makes; and the kernels take arguments of these names."""

import ast
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mixerc
from mixerc.bench.peers import PEERS, Arguments, Peer, recurrent_arguments
from tests.parity.harness import fla, heads_first, in_float64, relative_rms

TIME, CUT, HEADS, K, V = 13, 6, 3, 4, 6
SPECS = Path(__file__).parents[2] / "specs"
CLOSE = 1e-6
"""fla adds an eps of its own to the sum that it divides by."""

Naive = Callable[..., tuple[Tensor, Any]]
EVERY = [
    pytest.param(name, peer, id=f"{name}-{peer.chunked}") for name in PEERS for peer in PEERS[name]
]
DECODING = [param for param in EVERY if param.values[1].recurrent]


def gla(*, q: Tensor, g: Tensor, scale: float, **rest: Any) -> tuple[Tensor, Any]:
    """fla's function has K^-0.5 built in."""
    q = q * scale * q.shape[-1] ** 0.5
    return fla("gla/naive").naive_recurrent_gla(q=q, gk=g, **rest)


def simple_gla(**given: Any) -> tuple[Tensor, Any]:
    """fla's function wants a decay for every token."""
    if "g_gamma" in given:
        given["g"] = given.pop("g_gamma").expand(given["q"].shape[:3])
    return fla("simple_gla/naive").naive_recurrent_simple_gla(**given)


def linear(**given: Any) -> tuple[Tensor, Any]:
    return fla("linear_attn/naive").naive_recurrent_linear_attn(**given)


def rwkv6(*, r: Tensor, k: Tensor, v: Tensor, w: Tensor, **rest: Any) -> tuple[Tensor, Any]:
    """fla's function wants the heads first."""
    q, k, v, w = heads_first(r, k, v, w)
    run = fla("rwkv6/recurrent_naive").naive_recurrent_rwkv6
    o, state = run(q=q, k=k, v=v, w=w, **rest)
    return o.transpose(1, 2), state


def based(*, q: Tensor, k: Tensor, v: Tensor, **rest: Any) -> tuple[Tensor, Any]:
    """fla's function wants the heads first."""
    o = fla("based/naive").naive_parallel_based(*heads_first(q, k, v), **rest)
    return o.transpose(1, 2), None


def delta_rule(*, scale: float, **given: Any) -> tuple[Tensor, Any]:
    """fla's function wants the heads first, and has K^-0.5 built in."""
    rest = {n: given.pop(n) for n in ("initial_state", "output_final_state") if n in given}
    q, k, v, beta = heads_first(*(given[name] for name in ("q", "k", "v", "beta")))
    o, state = fla("delta_rule/naive").delta_rule_recurrence(
        q * scale * q.shape[-1] ** 0.5, k, v, beta, **rest
    )
    return o.transpose(1, 2), state


def gated_delta_rule(**given: Any) -> tuple[Tensor, Any]:
    return fla("gated_delta_rule/naive").naive_recurrent_gated_delta_rule(**given)


def kda(**given: Any) -> tuple[Tensor, Any]:
    return fla("kda/naive").naive_recurrent_kda(**given)


def rwkv7(*, r: Tensor, w: Tensor, scale: float, **given: Any) -> tuple[Tensor, Any]:
    """fla's function of a diagonal plus low rank has the heads first, and K^-0.5 built in."""
    rest = {n: given.pop(n) for n in ("initial_state", "output_final_state") if n in given}
    q, k, v, a, b, w = heads_first(r, *(given[name] for name in ("k", "v", "a", "b")), w)
    run = fla("generalized_delta_rule/dplr/naive").dplr_recurrence
    o, state = run(q * scale * q.shape[-1] ** 0.5, k, v, a, b, w, **rest)
    return o.transpose(1, 2), state


NAIVE: dict[str, Naive] = {
    "fla.ops.delta_rule": delta_rule,
    "fla.ops.gated_delta_rule": gated_delta_rule,
    "fla.ops.kda": kda,
    "fla.ops.rwkv7": rwkv7,
    "fla.ops.gla": gla,
    "fla.ops.simple_gla": simple_gla,
    "fla.ops.linear_attn": linear,
    "fla.ops.rwkv6": rwkv6,
    "fla.ops.based": based,
}


def drawn(peer: Peer, time: slice = slice(None)) -> dict[str, Tensor]:
    """Inputs of the core by name, in float64: decays as logarithms, B and C for all heads."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    rows = (2, TIME, HEADS)
    shapes = {
        **dict.fromkeys(("q", "k", "r"), (*rows, K)),
        **dict.fromkeys(("B", "C"), (2, TIME, 1, K)),
        "v": (*rows, V),
        "dt": rows,
        "u": (*rows, V) if "dt" in peer.inputs else (HEADS, K),
        "log_a": rows
        if {"dt", "gated_delta_rule"} & {*peer.inputs, peer.module[8:]}
        else (*rows, K),
        "beta": rows,
        **dict.fromkeys(("a", "e", "log_w"), (*rows, K)),
    }
    found = {name: normal(*shapes[name]) for name in peer.inputs}
    found = {n: -x.exp() / 4 if n.startswith("log_") else x for n, x in found.items()}
    found = {n: x.sigmoid() if n in ("a", "beta") else x for n, x in found.items()}
    return {name: x[:, time] if x.shape[0] == 2 else x for name, x in found.items()}


def constant_decay(name: str, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """rwkv5's decay is the same for every token."""
    if name == "rwkv5":
        return {**inputs, "log_w": inputs["log_w"][0, 0]}
    return inputs


def mixer(name: str) -> Any:
    return mixerc.compile(str(SPECS / f"{name}.mix"), target="torch")


@in_float64
def naive(peer: Peer, arguments: Arguments) -> tuple[Tensor, Any]:
    return NAIVE[peer.module](**arguments)


@pytest.mark.parametrize(("name", "peer"), EVERY)
def test_the_arguments_mean_the_same(name: str, peer: Peer) -> None:
    inputs = constant_decay(name, drawn(peer))
    want, _ = mixer(name)(**inputs, mode="reference")
    got, _ = naive(peer, peer.arguments(inputs))
    assert relative_rms(got, want) < CLOSE


@pytest.mark.parametrize(("name", "peer"), DECODING)
def test_decoding_goes_on_from_the_same_state(name: str, peer: Peer) -> None:
    head = constant_decay(name, drawn(peer, slice(0, CUT)))
    tail = constant_decay(name, drawn(peer, slice(CUT, None)))
    _, state = mixer(name)(**head)
    want, _ = mixer(name)(**tail, state=state, mode="recurrent")
    given = recurrent_arguments(peer, tail, peer.initial(state))
    back = {new: old for old, new in peer.renamed.items()}
    got, _ = naive(peer, {back.get(name, name): x for name, x in given.items()})
    assert relative_rms(got, want) < CLOSE


def signature(module: str, function: str) -> ast.arguments:
    """The arguments of a function of fla, from its text: importing it would look for a GPU."""
    package = importlib.util.find_spec("fla")
    assert package is not None
    assert package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0], *module.split(".")[1:])
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name == function:
                return node.args
    raise AssertionError(f"{module} has no {function}")


def takes(found: ast.arguments, given: Arguments) -> bool:
    """Whether all that is given has a name there, and nothing that it needs is missing."""
    names = [each.arg for each in (*found.args, *found.kwonlyargs)]
    needed = names[: len(found.args) - len(found.defaults)]
    return set(needed) <= set(given) <= set(names)


@pytest.mark.parametrize(("name", "peer"), EVERY)
def test_the_kernels_take_these_arguments(name: str, peer: Peer) -> None:
    inputs = constant_decay(name, drawn(peer))
    assert takes(signature(peer.module, peer.chunked), peer.arguments(inputs))
    if peer.recurrent:
        given = recurrent_arguments(peer, inputs, None)
        assert takes(signature(peer.module, peer.recurrent), given)
