NAME = "rglru"
SIZES = ("E",)
CHUNK = 1
GIVEN = ()
STREAMS = ("u", "i", "a")
PARAMS = ()
DECAYS = ()
MODES = ("parallel", "recurrent")
OPS = f"mixerc_1ec5fad7f2b7_{zlib.crc32(__name__.encode()):08x}"


def forward_1(a, i, u):
    """All rows at once."""
    product = torch.sqrt(1 - a) * torch.sqrt(1 + a) * i * u  # [c, E]
    return (product,)


def forward_piece(rows, streams, constants, states, size, into):
    """The parallel mode: tiles and states in, output and states after the piece."""
    a, i, u = streams[2], streams[1], streams[0]
    (product,) = forward_1(a, i, u)
    h, total, last_h = scanned(rows, states[0], a, product, out=into[0])
    made = (total,)
    return made, (last_h,)


def recurrent_1(a, i, u):
    """All rows at once."""
    product = torch.sqrt(1 - a) * torch.sqrt(1 + a) * i * u  # [c, E]
    return (product,)


def recurrent_2(rows, a, product, h):
    """From token to token."""
    all_h = [h := h.unsqueeze(2)]
    for row in by_rows(rows, a, product):
        (a, product,) = row
        total = a * h + product  # [c, E]
        h = total
        all_h.append(h)
    return (rows_of(all_h),)


def recurrent_piece(rows, streams, constants, states, size, into):
    """The recurrent mode: the same, a token at a time."""
    a, i, u = streams[2], streams[1], streams[0]
    (product,) = recurrent_1(a, i, u)
    (h, total, last_h), = recurrent_2(rows, a, product, states[0])
    made = (total,)
    return made, (last_h,)


def states_1(a, i, u):
    """All rows at once."""
    product = torch.sqrt(1 - a) * torch.sqrt(1 + a) * i * u  # [c, E]
    return (product,)


def states_piece(rows, streams, constants, states, size):
    """The states before each row of the piece, and after it."""
    a, i, u = streams[2], streams[1], streams[0]
    (product,) = states_1(a, i, u)
    h, total, last_h = scanned(rows, states[0], a, product)
    made = (h,)
    return made, (last_h,)


def backward_1(a, d_o):
    """All rows at once."""
    product = a * d_o  # [c, E]
    return (product,)


def backward_3(h, a, i, u, d_o, d_h):
    """All rows at once."""
    total = d_o + d_h  # [c, E]
    sqrt_ = torch.sqrt(1 - a)  # [c, E]
    sqrt__2 = torch.sqrt(1 + a)  # [c, E]
    product_3 = total * u  # [c, E]
    product_4 = sqrt_ * sqrt__2  # [c, E]
    product_5 = product_3 * i  # [c, E]
    product_6 = product_3 * product_4  # [c, E]
    product_7 = total * (product_4 * i)  # [c, E]
    # [c, E]
    total_2 = (
        torch.addcmul(total * h, product_5 * sqrt_, 0.5 / sqrt__2)
        + -(product_5 * sqrt__2 * (0.5 / sqrt_))
    )
    return (product_7, product_6, total_2)


def backward_piece(rows, streams, constants, states, size, boundaries):
    """The adjoint of the piece, given the states before its rows."""
    a, d_o, i, u = streams[2], streams[3], streams[1], streams[0]
    (h,) = boundaries
    (product,) = backward_1(a, d_o)
    d_h, product_2, last_d_h = scanned(rows, states[0], a, product, reverse=True)
    (product_7, product_6, total_2,) = backward_3(h, a, i, u, d_o, d_h)
    made = (total_2, product_6, product_7)
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
    program = recurrent_piece if recurrent else forward_piece
    run = (program, streams, constants, states, size, outputs, cu_seqlens)
    return [*outputs, *rows_forward(*run)]


def backward(streams, constants, states, cotangents, given, cu_seqlens):
    """Cotangents of streams, constants and first states."""
    size = lengths(streams, constants, given)
    outputs, finals = cotangents[:1], cotangents[1:]
    run = (streams, constants, states, size, outputs, finals, cu_seqlens)
    programs = (states_piece, backward_piece, (2, 1, 0), ())
    return rows_backward(programs, (0,), *run)


