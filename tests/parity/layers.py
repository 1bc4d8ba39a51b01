"""Whole layers that others wrote, with their weights under this project's names, in float64."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from tests.parity.harness import foreign, in_float64

with foreign():
    from LRU_pytorch import LRU
    from transformers import (
        Mamba2Config,
        MambaConfig,
        MiniMaxConfig,
        MistralConfig,
        Qwen3NextConfig,
        RecurrentGemmaConfig,
        RwkvConfig,
    )
    from transformers.models.mamba.modeling_mamba import MambaMixer
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer
    from transformers.models.minimax.modeling_minimax import MiniMaxLightningAttention
    from transformers.models.mistral.modeling_mistral import (
        MistralAttention,
        MistralRotaryEmbedding,
    )
    from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextGatedDeltaNet
    from transformers.models.recurrent_gemma.modeling_recurrent_gemma import (
        RecurrentGemmaRecurrentBlock,
    )
    from transformers.models.rwkv.modeling_rwkv import RwkvSelfAttention
    from xlstm import sLSTMLayer, sLSTMLayerConfig
    from yet_another_retnet.retention import MultiScaleRetention

WIDTH = 24
EPS = 1e-5  # the specs' norms


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A layer of somebody else: what it computes, and its weights as our layer names them."""

    spec: str
    run: Callable[[Tensor], Tensor]
    weights: Mapping[str, Tensor]
    theirs: nn.Module
    sizes: Mapping[str, int] = field(default_factory=dict)
    heads: int = 4
    width: int = WIDTH


def _randomise(module: nn.Module) -> nn.Module:
    """Draw every parameter, so that none is 0 or 1 and some are not left unset."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            shape, dtype = parameter.shape, parameter.dtype
            parameter.copy_(torch.randn(shape, generator=generator, dtype=dtype) / 3)
    return module.double().eval()


def _split(weight: Tensor, **rows: int) -> dict[str, Tensor]:
    """Name consecutive rows of a packed weight."""
    return dict(zip(rows, weight.split(list(rows.values())), strict=True))


def _named(parts: Mapping[str, Tensor], suffix: str) -> dict[str, Tensor]:
    """{"q": …} with suffix "linear.weight" to {"q_linear.weight": …}."""
    return {f"{name}_{suffix}": weight for name, weight in parts.items()}


@in_float64
def mamba() -> Whole:
    """Mamba-1 (transformers)."""
    inner, state, rank = 2 * WIDTH, 5, 3
    config = MambaConfig(
        hidden_size=WIDTH, state_size=state, time_step_rank=rank, conv_kernel=4, expand=2
    )
    theirs = _randomise(MambaMixer(config, layer_idx=0))
    mixed = _split(theirs.x_proj.weight, dt=rank, B=state, C=state)
    weights = {
        **_named(_split(theirs.in_proj.weight, u=inner, z=inner), "linear.weight"),
        **_named(mixed, "linear.weight"),
        "u_conv.weight": theirs.conv1d.weight,
        "u_conv.bias": theirs.conv1d.bias,
        "dt_linear_2.weight": theirs.dt_proj.weight,
        "dt_linear_2.bias": theirs.dt_proj.bias,
        "A_log": theirs.A_log,
        "D": theirs.D,
        "y_linear.weight": theirs.out_proj.weight,
    }
    sizes = {"E": inner, "N": state, "R": rank}
    return Whole(spec="mamba", run=theirs, weights=weights, theirs=theirs, sizes=sizes, heads=1)


@in_float64
def mamba2() -> Whole:
    """Mamba-2 (transformers)."""
    inner, state, groups, heads = 2 * WIDTH, 5, 2, 4
    config = Mamba2Config(
        hidden_size=WIDTH,
        state_size=state,
        num_heads=heads,
        head_dim=inner // heads,
        n_groups=groups,
        conv_kernel=4,
        expand=2,
        chunk_size=8,
        layer_norm_epsilon=EPS,
    )
    theirs = _randomise(Mamba2Mixer(config, layer_idx=0))
    convolved = {"u": inner, "B": groups * state, "C": groups * state}
    weights = {
        **_named(_split(theirs.in_proj.weight, z=inner, **convolved, dt=heads), "linear.weight"),
        **_named(_split(theirs.conv1d.weight, **convolved), "conv.weight"),
        **_named(_split(theirs.conv1d.bias, **convolved), "conv.bias"),
        "dt_linear.bias": theirs.dt_bias,
        "A_log": theirs.A_log,
        "D": theirs.D,
        "y_rmsnorm.weight": theirs.norm.weight,
        "y_linear.weight": theirs.out_proj.weight,
    }
    sizes = {"N": state, "P": inner // heads, "G": groups}
    return Whole(
        spec="mamba2", run=theirs, weights=weights, theirs=theirs, sizes=sizes, heads=heads
    )


def _unpack(weight: Tensor, groups: int, **rows: int) -> dict[str, Tensor]:
    """Rows packed group by group, as one weight for each name."""
    packed = weight.view(groups, -1, weight.shape[-1])
    parts = packed.split(list(rows.values()), dim=1)
    return {name: part.flatten(0, 1) for name, part in zip(rows, parts, strict=True)}


@in_float64
def gated_deltanet() -> Whole:
    """Gated DeltaNet, two value heads to a key head (transformers, Qwen3-Next)."""
    key, value, groups, heads = 4, 6, 2, 4
    each = heads // groups
    config = Qwen3NextConfig(
        hidden_size=WIDTH,
        num_hidden_layers=2,
        linear_key_head_dim=key,
        linear_value_head_dim=value,
        linear_num_key_heads=groups,
        linear_num_value_heads=heads,
        linear_conv_kernel_dim=4,
        rms_norm_eps=EPS,
    )
    theirs = _randomise(Qwen3NextGatedDeltaNet(config, layer_idx=0))
    packed = {"q": key, "k": key, "v": each * value, "g": each * value}
    convolved = {"q": groups * key, "k": groups * key, "v": heads * value}
    weights = {
        **_named(_unpack(theirs.in_proj_qkvz.weight, groups, **packed), "linear.weight"),
        **_named(_unpack(theirs.in_proj_ba.weight, groups, beta=each, dt=each), "linear.weight"),
        **_named(_split(theirs.conv1d.weight, **convolved), "conv.weight"),
        "dt_linear.bias": theirs.dt_bias,
        "A_log": theirs.A_log,
        "y_rmsnorm.weight": theirs.norm.weight,
        "y_linear.weight": theirs.out_proj.weight,
    }
    sizes = {"K": key, "V": value, "G": groups}
    return Whole(
        spec="gated_deltanet", run=theirs, weights=weights, theirs=theirs, sizes=sizes, heads=heads
    )


@in_float64
def lightning() -> Whole:
    """Lightning attention, the first of two layers (transformers, MiniMax)."""
    size, heads = 6, 4
    config = MiniMaxConfig(
        hidden_size=WIDTH,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=size,
        num_hidden_layers=2,
        block_size=8,
    )
    theirs = _randomise(MiniMaxLightningAttention(config, layer_idx=0))
    theirs.norm.variance_epsilon = EPS
    packed = {"q": size, "k": size, "v": size}
    weights = {
        **_named(_unpack(theirs.qkv_proj.weight, heads, **packed), "linear.weight"),
        "g_linear.weight": theirs.output_gate.weight,
        "y_rmsnorm.weight": theirs.norm.weight,
        "y_linear.weight": theirs.out_proj.weight,
    }
    return Whole(
        spec="lightning",
        run=lambda x: theirs(x, None, None)[0],
        weights=weights,
        theirs=theirs,
        sizes={"K": size, "V": size},
        heads=heads,
    )


@in_float64
def mistral() -> Whole:
    """Sliding-window attention with grouped heads and rotary positions (transformers)."""
    size, heads, groups, window = 6, 4, 2, 5
    config = MistralConfig(
        hidden_size=WIDTH,
        head_dim=size,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        sliding_window=window,
        attn_implementation="eager",
    )
    theirs = _randomise(MistralAttention(config, layer_idx=0))
    rotary = MistralRotaryEmbedding(config).double()

    def run(x: Tensor) -> Tensor:
        positions = torch.arange(x.shape[1])
        back = positions[:, None] - positions
        mask = torch.zeros(()).masked_fill((back < 0) | (back >= window), float("-inf"))
        return theirs(x, rotary(x, positions[None]), mask)[0]

    letters = {"q": theirs.q_proj, "k": theirs.k_proj, "v": theirs.v_proj, "y": theirs.o_proj}
    weights = {f"{name}_linear.weight": linear.weight for name, linear in letters.items()}
    sizes = {"D": size, "G": groups, "W": window}
    return Whole(spec="mistral", run=run, weights=weights, theirs=theirs, sizes=sizes, heads=heads)


@in_float64
def rglru() -> Whole:
    """Griffin's recurrent block (transformers, RecurrentGemma).

    Positions start at 1: at position 0 that code leaves out the input's normalisation.
    """
    heads = 4
    config = RecurrentGemmaConfig(
        hidden_size=WIDTH, lru_width=WIDTH, num_attention_heads=heads, conv1d_width=4
    )
    theirs = _randomise(RecurrentGemmaRecurrentBlock(config, layer_idx=0))
    gates = {"r": "recurrent_gate", "i": "input_gate"}
    weights = {"lam": theirs.rg_lru.recurrent_param}
    for name, gate in gates.items():
        blocks = getattr(theirs.rg_lru, f"{gate}_weight")
        weights[f"{name}_linear.weight"] = blocks.transpose(-1, -2)
        weights[f"{name}_linear.bias"] = getattr(theirs.rg_lru, f"{gate}_bias")
    steps = {
        "u_linear": theirs.linear_x,
        "u_conv": theirs.conv_1d,
        "g_linear": theirs.linear_y,
        "y_linear": theirs.linear_out,
    }
    for name, step in steps.items():
        weights |= {f"{name}.weight": step.weight, f"{name}.bias": step.bias}

    def run(x: Tensor) -> Tensor:
        theirs.rg_lru.recurrent_states = None
        positions = (torch.arange(x.shape[1]) + 1).expand(x.shape[:2])
        return theirs(x, positions, None, use_cache=False)[0]

    sizes = {"E": WIDTH // heads}
    return Whole(spec="rglru", run=run, weights=weights, theirs=theirs, sizes=sizes, heads=heads)


@in_float64
def retnet() -> Whole:
    """Multi-scale retention (yet_another_retnet), with the five heads where decays agree."""
    heads, width = 5, 40
    theirs = MultiScaleRetention(width, heads, bias=False, group_norm_eps=EPS)
    thetas = theirs.thetas.double()
    theirs = _randomise(theirs)
    theirs.thetas.copy_(thetas)
    letters = {"q": "q", "k": "k", "v": "v", "g": "g", "y": "out"}
    weights = {
        f"{name}_linear.weight": getattr(theirs, f"{theirs_name}_proj").weight
        for name, theirs_name in letters.items()
    }
    return Whole(
        spec="retnet",
        run=lambda x: theirs.forward_parallel(x, x, x)[0],
        weights=weights,
        theirs=theirs,
        sizes={"K": width // heads, "V": width // heads},
        heads=heads,
        width=width,
    )


@in_float64
def rwkv4() -> Whole:
    """RWKV-4's time mixing (transformers)."""
    config = RwkvConfig(hidden_size=WIDTH, attention_hidden_size=WIDTH, num_hidden_layers=2)
    theirs = _randomise(RwkvSelfAttention(config, layer_id=0))
    linears = {"r": "receptance", "k": "key", "v": "value", "y": "output"}
    weights = {
        "w0": theirs.time_decay,
        "u": theirs.time_first,
        "mu_k": theirs.time_mix_key,
        "mu_v": theirs.time_mix_value,
        "mu_r": theirs.time_mix_receptance,
        **{f"{name}_linear.weight": getattr(theirs, long).weight for name, long in linears.items()},
    }
    return Whole(
        spec="rwkv4",
        run=lambda x: theirs(x)[0],
        weights=weights,
        theirs=theirs,
        sizes={"E": WIDTH},
        heads=1,
    )


@in_float64
def lru() -> Whole:
    """The linear recurrent unit (LRU_pytorch); its D is a matrix there, diagonal in the paper."""
    states = 10
    theirs = LRU(WIDTH, WIDTH, states)
    with torch.no_grad():
        theirs.D.copy_(torch.diag(theirs.D.diagonal()))
    weights = {
        "nu": theirs.nu_log,
        "theta": theirs.theta_log,
        "gamma": theirs.gamma_log,
        "re_linear.weight": theirs.B.real,
        "im_linear.weight": theirs.B.imag,
        "y_linear.weight": theirs.C.real,
        "y_linear_2.weight": -theirs.C.imag,
        "D": theirs.D.diagonal(),
    }
    return Whole(
        spec="lru", run=theirs, weights=weights, theirs=theirs, sizes={"N": states}, heads=1
    )


class _Projected(nn.Module):
    """A layer with the projection that the block around it has."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.project = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.layer(x))


@in_float64
def slstm() -> Whole:
    """sLSTM (xlstm) with a biased norm; what it calls its forget gate is the input gate."""
    config = sLSTMLayerConfig(embedding_dim=WIDTH, num_heads=4, backend="vanilla", dtype="float32")
    inner = sLSTMLayer(config)
    inner.group_norm.bias = nn.Parameter(torch.zeros(WIDTH))
    theirs = _randomise(_Projected(inner))
    gates = {"ix": inner.fgate, "fx": inner.igate, "zx": inner.zgate, "px": inner.ogate}
    biases = inner.slstm_cell._bias_.view(4, WIDTH)
    recurrent = inner.slstm_cell._recurrent_kernel_.unflatten(1, (4, -1)).unbind(1)
    weights = {
        **_named({name: gate.weight for name, gate in gates.items()}, "linear.weight"),
        **_named(dict(zip(gates, biases, strict=True)), "linear.bias"),
        **dict(zip(("Ri", "Rf", "Rz", "Rp"), recurrent, strict=True)),
        "u_conv.weight": inner.conv1d.conv.weight,
        "u_conv.bias": inner.conv1d.conv.bias,
        "y_layernorm.weight": 1 + inner.group_norm.weight,
        "y_layernorm.bias": inner.group_norm.bias,
        "y_linear.weight": theirs.project.weight,
    }
    return Whole(spec="slstm", run=theirs, weights=weights, theirs=theirs)


LAYERS = (gated_deltanet, lightning, lru, mamba, mamba2, mistral, retnet, rglru, rwkv4, slstm)
