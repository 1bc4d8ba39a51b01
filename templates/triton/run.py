"""A pass over a batch in Triton: tables of chunks, memory for what kernels hand on, launches.

Streams are [B, T, H, axes…], constants [B, H, axes…] and states [sequences, H, axes…].
"""

import itertools

import torch
import triton.language as tl


class Run:
    """One call: how its sequences fall into chunks, and the settings that every kernel takes.

    Sequences of equal length need no tables. Of packed ones, `first` and `count` say where each
    chunk begins (in a row of all tokens) and how many tokens it has, `bounds` where the chunks of
    each sequence begin, and `tokens` where its tokens do.
    """

    def __init__(self, streams, states, chunk, cu_seqlens):
        batch, self.length = streams[0].shape[:2]
        self.tokens_all = batch * self.length
        self.chunk, self.device, self.in_place = chunk, streams[0].device, False
        self.heads = max(x.shape[2] for x in streams)
        self.sequences = states[0].shape[0] if states else batch
        self.check(streams)
        self.acc = accumulation(streams)
        self.dot = self.acc if self.acc == torch.float64 else product_dtype(streams)
        self.chunks = batch * -(-self.length // chunk)
        self.first = self.count = self.batch = self.bounds = self.tokens = self.rows_of = None
        if cu_seqlens is not None:
            self.pack(cu_seqlens.to(torch.int64).contiguous())
        largest = max(x.shape[3:].numel() * (1 + x.is_complex()) for x in streams)
        if chunk * self.heads * largest >= 2**31:
            raise ValueError(f"{self.heads} heads are too many: places in a chunk have 32 bits")

    def pack(self, tokens):
        """The tables of packed sequences, from where each begins."""
        self.chunks = self.length // self.chunk + self.sequences if self.length else 0
        counts = (tokens.diff() + self.chunk - 1) // self.chunk
        self.bounds = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
        index = torch.arange(self.chunks, device=self.device)
        within = torch.searchsorted(self.bounds[1:], index, right=True)
        within = within.clamp(max=self.sequences - 1)
        first = tokens[within] + (index - self.bounds[within]) * self.chunk
        self.first = first.clamp(max=max(self.length - 1, 0))
        self.count = (tokens[within + 1] - first).clamp(max=self.chunk)
        self.batch = torch.zeros_like(first)
        self.tokens, self.rows_of = tokens, torch.zeros_like(counts)

    def check(self, *groups):
        """Raises ValueError for a tensor that is not where the streams are."""
        for x in itertools.chain(*groups):
            if x.device != self.device:
                raise ValueError(
                    f"a tensor is on {x.device}, and the first stream on {self.device}"
                )

    def flat(self, x):
        """A stream as [tokens, heads, axes…]."""
        return placed(x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]))

    def after(self, state):
        """Memory for the state after the last token: its own, if it is changed in place."""
        return state if self.in_place else torch.empty_like(state)

    def chunked(self, *lengths, dtype=None):
        """Memory for a value of each chunk and head."""
        shape = (self.chunks, self.heads, *lengths)
        return torch.empty(shape, dtype=dtype or self.acc, device=self.device)

    def rows(self, dtype, *lengths):
        """Memory for a stream's cotangent: a value of each head, in its dtype or to be summed."""
        # Packed rows that no sequence covers are written by no chunk.
        empty = torch.empty if self.bounds is None else torch.zeros
        return empty(self.tokens_all, self.heads, *lengths, dtype=dtype, device=self.device)

    def launch(self, kernel, programs, size, axes, split, whole=(), **arguments):
        """Runs a kernel for each head and each block of the `split` axes, some number of times.

        A tile holds every place of the axes in `whole`; where these are long it holds fewer of the
        others.
        """
        block, warps = TILES[kernel.__name__]
        for axis in whole:
            block = max(block * 64 // max(size[axis.rstrip("'")], 64), 16)
            block = 1 << (block.bit_length() - 1)
        for axis in axes:
            length, other = size[axis.rstrip("'")], axis.endswith("'")
            places = 1 << (max(length, 16) - 1).bit_length()
            held = places if axis in whole else 1 if other else min(places, block)
            arguments[axis.rstrip("'")] = length
            arguments[axis.replace("'", "_OTHER") if other else f"{axis}_BLOCK"] = held
            programs *= -(-length // held) if axis in split else 1
        wide = torch.float32 if self.dot == torch.float16 else self.dot
        given = {"HEADS": self.heads, "length": self.length, "CHUNK": self.chunk, "PREC": PRECISION}
        given |= {"ACC": DTYPES[self.acc], "DOT": DTYPES[self.dot], "WIDE": DTYPES[wide]}
        if programs:
            options = {"num_warps": warps * 32 // LANES, **OPTIONS, **REGISTERS}
            start(kernel, programs * self.heads, options, given | arguments, self.dot)

    def map(self, kernel, size, axes, split, **arguments):
        """A kernel over all chunks at once."""
        given = {"first_at": self.first, "count_at": self.count, "batch_at": self.batch}
        self.launch(kernel, self.chunks, size, axes, split, **given, **arguments)

    def scan(self, kernel, size, axes, split, whole=(), **arguments):
        """A kernel from chunk to chunk of each sequence."""
        given = {"first_at": self.first, "count_at": self.count, "batch_at": self.batch}
        given["bounds_at"] = self.bounds
        self.launch(kernel, self.sequences, size, axes, split, whole, **given, **arguments)

    def token_scan(self, kernel, size, axes, split, **arguments):
        """A kernel from token to token of each sequence."""
        given = {"bounds_at": self.tokens, "batch_at": self.rows_of, "CHUNK": 1}
        whole = [axis for axis in axes if axis not in split]
        self.launch(kernel, self.sequences, size, axes, split, whole, **given, **arguments)

    def there(self, found):
        """What each chunk gave to a sum; the last of the table's chunks may be none."""
        if self.count is None:
            return found
        chunks = (self.count > 0).view(-1, *[1] * (found.dim() - 1))
        return torch.where(chunks, found, 0)

    def total(self, found, like):
        """The cotangent of a constant, from what each chunk gave: a row for each of the batch."""
        return self.added(self.there(found), like)

    def added(self, found, like):
        """Values in the order of the batch, added up for each row of it."""
        total = found.unflatten(0, (like.shape[0], -1)).sum(1)
        total = total.sum(1, keepdim=True) if like.shape[1] < self.heads else total
        return total.to(like.dtype)


def zeros_like(x):
    """Zeros in one piece, however x lies in memory."""
    return torch.zeros_like(x, memory_format=torch.contiguous_format)


def placed(x):
    """The tensor in one piece, from a multiple of 16 bytes on: what kernels are compiled for.

    Of complex numbers it has both halves, side by side.
    """
    x = x.resolve_conj().contiguous()
    x = torch.view_as_real(x) if x.is_complex() else x
    return x if x.data_ptr() % 16 == 0 else x.clone()


OPTIONS = {"num_stages": 2, "enable_fp_fusion": True}
LANES = 64 if torch.version.hip else 32
"""Threads of a warp; TILES has warps of 32."""
PRECISION = "ieee" if torch.version.hip else "tf32x3"
"""Of matrix products of float32: three products of tf32 are as good as one, and need no stack."""
DTYPES = {
    torch.float64: tl.float64,
    torch.float32: tl.float32,
    torch.bfloat16: tl.bfloat16,
    torch.float16: tl.float16,
}


def product_dtype(streams):
    """The dtype of the operands of matrix products: that of the streams, where they agree."""
    found = {x.dtype for x in streams if x.dtype in DTYPES}
    half = found & {torch.bfloat16, torch.float16}
    return half.pop() if len(half) == 1 else torch.float32


def accumulated(x, dtype):
    """A value in the dtype of accumulation, or the complex one of it."""
    return x.to(dtype.to_complex() if x.is_complex() else dtype)


def of_kind(x, like):
    """Real numbers, or pairs of them as complex ones."""
    return torch.view_as_complex(x) if like.is_complex() else x


def run_forward(
    program, chunk, streams, constants, states, size, outputs, cu_seqlens, in_place, kind=Run
):
    """Fills `outputs`, and returns the states after the last token."""
    run = kind(streams, states, chunk, cu_seqlens)
    run.in_place = in_place
    run.check(constants, states)
    held = ([run.flat(x) for x in streams], [placed(x) for x in constants])
    firsts = [placed(accumulated(x, run.acc)) for x in states]
    lasts = program(run, *held, firsts, size, [run.flat(x) for x in outputs])
    return [of_kind(x, like) for x, like in zip(lasts, states, strict=True)]


def run_backward(
    programs,
    chunk,
    streams,
    constants,
    states,
    size,
    cotangents,
    finals,
    cu_seqlens,
    kind=Run,
    of_states=None,
    kept=None,
):
    """Cotangents of streams, of constants (one row a batch row) and of the first states, of which
    only those numbered in `of_states` have any. What the backward wants of states may be `kept`."""
    run = kind(streams, states, chunk, cu_seqlens)
    find_states, adjoint, of_streams, of_constants = programs
    of_states = range(len(states)) if of_states is None else of_states
    held = ([run.flat(x) for x in (*streams, *cotangents)], [placed(x) for x in constants])
    firsts = [placed(accumulated(x, run.acc)) for x in states]
    if kept is None:
        kept, _ = find_states(run, *held, firsts, size)
    lasts = [placed(accumulated(finals[i], run.acc)) for i in of_states]
    made, d_states = adjoint(run, *held, lasts, size, kept)
    d_streams = [None if i in of_streams else zeros_like(x) for i, x in enumerate(streams)]
    for index, found in zip(of_streams, made[: len(of_streams)], strict=True):
        x, found = streams[index], of_kind(found, streams[index])
        found = found.sum(1, keepdim=True) if x.shape[2] < run.heads else found
        d_streams[index] = found.to(x.dtype).reshape(x.shape)
    d_constants = [zeros_like(x) for x in constants]
    for index, found in zip(of_constants, made[len(of_streams) :], strict=True):
        d_constants[index] = run.total(of_kind(found, constants[index]), constants[index])
    d_firsts = [zeros_like(x) for x in states]
    for index, found in zip(of_states, d_states, strict=True):
        d_firsts[index] = of_kind(found, states[index]).to(states[index].dtype)
    return [*d_streams, *d_constants, *d_firsts]
