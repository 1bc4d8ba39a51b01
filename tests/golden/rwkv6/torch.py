NAME = "rwkv6"
SIZES = ("K", "V")
CHUNK = 4
GIVEN = ()
STREAMS = ("r", "k", "v", "w")
PARAMS = ("u",)
DECAYS = ("w",)
MODES = ("parallel", "recurrent")
OPS = f"mixerc_82f60ed78da4_{zlib.crc32(__name__.encode()):08x}"


def forward_1(w, r, k, v, u, valid):
    """All chunks at once."""
    tokens = pad(w, valid, 1, -2)  # [c, K]
    tokens_2 = pad(k, valid, 0, -2)  # [c, K]
    right1 = halves(r, 1, 1, -2)  # [p1, r1, K]
    product = u[..., None, :] * k  # [c, K]
    left1 = halves(tokens_2, 1, 0, -2)  # [p1, r1, K]
    dot = (r * product).sum(-1)  # [c]
    product_2 = tokens[..., 0::2, :] * tokens[..., 1::2, :]  # [p1, K]
    product_3 = v * dot[..., :, None]  # [c, V]
    dot_2 = (right1[..., :, :, None, :] * left1[..., :, None, :, :]).sum(-1)  # [p1, r1, r1']
    product_4 = product_2[..., 0::2, :] * product_2[..., 1::2, :]  # [p2, K]
    summed = product_4.sum(-2)  # [K]
    prefix2 = grow(r, tokens[..., 0::2, :], 1, 1, -2)  # [c, K]
    right2 = halves(prefix2, 2, 1, -2)  # [p2, r2, K]
    suffix2 = grow(tokens_2, tokens[..., 1::2, :], 1, 0, -2)  # [c, K]
    left2 = halves(suffix2, 2, 0, -2)  # [p2, r2, K]
    dot_3 = right2 @ left2.mT  # [p2, r2, r2']
    scores = blocks(4, None, dot_2, dot_3)  # [c, c']
    dot_4 = scores @ v  # [c, V]
    prefix4 = grow_(prefix2, product_2[..., 0::2, :], 2, 1, -2)  # [c, K]
    suffix4 = grow_(suffix2, product_2[..., 1::2, :], 2, 0, -2)  # [c, K]
    dot_5 = suffix4.mT @ v  # [K, V]
    return (prefix4, dot_4, product_3, summed, dot_5)


def forward_2(chunks, summed, dot_5, S):
    """From chunk to chunk, first to last."""
    all_S = []
    for summed, dot_5 in along(chunks, summed, dot_5):
        total = torch.addcmul(dot_5, S, summed[..., :, None])  # [K, V]
        all_S.append(S)
        S = total
    return (stacked(all_S),), (S,)


def forward_3(S, prefix4, dot_4, product_3):
    """All chunks at once."""
    dot_6 = prefix4 @ S  # [c, V]
    total_2 = dot_4 + dot_6 + product_3  # [c, V]
    return (total_2,)


def forward_piece(piece, streams, constants, states, size):
    """The parallel mode: tiles and states in, output and states after the piece."""
    w, r, k, v, u = streams[3], streams[0], streams[1], streams[2], constants[0]
    (prefix4, dot_4, product_3, summed, dot_5,) = forward_1(w, r, k, v, u, piece.valid)
    (S,), states = by_runs(forward_2, piece, states, (summed, dot_5,))
    (total_2,) = forward_3(S, prefix4, dot_4, product_3)
    made = (total_2,)
    return made, states


def recurrent_1(w, r, v, u, k, valid):
    """All chunks at once."""
    tokens = pad(w, valid, 1, -2)  # [c, K]
    product = u[..., None, :] * k  # [c, K]
    tokens_2 = pad(k, valid, 0, -2)  # [c, K]
    dot = (r * product).sum(-1)  # [c]
    summed = tokens.sum(-2)  # [K]
    dot_2 = (tokens_2.mT[..., :, None, :] * v.mT[..., None, :, :]).squeeze(-1)  # [K, V]
    product_2 = v * dot[..., :, None]  # [c, V]
    return (product_2, summed, dot_2)


def recurrent_2(chunks, r, summed, dot_2, S):
    """From token to token."""
    all_dot_3 = []
    for r, summed, dot_2 in along(chunks, r, summed, dot_2):
        dot_3 = r @ S  # [c, V]
        total = torch.addcmul(dot_2, S, summed[..., :, None])  # [K, V]
        all_dot_3.append(dot_3)
        S = total
    return (stacked(all_dot_3),), (S,)


def recurrent_3(dot_3, product_2):
    """All chunks at once."""
    total_2 = dot_3 + product_2  # [c, V]
    return (total_2,)


def recurrent_piece(piece, streams, constants, states, size):
    """The recurrent mode: the same, a token at a time."""
    w, r, v, u, k = streams[3], streams[0], streams[2], constants[0], streams[1]
    (product_2, summed, dot_2,) = recurrent_1(w, r, v, u, k, piece.valid)
    (dot_3,), states = by_runs(recurrent_2, piece, states, (r, summed, dot_2,))
    (total_2,) = recurrent_3(dot_3, product_2)
    made = (total_2,)
    return made, states


def states_1(w, k, v, valid):
    """All chunks at once."""
    tokens = pad(w, valid, 1, -2)  # [c, K]
    tokens_2 = pad(k, valid, 0, -2)  # [c, K]
    product = tokens[..., 0::2, :] * tokens[..., 1::2, :]  # [p1, K]
    product_2 = product[..., 0::2, :] * product[..., 1::2, :]  # [p2, K]
    summed = product_2.sum(-2)  # [K]
    suffix2 = grow(tokens_2, tokens[..., 1::2, :], 1, 0, -2)  # [c, K]
    suffix4 = grow_(suffix2, product[..., 1::2, :], 2, 0, -2)  # [c, K]
    dot = suffix4.mT @ v  # [K, V]
    return (summed, dot)


def states_2(chunks, summed, dot, S):
    """From chunk to chunk, first to last."""
    all_S = []
    for summed, dot in along(chunks, summed, dot):
        total = torch.addcmul(dot, S, summed[..., :, None])  # [K, V]
        all_S.append(S)
        S = total
    return (stacked(all_S),), (S,)


def states_piece(piece, streams, constants, states, size):
    """The states before each chunk of the piece, and after it."""
    w, k, v = streams[3], streams[1], streams[2]
    (summed, dot,) = states_1(w, k, v, piece.valid)
    (S,), states = by_runs(states_2, piece, states, (summed, dot,))
    made = (S,)
    return made, states


def backward_1(w, S, r, k, v, u, d_o, valid):
    """All chunks at once."""
    tokens = pad(w, valid, 1, -2)  # [c, K]
    tokens_2 = pad(k, valid, 0, -2)  # [c, K]
    right1 = halves(r, 1, 1, -2)  # [p1, r1, K]
    product = u[..., None, :] * k  # [c, K]
    dot = (d_o * v).sum(-1)  # [c]
    dot_2 = d_o @ S.mT  # [c, K]
    pick = tokens[..., 0::2, :]  # [p1, K]
    pick_2 = tokens[..., 1::2, :]  # [p1, K]
    left1 = halves(tokens_2, 1, 0, -2)  # [p1, r1, K]
    dot_3 = (r * product).sum(-1)  # [c]
    product_2 = dot[..., :, None] * product  # [c, K]
    product_3 = dot[..., :, None] * r  # [c, K]
    dot_4 = d_o @ v.mT  # [c, c']
    right2 = halves(dot_2, 2, 1, -2)  # [p2, r2, K]
    product_4 = pick * pick_2  # [p1, K]
    product_5 = d_o * dot_3[..., :, None]  # [c, V]
    dot_5 = (product_3 * k).sum(-2)  # [K]
    product_6 = product_3 * u[..., None, :]  # [c, K]
    level1 = level(dot_4, 1).contiguous()  # [p1, r1, r1']
    level2 = level(dot_4, 2).contiguous()  # [p2, r2, r2']
    pick_3 = product_4[..., 0::2, :]  # [p2, K]
    pick_4 = product_4[..., 1::2, :]  # [p2, K]
    dot_6 = (right1[..., :, :, None, :] * left1[..., :, None, :, :]).sum(-1)  # [p1, r1, r1']
    # [p1, r1, K]
    dot_7 = (
        level1[..., :, :, None, :] * left1.movedim(
            (-3, -1, -2),
            (-3, -2, -1),
        )[..., :, None, :, :]
    ).squeeze(-1)
    # [p1, r1', K]
    dot_8 = (
        level1.movedim(
            (-3, -1, -2),
            (-3, -2, -1),
        )[..., :, :, None, :] * right1.movedim((-3, -1, -2), (-3, -2, -1))[..., :, None, :, :]
    ).squeeze(-1)
    product_7 = pick_3 * pick_4  # [p2, K]
    summed = product_7.sum(-2)  # [K]
    total = add_rows_(product_2, dot_7, 1, 1, -2)  # [c, K]
    prefix2 = grow(r, pick, 1, 1, -2)  # [c, K]
    right2_2 = halves(prefix2, 2, 1, -2)  # [p2, r2, K]
    # [p2, r2', K]
    dot_9 = torch.addcmul(
        level2.select(-2, 0)[..., :, :, None] * right2_2.select(-2, 0)[..., :, None, :],
        level2.select(-2, 1)[..., :, :, None],
        right2_2.select(-2, 1)[..., :, None, :],
    )
    dot_10 = (right2 * right2_2).sum(-2)  # [p2, K]
    suffix2 = grow(tokens_2, pick_2, 1, 0, -2)  # [c, K]
    left2 = halves(suffix2, 2, 0, -2).clone()  # [p2, r2, K]
    dot_11 = right2_2 @ left2.mT  # [p2, r2, r2']
    # [p2, r2, K]
    dot_12 = torch.addcmul(
        level2.select(-1, 0)[..., :, :, None] * left2.select(-2, 0)[..., :, None, :],
        level2.select(-1, 1)[..., :, :, None],
        left2.select(-2, 1)[..., :, None, :],
    )
    scores = blocks(4, None, dot_6, dot_11)  # [c, c']
    dot_13 = scores.mT @ d_o  # [c', V]
    prefix4 = grow_(prefix2, pick_3, 2, 1, -2)  # [c, K]
    dot_14 = prefix4.mT @ d_o  # [K, V]
    suffix4 = grow_(suffix2, pick_4, 2, 0, -2)  # [c, K]
    total_2 = grow_add_(dot_2, pick_3, dot_12, 2, 1, -2)  # [c, K]
    right1_2 = halves(total_2, 1, 1, -2)  # [p1, r1, K]
    dot_15 = (right1_2 * right1).squeeze(-2)  # [p1, K]
    prefix2_2 = grow_(total_2, pick, 1, 1, -2)  # [c, K]
    total_3 = total + prefix2_2  # [c, K]
    return (
        pick,
        pick_2,
        pick_3,
        pick_4,
        suffix4,
        left1,
        left2,
        summed,
        product_5,
        dot_5,
        product_6,
        dot_14,
        dot_13,
        dot_9,
        dot_8,
        dot_10,
        dot_15,
        total_3,
    )


def backward_2(chunks, summed, dot_14, d_S):
    """From chunk to chunk, last to first."""
    all_d_S = []
    for summed, dot_14 in along(chunks, summed, dot_14, reverse=True):
        total_4 = torch.addcmul(dot_14, d_S, summed[..., :, None])  # [K, V]
        all_d_S.append(d_S)
        d_S = total_4
    return (stacked(all_d_S, reverse=True),), (d_S,)


def backward_3(
    S,
    pick,
    pick_2,
    pick_3,
    pick_4,
    suffix4,
    left1,
    left2,
    v,
    d_S,
    product_5,
    product_6,
    dot_13,
    dot_9,
    dot_8,
    dot_10,
    dot_15,
    K,
    valid,
):
    """All chunks at once."""
    dot_16 = v @ d_S.mT  # [c, K]
    dot_17 = suffix4 @ d_S  # [c, V]
    dot_18 = (d_S * S).sum(-1)  # [K]
    spread = dot_18[..., None, :].expand(-1, -1, -1, 1, -1)  # [p2, K]
    left2_2 = halves(dot_16, 2, 0, -2)  # [p2, r2, K]
    total_5 = dot_17 + product_5 + dot_13  # [c, V]
    dot_19 = (left2_2 * left2).sum(-2)  # [p2, K]
    total_6 = torch.addcmul(dot_19, spread, pick_3)  # [p2, K]
    total_7 = torch.addcmul(dot_10, spread, pick_4)  # [p2, K]
    total_8 = interleave(total_7, total_6, -2)  # [p1, K]
    total_9 = torch.addcmul(dot_15, total_8, pick_2)  # [p1, K]
    total_10 = grow_add_(dot_16, pick_4, dot_9, 2, 0, -2)  # [c, K]
    left1_2 = halves(total_10, 1, 0, -2)  # [p1, r1, K]
    dot_20 = (left1_2 * left1).squeeze(-2)  # [p1, K]
    total_11 = torch.addcmul(dot_20, total_8, pick)  # [p1, K]
    total_12 = interleave(total_9, total_11, -2)  # [c, K]
    tokens_3 = pad(total_12, valid, 0, -2)  # [c, K]
    total_13 = grow_add_(total_10, pick_2, dot_8, 1, 0, -2)  # [c, K]
    tokens_4 = pad(total_13, valid, 0, -2)  # [c, K]
    total_14 = product_6 + tokens_4  # [c, K]
    return (total_5, total_14, tokens_3)


def backward_piece(piece, streams, constants, states, size, boundaries):
    """The adjoint of the piece, given the states before its chunks."""
    w, r, k, v, u, d_o = streams[
        3
    ], streams[0], streams[1], streams[2], constants[0], streams[4]
    (S,) = boundaries
    (
        pick,
        pick_2,
        pick_3,
        pick_4,
        suffix4,
        left1,
        left2,
        summed,
        product_5,
        dot_5,
        product_6,
        dot_14,
        dot_13,
        dot_9,
        dot_8,
        dot_10,
        dot_15,
        total_3,
    ) = backward_1(w, S, r, k, v, u, d_o, piece.valid)
    (d_S,), states = by_runs(backward_2, piece, states, (summed, dot_14,), reverse=True)
    (total_5, total_14, tokens_3,) = backward_3(
        S,
        pick,
        pick_2,
        pick_3,
        pick_4,
        suffix4,
        left1,
        left2,
        v,
        d_S,
        product_5,
        product_6,
        dot_13,
        dot_9,
        dot_8,
        dot_10,
        dot_15,
        size["K"],
        piece.valid,
    )
    made = (tokens_3, total_3, total_14, total_5, dot_5,)
    return made, states


def lengths(streams, constants, given):
    """The sizes that the kernels speak of."""
    return {"K": streams[0].shape[-1], "V": streams[2].shape[-1]}


def empty_output(streams, size):
    """Memory for o."""
    heads = max(x.shape[2] for x in streams)
    return streams[0].new_empty(*streams[0].shape[:2], heads, size["V"])


def parts(tensors):
    """Streams, constants, states, and what follows them."""
    return tensors[:4], tensors[4:5], tensors[5:6], tensors[6:]


def saved_of(outputs):
    """What the backward wants of what the forward gave: nothing."""
    return ()


def forward(streams, constants, states, given, cu_seqlens, recurrent, in_place=False):
    """Output and final states: in chunks, or token by token."""
    size = lengths(streams, constants, given)
    outputs = [empty_output(streams, size)]
    if cu_seqlens is not None:  # rows that no sequence covers
        outputs[0].zero_()
    program, chunk = (recurrent_piece, 1) if recurrent else (forward_piece, CHUNK)
    run = (program, chunk, streams, constants, states, size, outputs, cu_seqlens, in_place)
    return [*outputs, *run_forward(*run)]


def backward(streams, constants, states, cotangents, given, cu_seqlens):
    """Cotangents of streams, constants and first states."""
    size = lengths(streams, constants, given)
    outputs, finals = cotangents[:1], cotangents[1:]
    run = (streams, constants, states, size, outputs, finals, cu_seqlens)
    programs = (states_piece, backward_piece, (3, 0, 1, 2), (0,))
    return run_backward(programs, CHUNK, *run)


LISTS = "Tensor[] streams, Tensor[] constants, Tensor[] states, "
FORWARD = registered(
    "forward",
    f"{LISTS}float[] given, Tensor? cu_seqlens, bool recurrent",
    forward,
    forward_shapes,
)
ADVANCE = registered(
    "advance",
    "Tensor[] streams, Tensor[] constants, Tensor(a!)[] states, float[] given, Tensor? cu_seqlens",
    advance,
    advance_shapes,
)
BACKWARD = registered(
    "backward",
    f"{LISTS}Tensor[] cotangents, float[] given, Tensor? cu_seqlens",
    backward,
    backward_shapes,
)


def mix(
    *,
    u,
    r,
    k,
    v,
    w,
    state=None,
    mode="parallel",
    chunk=None,
    cu_seqlens=None,
    in_place=False,
):
    """Finch: the decay and the token shift depend on the data. Peng et al. 2024, arXiv:2404.05892

    Streams are [B, T, H, axes…], parameters [H, axes…]; the state has a row for each sequence.
    With `in_place`, in recurrent mode, the given state itself is moved on.
    """
    if chunk not in (None, CHUNK):
        raise ValueError(f"this file was made for chunks of {CHUNK} tokens, not {chunk}")
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}, and not {' or '.join(map(repr, MODES))}")
    heads = u.shape[0]
    rows = r.shape[0]
    streams = [r, k, v, w]
    constants = [u.expand(rows, *u.shape)]
    given = ()
    sequences = rows if cu_seqlens is None else cu_seqlens.shape[0] - 1
    dtype = accumulation(streams)
    if state is None:
        size = lengths(streams, constants, given)
        states = [r.new_zeros(sequences, heads, size["K"], size["V"], dtype=dtype)]
    else:
        states = [state["S"].to(dtype)]
    if in_place:
        check_in_place(mode, state, states, (*streams, *constants))
        o = ADVANCE(streams, constants, states, given, cu_seqlens)[0]
        return o, state
    settings = (float(mode == "recurrent"), *given)
    o, *after = Mix.apply(settings, cu_seqlens, *streams, *constants, *states)
    return o, State(zip(("S",), after, strict=True))


class Layer(torch.nn.Module):
    """The layer of rwkv6.

    Finch: the decay and the token shift depend on the data. Peng et al. 2024, arXiv:2404.05892

    x and y are [B, T, d_model]; the state has a row for each sequence.
    """

    def __init__(
        self,
        d_model,
        heads,
        *,
        K=None,
        V=None,
        layer=0,
        layers=1,
        device=None,
        dtype=None,
    ):
        super().__init__()
        K = whole("K", d_model / heads if K is None else K)
        V = whole("V", d_model / heads if V is None else V)
        self.d_model = d_model
        self.heads = heads
        self.K = K
        self.V = V
        self.layer = layer
        self.layers = layers
        place = {"device": device, "dtype": dtype}
        self.mu = torch.nn.Parameter(torch.empty((d_model,), **place))
        self.w0 = torch.nn.Parameter(torch.empty((heads, K), **place))
        self.u = torch.nn.Parameter(torch.empty((heads, K), **place))
        self.mr_linear = torch.nn.Linear(d_model, 32, bias=False, **place)
        self.mr_linear_2 = torch.nn.Linear(32, d_model, bias=True, **place)
        self.mg_linear = torch.nn.Linear(d_model, 32, bias=False, **place)
        self.mg_linear_2 = torch.nn.Linear(32, d_model, bias=True, **place)
        self.mk_linear = torch.nn.Linear(d_model, 32, bias=False, **place)
        self.mk_linear_2 = torch.nn.Linear(32, d_model, bias=True, **place)
        self.mv_linear = torch.nn.Linear(d_model, 32, bias=False, **place)
        self.mv_linear_2 = torch.nn.Linear(32, d_model, bias=True, **place)
        self.mw_linear = torch.nn.Linear(d_model, 32, bias=False, **place)
        self.mw_linear_2 = torch.nn.Linear(32, d_model, bias=True, **place)
        self.r_linear = torch.nn.Linear(d_model, heads * K, bias=False, **place)
        self.k_linear = torch.nn.Linear(d_model, heads * K, bias=False, **place)
        self.v_linear = torch.nn.Linear(d_model, heads * V, bias=False, **place)
        self.g_linear = torch.nn.Linear(d_model, heads * V, bias=False, **place)
        self.w_linear = torch.nn.Linear(d_model, 64, bias=False, **place)
        self.w_linear_2 = torch.nn.Linear(64, heads * K, bias=False, **place)
        self.y_layernorm = GroupLayerNorm(heads, V, groups=heads, eps=0.00064, **place)
        self.y_linear = torch.nn.Linear(heads * V, d_model, bias=False, **place)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self):
        """Draw every initial value anew."""
        for module in self.children():
            module.reset_parameters()
        d_model, heads, K, layer, layers = self.d_model, self.heads, self.K, self.layer, self.layers
        head = indices(heads)
        self.mu.copy_(1 - (indices(d_model) / d_model) ** (1 - layer / layers))
        self.w0.copy_(
            -6 + 5 * (
                ((head * K).unsqueeze(-1) + indices(K)) / (d_model - 1)
            ) ** (0.7 + 1.3 * layer / max(layers - 1, 1))
        )
        self.u.copy_(
            layer / max(layers - 1, 1) * (
                1 - ((head * K).unsqueeze(-1) + indices(K)) / (d_model - 1)
            )
        )
        self.mr_linear.weight.fill_(0)
        self.mr_linear_2.bias.copy_(
            1 - (indices(d_model) / d_model) ** ((1 - layer / layers) / 2)
        )
        self.mg_linear.weight.fill_(0)
        self.mg_linear_2.bias.copy_(
            1 - (indices(d_model) / d_model) ** ((1 - layer / layers) / 2)
        )
        self.mk_linear.weight.fill_(0)
        self.mk_linear_2.bias.copy_(1 - (indices(d_model) / d_model) ** (1 - layer / layers))
        self.mv_linear.weight.fill_(0)
        self.mv_linear_2.bias.copy_(1 - (indices(d_model) / d_model) ** (1 - layer / layers))
        self.mw_linear.weight.fill_(0)
        self.mw_linear_2.bias.copy_(1 - (indices(d_model) / d_model) ** (1 - layer / layers))
        self.w_linear.weight.fill_(0)

    def forward(
        self,
        x,
        state=None,
        *,
        cu_seqlens=None,
        mode="parallel",
        chunk=None,
        in_place=False,
    ):
        """y and the state after it; `cu_seqlens` packs sequences in the one row of x."""
        heads, K, V = self.heads, self.K, self.V
        past = Past(state, x, cu_seqlens)
        x_previous = past.shift("x_previous", x)
        z = x + (x_previous - x) * self.mu  # rwkv6.mix:8
        mr = self.mr_linear_2(torch.tanh(self.mr_linear(z)))  # rwkv6.mix:9
        mg = self.mg_linear_2(torch.tanh(self.mg_linear(z)))  # rwkv6.mix:9
        mk = self.mk_linear_2(torch.tanh(self.mk_linear(z)))  # rwkv6.mix:11
        mv = self.mv_linear_2(torch.tanh(self.mv_linear(z)))  # rwkv6.mix:11
        mw = self.mw_linear_2(torch.tanh(self.mw_linear(z)))  # rwkv6.mix:11
        r = self.r_linear(x + (x_previous - x) * mr).unflatten(-1, (heads, K))  # rwkv6.mix:14
        k = self.k_linear(x + (x_previous - x) * mk).unflatten(-1, (heads, K))  # rwkv6.mix:15
        v = self.v_linear(x + (x_previous - x) * mv).unflatten(-1, (heads, V))  # rwkv6.mix:16
        g = self.g_linear(x + (x_previous - x) * mg)  # rwkv6.mix:17
        g = functional.silu(g).unflatten(-1, (heads, V))
        # rwkv6.mix:18
        w = self.w_linear_2(torch.tanh(self.w_linear(x + (x_previous - x) * mw)))
        w = torch.exp(-torch.exp(self.w0 + w.unflatten(-1, (heads, K))))
        o, state = mix(
            u=self.u,
            r=r,
            k=k,
            v=v,
            w=w,
            state=state,
            mode=mode,
            chunk=chunk,
            cu_seqlens=cu_seqlens,
            in_place=in_place,
        )
        y = self.y_layernorm(o.flatten(2)).unflatten(-1, (heads, V)) * g  # rwkv6.mix:24
        y = self.y_linear(y.flatten(2))
        return y, State({**state, **past.kept})

    def step(self, x, state=None, *, in_place=False):
        """One token, x [B, d_model] or [B, 1, d_model], in recurrent mode; y is like x."""
        if x.dim() == 3:
            return self(x, state, mode="recurrent", in_place=in_place)
        x = x.unsqueeze(1)
        y, state = self(x, state, mode="recurrent", in_place=in_place)
        return y.squeeze(1), state

    def extra_repr(self):
        """What printing the module shows."""
        return f"d_model={self.d_model}, heads={self.heads}, K={self.K}, V={self.V}"
