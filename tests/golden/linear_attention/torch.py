NAME = "linear_attention"
SIZES = ("K", "V")
CHUNK = 4
GIVEN = ()
STREAMS = ("q", "k", "v")
PARAMS = ()
DECAYS = ()
MODES = ("parallel", "recurrent")
OPS = f"mixerc_5092f1c5e508_{zlib.crc32(__name__.encode()):08x}"


def forward_1(q, k, v, valid):
    """All chunks at once."""
    spread = filled(1, (4,), q, 3)  # [c]
    total = 1 + functional.elu(q)  # [c, K]
    total_2 = 1 + functional.elu(k)  # [c, K]
    tokens = pad(total_2, valid, 0, -2)  # [c, K]
    dot = tokens.mT @ v  # [K, V]
    dot_2 = (tokens.mT @ spread[..., :, None]).squeeze(-1)  # [K]
    dot_3 = total @ tokens.mT  # [c, c']
    triangle = dot_3.tril(0)  # [c, c']
    dot_4 = triangle @ v  # [c, V]
    dot_5 = (triangle @ spread[..., :, None]).squeeze(-1)  # [c]
    return (total, dot_4, dot_5, dot, dot_2)


def forward_2(chunks, dot, dot_2, S, sum):
    """From chunk to chunk, first to last."""
    all_S = []
    all_sum = []
    for dot, dot_2 in along(chunks, dot, dot_2):
        total_3 = S + dot  # [K, V]
        total_4 = sum + dot_2  # [K]
        all_S.append(S)
        all_sum.append(sum)
        S, sum = total_3, total_4
    return (stacked(all_S), stacked(all_sum)), (S, sum)


def forward_3(S, sum, total, dot_4, dot_5):
    """All chunks at once."""
    dot_6 = total @ S  # [c, V]
    dot_7 = (total @ sum[..., :, None]).squeeze(-1)  # [c]
    total_5 = dot_5 + dot_7 + 1e-06  # [c]
    ratio = (dot_4 + dot_6) / total_5[..., :, None]  # [c, V]
    return (ratio,)


def forward_piece(piece, streams, constants, states, size):
    """The parallel mode: tiles and states in, output and states after the piece."""
    q, k, v = streams[0], streams[1], streams[2]
    (total, dot_4, dot_5, dot, dot_2,) = forward_1(q, k, v, piece.valid)
    (S, sum,), states = by_runs(forward_2, piece, states, (dot, dot_2,))
    (ratio,) = forward_3(S, sum, total, dot_4, dot_5)
    made = (ratio,)
    return made, states


def recurrent_1(q, k, v, valid):
    """All chunks at once."""
    spread = filled(1, (1,), q, 3)  # [c]
    total = 1 + functional.elu(q)  # [c, K]
    total_2 = 1 + functional.elu(k)  # [c, K]
    tokens = pad(total_2, valid, 0, -2)  # [c, K]
    dot = (tokens.mT[..., :, None, :] * v.mT[..., None, :, :]).squeeze(-1)  # [K, V]
    dot_2 = (tokens.mT * spread[..., None, :]).squeeze(-1)  # [K]
    dot_3 = (total[..., :, None, :] * tokens[..., None, :, :]).sum(-1)  # [c, c']
    triangle = dot_3.tril(0)  # [c, c']
    dot_4 = (triangle[..., :, None, :] * v.mT[..., None, :, :]).squeeze(-1)  # [c, V]
    dot_5 = (triangle * spread[..., None, :]).squeeze(-1)  # [c]
    return (total, dot_4, dot_5, dot, dot_2)


def recurrent_2(chunks, total, dot, dot_2, S, sum):
    """From token to token."""
    all_dot_6 = []
    all_dot_7 = []
    for total, dot, dot_2 in along(chunks, total, dot, dot_2):
        dot_6 = total @ S  # [c, V]
        dot_7 = (total * sum[..., None, :]).sum(-1)  # [c]
        total_3 = S + dot  # [K, V]
        total_4 = sum + dot_2  # [K]
        all_dot_6.append(dot_6)
        all_dot_7.append(dot_7)
        S, sum = total_3, total_4
    return (stacked(all_dot_6), stacked(all_dot_7)), (S, sum)


def recurrent_3(dot_4, dot_6, dot_5, dot_7):
    """All chunks at once."""
    total_5 = dot_5 + dot_7 + 1e-06  # [c]
    ratio = (dot_4 + dot_6) / total_5[..., :, None]  # [c, V]
    return (ratio,)


def recurrent_piece(piece, streams, constants, states, size):
    """The recurrent mode: the same, a token at a time."""
    q, k, v = streams[0], streams[1], streams[2]
    (total, dot_4, dot_5, dot, dot_2,) = recurrent_1(q, k, v, piece.valid)
    (dot_6, dot_7,), states = by_runs(recurrent_2, piece, states, (total, dot, dot_2,))
    (ratio,) = recurrent_3(dot_4, dot_6, dot_5, dot_7)
    made = (ratio,)
    return made, states


def states_1(k, v, valid):
    """All chunks at once."""
    spread = filled(1, (4,), k, 3)  # [c]
    total = 1 + functional.elu(k)  # [c, K]
    tokens = pad(total, valid, 0, -2)  # [c, K]
    dot = tokens.mT @ v  # [K, V]
    dot_2 = (tokens.mT @ spread[..., :, None]).squeeze(-1)  # [K]
    return (dot, dot_2)


def states_2(chunks, dot, dot_2, S, sum):
    """From chunk to chunk, first to last."""
    all_S = []
    all_sum = []
    for dot, dot_2 in along(chunks, dot, dot_2):
        total_2 = S + dot  # [K, V]
        total_3 = sum + dot_2  # [K]
        all_S.append(S)
        all_sum.append(sum)
        S, sum = total_2, total_3
    return (stacked(all_S), stacked(all_sum)), (S, sum)


def states_piece(piece, streams, constants, states, size):
    """The states before each chunk of the piece, and after it."""
    k, v = streams[1], streams[2]
    (dot, dot_2,) = states_1(k, v, piece.valid)
    (S, sum,), states = by_runs(states_2, piece, states, (dot, dot_2,))
    made = (S, sum,)
    return made, states


def backward_1(S, sum, q, k, v, d_o, valid):
    """All chunks at once."""
    spread = filled(1, (4,), S, 3)  # [c]
    total = 1 + functional.elu(q)  # [c, K]
    total_2 = 1 + functional.elu(k)  # [c, K]
    tokens = pad(total_2, valid, 0, -2)  # [c, K]
    dot = total @ S  # [c, V]
    dot_2 = (total @ sum[..., :, None]).squeeze(-1)  # [c]
    where_ = torch.where(k > 0, 1, torch.exp(torch.clamp(k, max=0)))  # [c, K]
    dot_3 = total @ tokens.mT  # [c, c']
    triangle = dot_3.tril(0)  # [c, c']
    dot_4 = triangle @ v  # [c, V]
    dot_5 = (triangle @ spread[..., :, None]).squeeze(-1)  # [c]
    total_3 = dot_5 + dot_2 + 1e-06  # [c]
    ratio = 1 / total_3  # [c]
    product = d_o * ratio[..., :, None]  # [c, V]
    minus = -((dot_4 + dot) / total_3[..., :, None] / total_3[..., :, None])  # [c, V]
    dot_6 = product @ S.mT  # [c, K]
    dot_7 = total.mT @ product  # [K, V]
    dot_8 = product @ v.mT  # [c, c']
    dot_9 = triangle.mT @ product  # [c', V]
    dot_10 = (d_o * minus).sum(-1)  # [c]
    dot_11 = (dot_10[..., None, :] @ total).squeeze(-2)  # [K]
    total_4 = torch.addcmul(dot_8, dot_10[..., :, None], spread[..., None, :])  # [c, c']
    triangle_2 = total_4.tril(0)  # [c, c']
    dot_12 = triangle_2 @ tokens  # [c, K]
    dot_13 = triangle_2.mT @ total  # [c', K]
    # [c, K]
    product_2 = (
        (torch.addcmul(dot_6, dot_10[..., :, None], sum[..., None, :]) + dot_12)
        * torch.where(q > 0, 1, torch.exp(torch.clamp(q, max=0)))
    )
    return (tokens, spread, dot_11, dot_7, dot_9, dot_13, where_, product_2)


def backward_2(chunks, dot_11, dot_7, d_S, d_sum):
    """From chunk to chunk, last to first."""
    all_d_S = []
    all_d_sum = []
    for dot_11, dot_7 in along(chunks, dot_11, dot_7, reverse=True):
        total_5 = d_sum + dot_11  # [K]
        total_6 = d_S + dot_7  # [K, V]
        all_d_S.append(d_S)
        all_d_sum.append(d_sum)
        d_S, d_sum = total_6, total_5
    return (stacked(all_d_S, reverse=True), stacked(all_d_sum, reverse=True)), (d_S, d_sum)


def backward_3(tokens, v, spread, d_S, d_sum, dot_9, dot_13, where_, valid):
    """All chunks at once."""
    dot_14 = v @ d_S.mT  # [c, K]
    dot_15 = tokens @ d_S  # [c, V]
    total_7 = dot_15 + dot_9  # [c, V]
    # [c, K]
    total_8 = torch.addcmul(dot_14, d_sum[..., None, :], spread[..., :, None]) + dot_13
    tokens_2 = pad(total_8, valid, 0, -2)  # [c, K]
    product_3 = tokens_2 * where_  # [c, K]
    return (total_7, product_3)


def backward_piece(piece, streams, constants, states, size, boundaries):
    """The adjoint of the piece, given the states before its chunks."""
    q, k, v, d_o = streams[0], streams[1], streams[2], streams[3]
    (S, sum,) = boundaries
    (
        tokens,
        spread,
        dot_11,
        dot_7,
        dot_9,
        dot_13,
        where_,
        product_2,
    ) = backward_1(S, sum, q, k, v, d_o, piece.valid)
    (d_S, d_sum,), states = by_runs(backward_2, piece, states, (dot_11, dot_7,), reverse=True)
    (total_7, product_3,) = backward_3(
        tokens,
        v,
        spread,
        d_S,
        d_sum,
        dot_9,
        dot_13,
        where_,
        piece.valid,
    )
    made = (product_2, product_3, total_7,)
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
    return tensors[:3], tensors[3:3], tensors[3:5], tensors[5:]


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
    """Attention with a feature map in place of the exponential. Katharopoulos et al. 2020,
    arXiv:2006.16236

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
    given = ()
    sequences = rows if cu_seqlens is None else cu_seqlens.shape[0] - 1
    dtype = accumulation(streams)
    if state is None:
        size = lengths(streams, constants, given)
        states = [
            q.new_zeros(sequences, heads, size["K"], size["V"], dtype=dtype),
            q.new_zeros(sequences, heads, size["K"], dtype=dtype),
        ]
    else:
        states = [state["S"].to(dtype), state["sum"].to(dtype)]
    if in_place:
        check_in_place(mode, state, states, (*streams, *constants))
        o = ADVANCE(streams, constants, states, given, cu_seqlens)[0]
        return o, state
    settings = (float(mode == "recurrent"), *given)
    o, *after = Mix.apply(settings, cu_seqlens, *streams, *constants, *states)
    return o, State(zip(("S", "sum"), after, strict=True))


class Layer(torch.nn.Module):
    """The layer of linear_attention.

    Attention with a feature map in place of the exponential. Katharopoulos et al. 2020,
    arXiv:2006.16236

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
        self.q_linear = torch.nn.Linear(d_model, heads * K, bias=True, **place)
        self.k_linear = torch.nn.Linear(d_model, heads * K, bias=True, **place)
        self.v_linear = torch.nn.Linear(d_model, heads * V, bias=True, **place)
        self.y_linear = torch.nn.Linear(heads * V, d_model, bias=True, **place)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self):
        """Draw every initial value anew."""
        for module in self.children():
            module.reset_parameters()
        self.q_linear.bias.fill_(0)
        self.k_linear.bias.fill_(0)
        self.v_linear.bias.fill_(0)
        self.y_linear.bias.fill_(0)

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
        q = self.q_linear(x).unflatten(-1, (heads, K))  # linear_attention.mix:4
        k = self.k_linear(x).unflatten(-1, (heads, K))  # linear_attention.mix:4
        v = self.v_linear(x).unflatten(-1, (heads, V))  # linear_attention.mix:5
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
        y = self.y_linear(o.flatten(2))  # linear_attention.mix:13
        return y, state

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
