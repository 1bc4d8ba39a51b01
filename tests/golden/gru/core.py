NAME = "gru"
SIZES = ("heads", "E")
CHUNK = 1
GIVEN = ()
STREAMS = ("ur", "uz", "un")
PARAMS = ("Rr", "Rz", "Rn", "b")
DECAYS = ()
MODES = ("recurrent",)
WITHOUT = {
    "parallel": (
        "the update is not linear in h (`sigmoid(uz + Rz @ h[t-1]) * h[t-1]`); tokens are"
        " taken one after the other"
    ),
    "newton": (
        "`Rz @ h[t-1]` takes places of a state together: its slope is a full matrix"
    ),
}
OPS = f"mixerc_e5c5d34bb43d_{zlib.crc32(__name__.encode()):08x}"


def recurrent_1(rows, uz, Rz, un, ur, Rr, Rn, b, h):
    """From token to token."""
    all_h = [h := h.unsqueeze(2)]
    for row in by_rows(rows, uz, un, ur):
        (uz, un, ur,) = row
        dot = h @ Rz.mT  # [c, E]
        dot_2 = h @ Rr.mT  # [c, E]
        dot_3 = h @ Rn.mT  # [c, E]
        total = uz + dot  # [c, E]
        # [c, E]
        total_2 = torch.addcmul(
            torch.sigmoid(total) * h,
            torch.sigmoid(-total),
            torch.tanh(torch.addcmul(un, torch.sigmoid(ur + dot_2), dot_3 + b[..., None, :])),
        )
        h = total_2
        all_h.append(h)
    return (rows_of(all_h),)


def recurrent_piece(rows, streams, constants, states, size, into):
    """The recurrent mode: the same, a token at a time."""
    uz, Rz, un, ur, Rr, Rn, b = streams[
        1
    ], constants[1], streams[2], streams[0], constants[0], constants[2], constants[3]
    (h, total_2, last_h), = recurrent_1(rows, uz, Rz, un, ur, Rr, Rn, b, states[0])
    made = (total_2,)
    return made, (last_h,)


def states_1(rows, uz, Rz, un, ur, Rr, Rn, b, h):
    """From token to token."""
    all_h = [h := h.unsqueeze(2)]
    for row in by_rows(rows, uz, un, ur):
        (uz, un, ur,) = row
        dot = h @ Rz.mT  # [c, E]
        dot_2 = h @ Rr.mT  # [c, E]
        dot_3 = h @ Rn.mT  # [c, E]
        total = uz + dot  # [c, E]
        # [c, E]
        total_2 = torch.addcmul(
            torch.sigmoid(total) * h,
            torch.sigmoid(-total),
            torch.tanh(torch.addcmul(un, torch.sigmoid(ur + dot_2), dot_3 + b[..., None, :])),
        )
        h = total_2
        all_h.append(h)
    return (rows_of(all_h),)


def states_piece(rows, streams, constants, states, size):
    """The states before each row of the piece, and after it."""
    uz, Rz, un, ur, Rr, Rn, b = streams[
        1
    ], constants[1], streams[2], streams[0], constants[0], constants[2], constants[3]
    (h, total_2, last_h), = states_1(rows, uz, Rz, un, ur, Rr, Rn, b, states[0])
    made = (h,)
    return made, (last_h,)


def backward_1(h, uz, Rz, un, ur, Rr, Rn, b):
    """All rows at once."""
    dot = h @ Rz.mT  # [c, E]
    dot_2 = h @ Rr.mT  # [c, E]
    dot_3 = h @ Rn.mT  # [c, E]
    total = uz + dot  # [c, E]
    total_2 = ur + dot_2  # [c, E]
    total_3 = dot_3 + b[..., None, :]  # [c, E]
    sigmoid_ = torch.sigmoid(total)  # [c, E]
    sigmoid__2 = torch.sigmoid(total_2)  # [c, E]
    sigmoid__3 = torch.sigmoid(-total)  # [c, E]
    product = sigmoid__2 * torch.sigmoid(-total_2)  # [c, E]
    product_2 = sigmoid__3 * sigmoid_  # [c, E]
    product_3 = sigmoid_ * sigmoid__3  # [c, E]
    tanh_ = torch.tanh(torch.addcmul(un, sigmoid__2, total_3))  # [c, E]
    difference = 1 - tanh_ * tanh_  # [c, E]
    return (
        h,
        sigmoid_,
        sigmoid__3,
        sigmoid__2,
        total_3,
        tanh_,
        difference,
        product,
        product_2,
        product_3,
    )


def backward_2(
    rows,
    h,
    Rz,
    Rr,
    Rn,
    sigmoid_,
    sigmoid__3,
    sigmoid__2,
    total_3,
    tanh_,
    d_o,
    difference,
    product,
    product_2,
    product_3,
    d_h,
):
    """From token to token, last to first."""
    all_d_h = [d_h := d_h.unsqueeze(2)]
    for row in by_rows(
        rows,
        h,
        sigmoid_,
        sigmoid__3,
        sigmoid__2,
        total_3,
        tanh_,
        d_o,
        difference,
        product,
        product_2,
        product_3,
        reverse=True,
    ):
        (
            h,
            sigmoid_,
            sigmoid__3,
            sigmoid__2,
            total_3,
            tanh_,
            d_o,
            difference,
            product,
            product_2,
            product_3,
        ) = row
        total_4 = d_o + d_h  # [c, E]
        product_4 = total_4 * sigmoid__3 * difference  # [c, E]
        product_5 = product_4 * sigmoid__2  # [c, E]
        dot_4 = product_5 @ Rn  # [c, E']
        product_6 = product_4 * total_3 * product  # [c, E]
        # [c, E]
        total_5 = torch.addcmul(-(total_4 * tanh_ * product_2), total_4 * h, product_3)
        dot_5 = product_6 @ Rr  # [c, E']
        dot_6 = total_5 @ Rz  # [c, E']
        total_6 = dot_4 + dot_5 + dot_6  # [c, E']
        total_7 = torch.addcmul(total_6, total_4, sigmoid_)  # [c, E]
        d_h = total_7
        all_d_h.append(d_h)
    return (rows_of(all_d_h, reverse=True),)


def backward_3(
    h,
    rename,
    sigmoid__3,
    sigmoid__2,
    total_3,
    tanh_,
    d_o,
    d_h,
    difference,
    product,
    product_2,
    product_3,
):
    """All rows at once."""
    total_4 = d_o + d_h  # [c, E]
    product_4 = total_4 * sigmoid__3 * difference  # [c, E]
    product_5 = product_4 * sigmoid__2  # [c, E]
    summed = product_5.sum(-2)  # [E]
    dot_7 = product_5.mT @ rename  # [E, E']
    product_6 = product_4 * total_3 * product  # [c, E]
    total_5 = torch.addcmul(-(total_4 * tanh_ * product_2), total_4 * h, product_3)  # [c, E]
    dot_8 = product_6.mT @ rename  # [E, E']
    dot_9 = total_5.mT @ rename  # [E, E']
    return (product_4, summed, dot_7, product_6, dot_8, total_5, dot_9)


def backward_piece(rows, streams, constants, states, size, boundaries):
    """The adjoint of the piece, given the states before its rows."""
    uz, Rz, un, ur, Rr, Rn, b, d_o = streams[
        1
    ], constants[1], streams[2], streams[0], constants[0], constants[2], constants[3], streams[3]
    (h,) = boundaries
    (
        rename,
        sigmoid_,
        sigmoid__3,
        sigmoid__2,
        total_3,
        tanh_,
        difference,
        product,
        product_2,
        product_3,
    ) = backward_1(h, uz, Rz, un, ur, Rr, Rn, b)
    (d_h, total_7, last_d_h), = backward_2(
        rows,
        h,
        Rz,
        Rr,
        Rn,
        sigmoid_,
        sigmoid__3,
        sigmoid__2,
        total_3,
        tanh_,
        d_o,
        difference,
        product,
        product_2,
        product_3,
        states[0],
    )
    (product_4, summed, dot_7, product_6, dot_8, total_5, dot_9,) = backward_3(
        h,
        rename,
        sigmoid__3,
        sigmoid__2,
        total_3,
        tanh_,
        d_o,
        d_h,
        difference,
        product,
        product_2,
        product_3,
    )
    made = (total_5, product_4, product_6, dot_9, dot_8, dot_7, summed)
    return made, (last_d_h,)


def lengths(streams, constants, given):
    """The sizes that the kernels speak of."""
    return {"E": streams[0].shape[-1]}


def empty_output(streams, size):
    """Memory for o."""
    heads = max(x.shape[2] for x in streams)
    return streams[0].new_empty(*streams[0].shape[:2], heads, size["E"])


def parts(tensors):
    """Streams, constants, states, and what follows them."""
    return tensors[:3], tensors[3:7], tensors[7:8], tensors[8:]


def saved_of(outputs):
    """What the backward wants of what the forward gave: nothing."""
    return ()


def forward(streams, constants, states, given, cu_seqlens, recurrent, in_place=False):
    """Output and final states: in chunks, or token by token."""
    size = lengths(streams, constants, given)
    outputs = [empty_output(streams, size)]
    if cu_seqlens is not None:  # rows that no sequence covers
        outputs[0].zero_()
    program = recurrent_piece
    run = (program, streams, constants, states, size, outputs, cu_seqlens)
    return [*outputs, *rows_forward(*run)]


def backward(streams, constants, states, cotangents, given, cu_seqlens):
    """Cotangents of streams, constants and first states."""
    size = lengths(streams, constants, given)
    outputs, finals = cotangents[:1], cotangents[1:]
    run = (streams, constants, states, size, outputs, finals, cu_seqlens)
    programs = (states_piece, backward_piece, (1, 2, 0), (1, 0, 2, 3))
    return rows_backward(programs, (0,), *run)


