"""The op boundary of a generated file: what never varies of it is copied from here.

The file's core has `forward`, `backward` and the ops registered of them, over lists of tensors:
streams [B, T, H, axes…], constants [B, H, axes…] and states [sequences, H, axes…].
"""

import torch


def accumulation(tensors):
    """float64 if an input has it, else float32."""
    wide = any(x.dtype in (torch.float64, torch.complex128) for x in tensors)
    return torch.float64 if wide else torch.float32


def has_slope(x):
    """Whether a tensor is of real or complex numbers."""
    return x.is_floating_point() or x.is_complex()


def folded(info, in_dims, tensors):
    """Tensors under vmap with the mapped dimension joined to the first one."""
    rows = []
    for x, dim in zip(tensors, in_dims, strict=True):
        mapped = x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
        rows.append(mapped.flatten(0, 1))
    return rows


def unfolded(info, values):
    """The mapped dimension first again, and where it stands."""
    split = tuple(x.unflatten(0, (info.batch_size, -1)) for x in values)
    return split, (0,) * len(split)


class MixBackward(torch.autograd.Function):
    """The backward op as a function of its own, so that vmap reaches it."""

    @staticmethod
    def forward(settings, cu_seqlens, *tensors):
        return tuple(backward_op(settings, cu_seqlens, tensors))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, *cotangents):
        raise RuntimeError("the backward of this mixer has no derivative of its own")

    @staticmethod
    def vmap(info, in_dims, settings, cu_seqlens, *tensors):
        if cu_seqlens is not None:
            raise RuntimeError("packed sequences are one row: they cannot be mapped over")
        rows = folded(info, in_dims[2:], tensors)
        return unfolded(info, MixBackward.apply(settings, None, *rows))


class Mix(torch.autograd.Function):
    """The mixer as a differentiable function of streams, constants and states."""

    @staticmethod
    def forward(settings, cu_seqlens, *tensors):
        return tuple(forward_op(settings, cu_seqlens, tensors))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.settings, cu_seqlens, *tensors = inputs
        saved = saved_of(output)
        ctx.save_for_backward(cu_seqlens, *tensors, *saved)
        ctx.shapes = [(x.shape, x.dtype) for x in output]
        ctx.saved = len(saved)
        ctx.mark_non_differentiable(*(x for x in output if not has_slope(x)))
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, *cotangents):
        cu_seqlens, *tensors = ctx.saved_tensors
        real = [has_slope(x) for x in tensors[: len(tensors) - ctx.saved]]
        given = [
            tensors[0].new_zeros(shape, dtype=dtype) if d is None else d
            for d, (shape, dtype) in zip(cotangents, ctx.shapes, strict=True)
        ]
        if torch.compiler.is_compiling():
            grads = backward_op(ctx.settings, cu_seqlens, (*tensors, *given))
        else:
            grads = MixBackward.apply(ctx.settings, cu_seqlens, *tensors, *given)
        grads = (d if wanted else None for d, wanted in zip(grads, real, strict=True))
        return None, None, *grads

    @staticmethod
    def vmap(info, in_dims, settings, cu_seqlens, *tensors):
        if cu_seqlens is not None:
            raise RuntimeError("packed sequences are one row: they cannot be mapped over")
        rows = folded(info, in_dims[2:], tensors)
        return unfolded(info, Mix.apply(settings, None, *rows))


def advance(streams, constants, states, given, cu_seqlens):
    """Output, token by token; the states become those after the last token."""
    o, *lasts = forward(streams, constants, states, given, cu_seqlens, True, in_place=True)
    for state, last in zip(states, lasts, strict=True):
        if last.data_ptr() != state.data_ptr():
            state.copy_(last)
    return [o]


def advance_shapes(streams, constants, states, given, cu_seqlens):
    """A tensor like the one that `advance` gives."""
    return [empty_output(streams, lengths(streams, constants, given))]


def forward_shapes(streams, constants, states, given, cu_seqlens, recurrent):
    """Tensors like those that `forward` gives."""
    size = lengths(streams, constants, given)
    dtype, plain = accumulation(streams), torch.contiguous_format
    kinds = (dtype.to_complex() if x.is_complex() else dtype for x in states)
    after = (
        torch.empty_like(x, dtype=d, memory_format=plain)
        for x, d in zip(states, kinds, strict=True)
    )
    return [empty_output(streams, size), *after]


def backward_shapes(streams, constants, states, cotangents, given, cu_seqlens):
    """Tensors like those that `backward` gives."""
    plain = torch.contiguous_format
    return [torch.empty_like(x, memory_format=plain) for x in (*streams, *constants, *states)]


def forward_op(settings, cu_seqlens, tensors):
    """The registered forward, from flat tensors; `settings` are (recurrent, numbers given)."""
    streams, constants, states, _ = parts(tensors)
    return FORWARD(streams, constants, states, settings[1:], cu_seqlens, bool(settings[0]))


def backward_op(settings, cu_seqlens, tensors):
    """The registered backward, from flat tensors."""
    streams, constants, states, cotangents = parts(tensors)
    return BACKWARD(streams, constants, states, cotangents, settings[1:], cu_seqlens)


def check_in_place(mode, state, states, inputs):
    """Raises ValueError where a state cannot be changed in its own memory."""
    if mode != "recurrent" or state is None:
        raise ValueError("in_place needs a state, and the recurrent mode")
    same = zip(state.values(), states, strict=False)
    if any(given.dtype != x.dtype or given.data_ptr() != x.data_ptr() for given, x in same):
        raise ValueError(f"in_place needs states of {states[0].dtype}")
    if torch.is_grad_enabled() and any(x.requires_grad for x in (*states, *inputs)):
        raise ValueError("in_place gives no gradients: use it under torch.no_grad()")


def per_head(x, heads, dim):
    """A value with one row for each head along `dim`: groups serve consecutive heads."""
    if x.shape[dim] in (1, heads):
        return x
    if heads % x.shape[dim]:
        raise ValueError(f"{heads} heads cannot share {x.shape[dim]} groups")
    return x.repeat_interleave(heads // x.shape[dim], dim)


def as_given_dtypes(function):
    """The function without autocast, which would make products of accumulated values narrow."""

    def run(streams, *rest):
        kind = streams[0].device.type
        if not torch.is_autocast_enabled(kind):
            return function(streams, *rest)
        with torch.autocast(kind, enabled=False):
            return function(streams, *rest)

    return run


def registered(name, arguments, function, shapes):
    """An op of this file, made once a process."""
    if not hasattr(getattr(torch.ops, OPS), name):
        torch.library.define(f"{OPS}::{name}", f"({arguments}) -> Tensor[]")
        torch.library.impl(f"{OPS}::{name}", "default", as_given_dtypes(function))
        torch.library.register_fake(f"{OPS}::{name}", shapes)
    return getattr(getattr(torch.ops, OPS), name)
