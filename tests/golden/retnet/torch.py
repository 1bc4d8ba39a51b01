NAME = "retnet"
SIZES = ("K", "V")
CHUNK = 4
GIVEN = ()
STREAMS = ("q", "k", "v")
PARAMS = ()
DECAYS = ()
MODES = ("parallel", "recurrent")
OPS = f"mixerc_c508de9f4a8b_{zlib.crc32(__name__.encode()):08x}"


def forward_1(head_index, q, k, v, K, valid):
    """All chunks at once."""
    product = q * (1 / math.sqrt(K))  # [c, K]
    tokens = pad(k, valid, 0, -2)  # [c, K]
    spread = filled(1, (4,), q, 3)  # [c]
    left1 = halves(spread, 1, 0, -1)  # [p1, r1]
    difference = 1 - 2 ** (-5 - head_index)  # []
    dot = product @ tokens.mT  # [c, c']
    spread_2 = difference[..., None].expand(-1, -1, -1, 4)  # [c]
    tokens_2 = pad(spread_2, valid, 1, -1)  # [c]
    right1 = halves(tokens_2, 1, 1, -1)  # [p1, r1]
    product_2 = tokens_2[..., 0::2] * tokens_2[..., 1::2]  # [p1]
    product_3 = right1[..., :, :, None] * left1[..., :, None, :]  # [p1, r1, r1']
    product_4 = product_2[..., 0::2] * product_2[..., 1::2]  # [p2]
    summed = product_4.sum(-1)  # []
    prefix2 = grow(tokens_2, tokens_2[..., 0::2], 1, 1, -1)  # [c]
    right2 = halves(prefix2, 2, 1, -1)  # [p2, r2]
    suffix2 = grow(spread, tokens_2[..., 1::2], 1, 0, -1)  # [c]
    left2 = halves(suffix2, 2, 0, -1)  # [p2, r2]
    product_5 = right2[..., :, :, None] * left2[..., :, None, :]  # [p2, r2, r2']
    scores = blocks(4, spread, product_3, product_5)  # [c, c']
    product_6 = dot * scores  # [c, c']
    dot_2 = product_6 @ v  # [c, V]
    prefix4 = grow_(prefix2, product_2[..., 0::2], 2, 1, -1)  # [c]
    product_7 = product * prefix4[..., :, None]  # [c, K]
    suffix4 = grow_(suffix2, product_2[..., 1::2], 2, 0, -1)  # [c]
    product_8 = tokens * suffix4[..., :, None]  # [c, K]
    dot_3 = product_8.mT @ v  # [K, V]
    return (dot_2, product_7, summed, dot_3)


def forward_2(chunks, summed, dot_3, S):
    """From chunk to chunk, first to last."""
    all_S = []
    for summed, dot_3 in along(chunks, summed, dot_3):
        total = torch.addcmul(dot_3, S, summed[..., None, None])  # [K, V]
        all_S.append(S)
        S = total
    return (stacked(all_S),), (S,)


def forward_3(S, dot_2, product_7):
    """All chunks at once."""
    dot_4 = product_7 @ S  # [c, V]
    total_2 = dot_2 + dot_4  # [c, V]
    return (total_2,)


def forward_piece(piece, streams, constants, states, size):
    """The parallel mode: tiles and states in, output and states after the piece."""
    q, k, v = streams[0], streams[1], streams[2]
    head_index = torch.arange(size["heads"], device=q.device, dtype=q.dtype)[None, :, None]
    (dot_2, product_7, summed, dot_3,) = forward_1(head_index, q, k, v, size["K"], piece.valid)
    (S,), states = by_runs(forward_2, piece, states, (summed, dot_3,))
    (total_2,) = forward_3(S, dot_2, product_7)
    made = (total_2,)
    return made, states


def recurrent_1(head_index, q, k, v, K, valid):
    """All chunks at once."""
    product = q * (1 / math.sqrt(K))  # [c, K]
    tokens = pad(k, valid, 0, -2)  # [c, K]
    spread = filled(1, (1,), q, 3)  # [c]
    scores = blocks(1, spread)  # [c, c']
    product_2 = tokens * spread[..., :, None]  # [c, K]
    difference = 1 - 2 ** (-5 - head_index)  # []
    dot = (product[..., :, None, :] * tokens[..., None, :, :]).sum(-1)  # [c, c']
    dot_2 = (product_2.mT[..., :, None, :] * v.mT[..., None, :, :]).squeeze(-1)  # [K, V]
    spread_2 = difference[..., None].expand(-1, -1, -1, 1)  # [c]
    product_3 = dot * scores  # [c, c']
    tokens_2 = pad(spread_2, valid, 1, -1)  # [c]
    dot_3 = (product_3[..., :, None, :] * v.mT[..., None, :, :]).squeeze(-1)  # [c, V]
    product_4 = product * tokens_2[..., :, None]  # [c, K]
    summed = tokens_2.sum(-1)  # []
    return (dot_3, product_4, summed, dot_2)


def recurrent_2(chunks, product_4, summed, dot_2, S):
    """From token to token."""
    all_dot_4 = []
    for product_4, summed, dot_2 in along(chunks, product_4, summed, dot_2):
        dot_4 = product_4 @ S  # [c, V]
        total = torch.addcmul(dot_2, S, summed[..., None, None])  # [K, V]
        all_dot_4.append(dot_4)
        S = total
    return (stacked(all_dot_4),), (S,)


def recurrent_3(dot_3, dot_4):
    """All chunks at once."""
    total_2 = dot_3 + dot_4  # [c, V]
    return (total_2,)


def recurrent_piece(piece, streams, constants, states, size):
    """The recurrent mode: the same, a token at a time."""
    q, k, v = streams[0], streams[1], streams[2]
    head_index = torch.arange(size["heads"], device=q.device, dtype=q.dtype)[None, :, None]
    (dot_3, product_4, summed, dot_2,) = recurrent_1(
        head_index,
        q,
        k,
        v,
        size["K"],
        piece.valid,
    )
    (dot_4,), states = by_runs(recurrent_2, piece, states, (product_4, summed, dot_2,))
    (total_2,) = recurrent_3(dot_3, dot_4)
    made = (total_2,)
    return made, states


def states_1(head_index, k, v, valid):
    """All chunks at once."""
    tokens = pad(k, valid, 0, -2)  # [c, K]
    spread = filled(1, (4,), k, 3)  # [c]
    difference = 1 - 2 ** (-5 - head_index)  # []
    spread_2 = difference[..., None].expand(-1, -1, -1, 4)  # [c]
    tokens_2 = pad(spread_2, valid, 1, -1)  # [c]
    product = tokens_2[..., 0::2] * tokens_2[..., 1::2]  # [p1]
    product_2 = product[..., 0::2] * product[..., 1::2]  # [p2]
    summed = product_2.sum(-1)  # []
    suffix2 = grow(spread, tokens_2[..., 1::2], 1, 0, -1)  # [c]
    suffix4 = grow_(suffix2, product[..., 1::2], 2, 0, -1)  # [c]
    product_3 = tokens * suffix4[..., :, None]  # [c, K]
    dot = product_3.mT @ v  # [K, V]
    return (summed, dot)


def states_2(chunks, summed, dot, S):
    """From chunk to chunk, first to last."""
    all_S = []
    for summed, dot in along(chunks, summed, dot):
        total = torch.addcmul(dot, S, summed[..., None, None])  # [K, V]
        all_S.append(S)
        S = total
    return (stacked(all_S),), (S,)


def states_piece(piece, streams, constants, states, size):
    """The states before each chunk of the piece, and after it."""
    k, v = streams[1], streams[2]
    head_index = torch.arange(size["heads"], device=k.device, dtype=k.dtype)[None, :, None]
    (summed, dot,) = states_1(head_index, k, v, piece.valid)
    (S,), states = by_runs(states_2, piece, states, (summed, dot,))
    made = (S,)
    return made, states


def backward_1(head_index, S, q, k, v, d_o, K, valid):
    """All chunks at once."""
    product = q * (1 / math.sqrt(K))  # [c, K]
    tokens = pad(k, valid, 0, -2)  # [c, K]
    spread = filled(1, (4,), S, 3)  # [c]
    dot = d_o @ S.mT  # [c, K]
    left1 = halves(spread, 1, 0, -1)  # [p1, r1]
    dot_2 = d_o @ v.mT  # [c, c']
    difference = 1 - 2 ** (-5 - head_index)  # []
    dot_3 = product @ tokens.mT  # [c, c']
    spread_2 = difference[..., None].expand(-1, -1, -1, 4)  # [c]
    tokens_2 = pad(spread_2, valid, 1, -1)  # [c]
    right1 = halves(tokens_2, 1, 1, -1)  # [p1, r1]
    product_2 = tokens_2[..., 0::2] * tokens_2[..., 1::2]  # [p1]
    product_3 = right1[..., :, :, None] * left1[..., :, None, :]  # [p1, r1, r1']
    product_4 = product_2[..., 0::2] * product_2[..., 1::2]  # [p2]
    summed = product_4.sum(-1)  # []
    prefix2 = grow(tokens_2, tokens_2[..., 0::2], 1, 1, -1)  # [c]
    right2 = halves(prefix2, 2, 1, -1)  # [p2, r2]
    suffix2 = grow(spread, tokens_2[..., 1::2], 1, 0, -1)  # [c]
    left2 = halves(suffix2, 2, 0, -1)  # [p2, r2]
    product_5 = right2[..., :, :, None] * left2[..., :, None, :]  # [p2, r2, r2']
    scores = blocks(4, spread, product_3, product_5)  # [c, c']
    product_6 = dot_3 * scores  # [c, c']
    product_7 = dot_2 * scores  # [c, c']
    dot_4 = product_6.mT @ d_o  # [c', V]
    dot_5 = product_7 @ tokens  # [c, K]
    dot_6 = product_7.mT @ product  # [c', K]
    prefix4 = grow_(prefix2, product_2[..., 0::2], 2, 1, -1)  # [c]
    product_8 = product * prefix4[..., :, None]  # [c, K]
    dot_7 = product_8.mT @ d_o  # [K, V]
    product_9 = torch.addcmul(dot_5, dot, prefix4[..., :, None]) * (1 / math.sqrt(K))  # [c, K]
    suffix4 = grow_(suffix2, product_2[..., 1::2], 2, 0, -1)  # [c]
    product_10 = tokens * suffix4[..., :, None]  # [c, K]
    return (suffix4, summed, product_10, dot_7, dot_4, dot_6, product_9)


def backward_2(chunks, summed, dot_7, d_S):
    """From chunk to chunk, last to first."""
    all_d_S = []
    for summed, dot_7 in along(chunks, summed, dot_7, reverse=True):
        total = torch.addcmul(dot_7, d_S, summed[..., None, None])  # [K, V]
        all_d_S.append(d_S)
        d_S = total
    return (stacked(all_d_S, reverse=True),), (d_S,)


def backward_3(suffix4, v, product_10, d_S, dot_4, dot_6, valid):
    """All chunks at once."""
    dot_8 = v @ d_S.mT  # [c, K]
    dot_9 = product_10 @ d_S  # [c, V]
    total_2 = dot_9 + dot_4  # [c, V]
    total_3 = torch.addcmul(dot_6, dot_8, suffix4[..., :, None])  # [c, K]
    tokens_3 = pad(total_3, valid, 0, -2)  # [c, K]
    return (total_2, tokens_3)


def backward_piece(piece, streams, constants, states, size, boundaries):
    """The adjoint of the piece, given the states before its chunks."""
    q, k, v, d_o = streams[0], streams[1], streams[2], streams[3]
    (S,) = boundaries
    head_index = torch.arange(size["heads"], device=q.device, dtype=q.dtype)[None, :, None]
    (
        suffix4,
        summed,
        product_10,
        dot_7,
        dot_4,
        dot_6,
        product_9,
    ) = backward_1(head_index, S, q, k, v, d_o, size["K"], piece.valid)
    (d_S,), states = by_runs(backward_2, piece, states, (summed, dot_7,), reverse=True)
    (total_2, tokens_3,) = backward_3(suffix4, v, product_10, d_S, dot_4, dot_6, piece.valid)
    made = (product_9, tokens_3, total_2,)
    return made, states


def lengths(streams, constants, given):
    """The sizes that the kernels speak of."""
    return {"K": streams[0].shape[-1], "heads": int(given[0]), "V": streams[2].shape[-1]}


def empty_output(streams, size):
    """Memory for o."""
    heads = max(x.shape[2] for x in streams)
    return streams[0].new_empty(*streams[0].shape[:2], heads, size["V"])


def parts(tensors):
    """Streams, constants, states, and what follows them."""
    return tensors[:3], tensors[3:3], tensors[3:4], tensors[4:]


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
    programs = (states_piece, backward_piece, (0, 1, 2), ())
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


def mix(*, q, k, v, state=None, mode="parallel", chunk=None, cu_seqlens=None, in_place=False):
    """Retention: a constant decay for each head. Sun et al. 2023, arXiv:2307.08621

    Streams are [B, T, H, axes…], parameters [H, axes…]; the state has a row for each sequence.
    With `in_place`, in recurrent mode, the given state itself is moved on.
    """
    if chunk not in (None, CHUNK):
        raise ValueError(f"this file was made for chunks of {CHUNK} tokens, not {chunk}")
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}, and not {' or '.join(map(repr, MODES))}")
    heads = q.shape[2]
    rows = q.shape[0]
    streams = [q, k, v]
    constants = []
    given = (float(heads),)
    sequences = rows if cu_seqlens is None else cu_seqlens.shape[0] - 1
    dtype = accumulation(streams)
    if state is None:
        size = lengths(streams, constants, given)
        states = [q.new_zeros(sequences, heads, size["K"], size["V"], dtype=dtype)]
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
    """The layer of retnet.

    Retention: a constant decay for each head. Sun et al. 2023, arXiv:2307.08621

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
        V = whole("V", 2 * d_model / heads if V is None else V)
        self.d_model = d_model
        self.heads = heads
        self.K = K
        self.V = V
        self.layer = layer
        self.layers = layers
        place = {"device": device, "dtype": dtype}
        self.q_linear = torch.nn.Linear(d_model, heads * K, bias=False, **place)
        self.k_linear = torch.nn.Linear(d_model, heads * K, bias=False, **place)
        self.v_linear = torch.nn.Linear(d_model, heads * V, bias=False, **place)
        self.g_linear = torch.nn.Linear(d_model, heads * V, bias=False, **place)
        self.y_linear = torch.nn.Linear(heads * V, d_model, bias=False, **place)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self):
        """Draw every initial value anew."""
        for module in self.children():
            module.reset_parameters()
        self.q_linear.weight.copy_(2 ** -2.5 * xavier(self.q_linear.weight.shape))
        self.k_linear.weight.copy_(2 ** -2.5 * xavier(self.k_linear.weight.shape))
        self.v_linear.weight.copy_(2 ** -2.5 * xavier(self.v_linear.weight.shape))
        self.g_linear.weight.copy_(2 ** -2.5 * xavier(self.g_linear.weight.shape))
        self.y_linear.weight.copy_(xavier(self.y_linear.weight.shape) / 2)

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
        position = past.position()
        q = self.q_linear(x)  # retnet.mix:7
        q = rope(q.unflatten(-1, (heads, K)), position, 10000 ** (K / (K - 2)), True)
        k = self.k_linear(x)  # retnet.mix:7
        k = rope(k.unflatten(-1, (heads, K)), position, 10000 ** (K / (K - 2)), True)
        v = self.v_linear(x).unflatten(-1, (heads, V))  # retnet.mix:8
        g = functional.silu(self.g_linear(x)).unflatten(-1, (heads, V))  # retnet.mix:9
        o, state = mix(
            q=q,
            k=k,
            v=v,
            state=state,
            mode=mode,
            chunk=chunk,
            cu_seqlens=cu_seqlens,
            in_place=in_place,
        )
        # retnet.mix:16
        y = self.y_linear((functional.layer_norm(o, (V,), eps=1e-05) * g).flatten(2))
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
