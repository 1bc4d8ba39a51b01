NAME = "rwkv4"
SIZES = ("heads", "E")
CHUNK = 1
GIVEN = ()
STREAMS = ("k", "v")
PARAMS = ("u", "w")
DECAYS = ()
MODES = ("parallel", "recurrent")
OPS = f"mixerc_01fe26676626_{zlib.crc32(__name__.encode()):08x}"


def forward_1(w):
    """All rows at once."""
    log_ = torch.log(w)  # [E]
    return (log_,)


def forward_3(peak, w, k, max_, v):
    """All rows at once."""
    raised = torch.exp(k - max_)  # [c, E]
    product = raised * v  # [c, E]
    product_2 = w[..., None, :] * torch.exp(torch.clamp(peak - max_, max=80))  # [c, E]
    return (product_2, raised, product)


def forward_6(peak, num, den, k, v, u):
    """All rows at once."""
    total_3 = u[..., None, :] + k  # [c, E]
    max__2 = torch.maximum(peak, total_3)  # [c, E]
    raised_2 = torch.exp(peak - max__2)  # [c, E]
    raised_3 = torch.exp(total_3 - max__2)  # [c, E]
    # [c, E]
    ratio = torch.addcmul(raised_2 * num, raised_3, v) / torch.addcmul(raised_3, raised_2, den)
    return (ratio,)


def forward_piece(rows, streams, constants, states, size, into):
    """The parallel mode: tiles and states in, output and states after the piece."""
    w, k, v, u = constants[1], streams[0], streams[1], constants[0]
    (log_,) = forward_1(w)
    peak, max_, last_peak = peaked(rows, states[0], log_[..., None, :], k)
    (product_2, raised, product,) = forward_3(peak, w, k, max_, v)
    num, total, last_num = scanned(rows, states[1], product_2, product)
    den, total_2, last_den = scanned(rows, states[2], product_2, raised)
    (ratio,) = forward_6(peak, num, den, k, v, u)
    made = (ratio,)
    return made, (last_peak, last_num, last_den,)


def recurrent_1(w):
    """All rows at once."""
    log_ = torch.log(w)  # [E]
    return (log_,)


def recurrent_2(rows, w, log_, k, v, peak, num, den):
    """From token to token."""
    all_peak = [peak := peak.unsqueeze(2)]
    all_num = [num := num.unsqueeze(2)]
    all_den = [den := den.unsqueeze(2)]
    for row in by_rows(rows, k, v):
        (k, v,) = row
        max_ = torch.maximum(peak + log_[..., None, :], k)  # [c, E]
        raised = torch.exp(k - max_)  # [c, E]
        product = w[..., None, :] * torch.exp(torch.clamp(peak - max_, max=80))  # [c, E]
        total = torch.addcmul(product * num, raised, v)  # [c, E]
        total_2 = torch.addcmul(raised, product, den)  # [c, E]
        peak, num, den = max_, total, total_2
        all_peak.append(peak)
        all_num.append(num)
        all_den.append(den)
    return (rows_of(all_peak), rows_of(all_num), rows_of(all_den))


def recurrent_3(peak, num, den, k, v, u):
    """All rows at once."""
    total_3 = u[..., None, :] + k  # [c, E]
    max__2 = torch.maximum(peak, total_3)  # [c, E]
    raised_2 = torch.exp(peak - max__2)  # [c, E]
    raised_3 = torch.exp(total_3 - max__2)  # [c, E]
    # [c, E]
    ratio = torch.addcmul(raised_2 * num, raised_3, v) / torch.addcmul(raised_3, raised_2, den)
    return (ratio,)


def recurrent_piece(rows, streams, constants, states, size, into):
    """The recurrent mode: the same, a token at a time."""
    w, k, v, u = constants[1], streams[0], streams[1], constants[0]
    (log_,) = recurrent_1(w)
    (peak, max_, last_peak), (num, total, last_num), (den, total_2, last_den), = recurrent_2(
        rows,
        w,
        log_,
        k,
        v,
        states[0],
        states[1],
        states[2],
    )
    (ratio,) = recurrent_3(peak, num, den, k, v, u)
    made = (ratio,)
    return made, (last_peak, last_num, last_den,)


def states_1(w):
    """All rows at once."""
    log_ = torch.log(w)  # [E]
    return (log_,)


def states_3(peak, w, k, max_, v):
    """All rows at once."""
    raised = torch.exp(k - max_)  # [c, E]
    product = raised * v  # [c, E]
    product_2 = w[..., None, :] * torch.exp(torch.clamp(peak - max_, max=80))  # [c, E]
    return (product_2, raised, product)


def states_piece(rows, streams, constants, states, size):
    """The states before each row of the piece, and after it."""
    w, k, v = constants[1], streams[0], streams[1]
    (log_,) = states_1(w)
    peak, max_, last_peak = peaked(rows, states[0], log_[..., None, :], k)
    (product_2, raised, product,) = states_3(peak, w, k, max_, v)
    num, total, last_num = scanned(rows, states[1], product_2, product)
    den, total_2, last_den = scanned(rows, states[2], product_2, raised)
    made = (peak, num, den,)
    return made, (last_peak, last_num, last_den,)


def backward_1(peak, den, w, k, u, d_o):
    """All rows at once."""
    log_ = torch.log(w)  # [E]
    total = u[..., None, :] + k  # [c, E]
    max_ = torch.maximum(peak, total)  # [c, E]
    max__2 = torch.maximum(peak + log_[..., None, :], k)  # [c, E]
    raised = torch.exp(peak - max_)  # [c, E]
    raised_2 = torch.exp(total - max_)  # [c, E]
    raised_3 = torch.exp(torch.clamp(peak - max__2, max=80))  # [c, E]
    total_2 = torch.addcmul(raised_2, raised, den)  # [c, E]
    product = w[..., None, :] * raised_3  # [c, E]
    product_2 = d_o * (1 / total_2)  # [c, E]
    product_3 = product_2 * raised  # [c, E]
    return (max__2, raised_3, product, total, raised, raised_2, total_2, product_2, product_3)


def backward_3(num, v, raised, raised_2, total_2, d_o):
    """All rows at once."""
    product_4 = d_o * -(torch.addcmul(raised * num, raised_2, v) / total_2 / total_2)  # [c, E]
    product_5 = product_4 * raised  # [c, E]
    return (product_4, product_5)


def backward_5(
    peak,
    num,
    den,
    k,
    max__2,
    v,
    raised_3,
    total,
    raised,
    raised_2,
    d_num,
    d_den,
    product_2,
    product_4,
):
    """All rows at once."""
    raised_4 = torch.exp(k - max__2)  # [c, E]
    total_5 = torch.addcmul(d_den * den, d_num, num)  # [c, E]
    product_6 = torch.addcmul(product_4, product_2, v) * raised_2  # [c, E]
    dot = (total_5 * raised_3).sum(-2)  # [E]
    total_6 = torch.addcmul(product_2 * raised_2, d_num, raised_4)  # [c, E]
    # [c, E]
    total_7 = torch.addcmul(
        product_6,
        -product_6 + -(torch.addcmul(product_4 * den, product_2, num) * raised),
        1 - torch.where(peak > total, 1, torch.where(peak == total, peak.new_full((), 0.5), 0)),
    )
    summed = total_7.sum(-2)  # [E]
    total_8 = torch.addcmul(total_7, torch.addcmul(d_den, d_num, v), raised_4)  # [c, E]
    return (summed, dot, total_6, total_8)


def backward_piece(rows, streams, constants, states, size, boundaries):
    """The adjoint of the piece, given the states before its rows."""
    w, k, u, d_o, v = constants[1], streams[0], constants[0], streams[2], streams[1]
    (peak, num, den,) = boundaries
    (
        max__2,
        raised_3,
        product,
        total,
        raised,
        raised_2,
        total_2,
        product_2,
        product_3,
    ) = backward_1(peak, den, w, k, u, d_o)
    d_num, total_3, last_d_num = scanned(rows, states[0], product, product_3, reverse=True)
    (product_4, product_5,) = backward_3(num, v, raised, raised_2, total_2, d_o)
    d_den, total_4, last_d_den = scanned(rows, states[1], product, product_5, reverse=True)
    (summed, dot, total_6, total_8,) = backward_5(
        peak,
        num,
        den,
        k,
        max__2,
        v,
        raised_3,
        total,
        raised,
        raised_2,
        d_num,
        d_den,
        product_2,
        product_4,
    )
    made = (total_8, total_6, dot, summed)
    return made, (last_d_num, last_d_den,)


def lengths(streams, constants, given):
    """The sizes that the kernels speak of."""
    return {"E": streams[0].shape[-1]}


def empty_output(streams, size):
    """Memory for o."""
    heads = max(x.shape[2] for x in streams)
    return streams[0].new_empty(*streams[0].shape[:2], heads, size["E"])


def parts(tensors):
    """Streams, constants, states, and what follows them."""
    return tensors[:2], tensors[2:4], tensors[4:7], tensors[7:]


def saved_of(outputs):
    """What the backward wants of what the forward gave: nothing."""
    return ()


def forward(streams, constants, states, given, cu_seqlens, recurrent, in_place=False):
    """Output and final states: in chunks, or token by token."""
    size = lengths(streams, constants, given)
    outputs = [empty_output(streams, size)]
    if cu_seqlens is not None:  # rows that no sequence covers
        outputs[0].zero_()
    program = recurrent_piece if recurrent else forward_piece
    run = (program, streams, constants, states, size, outputs, cu_seqlens)
    return [*outputs, *rows_forward(*run)]


def backward(streams, constants, states, cotangents, given, cu_seqlens):
    """Cotangents of streams, constants and first states."""
    size = lengths(streams, constants, given)
    outputs, finals = cotangents[:1], cotangents[1:]
    run = (streams, constants, states, size, outputs, finals, cu_seqlens)
    programs = (states_piece, backward_piece, (0, 1), (1, 0))
    return rows_backward(programs, (1, 2), *run)


