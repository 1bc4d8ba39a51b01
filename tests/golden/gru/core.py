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
}
OPS = f"mixerc_bde652160251_{zlib.crc32(__name__.encode()):08x}"


def recurrent_1(Rz, Rr, Rn):
    """All rows at once."""
    return (Rz, Rr, Rn)


def recurrent_2(rows, uz, rename, un, ur, rename_2, rename_3, b, h):
    """From token to token."""
    all_h = [h := h.unsqueeze(2)]
    for row in by_rows(rows, uz, un, ur):
        (uz, un, ur,) = row
        dot = h @ rename.mT  # [c, E]
        dot_2 = h @ rename_2.mT  # [c, E]
        dot_3 = h @ rename_3.mT  # [c, E]
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


def recurrent_piece(rows, streams, constants, states, size):
    """The recurrent mode: the same, a token at a time."""
    Rz, Rr, Rn, uz, un, ur, b = constants[
        1
    ], constants[0], constants[2], streams[1], streams[2], streams[0], constants[3]
    (rename, rename_2, rename_3,) = recurrent_1(Rz, Rr, Rn)
    (h, total_2, last_h), = recurrent_2(
        rows,
        uz,
        rename,
        un,
        ur,
        rename_2,
        rename_3,
        b,
        states[0],
    )
    made = (total_2,)
    return made, (last_h,)


def states_1(Rz, Rr, Rn):
    """All rows at once."""
    return (Rz, Rr, Rn)


def states_2(rows, uz, rename, un, ur, rename_2, rename_3, b, h):
    """From token to token."""
    all_h = [h := h.unsqueeze(2)]
    for row in by_rows(rows, uz, un, ur):
        (uz, un, ur,) = row
        dot = h @ rename.mT  # [c, E]
        dot_2 = h @ rename_2.mT  # [c, E]
        dot_3 = h @ rename_3.mT  # [c, E]
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
    Rz, Rr, Rn, uz, un, ur, b = constants[
        1
    ], constants[0], constants[2], streams[1], streams[2], streams[0], constants[3]
    (rename, rename_2, rename_3,) = states_1(Rz, Rr, Rn)
    (h, total_2, last_h), = states_2(rows, uz, rename, un, ur, rename_2, rename_3, b, states[0])
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
        Rz,
        Rr,
        Rn,
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
    rename,
    rename_2,
    rename_3,
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
        dot_4 = product_5 @ rename_3  # [c, E'/E]
        product_6 = product_4 * total_3 * product  # [c, E]
        # [c, E]
        total_5 = torch.addcmul(-(total_4 * tanh_ * product_2), total_4 * h, product_3)
        dot_5 = product_6 @ rename_2  # [c, E'/E]
        dot_6 = total_5 @ rename  # [c, E'/E]
        total_6 = dot_4 + dot_5 + dot_6  # [c, E'/E]
        total_7 = torch.addcmul(total_6, total_4, sigmoid_)  # [c, E]
        d_h = total_7
        all_d_h.append(d_h)
    return (rows_of(all_d_h, reverse=True),)


def backward_3(
    h,
    rename_4,
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
    dot_7 = product_5.mT @ rename_4  # [E, E'/E]
    product_6 = product_4 * total_3 * product  # [c, E]
    total_5 = torch.addcmul(-(total_4 * tanh_ * product_2), total_4 * h, product_3)  # [c, E]
    dot_8 = product_6.mT @ rename_4  # [E, E'/E]
    dot_9 = total_5.mT @ rename_4  # [E, E'/E]
    return (product_4, summed, product_6, total_5, dot_7, dot_8, dot_9)


def backward_piece(rows, streams, constants, states, size, boundaries):
    """The adjoint of the piece, given the states before its rows."""
    uz, Rz, un, ur, Rr, Rn, b, d_o = streams[
        1
    ], constants[1], streams[2], streams[0], constants[0], constants[2], constants[3], streams[3]
    (h,) = boundaries
    (
        rename,
        rename_2,
        rename_3,
        rename_4,
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
        rename,
        rename_2,
        rename_3,
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
    (product_4, summed, product_6, total_5, rename_5, rename_6, rename_7,) = backward_3(
        h,
        rename_4,
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
    made = (total_5, product_4, product_6, rename_7, rename_6, rename_5, summed)
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


