NAME = "gla"
SIZES = ("K", "V")
CHUNK = 4
GIVEN = ()
STREAMS = ("q", "k", "v", "a")
PARAMS = ()
DECAYS = ("a",)
OPS = f"mixerc_0aa7d83b259b_{zlib.crc32(__name__.encode()):08x}"


@triton.jit
def states_1(
    first_at,
    count_at,
    batch_at,
    out_at,
    a_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    K_BLOCK: tl.constexpr,
    a_heads: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """A value [K], all chunks at once."""
    pid = tl.program_id(0)
    first_K = pid % tl.cdiv(K, K_BLOCK) * K_BLOCK
    pid = pid // tl.cdiv(K, K_BLOCK)
    h = pid % HEADS
    n = (pid // HEADS).to(tl.int64)
    first = tl.load(first_at + n)
    count = tl.load(count_at + n)
    batch = tl.load(batch_at + n)
    i = tl.arange(0, CHUNK)
    valid = i < count
    rows = first + tl.maximum(tl.minimum(i, count - 1), 0)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    a_tile = tl.load(
        a_at + (rows * a_heads + h % a_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens = tl.where(valid[:, None], a_tile, 1.0)
    pick = pair_sum(tl.where(on_side(i, 1, 0)[:, None], tokens, 0.0), 1)
    pick_2 = pair_sum(tl.where(on_side(i, 1, 1)[:, None], tokens, 0.0), 1)
    product = pick * pick_2
    pick_3 = pair_sum(tl.where((on_side(i, 2, 0) & (i % 2 == 0))[:, None], product, 0.0), 2)
    pick_4 = pair_sum(tl.where((on_side(i, 2, 1) & (i % 2 == 0))[:, None], product, 0.0), 2)
    product_2 = pick_3 * pick_4
    summed = tl.sum(tl.where((i % 4 == 0)[:, None], product_2, 0.0), axis=0)
    tl.store(
        out_at + (n * HEADS + h) * K + at_K,
        summed.to(out_at.dtype.element_ty),
        mask=at_K_in,
    )


@triton.jit
def states_2(
    first_at,
    count_at,
    batch_at,
    out_at,
    k_at,
    a_at,
    v_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    k_heads: tl.constexpr,
    a_heads: tl.constexpr,
    v_heads: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """A value [K, V], all chunks at once."""
    pid = tl.program_id(0)
    first_K = pid % tl.cdiv(K, K_BLOCK) * K_BLOCK
    pid = pid // tl.cdiv(K, K_BLOCK)
    first_V = pid % tl.cdiv(V, V_BLOCK) * V_BLOCK
    pid = pid // tl.cdiv(V, V_BLOCK)
    h = pid % HEADS
    n = (pid // HEADS).to(tl.int64)
    first = tl.load(first_at + n)
    count = tl.load(count_at + n)
    batch = tl.load(batch_at + n)
    i = tl.arange(0, CHUNK)
    valid = i < count
    rows = first + tl.maximum(tl.minimum(i, count - 1), 0)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    at_V = first_V + tl.arange(0, V_BLOCK)
    at_V_in = at_V < V
    k_tile = tl.load(
        k_at + (rows * k_heads + h % k_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens = tl.where(valid[:, None], k_tile, 0.0)
    a_tile = tl.load(
        a_at + (rows * a_heads + h % a_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens_2 = tl.where(valid[:, None], a_tile, 1.0)
    pick = pair_sum(tl.where(on_side(i, 1, 1)[:, None], tokens_2, 0.0), 1)
    suffix2 = tl.where(on_side(i, 1, 0)[:, None], tokens * pick, tokens)
    pick_2 = pair_sum(tl.where(on_side(i, 1, 0)[:, None], tokens_2, 0.0), 1)
    product = pick_2 * pick
    pick_3 = pair_sum(tl.where((on_side(i, 2, 1) & (i % 2 == 0))[:, None], product, 0.0), 2)
    suffix4 = tl.where(on_side(i, 2, 0)[:, None], suffix2 * pick_3, suffix2)
    v_tile = tl.load(
        v_at + (rows * v_heads + h % v_heads)[:, None] * V + at_V[None, :],
        mask=at_V_in[None, :],
        other=0.0,
    ).to(ACC)
    dot = matmul(tl.permute(suffix4, (1, 0)), v_tile, ACC, DOT, PREC)
    tl.store(
        out_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
        dot.to(out_at.dtype.element_ty),
        mask=at_K_in[:, None] & at_V_in[None, :],
    )


@triton.jit
def states_3(
    bounds_at,
    state_at,
    last_at,
    kept_at,
    brought_0_at,
    brought_1_at,
    HEADS: tl.constexpr,
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
    start = tl.load(bounds_at + s)
    stop = tl.load(bounds_at + s + 1)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    at_V = first_V + tl.arange(0, V_BLOCK)
    at_V_in = at_V < V
    S_state = tl.load(
        state_at + ((s * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
        mask=at_K_in[:, None] & at_V_in[None, :],
        other=0.0,
    ).to(ACC)
    for step in range(0, stop - start):
        n = start + step
        tl.store(
            kept_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            S_state.to(kept_at.dtype.element_ty),
            mask=at_K_in[:, None] & at_V_in[None, :],
        )
        summed = tl.load(
            brought_0_at + (n * HEADS + h) * K + at_K,
            mask=at_K_in,
            other=0.0,
        ).to(ACC)
        product = S_state * summed[:, None]
        dot = tl.load(
            brought_1_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        total = product + dot
        S_state = total
    tl.store(
        last_at + ((s * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
        S_state.to(last_at.dtype.element_ty),
        mask=at_K_in[:, None] & at_V_in[None, :],
    )


def states_piece(run, streams, constants, states, size):
    """The states before each chunk, and after the last."""
    brought_0 = run.chunked(size["K"])
    run.map(
        states_1,
        [(size["K"], block(size["K"]))],
        out_at=brought_0,
        a_at=streams[3],
        a_heads=streams[3].shape[1],
        K=size["K"],
        K_BLOCK=block(size["K"]),
    )
    brought_1 = run.chunked(size["K"], size["V"])
    run.map(
        states_2,
        [(size["K"], block(size["K"])), (size["V"], block(size["V"]))],
        out_at=brought_1,
        k_at=streams[1],
        a_at=streams[3],
        v_at=streams[2],
        k_heads=streams[1].shape[1],
        a_heads=streams[3].shape[1],
        v_heads=streams[2].shape[1],
        K=size["K"],
        K_BLOCK=block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    kept_0 = run.chunked(size["K"], size["V"])
    last_0 = torch.empty_like(states[0])
    run.scan(
        states_3,
        [(size["K"], block(size["K"])), (size["V"], block(size["V"]))],
        state_at=states[0],
        last_at=last_0,
        kept_at=kept_0,
        brought_0_at=brought_0,
        brought_1_at=brought_1,
        K=size["K"],
        K_BLOCK=block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    return (kept_0,), [last_0]


@triton.jit
def forward_1(
    first_at,
    count_at,
    batch_at,
    out_at,
    q_at,
    k_at,
    a_at,
    before_0_at,
    v_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    q_heads: tl.constexpr,
    k_heads: tl.constexpr,
    a_heads: tl.constexpr,
    v_heads: tl.constexpr,
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
    first = tl.load(first_at + n)
    count = tl.load(count_at + n)
    batch = tl.load(batch_at + n)
    i = tl.arange(0, CHUNK)
    valid = i < count
    rows = first + tl.maximum(tl.minimum(i, count - 1), 0)
    at_V = first_V + tl.arange(0, V_BLOCK)
    at_V_in = at_V < V
    scores = tl.zeros((CHUNK, CHUNK), ACC)
    dot = tl.zeros((CHUNK, V_BLOCK), ACC)
    for from_K in range(0, K, K_BLOCK):
        at_K = from_K + tl.arange(0, K_BLOCK)
        at_K_in = at_K < K
        q_tile = tl.load(
            q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        ratio = tl.full([], c0, ACC)
        product = q_tile * ratio
        k_tile = tl.load(
            k_at + (rows * k_heads + h % k_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        tokens = tl.where(valid[:, None], k_tile, 0.0)
        part = tl.sum(product * tokens, axis=1)
        a_tile = tl.load(
            a_at + (rows * a_heads + h % a_heads)[:, None] * K + at_K[None, :],
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
        pick = pair_sum(tl.where(on_side(i, 1, 0)[:, None], tokens_2, 0.0), 1)
        prefix2 = tl.where(on_side(i, 1, 1)[:, None], product_2 * pick, product_2)
        pick_2 = pair_sum(tl.where(on_side(i, 1, 1)[:, None], tokens_2, 0.0), 1)
        suffix2 = tl.where(on_side(i, 1, 0)[:, None], tokens * pick_2, tokens)
        part_3 = tl.where(
            siblings(i[:, None], i[None, :], 2),
            matmul(prefix2, tl.permute(suffix2, (1, 0)), ACC, DOT, PREC),
            0.0,
        )
        part_4 = tl.where((i[:, None] == i[None, :]), part[:, None], 0.0) + part_2 + part_3
        scores += part_4
        product_3 = pick * pick_2
        pick_3 = pair_sum(
            tl.where((on_side(i, 2, 0) & (i % 2 == 0))[:, None], product_3, 0.0),
            2,
        )
        prefix4 = tl.where(on_side(i, 2, 1)[:, None], prefix2 * pick_3, prefix2)
        S_before = tl.load(
            before_0_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part_5 = matmul(prefix4, S_before, ACC, WIDE, PREC)
        dot += part_5
    v_tile = tl.load(
        v_at + (rows * v_heads + h % v_heads)[:, None] * V + at_V[None, :],
        mask=at_V_in[None, :],
        other=0.0,
    ).to(ACC)
    dot_2 = matmul(scores, v_tile, ACC, DOT, PREC)
    total = dot_2 + dot
    tl.store(
        out_at + (rows * HEADS + h)[:, None] * V + at_V[None, :],
        total.to(out_at.dtype.element_ty),
        mask=at_V_in[None, :] & valid[:, None],
    )


def forward_piece(run, streams, constants, states, size, outputs):
    """The parallel mode."""
    kept, lasts = states_piece(run, streams, constants, states, size)
    before_0 = kept[0]
    run.map(
        forward_1,
        [(size["V"], block(size["V"]))],
        out_at=outputs[0],
        q_at=streams[0],
        k_at=streams[1],
        a_at=streams[3],
        before_0_at=before_0,
        v_at=streams[2],
        q_heads=streams[0].shape[1],
        k_heads=streams[1].shape[1],
        a_heads=streams[3].shape[1],
        v_heads=streams[2].shape[1],
        c0=1 / math.sqrt(size["K"]),
        K=size["K"],
        K_BLOCK=block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    return lasts


@triton.jit
def recurrent_1(
    tokens_at,
    batch_at,
    out_at,
    state_S_at,
    last_S_at,
    q_at,
    k_at,
    v_at,
    a_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    q_heads: tl.constexpr,
    k_heads: tl.constexpr,
    v_heads: tl.constexpr,
    a_heads: tl.constexpr,
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
    start = tl.load(tokens_at + s)
    stop = tl.load(tokens_at + s + 1)
    at_K = 0 + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    at_V = first_V + tl.arange(0, V_BLOCK)
    at_V_in = at_V < V
    batch = tl.load(batch_at + s)
    S_state = tl.load(
        state_S_at + ((s * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
        mask=at_K_in[:, None] & at_V_in[None, :],
        other=0.0,
    ).to(ACC)
    for step in range(0, stop - start):
        rows = start + step
        q_tile = tl.load(
            q_at + (rows * q_heads + h % q_heads) * K + at_K,
            mask=at_K_in,
            other=0.0,
        ).to(ACC)
        ratio = tl.full([], c0, ACC)
        product = q_tile * ratio
        k_tile = tl.load(
            k_at + (rows * k_heads + h % k_heads) * K + at_K,
            mask=at_K_in,
            other=0.0,
        ).to(ACC)
        dot = tl.sum(product * k_tile, axis=0)
        v_tile = tl.load(
            v_at + (rows * v_heads + h % v_heads) * V + at_V,
            mask=at_V_in,
            other=0.0,
        ).to(ACC)
        dot_2 = dot * v_tile
        a_tile = tl.load(
            a_at + (rows * a_heads + h % a_heads) * K + at_K,
            mask=at_K_in,
            other=0.0,
        ).to(ACC)
        product_2 = product * a_tile
        dot_3 = tl.sum(product_2[None, :] * tl.permute(S_state, (1, 0)), axis=1)
        total = dot_2 + dot_3
        product_3 = S_state * a_tile[:, None]
        dot_4 = k_tile[:, None] * v_tile[None, :]
        total_2 = product_3 + dot_4
        tl.store(
            out_at + (rows * HEADS + h) * V + at_V,
            total.to(out_at.dtype.element_ty),
            mask=at_V_in,
        )
        next_S_state = total_2
        S_state = next_S_state
    tl.store(
        last_S_at + ((s * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
        S_state.to(last_S_at.dtype.element_ty),
        mask=at_K_in[:, None] & at_V_in[None, :],
    )


def recurrent_piece(run, streams, constants, states, size, outputs):
    """The recurrent mode."""
    last_0 = torch.empty_like(states[0])
    run.token_scan(
        recurrent_1,
        [(size["V"], block(size["V"]))],
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
        K=size["K"],
        K_BLOCK=whole_block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    return [last_0]


@triton.jit
def backward_1(
    first_at,
    count_at,
    batch_at,
    out_at,
    a_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    K_BLOCK: tl.constexpr,
    a_heads: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """A value [K], all chunks at once."""
    pid = tl.program_id(0)
    first_K = pid % tl.cdiv(K, K_BLOCK) * K_BLOCK
    pid = pid // tl.cdiv(K, K_BLOCK)
    h = pid % HEADS
    n = (pid // HEADS).to(tl.int64)
    first = tl.load(first_at + n)
    count = tl.load(count_at + n)
    batch = tl.load(batch_at + n)
    i = tl.arange(0, CHUNK)
    valid = i < count
    rows = first + tl.maximum(tl.minimum(i, count - 1), 0)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    a_tile = tl.load(
        a_at + (rows * a_heads + h % a_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens = tl.where(valid[:, None], a_tile, 1.0)
    pick = pair_sum(tl.where(on_side(i, 1, 0)[:, None], tokens, 0.0), 1)
    pick_2 = pair_sum(tl.where(on_side(i, 1, 1)[:, None], tokens, 0.0), 1)
    product = pick * pick_2
    pick_3 = pair_sum(tl.where((on_side(i, 2, 0) & (i % 2 == 0))[:, None], product, 0.0), 2)
    pick_4 = pair_sum(tl.where((on_side(i, 2, 1) & (i % 2 == 0))[:, None], product, 0.0), 2)
    product_2 = pick_3 * pick_4
    summed = tl.sum(tl.where((i % 4 == 0)[:, None], product_2, 0.0), axis=0)
    tl.store(
        out_at + (n * HEADS + h) * K + at_K,
        summed.to(out_at.dtype.element_ty),
        mask=at_K_in,
    )


@triton.jit
def backward_2(
    first_at,
    count_at,
    batch_at,
    out_at,
    q_at,
    a_at,
    d_o_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    q_heads: tl.constexpr,
    a_heads: tl.constexpr,
    d_o_heads: tl.constexpr,
    c0: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """A value [K, V], all chunks at once."""
    pid = tl.program_id(0)
    first_K = pid % tl.cdiv(K, K_BLOCK) * K_BLOCK
    pid = pid // tl.cdiv(K, K_BLOCK)
    first_V = pid % tl.cdiv(V, V_BLOCK) * V_BLOCK
    pid = pid // tl.cdiv(V, V_BLOCK)
    h = pid % HEADS
    n = (pid // HEADS).to(tl.int64)
    first = tl.load(first_at + n)
    count = tl.load(count_at + n)
    batch = tl.load(batch_at + n)
    i = tl.arange(0, CHUNK)
    valid = i < count
    rows = first + tl.maximum(tl.minimum(i, count - 1), 0)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    at_V = first_V + tl.arange(0, V_BLOCK)
    at_V_in = at_V < V
    q_tile = tl.load(
        q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    ratio = tl.full([], c0, ACC)
    product = q_tile * ratio
    a_tile = tl.load(
        a_at + (rows * a_heads + h % a_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens = tl.where(valid[:, None], a_tile, 1.0)
    product_2 = product * tokens
    pick = pair_sum(tl.where(on_side(i, 1, 0)[:, None], tokens, 0.0), 1)
    prefix2 = tl.where(on_side(i, 1, 1)[:, None], product_2 * pick, product_2)
    pick_2 = pair_sum(tl.where(on_side(i, 1, 1)[:, None], tokens, 0.0), 1)
    product_3 = pick * pick_2
    pick_3 = pair_sum(
        tl.where((on_side(i, 2, 0) & (i % 2 == 0))[:, None], product_3, 0.0),
        2,
    )
    prefix4 = tl.where(on_side(i, 2, 1)[:, None], prefix2 * pick_3, prefix2)
    d_o_tile = tl.load(
        d_o_at + (rows * d_o_heads + h % d_o_heads)[:, None] * V + at_V[None, :],
        mask=at_V_in[None, :] & valid[:, None],
        other=0.0,
    ).to(ACC)
    dot = matmul(tl.permute(prefix4, (1, 0)), d_o_tile, ACC, DOT, PREC)
    tl.store(
        out_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
        dot.to(out_at.dtype.element_ty),
        mask=at_K_in[:, None] & at_V_in[None, :],
    )


@triton.jit
def backward_3(
    bounds_at,
    state_at,
    last_at,
    kept_at,
    brought_1_at,
    brought_2_at,
    HEADS: tl.constexpr,
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
    """d_S from chunk to chunk, last to first."""
    pid = tl.program_id(0)
    first_K = pid % tl.cdiv(K, K_BLOCK) * K_BLOCK
    pid = pid // tl.cdiv(K, K_BLOCK)
    first_V = pid % tl.cdiv(V, V_BLOCK) * V_BLOCK
    pid = pid // tl.cdiv(V, V_BLOCK)
    h = pid % HEADS
    s = (pid // HEADS).to(tl.int64)
    start = tl.load(bounds_at + s)
    stop = tl.load(bounds_at + s + 1)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    at_V = first_V + tl.arange(0, V_BLOCK)
    at_V_in = at_V < V
    d_S_state = tl.load(
        state_at + ((s * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
        mask=at_K_in[:, None] & at_V_in[None, :],
        other=0.0,
    ).to(ACC)
    for step in range(0, stop - start):
        n = stop - 1 - step
        tl.store(
            kept_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            d_S_state.to(kept_at.dtype.element_ty),
            mask=at_K_in[:, None] & at_V_in[None, :],
        )
        summed = tl.load(
            brought_1_at + (n * HEADS + h) * K + at_K,
            mask=at_K_in,
            other=0.0,
        ).to(ACC)
        product = d_S_state * summed[:, None]
        dot = tl.load(
            brought_2_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        total = product + dot
        d_S_state = total
    tl.store(
        last_at + ((s * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
        d_S_state.to(last_at.dtype.element_ty),
        mask=at_K_in[:, None] & at_V_in[None, :],
    )


@triton.jit
def backward_4(
    first_at,
    count_at,
    batch_at,
    out_at,
    d_o_at,
    v_at,
    kept_0_at,
    before_0_at,
    q_at,
    a_at,
    k_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    V: tl.constexpr,
    K: tl.constexpr,
    V_BLOCK: tl.constexpr,
    K_BLOCK: tl.constexpr,
    d_o_heads: tl.constexpr,
    v_heads: tl.constexpr,
    q_heads: tl.constexpr,
    a_heads: tl.constexpr,
    k_heads: tl.constexpr,
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
    first = tl.load(first_at + n)
    count = tl.load(count_at + n)
    batch = tl.load(batch_at + n)
    i = tl.arange(0, CHUNK)
    valid = i < count
    rows = first + tl.maximum(tl.minimum(i, count - 1), 0)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    dot = tl.zeros((CHUNK, CHUNK), ACC)
    dot_2 = tl.zeros((CHUNK, K_BLOCK), ACC)
    dot_3 = tl.zeros((K_BLOCK,), ACC)
    dot_4 = tl.zeros((CHUNK, K_BLOCK), ACC)
    for from_V in range(0, V, V_BLOCK):
        at_V = from_V + tl.arange(0, V_BLOCK)
        at_V_in = at_V < V
        d_o_tile = tl.load(
            d_o_at + (rows * d_o_heads + h % d_o_heads)[:, None] * V + at_V[None, :],
            mask=at_V_in[None, :] & valid[:, None],
            other=0.0,
        ).to(ACC)
        v_tile = tl.load(
            v_at + (rows * v_heads + h % v_heads)[:, None] * V + at_V[None, :],
            mask=at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part = matmul(d_o_tile, tl.permute(v_tile, (1, 0)), ACC, DOT, PREC)
        dot += part
        d_S_before = tl.load(
            kept_0_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part_2 = tl.permute(
            matmul(d_S_before, tl.permute(v_tile, (1, 0)), ACC, WIDE, PREC),
            (1, 0),
        )
        dot_2 += part_2
        S_before = tl.load(
            before_0_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part_3 = tl.sum(d_S_before * S_before, axis=1)
        dot_3 += part_3
        part_4 = matmul(d_o_tile, tl.permute(S_before, (1, 0)), ACC, WIDE, PREC)
        dot_4 += part_4
    level2 = tl.where(siblings(i[:, None], i[None, :], 2), dot, 0.0)
    q_tile = tl.load(
        q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    ratio = tl.full([], c0, ACC)
    product = q_tile * ratio
    a_tile = tl.load(
        a_at + (rows * a_heads + h % a_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens = tl.where(valid[:, None], a_tile, 1.0)
    product_2 = product * tokens
    pick = pair_sum(tl.where(on_side(i, 1, 0)[:, None], tokens, 0.0), 1)
    prefix2 = tl.where(on_side(i, 1, 1)[:, None], product_2 * pick, product_2)
    dot_5 = matmul(tl.permute(level2, (1, 0)), prefix2, ACC, DOT, PREC)
    place = tl.where(on_side(i, 2, 0)[:, None], dot_5, 0.0)
    pick_2 = pair_sum(tl.where(on_side(i, 1, 1)[:, None], tokens, 0.0), 1)
    product_3 = pick * pick_2
    pick_3 = pair_sum(
        tl.where((on_side(i, 2, 1) & (i % 2 == 0))[:, None], product_3, 0.0),
        2,
    )
    suffix4 = tl.where(on_side(i, 2, 0)[:, None], dot_2 * pick_3, dot_2)
    total = place + suffix4
    k_tile = tl.load(
        k_at + (rows * k_heads + h % k_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens_2 = tl.where(valid[:, None], k_tile, 0.0)
    dot_6 = pair_sum(tl.where(on_side(i, 1, 0)[:, None], total, 0.0) * tokens_2, 1)
    pick_4 = pair_sum(
        tl.where((on_side(i, 2, 0) & (i % 2 == 0))[:, None], product_3, 0.0),
        2,
    )
    product_4 = dot_3[None, :] * pick_4
    suffix2 = tl.where(on_side(i, 1, 0)[:, None], tokens_2 * pick_2, tokens_2)
    dot_7 = pair_sum(tl.where(on_side(i, 2, 0)[:, None], dot_2, 0.0) * suffix2, 2)
    total_2 = product_4 + dot_7
    unpick = tl.where(on_side(i, 2, 1)[:, None], total_2, 0.0)
    product_5 = dot_3[None, :] * pick_3
    dot_8 = pair_sum(tl.where(on_side(i, 2, 1)[:, None], dot_4, 0.0) * prefix2, 2)
    total_3 = product_5 + dot_8
    unpick_2 = tl.where(on_side(i, 2, 0)[:, None], total_3, 0.0)
    total_4 = unpick + unpick_2
    product_6 = total_4 * pick
    total_5 = dot_6 + product_6
    unpick_3 = tl.where(on_side(i, 1, 1)[:, None], total_5, 0.0)
    product_7 = total_4 * pick_2
    dot_9 = matmul(level2, suffix2, ACC, DOT, PREC)
    place_2 = tl.where(on_side(i, 2, 1)[:, None], dot_9, 0.0)
    prefix4 = tl.where(on_side(i, 2, 1)[:, None], dot_4 * pick_4, dot_4)
    total_6 = place_2 + prefix4
    dot_10 = pair_sum(tl.where(on_side(i, 1, 1)[:, None], total_6, 0.0) * product_2, 1)
    total_7 = product_7 + dot_10
    unpick_4 = tl.where(on_side(i, 1, 0)[:, None], total_7, 0.0)
    total_8 = unpick_3 + unpick_4
    level1 = tl.where(siblings(i[:, None], i[None, :], 1), dot, 0.0)
    dot_11 = matmul(level1, tokens_2, ACC, DOT, PREC)
    place_3 = tl.where(on_side(i, 1, 1)[:, None], dot_11, 0.0)
    prefix2_2 = tl.where(on_side(i, 1, 1)[:, None], total_6 * pick, total_6)
    total_9 = place_3 + prefix2_2
    product_8 = total_9 * product
    total_10 = total_8 + product_8
    tokens_3 = tl.where(valid[:, None], total_10, 0.0)
    tl.store(
        out_at + (rows * HEADS + h)[:, None] * K + at_K[None, :],
        tokens_3.to(out_at.dtype.element_ty),
        mask=at_K_in[None, :] & valid[:, None],
    )


@triton.jit
def backward_5(
    first_at,
    count_at,
    batch_at,
    out_at,
    d_o_at,
    v_at,
    before_0_at,
    k_at,
    a_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    V: tl.constexpr,
    K: tl.constexpr,
    V_BLOCK: tl.constexpr,
    K_BLOCK: tl.constexpr,
    d_o_heads: tl.constexpr,
    v_heads: tl.constexpr,
    k_heads: tl.constexpr,
    a_heads: tl.constexpr,
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
    first = tl.load(first_at + n)
    count = tl.load(count_at + n)
    batch = tl.load(batch_at + n)
    i = tl.arange(0, CHUNK)
    valid = i < count
    rows = first + tl.maximum(tl.minimum(i, count - 1), 0)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    dot = tl.zeros((CHUNK, CHUNK), ACC)
    dot_2 = tl.zeros((CHUNK, K_BLOCK), ACC)
    for from_V in range(0, V, V_BLOCK):
        at_V = from_V + tl.arange(0, V_BLOCK)
        at_V_in = at_V < V
        d_o_tile = tl.load(
            d_o_at + (rows * d_o_heads + h % d_o_heads)[:, None] * V + at_V[None, :],
            mask=at_V_in[None, :] & valid[:, None],
            other=0.0,
        ).to(ACC)
        v_tile = tl.load(
            v_at + (rows * v_heads + h % v_heads)[:, None] * V + at_V[None, :],
            mask=at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part = matmul(d_o_tile, tl.permute(v_tile, (1, 0)), ACC, DOT, PREC)
        dot += part
        S_before = tl.load(
            before_0_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part_2 = matmul(d_o_tile, tl.permute(S_before, (1, 0)), ACC, WIDE, PREC)
        dot_2 += part_2
    diagonal = tl.sum(tl.where((i[:, None] == i[None, :]), dot, 0.0), axis=1)
    k_tile = tl.load(
        k_at + (rows * k_heads + h % k_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens = tl.where(valid[:, None], k_tile, 0.0)
    product = diagonal[:, None] * tokens
    level1 = tl.where(siblings(i[:, None], i[None, :], 1), dot, 0.0)
    dot_3 = matmul(level1, tokens, ACC, DOT, PREC)
    place = tl.where(on_side(i, 1, 1)[:, None], dot_3, 0.0)
    level2 = tl.where(siblings(i[:, None], i[None, :], 2), dot, 0.0)
    a_tile = tl.load(
        a_at + (rows * a_heads + h % a_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens_2 = tl.where(valid[:, None], a_tile, 1.0)
    pick = pair_sum(tl.where(on_side(i, 1, 1)[:, None], tokens_2, 0.0), 1)
    suffix2 = tl.where(on_side(i, 1, 0)[:, None], tokens * pick, tokens)
    dot_4 = matmul(level2, suffix2, ACC, DOT, PREC)
    place_2 = tl.where(on_side(i, 2, 1)[:, None], dot_4, 0.0)
    pick_2 = pair_sum(tl.where(on_side(i, 1, 0)[:, None], tokens_2, 0.0), 1)
    product_2 = pick_2 * pick
    pick_3 = pair_sum(
        tl.where((on_side(i, 2, 0) & (i % 2 == 0))[:, None], product_2, 0.0),
        2,
    )
    prefix4 = tl.where(on_side(i, 2, 1)[:, None], dot_2 * pick_3, dot_2)
    total = place_2 + prefix4
    prefix2 = tl.where(on_side(i, 1, 1)[:, None], total * pick_2, total)
    total_2 = place + prefix2
    product_3 = total_2 * tokens_2
    total_3 = product + product_3
    ratio = tl.full([], c0, ACC)
    product_4 = total_3 * ratio
    tl.store(
        out_at + (rows * HEADS + h)[:, None] * K + at_K[None, :],
        product_4.to(out_at.dtype.element_ty),
        mask=at_K_in[None, :] & valid[:, None],
    )


@triton.jit
def backward_6(
    first_at,
    count_at,
    batch_at,
    out_at,
    d_o_at,
    v_at,
    kept_0_at,
    q_at,
    a_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    V: tl.constexpr,
    K: tl.constexpr,
    V_BLOCK: tl.constexpr,
    K_BLOCK: tl.constexpr,
    d_o_heads: tl.constexpr,
    v_heads: tl.constexpr,
    q_heads: tl.constexpr,
    a_heads: tl.constexpr,
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
    first = tl.load(first_at + n)
    count = tl.load(count_at + n)
    batch = tl.load(batch_at + n)
    i = tl.arange(0, CHUNK)
    valid = i < count
    rows = first + tl.maximum(tl.minimum(i, count - 1), 0)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    dot = tl.zeros((CHUNK, CHUNK), ACC)
    dot_2 = tl.zeros((CHUNK, K_BLOCK), ACC)
    for from_V in range(0, V, V_BLOCK):
        at_V = from_V + tl.arange(0, V_BLOCK)
        at_V_in = at_V < V
        d_o_tile = tl.load(
            d_o_at + (rows * d_o_heads + h % d_o_heads)[:, None] * V + at_V[None, :],
            mask=at_V_in[None, :] & valid[:, None],
            other=0.0,
        ).to(ACC)
        v_tile = tl.load(
            v_at + (rows * v_heads + h % v_heads)[:, None] * V + at_V[None, :],
            mask=at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part = matmul(d_o_tile, tl.permute(v_tile, (1, 0)), ACC, DOT, PREC)
        dot += part
        d_S_before = tl.load(
            kept_0_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part_2 = tl.permute(
            matmul(d_S_before, tl.permute(v_tile, (1, 0)), ACC, WIDE, PREC),
            (1, 0),
        )
        dot_2 += part_2
    diagonal = tl.sum(tl.where((i[:, None] == i[None, :]), dot, 0.0), axis=1)
    q_tile = tl.load(
        q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    ratio = tl.full([], c0, ACC)
    product = q_tile * ratio
    product_2 = diagonal[:, None] * product
    level1 = tl.where(siblings(i[:, None], i[None, :], 1), dot, 0.0)
    a_tile = tl.load(
        a_at + (rows * a_heads + h % a_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    tokens = tl.where(valid[:, None], a_tile, 1.0)
    product_3 = product * tokens
    dot_3 = matmul(tl.permute(level1, (1, 0)), product_3, ACC, DOT, PREC)
    place = tl.where(on_side(i, 1, 0)[:, None], dot_3, 0.0)
    total = product_2 + place
    level2 = tl.where(siblings(i[:, None], i[None, :], 2), dot, 0.0)
    pick = pair_sum(tl.where(on_side(i, 1, 0)[:, None], tokens, 0.0), 1)
    prefix2 = tl.where(on_side(i, 1, 1)[:, None], product_3 * pick, product_3)
    dot_4 = matmul(tl.permute(level2, (1, 0)), prefix2, ACC, DOT, PREC)
    place_2 = tl.where(on_side(i, 2, 0)[:, None], dot_4, 0.0)
    pick_2 = pair_sum(tl.where(on_side(i, 1, 1)[:, None], tokens, 0.0), 1)
    product_4 = pick * pick_2
    pick_3 = pair_sum(
        tl.where((on_side(i, 2, 1) & (i % 2 == 0))[:, None], product_4, 0.0),
        2,
    )
    suffix4 = tl.where(on_side(i, 2, 0)[:, None], dot_2 * pick_3, dot_2)
    total_2 = place_2 + suffix4
    suffix2 = tl.where(on_side(i, 1, 0)[:, None], total_2 * pick_2, total_2)
    total_3 = total + suffix2
    tokens_2 = tl.where(valid[:, None], total_3, 0.0)
    tl.store(
        out_at + (rows * HEADS + h)[:, None] * K + at_K[None, :],
        tokens_2.to(out_at.dtype.element_ty),
        mask=at_K_in[None, :] & valid[:, None],
    )


@triton.jit
def backward_7(
    first_at,
    count_at,
    batch_at,
    out_at,
    kept_0_at,
    k_at,
    a_at,
    q_at,
    d_o_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    k_heads: tl.constexpr,
    a_heads: tl.constexpr,
    q_heads: tl.constexpr,
    d_o_heads: tl.constexpr,
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
    first = tl.load(first_at + n)
    count = tl.load(count_at + n)
    batch = tl.load(batch_at + n)
    i = tl.arange(0, CHUNK)
    valid = i < count
    rows = first + tl.maximum(tl.minimum(i, count - 1), 0)
    at_V = first_V + tl.arange(0, V_BLOCK)
    at_V_in = at_V < V
    dot = tl.zeros((CHUNK, V_BLOCK), ACC)
    scores = tl.zeros((CHUNK, CHUNK), ACC)
    for from_K in range(0, K, K_BLOCK):
        at_K = from_K + tl.arange(0, K_BLOCK)
        at_K_in = at_K < K
        d_S_before = tl.load(
            kept_0_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        k_tile = tl.load(
            k_at + (rows * k_heads + h % k_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        tokens = tl.where(valid[:, None], k_tile, 0.0)
        a_tile = tl.load(
            a_at + (rows * a_heads + h % a_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        tokens_2 = tl.where(valid[:, None], a_tile, 1.0)
        pick = pair_sum(tl.where(on_side(i, 1, 1)[:, None], tokens_2, 0.0), 1)
        suffix2 = tl.where(on_side(i, 1, 0)[:, None], tokens * pick, tokens)
        pick_2 = pair_sum(tl.where(on_side(i, 1, 0)[:, None], tokens_2, 0.0), 1)
        product = pick_2 * pick
        pick_3 = pair_sum(
            tl.where((on_side(i, 2, 1) & (i % 2 == 0))[:, None], product, 0.0),
            2,
        )
        suffix4 = tl.where(on_side(i, 2, 0)[:, None], suffix2 * pick_3, suffix2)
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
        q_tile = tl.load(
            q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        ratio = tl.full([], c0, ACC)
        product_2 = q_tile * ratio
        part_2 = tl.sum(product_2 * tokens, axis=1)
        product_3 = product_2 * tokens_2
        part_3 = tl.where(
            siblings(i[:, None], i[None, :], 1),
            matmul(product_3, tl.permute(tokens, (1, 0)), ACC, DOT, PREC),
            0.0,
        )
        prefix2 = tl.where(on_side(i, 1, 1)[:, None], product_3 * pick_2, product_3)
        part_4 = tl.where(
            siblings(i[:, None], i[None, :], 2),
            matmul(prefix2, tl.permute(suffix2, (1, 0)), ACC, DOT, PREC),
            0.0,
        )
        part_5 = (
            tl.where((i[:, None] == i[None, :]), part_2[:, None], 0.0) + part_3 + part_4
        )
        scores += part_5
    d_o_tile = tl.load(
        d_o_at + (rows * d_o_heads + h % d_o_heads)[:, None] * V + at_V[None, :],
        mask=at_V_in[None, :] & valid[:, None],
        other=0.0,
    ).to(ACC)
    dot_2 = tl.permute(matmul(tl.permute(d_o_tile, (1, 0)), scores, ACC, DOT, PREC), (1, 0))
    total = dot + dot_2
    tl.store(
        out_at + (rows * HEADS + h)[:, None] * V + at_V[None, :],
        total.to(out_at.dtype.element_ty),
        mask=at_V_in[None, :] & valid[:, None],
    )


def backward_piece(run, streams, constants, states, size, kept):
    """The cotangents of the inputs, and of the first states."""
    before_0 = kept[0]
    brought_1 = run.chunked(size["K"])
    run.map(
        backward_1,
        [(size["K"], block(size["K"]))],
        out_at=brought_1,
        a_at=streams[3],
        a_heads=streams[3].shape[1],
        K=size["K"],
        K_BLOCK=block(size["K"]),
    )
    brought_2 = run.chunked(size["K"], size["V"])
    run.map(
        backward_2,
        [(size["K"], block(size["K"])), (size["V"], block(size["V"]))],
        out_at=brought_2,
        q_at=streams[0],
        a_at=streams[3],
        d_o_at=streams[4],
        q_heads=streams[0].shape[1],
        a_heads=streams[3].shape[1],
        d_o_heads=streams[4].shape[1],
        c0=1 / math.sqrt(size["K"]),
        K=size["K"],
        K_BLOCK=block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    kept_0 = run.chunked(size["K"], size["V"])
    last_0 = torch.empty_like(states[0])
    run.scan(
        backward_3,
        [(size["K"], block(size["K"])), (size["V"], block(size["V"]))],
        state_at=states[0],
        last_at=last_0,
        kept_at=kept_0,
        brought_1_at=brought_1,
        brought_2_at=brought_2,
        K=size["K"],
        K_BLOCK=block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    d_0 = run.rows(streams[0], size["K"])
    run.map(
        backward_4,
        [(size["K"], block(size["K"]))],
        out_at=d_0,
        d_o_at=streams[4],
        v_at=streams[2],
        kept_0_at=kept_0,
        before_0_at=before_0,
        q_at=streams[0],
        a_at=streams[3],
        k_at=streams[1],
        d_o_heads=streams[4].shape[1],
        v_heads=streams[2].shape[1],
        q_heads=streams[0].shape[1],
        a_heads=streams[3].shape[1],
        k_heads=streams[1].shape[1],
        c0=1 / math.sqrt(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
        K=size["K"],
        K_BLOCK=block(size["K"]),
    )
    d_1 = run.rows(streams[0], size["K"])
    run.map(
        backward_5,
        [(size["K"], block(size["K"]))],
        out_at=d_1,
        d_o_at=streams[4],
        v_at=streams[2],
        before_0_at=before_0,
        k_at=streams[1],
        a_at=streams[3],
        d_o_heads=streams[4].shape[1],
        v_heads=streams[2].shape[1],
        k_heads=streams[1].shape[1],
        a_heads=streams[3].shape[1],
        c0=1 / math.sqrt(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
        K=size["K"],
        K_BLOCK=block(size["K"]),
    )
    d_2 = run.rows(streams[0], size["K"])
    run.map(
        backward_6,
        [(size["K"], block(size["K"]))],
        out_at=d_2,
        d_o_at=streams[4],
        v_at=streams[2],
        kept_0_at=kept_0,
        q_at=streams[0],
        a_at=streams[3],
        d_o_heads=streams[4].shape[1],
        v_heads=streams[2].shape[1],
        q_heads=streams[0].shape[1],
        a_heads=streams[3].shape[1],
        c0=1 / math.sqrt(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
        K=size["K"],
        K_BLOCK=block(size["K"]),
    )
    d_3 = run.rows(streams[0], size["V"])
    run.map(
        backward_7,
        [(size["V"], block(size["V"]))],
        out_at=d_3,
        kept_0_at=kept_0,
        k_at=streams[1],
        a_at=streams[3],
        q_at=streams[0],
        d_o_at=streams[4],
        k_heads=streams[1].shape[1],
        a_heads=streams[3].shape[1],
        q_heads=streams[0].shape[1],
        d_o_heads=streams[4].shape[1],
        c0=1 / math.sqrt(size["K"]),
        K=size["K"],
        K_BLOCK=block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    return (d_0, d_1, d_2, d_3), [last_0]

