NAME = "gla"
SIZES = ("K", "V")
CHUNK = 4
GIVEN = ()
STREAMS = ("q", "k", "v", "a")
PARAMS = ()
DECAYS = ("a",)
MODES = ("parallel", "recurrent")
OPS = f"mixerc_5cdbf45a99ae_{zlib.crc32(__name__.encode()):08x}"


REGISTERS = {"maxnreg": 255}
TILES = {
    "states_1": (32, 8),
    "forward_1": (64, 8),
    "forward_2": (64, 8),
    "recurrent_1": (16, 8),
    "backward_1": (32, 8),
    "backward_2": (64, 8),
    "backward_3": (32, 8),
    "backward_4": (64, 8),
    "backward_5": (64, 8),
    "backward_6": (64, 8),
    "backward_7": (64, 8),
}


@triton.jit(do_not_specialize=["length", "HEADS", "a_heads", "k_heads", "v_heads"])
def states_1(
    length,
    bounds_at,
    first_at,
    count_at,
    batch_at,
    state_at,
    last_at,
    kept_at,
    a_at,
    k_at,
    v_at,
    HEADS,
    a_heads,
    k_heads,
    v_heads,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """S from chunk to chunk."""
    pid = tl.program_id(0)
    first_K = pid % tl.cdiv(K, K_BLOCK) * K_BLOCK
    pid = pid // tl.cdiv(K, K_BLOCK)
    first_V = pid % tl.cdiv(V, V_BLOCK) * V_BLOCK
    pid = pid // tl.cdiv(V, V_BLOCK)
    h = pid % HEADS
    s = (pid // HEADS).to(tl.int64)
    start, stop = steps_of(s, length, bounds_at, CHUNK)
    i = tl.arange(0, CHUNK)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    at_V = first_V + tl.arange(0, V_BLOCK)
    at_V_in = at_V < V
    S_state = tl.load(
        state_at + (s * HEADS + h) * K * V + at_K[:, None] * V + at_V[None, :],
        mask=at_K_in[:, None] & at_V_in[None, :],
        other=0.0,
    ).to(ACC)
    for step in range(0, stop - start):
        n = start + step
        first, count, batch = chunk_of(n, length, first_at, count_at, batch_at, CHUNK)
        at, valid = rows_of(i, count)
        tl.store(
            kept_at + (n * HEADS + h) * K * V + at_K[:, None] * V + at_V[None, :],
            S_state.to(kept_at.dtype.element_ty),
            mask=at_K_in[:, None] & at_V_in[None, :],
        )
        a_tile = tl.load(
            a_at + (
                first * a_heads + h % a_heads
            ) * K + (at * a_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        tokens = tl.where(valid[:, None], a_tile, 1.0)
        siblings_2 = swapped(tokens, 1)
        product = tokens * siblings_2
        siblings_3 = swapped(product, 2)
        product_2 = product * siblings_3
        summed = tl.sum(tl.where((i % 4 == 0)[:, None], product_2, 0.0), axis=0)
        product_3 = S_state * summed[:, None]
        k_tile = tl.load(
            k_at + (
                first * k_heads + h % k_heads
            ) * K + (at * k_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        tokens_2 = tl.where(valid[:, None], k_tile, 0.0)
        suffix2 = tl.where(on_side(i, 1, 0)[:, None], tokens_2 * siblings_2, tokens_2)
        suffix4 = tl.where(on_side(i, 2, 0)[:, None], suffix2 * siblings_3, suffix2)
        v_tile = tl.load(
            v_at + (
                first * v_heads + h % v_heads
            ) * V + (at * v_heads)[:, None] * V + at_V[None, :],
            mask=at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        dot = matmul(tl.permute(suffix4, (1, 0)), v_tile, ACC, DOT, PREC)
        total = product_3 + dot
        S_state = total
    tl.store(
        last_at + (s * HEADS + h) * K * V + at_K[:, None] * V + at_V[None, :],
        S_state.to(last_at.dtype.element_ty),
        mask=at_K_in[:, None] & at_V_in[None, :],
    )


def states_piece(run, streams, constants, states, size):
    """The states before each chunk, and after the last."""
    kept_0 = run.chunked(size["K"], size["V"])
    last_0 = torch.empty_like(states[0])
    run.scan(
        states_1,
        size,
        ("K", "V"),
        ("K", "V"),
        state_at=states[0],
        last_at=last_0,
        kept_at=kept_0,
        a_at=streams[3],
        k_at=streams[1],
        v_at=streams[2],
        a_heads=streams[3].shape[1],
        k_heads=streams[1].shape[1],
        v_heads=streams[2].shape[1],
    )
    return (kept_0,), [last_0]


@triton.jit(do_not_specialize=["length", "HEADS", "q_heads", "k_heads", "a_heads"])
def forward_1(
    length,
    first_at,
    count_at,
    batch_at,
    out_0_at,
    q_at,
    k_at,
    a_at,
    HEADS,
    q_heads,
    k_heads,
    a_heads,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    K_BLOCK: tl.constexpr,
    c0: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """A value [c, c'], all chunks at once."""
    pid = tl.program_id(0)
    h = pid % HEADS
    n = (pid // HEADS).to(tl.int64)
    i = tl.arange(0, CHUNK)
    first, count, batch = chunk_of(n, length, first_at, count_at, batch_at, CHUNK)
    at, valid = rows_of(i, count)
    scores = tl.zeros((CHUNK, CHUNK), ACC)
    for from_K in range(0, K, K_BLOCK):
        at_K = from_K + tl.arange(0, K_BLOCK)
        at_K_in = at_K < K
        q_tile = tl.load(
            q_at + (
                first * q_heads + h % q_heads
            ) * K + (at * q_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        ratio = tl.full([], c0, ACC)
        product = q_tile * ratio
        k_tile = tl.load(
            k_at + (
                first * k_heads + h % k_heads
            ) * K + (at * k_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        tokens = tl.where(valid[:, None], k_tile, 0.0)
        part = tl.where(
            (i[:, None] == i[None, :]),
            tl.sum(product * tokens, axis=1)[:, None],
            0.0,
        )
        scores += part
        a_tile = tl.load(
            a_at + (
                first * a_heads + h % a_heads
            ) * K + (at * a_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        tokens_2 = tl.where(valid[:, None], a_tile, 1.0)
        product_2 = product * tokens_2
        part_2 = tl.where(
            siblings(i[:, None], i[None, :], 1),
            matmul(product_2, tl.permute(tokens, (1, 0)), ACC, DOT, PREC),
            0.0,
        )
        scores += part_2
        siblings_2 = swapped(tokens_2, 1)
        prefix2 = tl.where(on_side(i, 1, 1)[:, None], product_2 * siblings_2, product_2)
        suffix2 = tl.where(on_side(i, 1, 0)[:, None], tokens * siblings_2, tokens)
        part_3 = tl.where(
            siblings(i[:, None], i[None, :], 2),
            matmul(prefix2, tl.permute(suffix2, (1, 0)), ACC, DOT, PREC),
            0.0,
        )
        scores += part_3
    tl.store(
        out_0_at + (n * HEADS + h) * CHUNK * CHUNK + i[:, None] * CHUNK + i[None, :],
        scores.to(out_0_at.dtype.element_ty),
    )


@triton.jit(do_not_specialize=["length", "HEADS", "q_heads", "a_heads", "v_heads"])
def forward_2(
    length,
    first_at,
    count_at,
    batch_at,
    out_0_at,
    q_at,
    a_at,
    v_at,
    held_0_at,
    held_1_at,
    HEADS,
    q_heads,
    a_heads,
    v_heads,
    CHUNK: tl.constexpr,
    V: tl.constexpr,
    K: tl.constexpr,
    V_BLOCK: tl.constexpr,
    K_BLOCK: tl.constexpr,
    c0: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """A value [c, V], all chunks at once."""
    pid = tl.program_id(0)
    first_V = pid % tl.cdiv(V, V_BLOCK) * V_BLOCK
    pid = pid // tl.cdiv(V, V_BLOCK)
    h = pid % HEADS
    n = (pid // HEADS).to(tl.int64)
    i = tl.arange(0, CHUNK)
    first, count, batch = chunk_of(n, length, first_at, count_at, batch_at, CHUNK)
    at, valid = rows_of(i, count)
    at_V = first_V + tl.arange(0, V_BLOCK)
    at_V_in = at_V < V
    dot = tl.zeros((CHUNK, V_BLOCK), ACC)
    for from_K in range(0, K, K_BLOCK):
        at_K = from_K + tl.arange(0, K_BLOCK)
        at_K_in = at_K < K
        q_tile = tl.load(
            q_at + (
                first * q_heads + h % q_heads
            ) * K + (at * q_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        ratio = tl.full([], c0, ACC)
        product = q_tile * ratio
        a_tile = tl.load(
            a_at + (
                first * a_heads + h % a_heads
            ) * K + (at * a_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        tokens = tl.where(valid[:, None], a_tile, 1.0)
        product_2 = product * tokens
        siblings_2 = swapped(tokens, 1)
        prefix2 = tl.where(on_side(i, 1, 1)[:, None], product_2 * siblings_2, product_2)
        product_3 = tokens * siblings_2
        siblings_3 = swapped(product_3, 2)
        prefix4 = tl.where(on_side(i, 2, 1)[:, None], prefix2 * siblings_3, prefix2)
        S_before = tl.load(
            held_0_at + (n * HEADS + h) * K * V + at_K[:, None] * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part = matmul(prefix4, S_before, ACC, WIDE, PREC)
        dot += part
    scores = tl.load(
        held_1_at + (n * HEADS + h) * CHUNK * CHUNK + i[:, None] * CHUNK + i[None, :]
    ).to(ACC)
    v_tile = tl.load(
        v_at + (
            first * v_heads + h % v_heads
        ) * V + (at * v_heads)[:, None] * V + at_V[None, :],
        mask=at_V_in[None, :],
        other=0.0,
    ).to(ACC)
    dot_2 = matmul(scores, v_tile, ACC, DOT, PREC)
    total = dot_2 + dot
    tl.store(
        out_0_at + (first * HEADS + h) * V + (at * HEADS)[:, None] * V + at_V[None, :],
        total.to(out_0_at.dtype.element_ty),
        mask=at_V_in[None, :] & valid[:, None],
    )


def forward_piece(run, streams, constants, states, size, outputs):
    """The parallel mode."""
    kept, lasts = states_piece(run, streams, constants, states, size)
    before_0 = kept[0]
    shared_2 = run.chunked(run.chunk, run.chunk, dtype=run.dot)
    run.map(
        forward_1,
        size,
        ("K",),
        (),
        out_0_at=shared_2,
        q_at=streams[0],
        k_at=streams[1],
        a_at=streams[3],
        q_heads=streams[0].shape[1],
        k_heads=streams[1].shape[1],
        a_heads=streams[3].shape[1],
        c0=1 / math.sqrt(size["K"]),
    )
    run.map(
        forward_2,
        size,
        ("V", "K"),
        ("V",),
        out_0_at=outputs[0],
        q_at=streams[0],
        a_at=streams[3],
        v_at=streams[2],
        held_0_at=before_0,
        held_1_at=shared_2,
        q_heads=streams[0].shape[1],
        a_heads=streams[3].shape[1],
        v_heads=streams[2].shape[1],
        c0=1 / math.sqrt(size["K"]),
    )
    del shared_2
    return lasts


@triton.jit(do_not_specialize=["length", "HEADS", "q_heads", "k_heads", "v_heads", "a_heads"])
def recurrent_1(
    length,
    bounds_at,
    batch_at,
    out_at,
    state_S_at,
    last_S_at,
    q_at,
    k_at,
    v_at,
    a_at,
    HEADS,
    q_heads,
    k_heads,
    v_heads,
    a_heads,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    c0: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """From token to token."""
    pid = tl.program_id(0)
    first_V = pid % tl.cdiv(V, V_BLOCK) * V_BLOCK
    pid = pid // tl.cdiv(V, V_BLOCK)
    h = pid % HEADS
    s = (pid // HEADS).to(tl.int64)
    start, stop = steps_of(s, length, bounds_at, 1)
    at_K = 0 + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    at_V = first_V + tl.arange(0, V_BLOCK)
    at_V_in = at_V < V
    batch = s if batch_at is None else tl.load(batch_at + s)
    S_state = tl.load(
        state_S_at + (s * HEADS + h) * K * V + at_K[:, None] * V + at_V[None, :],
        mask=at_K_in[:, None] & at_V_in[None, :],
        other=0.0,
    ).to(ACC)
    for step in range(0, stop - start):
        row = start + step
        q_tile = tl.load(
            q_at + (row * q_heads + h % q_heads) * K + at_K,
            mask=at_K_in,
            other=0.0,
        ).to(ACC)
        ratio = tl.full([], c0, ACC)
        product = q_tile * ratio
        k_tile = tl.load(
            k_at + (row * k_heads + h % k_heads) * K + at_K,
            mask=at_K_in,
            other=0.0,
        ).to(ACC)
        dot = tl.sum(product * k_tile, axis=0)
        v_tile = tl.load(
            v_at + (row * v_heads + h % v_heads) * V + at_V,
            mask=at_V_in,
            other=0.0,
        ).to(ACC)
        dot_2 = dot * v_tile
        a_tile = tl.load(
            a_at + (row * a_heads + h % a_heads) * K + at_K,
            mask=at_K_in,
            other=0.0,
        ).to(ACC)
        product_2 = product * a_tile
        dot_3 = tl.sum(product_2[:, None] * S_state, axis=0)
        total = dot_2 + dot_3
        product_3 = S_state * a_tile[:, None]
        dot_4 = k_tile[:, None] * v_tile[None, :]
        total_2 = product_3 + dot_4
        tl.store(
            out_at + (row * HEADS + h) * V + at_V,
            total.to(out_at.dtype.element_ty),
            mask=at_V_in,
        )
        next_S_state = total_2
        S_state = next_S_state
    tl.store(
        last_S_at + (s * HEADS + h) * K * V + at_K[:, None] * V + at_V[None, :],
        S_state.to(last_S_at.dtype.element_ty),
        mask=at_K_in[:, None] & at_V_in[None, :],
    )


def recurrent_piece(run, streams, constants, states, size, outputs):
    """The recurrent mode."""
    last_0 = run.after(states[0])
    run.token_scan(
        recurrent_1,
        size,
        ("K", "V"),
        ("V",),
        out_at=outputs[0],
        state_S_at=states[0],
        last_S_at=last_0,
        q_at=streams[0],
        k_at=streams[1],
        v_at=streams[2],
        a_at=streams[3],
        q_heads=streams[0].shape[1],
        k_heads=streams[1].shape[1],
        v_heads=streams[2].shape[1],
        a_heads=streams[3].shape[1],
        c0=1 / math.sqrt(size["K"]),
    )
    return [last_0]


@triton.jit(do_not_specialize=["length", "HEADS", "a_heads", "q_heads", "d_o_heads"])
def backward_1(
    length,
    bounds_at,
    first_at,
    count_at,
    batch_at,
    state_at,
    last_at,
    kept_at,
    a_at,
    q_at,
    d_o_at,
    HEADS,
    a_heads,
    q_heads,
    d_o_heads,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    c0: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """d_S from chunk to chunk, last to first."""
    pid = tl.program_id(0)
    first_K = pid % tl.cdiv(K, K_BLOCK) * K_BLOCK
    pid = pid // tl.cdiv(K, K_BLOCK)
    first_V = pid % tl.cdiv(V, V_BLOCK) * V_BLOCK
    pid = pid // tl.cdiv(V, V_BLOCK)
    h = pid % HEADS
    s = (pid // HEADS).to(tl.int64)
    start, stop = steps_of(s, length, bounds_at, CHUNK)
    i = tl.arange(0, CHUNK)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    at_V = first_V + tl.arange(0, V_BLOCK)
    at_V_in = at_V < V
    d_S_state = tl.load(
        state_at + (s * HEADS + h) * K * V + at_K[:, None] * V + at_V[None, :],
        mask=at_K_in[:, None] & at_V_in[None, :],
        other=0.0,
    ).to(ACC)
    for step in range(0, stop - start):
        n = stop - 1 - step
        first, count, batch = chunk_of(n, length, first_at, count_at, batch_at, CHUNK)
        at, valid = rows_of(i, count)
        tl.store(
            kept_at + (n * HEADS + h) * K * V + at_K[:, None] * V + at_V[None, :],
            d_S_state.to(kept_at.dtype.element_ty),
            mask=at_K_in[:, None] & at_V_in[None, :],
        )
        a_tile = tl.load(
            a_at + (
                first * a_heads + h % a_heads
            ) * K + (at * a_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        tokens = tl.where(valid[:, None], a_tile, 1.0)
        siblings_2 = swapped(tokens, 1)
        product = tokens * siblings_2
        siblings_3 = swapped(product, 2)
        product_2 = product * siblings_3
        summed = tl.sum(tl.where((i % 4 == 0)[:, None], product_2, 0.0), axis=0)
        product_3 = d_S_state * summed[:, None]
        q_tile = tl.load(
            q_at + (
                first * q_heads + h % q_heads
            ) * K + (at * q_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        ratio = tl.full([], c0, ACC)
        product_4 = q_tile * ratio
        product_5 = product_4 * tokens
        prefix2 = tl.where(on_side(i, 1, 1)[:, None], product_5 * siblings_2, product_5)
        prefix4 = tl.where(on_side(i, 2, 1)[:, None], prefix2 * siblings_3, prefix2)
        d_o_tile = tl.load(
            d_o_at + (
                first * d_o_heads + h % d_o_heads
            ) * V + (at * d_o_heads)[:, None] * V + at_V[None, :],
            mask=at_V_in[None, :] & valid[:, None],
            other=0.0,
        ).to(ACC)
        dot = matmul(tl.permute(prefix4, (1, 0)), d_o_tile, ACC, DOT, PREC)
        total = product_3 + dot
        d_S_state = total
    tl.store(
        last_at + (s * HEADS + h) * K * V + at_K[:, None] * V + at_V[None, :],
        d_S_state.to(last_at.dtype.element_ty),
        mask=at_K_in[:, None] & at_V_in[None, :],
    )


@triton.jit(
    do_not_specialize=[
        "length",
        "HEADS",
        "q_heads",
        "k_heads",
        "a_heads",
        "d_o_heads",
        "v_heads",
    ]
)
def backward_2(
    length,
    first_at,
    count_at,
    batch_at,
    out_0_at,
    out_1_at,
    q_at,
    k_at,
    a_at,
    d_o_at,
    v_at,
    HEADS,
    q_heads,
    k_heads,
    a_heads,
    d_o_heads,
    v_heads,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    c0: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """2 values [c, c'], all chunks at once."""
    pid = tl.program_id(0)
    h = pid % HEADS
    n = (pid // HEADS).to(tl.int64)
    i = tl.arange(0, CHUNK)
    first, count, batch = chunk_of(n, length, first_at, count_at, batch_at, CHUNK)
    at, valid = rows_of(i, count)
    scores = tl.zeros((CHUNK, CHUNK), ACC)
    for from_K in range(0, K, K_BLOCK):
        at_K = from_K + tl.arange(0, K_BLOCK)
        at_K_in = at_K < K
        q_tile = tl.load(
            q_at + (
                first * q_heads + h % q_heads
            ) * K + (at * q_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        ratio = tl.full([], c0, ACC)
        product = q_tile * ratio
        k_tile = tl.load(
            k_at + (
                first * k_heads + h % k_heads
            ) * K + (at * k_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        tokens = tl.where(valid[:, None], k_tile, 0.0)
        part = tl.where(
            (i[:, None] == i[None, :]),
            tl.sum(product * tokens, axis=1)[:, None],
            0.0,
        )
        scores += part
        a_tile = tl.load(
            a_at + (
                first * a_heads + h % a_heads
            ) * K + (at * a_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        tokens_2 = tl.where(valid[:, None], a_tile, 1.0)
        product_2 = product * tokens_2
        part_2 = tl.where(
            siblings(i[:, None], i[None, :], 1),
            matmul(product_2, tl.permute(tokens, (1, 0)), ACC, DOT, PREC),
            0.0,
        )
        scores += part_2
        siblings_2 = swapped(tokens_2, 1)
        prefix2 = tl.where(on_side(i, 1, 1)[:, None], product_2 * siblings_2, product_2)
        suffix2 = tl.where(on_side(i, 1, 0)[:, None], tokens * siblings_2, tokens)
        part_3 = tl.where(
            siblings(i[:, None], i[None, :], 2),
            matmul(prefix2, tl.permute(suffix2, (1, 0)), ACC, DOT, PREC),
            0.0,
        )
        scores += part_3
    dot = tl.zeros((CHUNK, CHUNK), ACC)
    for from_V in range(0, V, V_BLOCK):
        at_V = from_V + tl.arange(0, V_BLOCK)
        at_V_in = at_V < V
        d_o_tile = tl.load(
            d_o_at + (
                first * d_o_heads + h % d_o_heads
            ) * V + (at * d_o_heads)[:, None] * V + at_V[None, :],
            mask=at_V_in[None, :] & valid[:, None],
            other=0.0,
        ).to(ACC)
        v_tile = tl.load(
            v_at + (
                first * v_heads + h % v_heads
            ) * V + (at * v_heads)[:, None] * V + at_V[None, :],
            mask=at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part_4 = matmul(d_o_tile, tl.permute(v_tile, (1, 0)), ACC, DOT, PREC)
        dot += part_4
    tl.store(
        out_0_at + (n * HEADS + h) * CHUNK * CHUNK + i[:, None] * CHUNK + i[None, :],
        dot.to(out_0_at.dtype.element_ty),
    )
    tl.store(
        out_1_at + (n * HEADS + h) * CHUNK * CHUNK + i[:, None] * CHUNK + i[None, :],
        scores.to(out_1_at.dtype.element_ty),
    )


@triton.jit(
    do_not_specialize=[
        "length",
        "HEADS",
        "v_heads",
        "d_o_heads",
        "q_heads",
        "a_heads",
        "k_heads",
    ]
)
def backward_3(
    length,
    first_at,
    count_at,
    batch_at,
    out_0_at,
    out_1_at,
    out_2_at,
    v_at,
    d_o_at,
    q_at,
    a_at,
    k_at,
    held_0_at,
    held_1_at,
    held_2_at,
    HEADS,
    v_heads,
    d_o_heads,
    q_heads,
    a_heads,
    k_heads,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    c0: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """3 values [c, K], all chunks at once."""
    pid = tl.program_id(0)
    first_K = pid % tl.cdiv(K, K_BLOCK) * K_BLOCK
    pid = pid // tl.cdiv(K, K_BLOCK)
    h = pid % HEADS
    n = (pid // HEADS).to(tl.int64)
    i = tl.arange(0, CHUNK)
    first, count, batch = chunk_of(n, length, first_at, count_at, batch_at, CHUNK)
    at, valid = rows_of(i, count)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    dot = tl.zeros((CHUNK, K_BLOCK), ACC)
    dot_2 = tl.zeros((K_BLOCK,), ACC)
    dot_3 = tl.zeros((CHUNK, K_BLOCK), ACC)
    for from_V in range(0, V, V_BLOCK):
        at_V = from_V + tl.arange(0, V_BLOCK)
        at_V_in = at_V < V
        d_S_before = tl.load(
            held_0_at + (n * HEADS + h) * K * V + at_K[:, None] * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        v_tile = tl.load(
            v_at + (
                first * v_heads + h % v_heads
            ) * V + (at * v_heads)[:, None] * V + at_V[None, :],
            mask=at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part = tl.permute(
            matmul(d_S_before, tl.permute(v_tile, (1, 0)), ACC, WIDE, PREC),
            (1, 0),
        )
        dot += part
        S_before = tl.load(
            held_1_at + (n * HEADS + h) * K * V + at_K[:, None] * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part_2 = tl.sum(d_S_before * S_before, axis=1)
        dot_2 += part_2
        d_o_tile = tl.load(
            d_o_at + (
                first * d_o_heads + h % d_o_heads
            ) * V + (at * d_o_heads)[:, None] * V + at_V[None, :],
            mask=at_V_in[None, :] & valid[:, None],
            other=0.0,
        ).to(ACC)
        part_3 = matmul(d_o_tile, tl.permute(S_before, (1, 0)), ACC, WIDE, PREC)
        dot_3 += part_3
    dot_4 = tl.load(
        held_2_at + (n * HEADS + h) * CHUNK * CHUNK + i[:, None] * CHUNK + i[None, :]
    ).to(ACC)
    q_tile = tl.load(
        q_at + (
            first * q_heads + h % q_heads
        ) * K + (at * q_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    ratio = tl.full([], c0, ACC)
    product = q_tile * ratio
    a_tile = tl.load(
        a_at + (
            first * a_heads + h % a_heads
        ) * K + (at * a_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens = tl.where(valid[:, None], a_tile, 1.0)
    product_2 = product * tokens
    siblings_2 = swapped(tokens, 1)
    prefix2 = tl.where(on_side(i, 1, 1)[:, None], product_2 * siblings_2, product_2)
    dot_5 = matmul(
        tl.permute(tl.where(siblings(i[:, None], i[None, :], 2), dot_4, 0.0), (1, 0)),
        prefix2,
        ACC,
        DOT,
        PREC,
    )
    place = tl.where(on_side(i, 2, 0)[:, None], dot_5, 0.0)
    product_3 = tokens * siblings_2
    siblings_3 = swapped(product_3, 2)
    suffix4 = tl.where(on_side(i, 2, 0)[:, None], dot * siblings_3, dot)
    total = place + suffix4
    tl.store(
        out_0_at + (n * HEADS + h) * CHUNK * K + i[:, None] * K + at_K[None, :],
        total.to(out_0_at.dtype.element_ty),
        mask=at_K_in[None, :],
    )
    pick = tl.where(on_side(i, 2, 0)[:, None], product_3, siblings_3)
    product_4 = dot_2[None, :] * pick
    k_tile = tl.load(
        k_at + (
            first * k_heads + h % k_heads
        ) * K + (at * k_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens_2 = tl.where(valid[:, None], k_tile, 0.0)
    suffix2 = tl.where(on_side(i, 1, 0)[:, None], tokens_2 * siblings_2, tokens_2)
    dot_6 = pair_sum(tl.where(on_side(i, 2, 0)[:, None], dot, 0.0) * suffix2, 2)
    total_2 = product_4 + dot_6
    unpick = tl.where(on_side(i, 2, 1)[:, None], total_2, 0.0)
    pick_2 = tl.where(on_side(i, 2, 1)[:, None], product_3, siblings_3)
    product_5 = dot_2[None, :] * pick_2
    dot_7 = pair_sum(tl.where(on_side(i, 2, 1)[:, None], dot_3, 0.0) * prefix2, 2)
    total_3 = product_5 + dot_7
    unpick_2 = tl.where(on_side(i, 2, 0)[:, None], total_3, 0.0)
    total_4 = unpick + unpick_2
    tl.store(
        out_1_at + (n * HEADS + h) * CHUNK * K + i[:, None] * K + at_K[None, :],
        total_4.to(out_1_at.dtype.element_ty),
        mask=at_K_in[None, :],
    )
    dot_8 = matmul(
        tl.where(siblings(i[:, None], i[None, :], 2), dot_4, 0.0),
        suffix2,
        ACC,
        DOT,
        PREC,
    )
    place_2 = tl.where(on_side(i, 2, 1)[:, None], dot_8, 0.0)
    prefix4 = tl.where(on_side(i, 2, 1)[:, None], dot_3 * siblings_3, dot_3)
    total_5 = place_2 + prefix4
    tl.store(
        out_2_at + (n * HEADS + h) * CHUNK * K + i[:, None] * K + at_K[None, :],
        total_5.to(out_2_at.dtype.element_ty),
        mask=at_K_in[None, :],
    )


@triton.jit(do_not_specialize=["length", "HEADS", "k_heads", "a_heads", "q_heads"])
def backward_4(
    length,
    first_at,
    count_at,
    batch_at,
    out_0_at,
    k_at,
    a_at,
    q_at,
    held_0_at,
    held_1_at,
    held_2_at,
    held_3_at,
    HEADS,
    k_heads,
    a_heads,
    q_heads,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    K_BLOCK: tl.constexpr,
    c0: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """A value [c, K], all chunks at once."""
    pid = tl.program_id(0)
    first_K = pid % tl.cdiv(K, K_BLOCK) * K_BLOCK
    pid = pid // tl.cdiv(K, K_BLOCK)
    h = pid % HEADS
    n = (pid // HEADS).to(tl.int64)
    i = tl.arange(0, CHUNK)
    first, count, batch = chunk_of(n, length, first_at, count_at, batch_at, CHUNK)
    at, valid = rows_of(i, count)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    k_tile = tl.load(
        k_at + (
            first * k_heads + h % k_heads
        ) * K + (at * k_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens = tl.where(valid[:, None], k_tile, 0.0)
    total = tl.load(
        held_0_at + (n * HEADS + h) * CHUNK * K + i[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    dot = pair_sum(tl.where(on_side(i, 1, 0)[:, None], total, 0.0) * tokens, 1)
    a_tile = tl.load(
        a_at + (
            first * a_heads + h % a_heads
        ) * K + (at * a_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens_2 = tl.where(valid[:, None], a_tile, 1.0)
    total_2 = tl.load(
        held_1_at + (n * HEADS + h) * CHUNK * K + i[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    siblings_2 = swapped(tokens_2, 1)
    pick = tl.where(on_side(i, 1, 0)[:, None], tokens_2, siblings_2)
    product = total_2 * pick
    total_3 = dot + product
    pick_2 = tl.where(on_side(i, 1, 1)[:, None], tokens_2, siblings_2)
    product_2 = total_2 * pick_2
    ratio = tl.full([], c0, ACC)
    q_tile = tl.load(
        q_at + (
            first * q_heads + h % q_heads
        ) * K + (at * q_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    product_3 = q_tile * ratio
    product_4 = product_3 * tokens_2
    total_4 = tl.load(
        held_2_at + (n * HEADS + h) * CHUNK * K + i[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    dot_2 = pair_sum(tl.where(on_side(i, 1, 1)[:, None], total_4, 0.0) * product_4, 1)
    total_5 = product_2 + dot_2
    unpick = tl.where(on_side(i, 1, 1)[:, None], total_3, 0.0)
    unpick_2 = tl.where(on_side(i, 1, 0)[:, None], total_5, 0.0)
    total_6 = unpick + unpick_2
    prefix2 = tl.where(on_side(i, 1, 1)[:, None], total_4 * siblings_2, total_4)
    dot_3 = tl.load(
        held_3_at + (n * HEADS + h) * CHUNK * CHUNK + i[:, None] * CHUNK + i[None, :]
    ).to(ACC)
    dot_4 = matmul(
        tl.where(siblings(i[:, None], i[None, :], 1), dot_3, 0.0),
        tokens,
        ACC,
        DOT,
        PREC,
    )
    place = tl.where(on_side(i, 1, 1)[:, None], dot_4, 0.0)
    total_7 = place + prefix2
    product_5 = total_7 * product_3
    total_8 = total_6 + product_5
    tokens_3 = tl.where(valid[:, None], total_8, 0.0)
    tl.store(
        out_0_at + (first * HEADS + h) * K + (at * HEADS)[:, None] * K + at_K[None, :],
        tokens_3.to(out_0_at.dtype.element_ty),
        mask=at_K_in[None, :] & valid[:, None],
    )


@triton.jit(do_not_specialize=["length", "HEADS", "k_heads", "a_heads"])
def backward_5(
    length,
    first_at,
    count_at,
    batch_at,
    out_0_at,
    k_at,
    a_at,
    held_0_at,
    held_1_at,
    HEADS,
    k_heads,
    a_heads,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    K_BLOCK: tl.constexpr,
    c0: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """A value [c, K], all chunks at once."""
    pid = tl.program_id(0)
    first_K = pid % tl.cdiv(K, K_BLOCK) * K_BLOCK
    pid = pid // tl.cdiv(K, K_BLOCK)
    h = pid % HEADS
    n = (pid // HEADS).to(tl.int64)
    i = tl.arange(0, CHUNK)
    first, count, batch = chunk_of(n, length, first_at, count_at, batch_at, CHUNK)
    at, valid = rows_of(i, count)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    a_tile = tl.load(
        a_at + (
            first * a_heads + h % a_heads
        ) * K + (at * a_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens_2 = tl.where(valid[:, None], a_tile, 1.0)
    total = tl.load(
        held_1_at + (n * HEADS + h) * CHUNK * K + i[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    siblings_2 = swapped(tokens_2, 1)
    prefix2 = tl.where(on_side(i, 1, 1)[:, None], total * siblings_2, total)
    k_tile = tl.load(
        k_at + (
            first * k_heads + h % k_heads
        ) * K + (at * k_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens = tl.where(valid[:, None], k_tile, 0.0)
    dot = tl.load(
        held_0_at + (n * HEADS + h) * CHUNK * CHUNK + i[:, None] * CHUNK + i[None, :]
    ).to(ACC)
    dot_2 = matmul(
        tl.where(siblings(i[:, None], i[None, :], 1), dot, 0.0),
        tokens,
        ACC,
        DOT,
        PREC,
    )
    place = tl.where(on_side(i, 1, 1)[:, None], dot_2, 0.0)
    total_2 = place + prefix2
    product_2 = total_2 * tokens_2
    diagonal = tl.sum(tl.where((i[:, None] == i[None, :]), dot, 0.0), axis=1)
    product = diagonal[:, None] * tokens
    total_3 = product + product_2
    ratio = tl.full([], c0, ACC)
    product_3 = total_3 * ratio
    tl.store(
        out_0_at + (first * HEADS + h) * K + (at * HEADS)[:, None] * K + at_K[None, :],
        product_3.to(out_0_at.dtype.element_ty),
        mask=at_K_in[None, :] & valid[:, None],
    )


@triton.jit(do_not_specialize=["length", "HEADS", "q_heads", "a_heads"])
def backward_6(
    length,
    first_at,
    count_at,
    batch_at,
    out_0_at,
    q_at,
    a_at,
    held_0_at,
    held_1_at,
    HEADS,
    q_heads,
    a_heads,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    K_BLOCK: tl.constexpr,
    c0: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """A value [c, K], all chunks at once."""
    pid = tl.program_id(0)
    first_K = pid % tl.cdiv(K, K_BLOCK) * K_BLOCK
    pid = pid // tl.cdiv(K, K_BLOCK)
    h = pid % HEADS
    n = (pid // HEADS).to(tl.int64)
    i = tl.arange(0, CHUNK)
    first, count, batch = chunk_of(n, length, first_at, count_at, batch_at, CHUNK)
    at, valid = rows_of(i, count)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    dot = tl.load(
        held_0_at + (n * HEADS + h) * CHUNK * CHUNK + i[:, None] * CHUNK + i[None, :]
    ).to(ACC)
    diagonal = tl.sum(tl.where((i[:, None] == i[None, :]), dot, 0.0), axis=1)
    q_tile = tl.load(
        q_at + (
            first * q_heads + h % q_heads
        ) * K + (at * q_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    ratio = tl.full([], c0, ACC)
    product = q_tile * ratio
    product_2 = diagonal[:, None] * product
    a_tile = tl.load(
        a_at + (
            first * a_heads + h % a_heads
        ) * K + (at * a_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens = tl.where(valid[:, None], a_tile, 1.0)
    product_3 = product * tokens
    dot_2 = matmul(
        tl.permute(tl.where(siblings(i[:, None], i[None, :], 1), dot, 0.0), (1, 0)),
        product_3,
        ACC,
        DOT,
        PREC,
    )
    place = tl.where(on_side(i, 1, 0)[:, None], dot_2, 0.0)
    total = product_2 + place
    total_2 = tl.load(
        held_1_at + (n * HEADS + h) * CHUNK * K + i[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    siblings_2 = swapped(tokens, 1)
    suffix2 = tl.where(on_side(i, 1, 0)[:, None], total_2 * siblings_2, total_2)
    total_3 = total + suffix2
    tokens_2 = tl.where(valid[:, None], total_3, 0.0)
    tl.store(
        out_0_at + (first * HEADS + h) * K + (at * HEADS)[:, None] * K + at_K[None, :],
        tokens_2.to(out_0_at.dtype.element_ty),
        mask=at_K_in[None, :] & valid[:, None],
    )


@triton.jit(do_not_specialize=["length", "HEADS", "k_heads", "a_heads", "d_o_heads"])
def backward_7(
    length,
    first_at,
    count_at,
    batch_at,
    out_0_at,
    k_at,
    a_at,
    d_o_at,
    held_0_at,
    held_1_at,
    HEADS,
    k_heads,
    a_heads,
    d_o_heads,
    CHUNK: tl.constexpr,
    V: tl.constexpr,
    K: tl.constexpr,
    V_BLOCK: tl.constexpr,
    K_BLOCK: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """A value [c, V], all chunks at once."""
    pid = tl.program_id(0)
    first_V = pid % tl.cdiv(V, V_BLOCK) * V_BLOCK
    pid = pid // tl.cdiv(V, V_BLOCK)
    h = pid % HEADS
    n = (pid // HEADS).to(tl.int64)
    i = tl.arange(0, CHUNK)
    first, count, batch = chunk_of(n, length, first_at, count_at, batch_at, CHUNK)
    at, valid = rows_of(i, count)
    at_V = first_V + tl.arange(0, V_BLOCK)
    at_V_in = at_V < V
    scores = tl.load(
        held_1_at + (n * HEADS + h) * CHUNK * CHUNK + i[:, None] * CHUNK + i[None, :]
    ).to(ACC)
    d_o_tile = tl.load(
        d_o_at + (
            first * d_o_heads + h % d_o_heads
        ) * V + (at * d_o_heads)[:, None] * V + at_V[None, :],
        mask=at_V_in[None, :] & valid[:, None],
        other=0.0,
    ).to(ACC)
    dot_2 = tl.permute(matmul(tl.permute(d_o_tile, (1, 0)), scores, ACC, DOT, PREC), (1, 0))
    dot = tl.zeros((CHUNK, V_BLOCK), ACC)
    for from_K in range(0, K, K_BLOCK):
        at_K = from_K + tl.arange(0, K_BLOCK)
        at_K_in = at_K < K
        k_tile = tl.load(
            k_at + (
                first * k_heads + h % k_heads
            ) * K + (at * k_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        tokens = tl.where(valid[:, None], k_tile, 0.0)
        a_tile = tl.load(
            a_at + (
                first * a_heads + h % a_heads
            ) * K + (at * a_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        tokens_2 = tl.where(valid[:, None], a_tile, 1.0)
        siblings_2 = swapped(tokens_2, 1)
        suffix2 = tl.where(on_side(i, 1, 0)[:, None], tokens * siblings_2, tokens)
        product = tokens_2 * siblings_2
        siblings_3 = swapped(product, 2)
        suffix4 = tl.where(on_side(i, 2, 0)[:, None], suffix2 * siblings_3, suffix2)
        d_S_before = tl.load(
            held_0_at + (n * HEADS + h) * K * V + at_K[:, None] * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part = tl.permute(
            matmul(
                tl.permute(d_S_before, (1, 0)),
                tl.permute(suffix4, (1, 0)),
                ACC,
                WIDE,
                PREC,
            ),
            (1, 0),
        )
        dot += part
    total = dot + dot_2
    tl.store(
        out_0_at + (first * HEADS + h) * V + (at * HEADS)[:, None] * V + at_V[None, :],
        total.to(out_0_at.dtype.element_ty),
        mask=at_V_in[None, :] & valid[:, None],
    )


def backward_piece(run, streams, constants, states, size, kept):
    """The cotangents of the inputs, and of the first states."""
    before_0 = kept[0]
    kept_0 = run.chunked(size["K"], size["V"])
    last_0 = torch.empty_like(states[0])
    run.scan(
        backward_1,
        size,
        ("K", "V"),
        ("K", "V"),
        state_at=states[0],
        last_at=last_0,
        kept_at=kept_0,
        a_at=streams[3],
        q_at=streams[0],
        d_o_at=streams[4],
        a_heads=streams[3].shape[1],
        q_heads=streams[0].shape[1],
        d_o_heads=streams[4].shape[1],
        c0=1 / math.sqrt(size["K"]),
    )
    shared_19 = run.chunked(run.chunk, run.chunk, dtype=run.acc)
    shared_20 = run.chunked(run.chunk, run.chunk, dtype=run.dot)
    run.map(
        backward_2,
        size,
        ("K", "V"),
        (),
        out_0_at=shared_19,
        out_1_at=shared_20,
        q_at=streams[0],
        k_at=streams[1],
        a_at=streams[3],
        d_o_at=streams[4],
        v_at=streams[2],
        q_heads=streams[0].shape[1],
        k_heads=streams[1].shape[1],
        a_heads=streams[3].shape[1],
        d_o_heads=streams[4].shape[1],
        v_heads=streams[2].shape[1],
        c0=1 / math.sqrt(size["K"]),
    )
    d_0 = run.rows(streams[3].dtype, size["K"])
    d_1 = run.rows(streams[0].dtype, size["K"])
    d_2 = run.rows(streams[1].dtype, size["K"])
    d_3 = run.rows(streams[2].dtype, size["V"])
    shared_44 = run.chunked(run.chunk, size["K"], dtype=run.acc)
    shared_45 = run.chunked(run.chunk, size["K"], dtype=run.acc)
    shared_46 = run.chunked(run.chunk, size["K"], dtype=run.acc)
    run.map(
        backward_3,
        size,
        ("K", "V"),
        ("K",),
        out_0_at=shared_44,
        out_1_at=shared_45,
        out_2_at=shared_46,
        v_at=streams[2],
        d_o_at=streams[4],
        q_at=streams[0],
        a_at=streams[3],
        k_at=streams[1],
        held_0_at=kept_0,
        held_1_at=before_0,
        held_2_at=shared_19,
        v_heads=streams[2].shape[1],
        d_o_heads=streams[4].shape[1],
        q_heads=streams[0].shape[1],
        a_heads=streams[3].shape[1],
        k_heads=streams[1].shape[1],
        c0=1 / math.sqrt(size["K"]),
    )
    run.map(
        backward_4,
        size,
        ("K",),
        ("K",),
        out_0_at=d_0,
        k_at=streams[1],
        a_at=streams[3],
        q_at=streams[0],
        held_0_at=shared_44,
        held_1_at=shared_45,
        held_2_at=shared_46,
        held_3_at=shared_19,
        k_heads=streams[1].shape[1],
        a_heads=streams[3].shape[1],
        q_heads=streams[0].shape[1],
        c0=1 / math.sqrt(size["K"]),
    )
    del shared_45
    run.map(
        backward_5,
        size,
        ("K",),
        ("K",),
        out_0_at=d_1,
        k_at=streams[1],
        a_at=streams[3],
        held_0_at=shared_19,
        held_1_at=shared_46,
        k_heads=streams[1].shape[1],
        a_heads=streams[3].shape[1],
        c0=1 / math.sqrt(size["K"]),
    )
    del shared_46
    run.map(
        backward_6,
        size,
        ("K",),
        ("K",),
        out_0_at=d_2,
        q_at=streams[0],
        a_at=streams[3],
        held_0_at=shared_19,
        held_1_at=shared_44,
        q_heads=streams[0].shape[1],
        a_heads=streams[3].shape[1],
        c0=1 / math.sqrt(size["K"]),
    )
    del shared_19
    del shared_44
    run.map(
        backward_7,
        size,
        ("V", "K"),
        ("V",),
        out_0_at=d_3,
        k_at=streams[1],
        a_at=streams[3],
        d_o_at=streams[4],
        held_0_at=kept_0,
        held_1_at=shared_20,
        k_heads=streams[1].shape[1],
        a_heads=streams[3].shape[1],
        d_o_heads=streams[4].shape[1],
    )
    del kept_0
    del shared_20
    return (d_0, d_1, d_2, d_3), [last_0]

