NAME = "linear_attention"
SIZES = ("K", "V")
CHUNK = 4
GIVEN = ()
STREAMS = ("q", "k", "v")
PARAMS = ()
DECAYS = ()
OPS = f"mixerc_91c624795d7a_{zlib.crc32(__name__.encode()):08x}"


@triton.jit
def states_1(
    first_at,
    count_at,
    batch_at,
    out_at,
    k_at,
    v_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    k_heads: tl.constexpr,
    v_heads: tl.constexpr,
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
    number = tl.full([], c0, ACC)
    k_tile = tl.load(
        k_at + (rows * k_heads + h % k_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    elu_ = elu(k_tile)
    total = number + elu_
    tokens = tl.where(valid[:, None], total, 0.0)
    v_tile = tl.load(
        v_at + (rows * v_heads + h % v_heads)[:, None] * V + at_V[None, :],
        mask=at_V_in[None, :],
        other=0.0,
    ).to(ACC)
    dot = matmul(tl.permute(tokens, (1, 0)), v_tile, ACC, DOT, PREC)
    tl.store(
        out_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
        dot.to(out_at.dtype.element_ty),
        mask=at_K_in[:, None] & at_V_in[None, :],
    )


@triton.jit
def states_2(
    bounds_at,
    state_at,
    last_at,
    kept_at,
    brought_0_at,
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
        dot = tl.load(
            brought_0_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        total = S_state + dot
        S_state = total
    tl.store(
        last_at + ((s * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
        S_state.to(last_at.dtype.element_ty),
        mask=at_K_in[:, None] & at_V_in[None, :],
    )


@triton.jit
def states_3(
    first_at,
    count_at,
    batch_at,
    out_at,
    k_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    K_BLOCK: tl.constexpr,
    k_heads: tl.constexpr,
    c0: tl.constexpr,
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
    number = tl.full([], c0, ACC)
    k_tile = tl.load(
        k_at + (rows * k_heads + h % k_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    elu_ = elu(k_tile)
    total = number + elu_
    tokens = tl.where(valid[:, None], total, 0.0)
    dot = tl.sum(tl.permute(tokens, (1, 0)) * number, axis=1)
    tl.store(
        out_at + (n * HEADS + h) * K + at_K,
        dot.to(out_at.dtype.element_ty),
        mask=at_K_in,
    )


@triton.jit
def states_4(
    bounds_at,
    state_at,
    last_at,
    kept_at,
    brought_1_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    K_BLOCK: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """sum from chunk to chunk."""
    pid = tl.program_id(0)
    first_K = pid % tl.cdiv(K, K_BLOCK) * K_BLOCK
    pid = pid // tl.cdiv(K, K_BLOCK)
    h = pid % HEADS
    s = (pid // HEADS).to(tl.int64)
    start = tl.load(bounds_at + s)
    stop = tl.load(bounds_at + s + 1)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    sum_state = tl.load(
        state_at + (s * HEADS + h) * K + at_K,
        mask=at_K_in,
        other=0.0,
    ).to(ACC)
    for step in range(0, stop - start):
        n = start + step
        tl.store(
            kept_at + (n * HEADS + h) * K + at_K,
            sum_state.to(kept_at.dtype.element_ty),
            mask=at_K_in,
        )
        dot = tl.load(
            brought_1_at + (n * HEADS + h) * K + at_K,
            mask=at_K_in,
            other=0.0,
        ).to(ACC)
        total = sum_state + dot
        sum_state = total
    tl.store(
        last_at + (s * HEADS + h) * K + at_K,
        sum_state.to(last_at.dtype.element_ty),
        mask=at_K_in,
    )


def states_piece(run, streams, constants, states, size):
    """The states before each chunk, and after the last."""
    brought_0 = run.chunked(size["K"], size["V"])
    run.map(
        states_1,
        [(size["K"], block(size["K"])), (size["V"], block(size["V"]))],
        out_at=brought_0,
        k_at=streams[1],
        v_at=streams[2],
        k_heads=streams[1].shape[1],
        v_heads=streams[2].shape[1],
        c0=1,
        K=size["K"],
        K_BLOCK=block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    kept_0 = run.chunked(size["K"], size["V"])
    last_0 = torch.empty_like(states[0])
    run.scan(
        states_2,
        [(size["K"], block(size["K"])), (size["V"], block(size["V"]))],
        state_at=states[0],
        last_at=last_0,
        kept_at=kept_0,
        brought_0_at=brought_0,
        K=size["K"],
        K_BLOCK=block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    brought_1 = run.chunked(size["K"])
    run.map(
        states_3,
        [(size["K"], block(size["K"]))],
        out_at=brought_1,
        k_at=streams[1],
        k_heads=streams[1].shape[1],
        c0=1,
        K=size["K"],
        K_BLOCK=block(size["K"]),
    )
    kept_1 = run.chunked(size["K"])
    last_1 = torch.empty_like(states[1])
    run.scan(
        states_4,
        [(size["K"], block(size["K"]))],
        state_at=states[1],
        last_at=last_1,
        kept_at=kept_1,
        brought_1_at=brought_1,
        K=size["K"],
        K_BLOCK=block(size["K"]),
    )
    return (kept_0, kept_1), [last_0, last_1]


@triton.jit
def forward_1(
    first_at,
    count_at,
    batch_at,
    out_at,
    q_at,
    k_at,
    before_0_at,
    before_1_at,
    v_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    q_heads: tl.constexpr,
    k_heads: tl.constexpr,
    v_heads: tl.constexpr,
    c0: tl.constexpr,
    c1: tl.constexpr,
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
    dot = tl.zeros((CHUNK, CHUNK), ACC)
    dot_2 = tl.zeros((CHUNK, V_BLOCK), ACC)
    dot_3 = tl.zeros((CHUNK,), ACC)
    for from_K in range(0, K, K_BLOCK):
        at_K = from_K + tl.arange(0, K_BLOCK)
        at_K_in = at_K < K
        number = tl.full([], c0, ACC)
        q_tile = tl.load(
            q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        elu_ = elu(q_tile)
        total = number + elu_
        k_tile = tl.load(
            k_at + (rows * k_heads + h % k_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        elu__2 = elu(k_tile)
        total_2 = number + elu__2
        tokens = tl.where(valid[:, None], total_2, 0.0)
        part = matmul(
            tl.where(at_K_in[None, :], total, 0.0),
            tl.permute(tl.where(at_K_in[None, :], tokens, 0.0), (1, 0)),
            ACC,
            DOT,
            PREC,
        )
        dot += part
        S_before = tl.load(
            before_0_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part_2 = matmul(tl.where(at_K_in[None, :], total, 0.0), S_before, ACC, WIDE, PREC)
        dot_2 += part_2
        sum_before = tl.load(
            before_1_at + (n * HEADS + h) * K + at_K,
            mask=at_K_in,
            other=0.0,
        ).to(ACC)
        part_3 = tl.sum(
            tl.where(at_K_in[None, :], total, 0.0) * sum_before[None, :],
            axis=1,
        )
        dot_3 += part_3
    triangle = tl.where(i[:, None] >= i[None, :], dot, 0.0)
    v_tile = tl.load(
        v_at + (rows * v_heads + h % v_heads)[:, None] * V + at_V[None, :],
        mask=at_V_in[None, :],
        other=0.0,
    ).to(ACC)
    dot_4 = matmul(triangle, v_tile, ACC, DOT, PREC)
    total_3 = dot_4 + dot_2
    number_2 = tl.full([], c0, ACC)
    dot_5 = tl.sum(triangle * number_2, axis=1)
    total_4 = dot_5 + dot_3
    number_3 = tl.full([], c1, ACC)
    total_5 = total_4 + number_3
    ratio = total_3 / total_5[:, None]
    tl.store(
        out_at + (rows * HEADS + h)[:, None] * V + at_V[None, :],
        ratio.to(out_at.dtype.element_ty),
        mask=at_V_in[None, :] & valid[:, None],
    )


def forward_piece(run, streams, constants, states, size, outputs):
    """The parallel mode."""
    kept, lasts = states_piece(run, streams, constants, states, size)
    before_0 = kept[0]
    before_1 = kept[1]
    run.map(
        forward_1,
        [(size["V"], block(size["V"]))],
        out_at=outputs[0],
        q_at=streams[0],
        k_at=streams[1],
        before_0_at=before_0,
        before_1_at=before_1,
        v_at=streams[2],
        q_heads=streams[0].shape[1],
        k_heads=streams[1].shape[1],
        v_heads=streams[2].shape[1],
        c0=1,
        c1=1e-06,
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
    state_sum_at,
    last_S_at,
    last_sum_at,
    q_at,
    k_at,
    v_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    q_heads: tl.constexpr,
    k_heads: tl.constexpr,
    v_heads: tl.constexpr,
    c0: tl.constexpr,
    c1: tl.constexpr,
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
    sum_state = tl.load(
        state_sum_at + (s * HEADS + h) * K + at_K,
        mask=at_K_in,
        other=0.0,
    ).to(ACC)
    for step in range(0, stop - start):
        rows = start + step
        number = tl.full([], c0, ACC)
        q_tile = tl.load(
            q_at + (rows * q_heads + h % q_heads) * K + at_K,
            mask=at_K_in,
            other=0.0,
        ).to(ACC)
        elu_ = elu(q_tile)
        total = number + elu_
        k_tile = tl.load(
            k_at + (rows * k_heads + h % k_heads) * K + at_K,
            mask=at_K_in,
            other=0.0,
        ).to(ACC)
        elu__2 = elu(k_tile)
        total_2 = number + elu__2
        dot = tl.sum(tl.where(at_K_in, total, 0.0) * tl.where(at_K_in, total_2, 0.0), axis=0)
        v_tile = tl.load(
            v_at + (rows * v_heads + h % v_heads) * V + at_V,
            mask=at_V_in,
            other=0.0,
        ).to(ACC)
        dot_2 = dot * v_tile
        dot_3 = tl.sum(
            tl.where(at_K_in, total, 0.0)[None, :] * tl.permute(S_state, (1, 0)),
            axis=1,
        )
        total_3 = dot_2 + dot_3
        dot_4 = dot * number
        dot_5 = tl.sum(tl.where(at_K_in, total, 0.0) * sum_state, axis=0)
        total_4 = dot_4 + dot_5
        number_2 = tl.full([], c1, ACC)
        total_5 = total_4 + number_2
        ratio = total_3 / total_5
        dot_6 = total_2[:, None] * v_tile[None, :]
        total_6 = S_state + dot_6
        dot_7 = total_2 * number
        total_7 = sum_state + dot_7
        tl.store(
            out_at + (rows * HEADS + h) * V + at_V,
            ratio.to(out_at.dtype.element_ty),
            mask=at_V_in,
        )
        next_S_state = total_6
        next_sum_state = total_7
        S_state = next_S_state
        sum_state = next_sum_state
    tl.store(
        last_S_at + ((s * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
        S_state.to(last_S_at.dtype.element_ty),
        mask=at_K_in[:, None] & at_V_in[None, :],
    )
    tl.store(
        last_sum_at + (s * HEADS + h) * K + at_K,
        sum_state.to(last_sum_at.dtype.element_ty),
        mask=at_K_in,
    )


def recurrent_piece(run, streams, constants, states, size, outputs):
    """The recurrent mode."""
    last_0 = torch.empty_like(states[0])
    last_1 = torch.empty_like(states[1])
    run.token_scan(
        recurrent_1,
        [(size["V"], block(size["V"]))],
        out_at=outputs[0],
        state_S_at=states[0],
        last_S_at=last_0,
        state_sum_at=states[1],
        last_sum_at=last_1,
        q_at=streams[0],
        k_at=streams[1],
        v_at=streams[2],
        q_heads=streams[0].shape[1],
        k_heads=streams[1].shape[1],
        v_heads=streams[2].shape[1],
        c0=1,
        c1=1e-06,
        K=size["K"],
        K_BLOCK=whole_block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    return [last_0, last_1]


@triton.jit
def backward_1(
    first_at,
    count_at,
    batch_at,
    out_at,
    q_at,
    k_at,
    before_1_at,
    d_o_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    q_heads: tl.constexpr,
    k_heads: tl.constexpr,
    d_o_heads: tl.constexpr,
    c0: tl.constexpr,
    c1: tl.constexpr,
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
    dot = tl.zeros((CHUNK, CHUNK), ACC)
    dot_2 = tl.zeros((CHUNK,), ACC)
    for from_K in range(0, K, K_BLOCK):
        at_K_2 = from_K + tl.arange(0, K_BLOCK)
        at_K_2_in = at_K_2 < K
        number = tl.full([], c0, ACC)
        q_tile = tl.load(
            q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K_2[None, :],
            mask=at_K_2_in[None, :],
            other=0.0,
        ).to(ACC)
        elu_ = elu(q_tile)
        total = number + elu_
        k_tile = tl.load(
            k_at + (rows * k_heads + h % k_heads)[:, None] * K + at_K_2[None, :],
            mask=at_K_2_in[None, :],
            other=0.0,
        ).to(ACC)
        elu__2 = elu(k_tile)
        total_2 = number + elu__2
        tokens = tl.where(valid[:, None], total_2, 0.0)
        part = matmul(
            tl.where(at_K_2_in[None, :], total, 0.0),
            tl.permute(tl.where(at_K_2_in[None, :], tokens, 0.0), (1, 0)),
            ACC,
            DOT,
            PREC,
        )
        dot += part
        sum_before = tl.load(
            before_1_at + (n * HEADS + h) * K + at_K_2,
            mask=at_K_2_in,
            other=0.0,
        ).to(ACC)
        part_2 = tl.sum(
            tl.where(at_K_2_in[None, :], total, 0.0) * sum_before[None, :],
            axis=1,
        )
        dot_2 += part_2
    number_2 = tl.full([], c0, ACC)
    q_tile_2 = tl.load(
        q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    elu__3 = elu(q_tile_2)
    total_3 = number_2 + elu__3
    d_o_tile = tl.load(
        d_o_at + (rows * d_o_heads + h % d_o_heads)[:, None] * V + at_V[None, :],
        mask=at_V_in[None, :] & valid[:, None],
        other=0.0,
    ).to(ACC)
    triangle = tl.where(i[:, None] >= i[None, :], dot, 0.0)
    dot_3 = tl.sum(triangle * number_2, axis=1)
    total_4 = dot_3 + dot_2
    number_3 = tl.full([], c1, ACC)
    total_5 = total_4 + number_3
    ratio = number_2 / total_5
    product = d_o_tile * ratio[:, None]
    dot_4 = matmul(tl.permute(total_3, (1, 0)), product, ACC, DOT, PREC)
    tl.store(
        out_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
        dot_4.to(out_at.dtype.element_ty),
        mask=at_K_in[:, None] & at_V_in[None, :],
    )


@triton.jit
def backward_2(
    bounds_at,
    state_at,
    last_at,
    kept_at,
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
        dot = tl.load(
            brought_2_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        total = d_S_state + dot
        d_S_state = total
    tl.store(
        last_at + ((s * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
        d_S_state.to(last_at.dtype.element_ty),
        mask=at_K_in[:, None] & at_V_in[None, :],
    )


@triton.jit
def backward_3(
    first_at,
    count_at,
    batch_at,
    out_at,
    q_at,
    k_at,
    before_1_at,
    before_0_at,
    d_o_at,
    v_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    q_heads: tl.constexpr,
    k_heads: tl.constexpr,
    d_o_heads: tl.constexpr,
    v_heads: tl.constexpr,
    c0: tl.constexpr,
    c1: tl.constexpr,
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
    dot = tl.zeros((CHUNK, CHUNK), ACC)
    dot_2 = tl.zeros((CHUNK,), ACC)
    for from_K in range(0, K, K_BLOCK):
        at_K_2 = from_K + tl.arange(0, K_BLOCK)
        at_K_2_in = at_K_2 < K
        number = tl.full([], c0, ACC)
        q_tile = tl.load(
            q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K_2[None, :],
            mask=at_K_2_in[None, :],
            other=0.0,
        ).to(ACC)
        elu_ = elu(q_tile)
        total = number + elu_
        k_tile = tl.load(
            k_at + (rows * k_heads + h % k_heads)[:, None] * K + at_K_2[None, :],
            mask=at_K_2_in[None, :],
            other=0.0,
        ).to(ACC)
        elu__2 = elu(k_tile)
        total_2 = number + elu__2
        tokens = tl.where(valid[:, None], total_2, 0.0)
        part = matmul(
            tl.where(at_K_2_in[None, :], total, 0.0),
            tl.permute(tl.where(at_K_2_in[None, :], tokens, 0.0), (1, 0)),
            ACC,
            DOT,
            PREC,
        )
        dot += part
        sum_before = tl.load(
            before_1_at + (n * HEADS + h) * K + at_K_2,
            mask=at_K_2_in,
            other=0.0,
        ).to(ACC)
        part_2 = tl.sum(
            tl.where(at_K_2_in[None, :], total, 0.0) * sum_before[None, :],
            axis=1,
        )
        dot_2 += part_2
    triangle = tl.where(i[:, None] >= i[None, :], dot, 0.0)
    number_2 = tl.full([], c0, ACC)
    dot_3 = tl.sum(triangle * number_2, axis=1)
    total_3 = dot_3 + dot_2
    number_3 = tl.full([], c1, ACC)
    total_4 = total_3 + number_3
    dot_4 = tl.zeros((CHUNK,), ACC)
    for from_V in range(0, V, V_BLOCK):
        at_V = from_V + tl.arange(0, V_BLOCK)
        at_V_in = at_V < V
        dot_5 = tl.zeros((CHUNK, V_BLOCK), ACC)
        for from_K_2 in range(0, K, K_BLOCK):
            at_K_3 = from_K_2 + tl.arange(0, K_BLOCK)
            at_K_3_in = at_K_3 < K
            q_tile_2 = tl.load(
                q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K_3[None, :],
                mask=at_K_3_in[None, :],
                other=0.0,
            ).to(ACC)
            elu__3 = elu(q_tile_2)
            total_5 = number_2 + elu__3
            S_before = tl.load(
                before_0_at + ((n * HEADS + h) * K + at_K_3[:, None]) * V + at_V[None, :],
                mask=at_K_3_in[:, None] & at_V_in[None, :],
                other=0.0,
            ).to(ACC)
            part_3 = matmul(
                tl.where(at_K_3_in[None, :], total_5, 0.0),
                S_before,
                ACC,
                WIDE,
                PREC,
            )
            dot_5 += part_3
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
        dot_6 = matmul(triangle, v_tile, ACC, DOT, PREC)
        total_6 = dot_6 + dot_5
        ratio = total_6 / total_4[:, None]
        ratio_2 = ratio / total_4[:, None]
        minus = -ratio_2
        part_4 = tl.sum(d_o_tile * tl.where(at_V_in[None, :], minus, 0.0), axis=1)
        dot_4 += part_4
    q_tile_3 = tl.load(
        q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    elu__4 = elu(q_tile_3)
    total_7 = number_2 + elu__4
    dot_7 = tl.sum(dot_4[None, :] * tl.permute(total_7, (1, 0)), axis=1)
    tl.store(
        out_at + (n * HEADS + h) * K + at_K,
        dot_7.to(out_at.dtype.element_ty),
        mask=at_K_in,
    )


@triton.jit
def backward_4(
    bounds_at,
    state_at,
    last_at,
    kept_at,
    brought_3_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    K_BLOCK: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    WIDE: tl.constexpr,
    PREC: tl.constexpr,
):
    """d_sum from chunk to chunk, last to first."""
    pid = tl.program_id(0)
    first_K = pid % tl.cdiv(K, K_BLOCK) * K_BLOCK
    pid = pid // tl.cdiv(K, K_BLOCK)
    h = pid % HEADS
    s = (pid // HEADS).to(tl.int64)
    start = tl.load(bounds_at + s)
    stop = tl.load(bounds_at + s + 1)
    at_K = first_K + tl.arange(0, K_BLOCK)
    at_K_in = at_K < K
    d_sum_state = tl.load(
        state_at + (s * HEADS + h) * K + at_K,
        mask=at_K_in,
        other=0.0,
    ).to(ACC)
    for step in range(0, stop - start):
        n = stop - 1 - step
        tl.store(
            kept_at + (n * HEADS + h) * K + at_K,
            d_sum_state.to(kept_at.dtype.element_ty),
            mask=at_K_in,
        )
        dot = tl.load(
            brought_3_at + (n * HEADS + h) * K + at_K,
            mask=at_K_in,
            other=0.0,
        ).to(ACC)
        total = d_sum_state + dot
        d_sum_state = total
    tl.store(
        last_at + (s * HEADS + h) * K + at_K,
        d_sum_state.to(last_at.dtype.element_ty),
        mask=at_K_in,
    )


@triton.jit
def backward_5(
    first_at,
    count_at,
    batch_at,
    out_at,
    q_at,
    k_at,
    before_1_at,
    before_0_at,
    d_o_at,
    v_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    q_heads: tl.constexpr,
    k_heads: tl.constexpr,
    d_o_heads: tl.constexpr,
    v_heads: tl.constexpr,
    c0: tl.constexpr,
    c1: tl.constexpr,
    c2: tl.constexpr,
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
    dot_2 = tl.zeros((CHUNK,), ACC)
    for from_K in range(0, K, K_BLOCK):
        at_K_2 = from_K + tl.arange(0, K_BLOCK)
        at_K_2_in = at_K_2 < K
        number = tl.full([], c0, ACC)
        q_tile = tl.load(
            q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K_2[None, :],
            mask=at_K_2_in[None, :],
            other=0.0,
        ).to(ACC)
        elu_ = elu(q_tile)
        total = number + elu_
        k_tile = tl.load(
            k_at + (rows * k_heads + h % k_heads)[:, None] * K + at_K_2[None, :],
            mask=at_K_2_in[None, :],
            other=0.0,
        ).to(ACC)
        elu__2 = elu(k_tile)
        total_2 = number + elu__2
        tokens = tl.where(valid[:, None], total_2, 0.0)
        part = matmul(
            tl.where(at_K_2_in[None, :], total, 0.0),
            tl.permute(tl.where(at_K_2_in[None, :], tokens, 0.0), (1, 0)),
            ACC,
            DOT,
            PREC,
        )
        dot += part
        sum_before = tl.load(
            before_1_at + (n * HEADS + h) * K + at_K_2,
            mask=at_K_2_in,
            other=0.0,
        ).to(ACC)
        part_2 = tl.sum(
            tl.where(at_K_2_in[None, :], total, 0.0) * sum_before[None, :],
            axis=1,
        )
        dot_2 += part_2
    triangle = tl.where(i[:, None] >= i[None, :], dot, 0.0)
    number_2 = tl.full([], c0, ACC)
    dot_3 = tl.sum(triangle * number_2, axis=1)
    total_3 = dot_3 + dot_2
    number_3 = tl.full([], c1, ACC)
    total_4 = total_3 + number_3
    ratio = number_2 / total_4
    dot_4 = tl.zeros((CHUNK,), ACC)
    dot_5 = tl.zeros((CHUNK, K_BLOCK), ACC)
    dot_6 = tl.zeros((CHUNK, CHUNK), ACC)
    for from_V in range(0, V, V_BLOCK):
        at_V = from_V + tl.arange(0, V_BLOCK)
        at_V_in = at_V < V
        dot_7 = tl.zeros((CHUNK, V_BLOCK), ACC)
        for from_K_2 in range(0, K, K_BLOCK):
            at_K_3 = from_K_2 + tl.arange(0, K_BLOCK)
            at_K_3_in = at_K_3 < K
            q_tile_2 = tl.load(
                q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K_3[None, :],
                mask=at_K_3_in[None, :],
                other=0.0,
            ).to(ACC)
            elu__3 = elu(q_tile_2)
            total_5 = number_2 + elu__3
            S_before = tl.load(
                before_0_at + ((n * HEADS + h) * K + at_K_3[:, None]) * V + at_V[None, :],
                mask=at_K_3_in[:, None] & at_V_in[None, :],
                other=0.0,
            ).to(ACC)
            part_3 = matmul(
                tl.where(at_K_3_in[None, :], total_5, 0.0),
                S_before,
                ACC,
                WIDE,
                PREC,
            )
            dot_7 += part_3
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
        dot_8 = matmul(triangle, v_tile, ACC, DOT, PREC)
        total_6 = dot_8 + dot_7
        ratio_2 = total_6 / total_4[:, None]
        ratio_3 = ratio_2 / total_4[:, None]
        minus = -ratio_3
        part_4 = tl.sum(d_o_tile * tl.where(at_V_in[None, :], minus, 0.0), axis=1)
        dot_4 += part_4
        product = d_o_tile * ratio[:, None]
        S_before_2 = tl.load(
            before_0_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part_5 = matmul(
            tl.where(at_V_in[None, :], product, 0.0),
            tl.permute(S_before_2, (1, 0)),
            ACC,
            WIDE,
            PREC,
        )
        dot_5 += part_5
        part_6 = matmul(
            tl.where(at_V_in[None, :], product, 0.0),
            tl.permute(v_tile, (1, 0)),
            ACC,
            DOT,
            PREC,
        )
        dot_6 += part_6
    sum_before_2 = tl.load(
        before_1_at + (n * HEADS + h) * K + at_K,
        mask=at_K_in,
        other=0.0,
    ).to(ACC)
    product_2 = dot_4[:, None] * sum_before_2[None, :]
    total_7 = product_2 + dot_5
    product_3 = dot_4 * number_2
    total_8 = product_3[:, None] + dot_6
    triangle_2 = tl.where(i[:, None] >= i[None, :], total_8, 0.0)
    k_tile_2 = tl.load(
        k_at + (rows * k_heads + h % k_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    elu__4 = elu(k_tile_2)
    total_9 = number_2 + elu__4
    tokens_2 = tl.where(valid[:, None], total_9, 0.0)
    dot_9 = matmul(triangle_2, tokens_2, ACC, DOT, PREC)
    total_10 = total_7 + dot_9
    q_tile_3 = tl.load(
        q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    number_4 = tl.full([], c2, ACC)
    gt_ = q_tile_3 > number_4
    min_ = tl.minimum(q_tile_3, number_4)
    raised = tl.exp(min_)
    where_ = tl.where(gt_, number_2, raised)
    product_4 = total_10 * where_
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
    q_at,
    k_at,
    before_1_at,
    kept_0_at,
    v_at,
    before_0_at,
    d_o_at,
    kept_1_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    q_heads: tl.constexpr,
    k_heads: tl.constexpr,
    v_heads: tl.constexpr,
    d_o_heads: tl.constexpr,
    c0: tl.constexpr,
    c1: tl.constexpr,
    c2: tl.constexpr,
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
    dot_2 = tl.zeros((CHUNK,), ACC)
    for from_K in range(0, K, K_BLOCK):
        at_K_2 = from_K + tl.arange(0, K_BLOCK)
        at_K_2_in = at_K_2 < K
        number = tl.full([], c0, ACC)
        q_tile = tl.load(
            q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K_2[None, :],
            mask=at_K_2_in[None, :],
            other=0.0,
        ).to(ACC)
        elu_ = elu(q_tile)
        total = number + elu_
        k_tile = tl.load(
            k_at + (rows * k_heads + h % k_heads)[:, None] * K + at_K_2[None, :],
            mask=at_K_2_in[None, :],
            other=0.0,
        ).to(ACC)
        elu__2 = elu(k_tile)
        total_2 = number + elu__2
        tokens = tl.where(valid[:, None], total_2, 0.0)
        part = matmul(
            tl.where(at_K_2_in[None, :], total, 0.0),
            tl.permute(tl.where(at_K_2_in[None, :], tokens, 0.0), (1, 0)),
            ACC,
            DOT,
            PREC,
        )
        dot += part
        sum_before = tl.load(
            before_1_at + (n * HEADS + h) * K + at_K_2,
            mask=at_K_2_in,
            other=0.0,
        ).to(ACC)
        part_2 = tl.sum(
            tl.where(at_K_2_in[None, :], total, 0.0) * sum_before[None, :],
            axis=1,
        )
        dot_2 += part_2
    dot_3 = tl.zeros((CHUNK, K_BLOCK), ACC)
    for from_V in range(0, V, V_BLOCK):
        at_V = from_V + tl.arange(0, V_BLOCK)
        at_V_in = at_V < V
        d_S_before = tl.load(
            kept_0_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        v_tile = tl.load(
            v_at + (rows * v_heads + h % v_heads)[:, None] * V + at_V[None, :],
            mask=at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        part_3 = tl.permute(
            matmul(d_S_before, tl.permute(v_tile, (1, 0)), ACC, WIDE, PREC),
            (1, 0),
        )
        dot_3 += part_3
    triangle = tl.where(i[:, None] >= i[None, :], dot, 0.0)
    number_2 = tl.full([], c0, ACC)
    dot_4 = tl.sum(triangle * number_2, axis=1)
    total_3 = dot_4 + dot_2
    number_3 = tl.full([], c1, ACC)
    total_4 = total_3 + number_3
    ratio = number_2 / total_4
    dot_5 = tl.zeros((CHUNK,), ACC)
    dot_6 = tl.zeros((CHUNK, CHUNK), ACC)
    for from_V_2 in range(0, V, V_BLOCK):
        at_V_2 = from_V_2 + tl.arange(0, V_BLOCK)
        at_V_2_in = at_V_2 < V
        dot_7 = tl.zeros((CHUNK, V_BLOCK), ACC)
        for from_K_2 in range(0, K, K_BLOCK):
            at_K_3 = from_K_2 + tl.arange(0, K_BLOCK)
            at_K_3_in = at_K_3 < K
            q_tile_2 = tl.load(
                q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K_3[None, :],
                mask=at_K_3_in[None, :],
                other=0.0,
            ).to(ACC)
            elu__3 = elu(q_tile_2)
            total_5 = number_2 + elu__3
            S_before = tl.load(
                before_0_at + ((n * HEADS + h) * K + at_K_3[:, None]) * V + at_V_2[None, :],
                mask=at_K_3_in[:, None] & at_V_2_in[None, :],
                other=0.0,
            ).to(ACC)
            part_4 = matmul(
                tl.where(at_K_3_in[None, :], total_5, 0.0),
                S_before,
                ACC,
                WIDE,
                PREC,
            )
            dot_7 += part_4
        d_o_tile = tl.load(
            d_o_at + (rows * d_o_heads + h % d_o_heads)[:, None] * V + at_V_2[None, :],
            mask=at_V_2_in[None, :] & valid[:, None],
            other=0.0,
        ).to(ACC)
        v_tile_2 = tl.load(
            v_at + (rows * v_heads + h % v_heads)[:, None] * V + at_V_2[None, :],
            mask=at_V_2_in[None, :],
            other=0.0,
        ).to(ACC)
        dot_8 = matmul(triangle, v_tile_2, ACC, DOT, PREC)
        total_6 = dot_8 + dot_7
        ratio_2 = total_6 / total_4[:, None]
        ratio_3 = ratio_2 / total_4[:, None]
        minus = -ratio_3
        part_5 = tl.sum(d_o_tile * tl.where(at_V_2_in[None, :], minus, 0.0), axis=1)
        dot_5 += part_5
        product = d_o_tile * ratio[:, None]
        part_6 = matmul(
            tl.where(at_V_2_in[None, :], product, 0.0),
            tl.permute(v_tile_2, (1, 0)),
            ACC,
            DOT,
            PREC,
        )
        dot_6 += part_6
    d_sum_before = tl.load(
        kept_1_at + (n * HEADS + h) * K + at_K,
        mask=at_K_in,
        other=0.0,
    ).to(ACC)
    product_2 = d_sum_before * number_2
    total_7 = product_2[None, :] + dot_3
    product_3 = dot_5 * number_2
    total_8 = product_3[:, None] + dot_6
    triangle_2 = tl.where(i[:, None] >= i[None, :], total_8, 0.0)
    q_tile_3 = tl.load(
        q_at + (rows * q_heads + h % q_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    elu__4 = elu(q_tile_3)
    total_9 = number_2 + elu__4
    dot_9 = matmul(tl.permute(triangle_2, (1, 0)), total_9, ACC, DOT, PREC)
    total_10 = total_7 + dot_9
    tokens_2 = tl.where(valid[:, None], total_10, 0.0)
    k_tile_2 = tl.load(
        k_at + (rows * k_heads + h % k_heads)[:, None] * K + at_K[None, :],
        mask=at_K_in[None, :],
        other=0.0,
    ).to(ACC)
    number_4 = tl.full([], c2, ACC)
    gt_ = k_tile_2 > number_4
    min_ = tl.minimum(k_tile_2, number_4)
    raised = tl.exp(min_)
    where_ = tl.where(gt_, number_2, raised)
    product_4 = tokens_2 * where_
    tl.store(
        out_at + (rows * HEADS + h)[:, None] * K + at_K[None, :],
        product_4.to(out_at.dtype.element_ty),
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
    q_at,
    before_1_at,
    d_o_at,
    HEADS: tl.constexpr,
    CHUNK: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    K_BLOCK: tl.constexpr,
    V_BLOCK: tl.constexpr,
    k_heads: tl.constexpr,
    q_heads: tl.constexpr,
    d_o_heads: tl.constexpr,
    c0: tl.constexpr,
    c1: tl.constexpr,
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
    dot_2 = tl.zeros((CHUNK, CHUNK), ACC)
    dot_3 = tl.zeros((CHUNK,), ACC)
    for from_K in range(0, K, K_BLOCK):
        at_K = from_K + tl.arange(0, K_BLOCK)
        at_K_in = at_K < K
        d_S_before = tl.load(
            kept_0_at + ((n * HEADS + h) * K + at_K[:, None]) * V + at_V[None, :],
            mask=at_K_in[:, None] & at_V_in[None, :],
            other=0.0,
        ).to(ACC)
        number = tl.full([], c0, ACC)
        k_tile = tl.load(
            k_at + (rows * k_heads + h % k_heads)[:, None] * K + at_K[None, :],
            mask=at_K_in[None, :],
            other=0.0,
        ).to(ACC)
        elu_ = elu(k_tile)
        total = number + elu_
        tokens = tl.where(valid[:, None], total, 0.0)
        part = tl.permute(
            matmul(
                tl.permute(d_S_before, (1, 0)),
                tl.permute(tl.where(at_K_in[None, :], tokens, 0.0), (1, 0)),
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
        elu__2 = elu(q_tile)
        total_2 = number + elu__2
        part_2 = matmul(
            tl.where(at_K_in[None, :], total_2, 0.0),
            tl.permute(tl.where(at_K_in[None, :], tokens, 0.0), (1, 0)),
            ACC,
            DOT,
            PREC,
        )
        dot_2 += part_2
        sum_before = tl.load(
            before_1_at + (n * HEADS + h) * K + at_K,
            mask=at_K_in,
            other=0.0,
        ).to(ACC)
        part_3 = tl.sum(
            tl.where(at_K_in[None, :], total_2, 0.0) * sum_before[None, :],
            axis=1,
        )
        dot_3 += part_3
    d_o_tile = tl.load(
        d_o_at + (rows * d_o_heads + h % d_o_heads)[:, None] * V + at_V[None, :],
        mask=at_V_in[None, :] & valid[:, None],
        other=0.0,
    ).to(ACC)
    number_2 = tl.full([], c0, ACC)
    triangle = tl.where(i[:, None] >= i[None, :], dot_2, 0.0)
    dot_4 = tl.sum(triangle * number_2, axis=1)
    total_3 = dot_4 + dot_3
    number_3 = tl.full([], c1, ACC)
    total_4 = total_3 + number_3
    ratio = number_2 / total_4
    product = d_o_tile * ratio[:, None]
    dot_5 = tl.permute(
        matmul(tl.permute(product, (1, 0)), triangle, ACC, DOT, PREC),
        (1, 0),
    )
    total_5 = dot + dot_5
    tl.store(
        out_at + (rows * HEADS + h)[:, None] * V + at_V[None, :],
        total_5.to(out_at.dtype.element_ty),
        mask=at_V_in[None, :] & valid[:, None],
    )


def backward_piece(run, streams, constants, states, size, kept):
    """The cotangents of the inputs, and of the first states."""
    before_0 = kept[0]
    before_1 = kept[1]
    brought_2 = run.chunked(size["K"], size["V"])
    run.map(
        backward_1,
        [(size["K"], block(size["K"])), (size["V"], block(size["V"]))],
        out_at=brought_2,
        q_at=streams[0],
        k_at=streams[1],
        before_1_at=before_1,
        d_o_at=streams[3],
        q_heads=streams[0].shape[1],
        k_heads=streams[1].shape[1],
        d_o_heads=streams[3].shape[1],
        c0=1,
        c1=1e-06,
        K=size["K"],
        K_BLOCK=block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    kept_0 = run.chunked(size["K"], size["V"])
    last_0 = torch.empty_like(states[0])
    run.scan(
        backward_2,
        [(size["K"], block(size["K"])), (size["V"], block(size["V"]))],
        state_at=states[0],
        last_at=last_0,
        kept_at=kept_0,
        brought_2_at=brought_2,
        K=size["K"],
        K_BLOCK=block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    brought_3 = run.chunked(size["K"])
    run.map(
        backward_3,
        [(size["K"], block(size["K"]))],
        out_at=brought_3,
        q_at=streams[0],
        k_at=streams[1],
        before_1_at=before_1,
        before_0_at=before_0,
        d_o_at=streams[3],
        v_at=streams[2],
        q_heads=streams[0].shape[1],
        k_heads=streams[1].shape[1],
        d_o_heads=streams[3].shape[1],
        v_heads=streams[2].shape[1],
        c0=1,
        c1=1e-06,
        K=size["K"],
        K_BLOCK=block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    kept_1 = run.chunked(size["K"])
    last_1 = torch.empty_like(states[1])
    run.scan(
        backward_4,
        [(size["K"], block(size["K"]))],
        state_at=states[1],
        last_at=last_1,
        kept_at=kept_1,
        brought_3_at=brought_3,
        K=size["K"],
        K_BLOCK=block(size["K"]),
    )
    d_0 = run.rows(streams[0], size["K"])
    run.map(
        backward_5,
        [(size["K"], block(size["K"]))],
        out_at=d_0,
        q_at=streams[0],
        k_at=streams[1],
        before_1_at=before_1,
        before_0_at=before_0,
        d_o_at=streams[3],
        v_at=streams[2],
        q_heads=streams[0].shape[1],
        k_heads=streams[1].shape[1],
        d_o_heads=streams[3].shape[1],
        v_heads=streams[2].shape[1],
        c0=1,
        c1=1e-06,
        c2=0,
        K=size["K"],
        K_BLOCK=block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    d_1 = run.rows(streams[0], size["K"])
    run.map(
        backward_6,
        [(size["K"], block(size["K"]))],
        out_at=d_1,
        q_at=streams[0],
        k_at=streams[1],
        before_1_at=before_1,
        kept_0_at=kept_0,
        v_at=streams[2],
        before_0_at=before_0,
        d_o_at=streams[3],
        kept_1_at=kept_1,
        q_heads=streams[0].shape[1],
        k_heads=streams[1].shape[1],
        v_heads=streams[2].shape[1],
        d_o_heads=streams[3].shape[1],
        c0=1,
        c1=1e-06,
        c2=0,
        K=size["K"],
        K_BLOCK=block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    d_2 = run.rows(streams[0], size["V"])
    run.map(
        backward_7,
        [(size["V"], block(size["V"]))],
        out_at=d_2,
        kept_0_at=kept_0,
        k_at=streams[1],
        q_at=streams[0],
        before_1_at=before_1,
        d_o_at=streams[3],
        k_heads=streams[1].shape[1],
        q_heads=streams[0].shape[1],
        d_o_heads=streams[3].shape[1],
        c0=1,
        c1=1e-06,
        K=size["K"],
        K_BLOCK=block(size["K"]),
        V=size["V"],
        V_BLOCK=block(size["V"]),
    )
    return (d_0, d_1, d_2), [last_0, last_1]


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


def forward(streams, constants, states, given, cu_seqlens, recurrent):
    """Output and final states: in chunks, or token by token."""
    size = lengths(streams, constants, given)
    outputs = [empty_output(streams, size)]
    program, chunk = (recurrent_piece, 1) if recurrent else (forward_piece, CHUNK)
    run = (program, chunk, streams, constants, states, size, outputs, cu_seqlens)
    return [*outputs, *run_forward(*run)]


def forward_shapes(streams, constants, states, given, cu_seqlens, recurrent):
    """Tensors like those that `forward` gives."""
    size = lengths(streams, constants, given)
    dtype = accumulation(streams)
    return [empty_output(streams, size), *(torch.empty_like(x, dtype=dtype) for x in states)]


def backward(streams, constants, states, cotangents, given, cu_seqlens):
    """Cotangents of streams, constants and first states."""
    size = lengths(streams, constants, given)
    programs = (states_piece, backward_piece, (0, 1, 2), ())
    outputs, finals = cotangents[:1], cotangents[1:]
    run = (streams, constants, states, size, outputs, finals, cu_seqlens)
    return run_backward(programs, CHUNK, *run)


def backward_shapes(streams, constants, states, cotangents, given, cu_seqlens):
    """Tensors like those that `backward` gives."""
    return [torch.empty_like(x) for x in (*streams, *constants, *states)]


LISTS = "Tensor[] streams, Tensor[] constants, Tensor[] states, "
FORWARD = registered(
    "forward",
    f"{LISTS}float[] given, Tensor? cu_seqlens, bool recurrent",
    forward,
    forward_shapes,
)
BACKWARD = registered(
    "backward",
    f"{LISTS}Tensor[] cotangents, float[] given, Tensor? cu_seqlens",
    backward,
    backward_shapes,
)


def forward_op(settings, cu_seqlens, tensors):
    """The registered forward, from flat tensors; `settings` are (recurrent, numbers given)."""
    streams, constants, states, _ = parts(tensors)
    return FORWARD(streams, constants, states, settings[1:], cu_seqlens, bool(settings[0]))


def backward_op(settings, cu_seqlens, tensors):
    """The registered backward, from flat tensors."""
    streams, constants, states, cotangents = parts(tensors)
    return BACKWARD(streams, constants, states, cotangents, settings[1:], cu_seqlens)


def mix(*, q, k, v, state=None, mode="parallel", chunk=None, cu_seqlens=None):
    """Attention with a feature map in place of the exponential. Katharopoulos et al. 2020, arXiv:2006.16236

    Streams are [B, T, H, axes…], parameters [H, axes…]; the state has a row for each sequence.
    """
    if chunk not in (None, CHUNK):
        raise ValueError(f"this file was made for chunks of {CHUNK} tokens, not {chunk}")
    if mode not in ("parallel", "recurrent"):
        raise ValueError(f"mode is {mode!r}, and not 'parallel' or 'recurrent'")
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

    def forward(self, x, state=None, *, cu_seqlens=None, mode="parallel", chunk=None):
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
        )
        y = self.y_linear(o.flatten(2))  # linear_attention.mix:13
        return y, state

    def step(self, x, state=None):
        """One token, x [B, d_model] or [B, 1, d_model], in recurrent mode; y is like x."""
        if x.dim() == 3:
            return self(x, state, mode="recurrent")
        x = x.unsqueeze(1)
        y, state = self(x, state, mode="recurrent")
        return y.squeeze(1), state

    def extra_repr(self):
        """What printing the module shows."""
        return f"d_model={self.d_model}, heads={self.heads}, K={self.K}, V={self.V}"
