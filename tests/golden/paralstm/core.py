NAME = "paralstm"
SIZES = ("heads", "E")
CHUNK = 1
GIVEN = ()
STREAMS = ("uf", "uz", "uo")
PARAMS = ("af", "az", "ao", "pf", "po")
DECAYS = ()
MODES = ("recurrent", "newton")
WITHOUT = {
    "parallel": (
        "c and h feed one another, and the update is not linear in c (`sigmoid(uf + af * "
        "h[t-1] + pf * c[t-1]) * c[t-1]`); tokens are taken one after the other"
    ),
}
OPS = f"mixerc_47f7ab012c96_{zlib.crc32(__name__.encode()):08x}"


def newton_1(c, h, uf, af, pf, uz, az, uo, ao, po):
    """All rows at once."""
    minus = -c  # [c, E]
    minus_2 = -h  # [c, E]
    total = torch.addcmul(torch.addcmul(uf, af[..., None, :], h), pf[..., None, :], c)  # [c, E]
    tanh_ = torch.tanh(torch.addcmul(uz, az[..., None, :], h))  # [c, E]
    sigmoid_ = torch.sigmoid(total)  # [c, E]
    sigmoid__2 = torch.sigmoid(-total)  # [c, E]
    difference = 1 - tanh_ * tanh_  # [c, E]
    product = sigmoid__2 * sigmoid_  # [c, E]
    product_2 = sigmoid_ * sigmoid__2  # [c, E]
    total_2 = torch.addcmul(sigmoid_ * c, sigmoid__2, tanh_)  # [c, E]
    tanh__2 = torch.tanh(total_2)  # [c, E]
    # [c, E]
    total_3 = torch.addcmul(torch.addcmul(uo, ao[..., None, :], h), po[..., None, :], total_2)
    total_4 = torch.addcmul(-(product * tanh_), product_2, c)  # [c, E]
    sigmoid__3 = torch.sigmoid(total_3)  # [c, E]
    total_5 = torch.addcmul(sigmoid_, pf[..., None, :], total_4)  # [c, E]
    # [c, E]
    total_6 = torch.addcmul(
        az[..., None, :] * (difference * sigmoid__2),
        af[..., None, :],
        total_4,
    )
    product_3 = sigmoid__3 * torch.sigmoid(-total_3) * tanh__2  # [c, E]
    total_7 = torch.addcmul(torch.addcmul(total_2, total_5, minus), total_6, minus_2)  # [c, E]
    # [c, E]
    total_8 = torch.addcmul((1 - tanh__2 * tanh__2) * sigmoid__3, po[..., None, :], product_3)
    total_9 = torch.addcmul(-(product * (tanh_ * total_8)), product_2, c * total_8)  # [c, E]
    total_10 = torch.addcmul(sigmoid_ * total_8, pf[..., None, :], total_9)  # [c, E]
    # [c, E]
    total_11 = torch.addcmul(
        torch.addcmul(
            ao[..., None, :] * product_3,
            az[..., None, :],
            difference * (sigmoid__2 * total_8),
        ),
        af[..., None, :],
        total_9,
    )
    # [c, E]
    total_12 = torch.addcmul(
        torch.addcmul(sigmoid__3 * tanh__2, total_10, minus),
        total_11,
        minus_2,
    )
    return (total_5, total_10, total_6, total_11, total_7, total_12)


def newton_piece(rows, streams, constants, states, size, boundaries):
    """A step of Newton's method: from states before rows to better ones, and the output."""
    uf, af, pf, uz, az, uo, ao, po = streams[
        0
    ], constants[0], constants[3], streams[1], constants[1], streams[2], constants[2], constants[4]
    (c, h,) = boundaries
    (
        total_5,
        total_10,
        total_6,
        total_11,
        total_7,
        total_12,
    ) = newton_1(c, h, uf, af, pf, uz, az, uo, ao, po)
    (new_c, total_13, last_new_c), (new_h, total_14, last_new_h) = scanned_together(
        rows,
        (states[0], states[1]),
        (total_5, total_6, total_10, total_11),
        (total_7, total_12),
    )
    made = (total_14, new_c, new_h)
    return made, (last_new_c, last_new_h,)


def recurrent_1(rows, uf, af, pf, uz, az, uo, ao, po, c, h):
    """From token to token."""
    all_c = [c := c.unsqueeze(2)]
    all_h = [h := h.unsqueeze(2)]
    for row in by_rows(rows, uf, uz, uo):
        (uf, uz, uo,) = row
        # [c, E]
        total = torch.addcmul(torch.addcmul(uf, af[..., None, :], h), pf[..., None, :], c)
        # [c, E]
        total_2 = torch.addcmul(
            torch.sigmoid(total) * c,
            torch.sigmoid(-total),
            torch.tanh(torch.addcmul(uz, az[..., None, :], h)),
        )
        # [c, E]
        product = (
            torch.sigmoid(
                torch.addcmul(torch.addcmul(uo, ao[..., None, :], h), po[..., None, :], total_2)
            )
            * torch.tanh(total_2)
        )
        c, h = total_2, product
        all_c.append(c)
        all_h.append(h)
    return (rows_of(all_c), rows_of(all_h))


def recurrent_piece(rows, streams, constants, states, size, into):
    """The recurrent mode: the same, a token at a time."""
    uf, af, pf, uz, az, uo, ao, po = streams[
        0
    ], constants[0], constants[3], streams[1], constants[1], streams[2], constants[2], constants[4]
    (c, total_2, last_c), (h, product, last_h), = recurrent_1(
        rows,
        uf,
        af,
        pf,
        uz,
        az,
        uo,
        ao,
        po,
        states[0],
        states[1],
    )
    made = (product,)
    return made, (last_c, last_h,)


def states_1(rows, uf, af, pf, uz, az, uo, ao, po, c, h):
    """From token to token."""
    all_c = [c := c.unsqueeze(2)]
    all_h = [h := h.unsqueeze(2)]
    for row in by_rows(rows, uf, uz, uo):
        (uf, uz, uo,) = row
        # [c, E]
        total = torch.addcmul(torch.addcmul(uf, af[..., None, :], h), pf[..., None, :], c)
        # [c, E]
        total_2 = torch.addcmul(
            torch.sigmoid(total) * c,
            torch.sigmoid(-total),
            torch.tanh(torch.addcmul(uz, az[..., None, :], h)),
        )
        # [c, E]
        product = (
            torch.sigmoid(
                torch.addcmul(torch.addcmul(uo, ao[..., None, :], h), po[..., None, :], total_2)
            )
            * torch.tanh(total_2)
        )
        c, h = total_2, product
        all_c.append(c)
        all_h.append(h)
    return (rows_of(all_c), rows_of(all_h))


def states_piece(rows, streams, constants, states, size):
    """The states before each row of the piece, and after it."""
    uf, af, pf, uz, az, uo, ao, po = streams[
        0
    ], constants[0], constants[3], streams[1], constants[1], streams[2], constants[2], constants[4]
    (c, total_2, last_c), (h, product, last_h), = states_1(
        rows,
        uf,
        af,
        pf,
        uz,
        az,
        uo,
        ao,
        po,
        states[0],
        states[1],
    )
    made = (c, h,)
    return made, (last_c, last_h,)


def backward_1(c, h, uf, af, pf, uz, az, uo, ao, po, d_o):
    """All rows at once."""
    total = torch.addcmul(torch.addcmul(uf, af[..., None, :], h), pf[..., None, :], c)  # [c, E]
    tanh_ = torch.tanh(torch.addcmul(uz, az[..., None, :], h))  # [c, E]
    sigmoid_ = torch.sigmoid(total)  # [c, E]
    sigmoid__2 = torch.sigmoid(-total)  # [c, E]
    difference = 1 - tanh_ * tanh_  # [c, E]
    product = sigmoid__2 * sigmoid_  # [c, E]
    product_2 = sigmoid_ * sigmoid__2  # [c, E]
    total_2 = torch.addcmul(sigmoid_ * c, sigmoid__2, tanh_)  # [c, E]
    tanh__2 = torch.tanh(total_2)  # [c, E]
    # [c, E]
    total_3 = torch.addcmul(torch.addcmul(uo, ao[..., None, :], h), po[..., None, :], total_2)
    total_4 = torch.addcmul(-(product * tanh_), product_2, c)  # [c, E]
    sigmoid__3 = torch.sigmoid(total_3)  # [c, E]
    difference_2 = 1 - tanh__2 * tanh__2  # [c, E]
    total_5 = torch.addcmul(sigmoid_, pf[..., None, :], total_4)  # [c, E]
    # [c, E]
    total_6 = torch.addcmul(
        az[..., None, :] * (difference * sigmoid__2),
        af[..., None, :],
        total_4,
    )
    product_3 = sigmoid__3 * torch.sigmoid(-total_3)  # [c, E]
    product_4 = product_3 * tanh__2  # [c, E]
    product_5 = product_3 * (tanh__2 * d_o)  # [c, E]
    total_7 = torch.addcmul(difference_2 * sigmoid__3, po[..., None, :], product_4)  # [c, E]
    # [c, E]
    total_8 = torch.addcmul(difference_2 * (sigmoid__3 * d_o), po[..., None, :], product_5)
    total_9 = torch.addcmul(-(product * (tanh_ * total_7)), product_2, c * total_7)  # [c, E]
    total_10 = torch.addcmul(-(product * (tanh_ * total_8)), product_2, c * total_8)  # [c, E]
    total_11 = torch.addcmul(sigmoid_ * total_7, pf[..., None, :], total_9)  # [c, E]
    total_12 = torch.addcmul(sigmoid_ * total_8, pf[..., None, :], total_10)  # [c, E]
    # [c, E]
    total_13 = torch.addcmul(
        torch.addcmul(
            ao[..., None, :] * product_4,
            az[..., None, :],
            difference * (sigmoid__2 * total_7),
        ),
        af[..., None, :],
        total_9,
    )
    # [c, E]
    total_14 = torch.addcmul(
        torch.addcmul(
            ao[..., None, :] * product_5,
            az[..., None, :],
            difference * (sigmoid__2 * total_8),
        ),
        af[..., None, :],
        total_10,
    )
    return (
        sigmoid__2,
        tanh_,
        total_2,
        sigmoid__3,
        tanh__2,
        difference_2,
        product_3,
        difference,
        product,
        product_2,
        total_5,
        total_11,
        total_12,
        total_6,
        total_13,
        total_14,
    )


def backward_3(
    c,
    h,
    sigmoid__2,
    tanh_,
    total_2,
    po,
    sigmoid__3,
    tanh__2,
    d_o,
    d_c,
    d_h,
    difference_2,
    product_3,
    difference,
    product,
    product_2,
):
    """All rows at once."""
    total_17 = d_o + d_h  # [c, E]
    product_6 = total_17 * tanh__2 * product_3  # [c, E]
    dot = (product_6 * total_2).sum(-2)  # [E]
    dot_2 = (product_6 * h).sum(-2)  # [E]
    # [c, E]
    total_18 = torch.addcmul(
        torch.addcmul(d_c, total_17 * sigmoid__3, difference_2),
        product_6,
        po[..., None, :],
    )
    product_7 = total_18 * sigmoid__2 * difference  # [c, E]
    dot_3 = (product_7 * h).sum(-2)  # [E]
    total_19 = torch.addcmul(-(total_18 * tanh_ * product), total_18 * c, product_2)  # [c, E]
    dot_4 = (total_19 * c).sum(-2)  # [E]
    dot_5 = (total_19 * h).sum(-2)  # [E]
    return (product_6, dot, dot_2, product_7, dot_3, total_19, dot_4, dot_5)


def backward_piece(rows, streams, constants, states, size, boundaries):
    """The adjoint of the piece, given the states before its rows."""
    uf, af, pf, uz, az, uo, ao, po, d_o = streams[
        0
    ], constants[0], constants[3], streams[1], constants[1], streams[2], constants[2], constants[4], streams[3]
    (c, h,) = boundaries
    (
        sigmoid__2,
        tanh_,
        total_2,
        sigmoid__3,
        tanh__2,
        difference_2,
        product_3,
        difference,
        product,
        product_2,
        total_5,
        total_11,
        total_12,
        total_6,
        total_13,
        total_14,
    ) = backward_1(c, h, uf, af, pf, uz, az, uo, ao, po, d_o)
    (d_c, total_15, last_d_c), (d_h, total_16, last_d_h) = scanned_together(
        rows,
        (states[0], states[1]),
        (total_5, total_11, total_6, total_13),
        (total_12, total_14),
        reverse=True,
    )
    (product_6, dot, dot_2, product_7, dot_3, total_19, dot_4, dot_5,) = backward_3(
        c,
        h,
        sigmoid__2,
        tanh_,
        total_2,
        po,
        sigmoid__3,
        tanh__2,
        d_o,
        d_c,
        d_h,
        difference_2,
        product_3,
        difference,
        product,
        product_2,
    )
    made = (total_19, product_7, product_6, dot_5, dot_4, dot_3, dot_2, dot)
    return made, (last_d_c, last_d_h,)


def lengths(streams, constants, given):
    """The sizes that the kernels speak of."""
    return {"E": streams[0].shape[-1]}


def empty_output(streams, size):
    """Memory for o."""
    heads = max(x.shape[2] for x in streams)
    return streams[0].new_empty(*streams[0].shape[:2], heads, size["E"])


def parts(tensors):
    """Streams, constants, states, and what follows them."""
    return tensors[:3], tensors[3:8], tensors[8:10], tensors[10:]


def saved_of(outputs):
    """What the backward wants of what the forward gave: states that it solved for."""
    return outputs[3:5]


def forward(streams, constants, states, given, cu_seqlens, recurrent, in_place=False):
    """Output and final states: in chunks, or token by token."""
    size = lengths(streams, constants, given)
    outputs = [empty_output(streams, size)]
    if cu_seqlens is not None:  # rows that no sequence covers
        outputs[0].zero_()
    if not recurrent:
        programs = (newton_piece, (0, 1), states_piece, recurrent_piece)
        run = (programs, streams, constants, states, size, outputs, cu_seqlens)
        return [*outputs, *newton_forward(*run)]
    program = recurrent_piece
    run = (program, streams, constants, states, size, outputs, cu_seqlens)
    return [*outputs, *rows_forward(*run)]


def backward(streams, constants, states, cotangents, given, cu_seqlens):
    """Cotangents of streams, constants and first states."""
    size = lengths(streams, constants, given)
    kept, outputs, finals = arriving(cotangents, 2)
    run = (streams, constants, states, size, outputs, finals, cu_seqlens)
    programs = (states_piece, backward_piece, (0, 1, 2), (0, 3, 1, 2, 4))
    return rows_backward(programs, (0, 1), *run, kept)


