"""Scans over the rows of a tile: composed steps, and the states that they lead to.

Rows come first. A step is state -> factor * state + addend, or max(shift + state, floor); rows
that stand for no token leave the state as it is. Scans give the states before and after each row
and the one that the last row leads to; where a cascade goes from last to first, so do they.
"""

import triton
import triton.language as tl


@triton.jit
def composed(f, a, g, b):
    """One step, then another."""
    return f * g, g * a + b


@triton.jit
def composed_both(f, a, e, c, g, b, d, k):
    """The same, beside all but the last of the steps."""
    return f * g, g * a + b, d * f, d * a + k


@triton.jit
def composed_pair(fr, fi, ar, ai, gr, gi, br, bi):
    """One complex step, then another."""
    return (
        fr * gr - fi * gi,
        fr * gi + fi * gr,
        gr * ar - gi * ai + br,
        gr * ai + gi * ar + bi,
    )


@triton.jit
def composed_pair_both(fr, fi, ar, ai, er, ei, cr, ci, gr, gi, br, bi, dr, di, kr, ki):
    """The same, beside all but the last of the steps."""
    return (
        fr * gr - fi * gi,
        fr * gi + fi * gr,
        gr * ar - gi * ai + br,
        gr * ai + gi * ar + bi,
        dr * fr - di * fi,
        dr * fi + di * fr,
        dr * ar - di * ai + kr,
        dr * ai + di * ar + ki,
    )


@triton.jit
def composed_peak(s, m, t, p):
    """One step of a running maximum, then another."""
    return s + t, tl.maximum(t + m, p)


@triton.jit
def composed_peak_both(s, m, e, c, t, p, d, k):
    """The same, beside all but the last of the steps."""
    return s + t, tl.maximum(t + m, p), d + s, tl.maximum(d + m, k)


@triton.jit
def last_of(x, i, reverse: tl.constexpr):
    """The row that a scan comes to last."""
    last: tl.constexpr = 0 if reverse else x.shape[0] - 1
    return tl.sum(tl.where(i == last, x, 0.0), axis=0)


@triton.jit
def scanned(factor, addend, state, i, valid, reverse: tl.constexpr):
    """The states after each row, and the last one."""
    factor, addend = tl.where(valid, factor, 1.0), tl.where(valid, addend, 0.0)
    product, total = tl.associative_scan((factor, addend), 0, composed, reverse)
    after = product * tl.expand_dims(state, 0) + total
    return after, last_of(after, i, reverse)


@triton.jit
def scanned_both(factor, addend, state, i, valid, reverse: tl.constexpr):
    """The states before each row and after it, and the last one."""
    factor, addend = tl.where(valid, factor, 1.0), tl.where(valid, addend, 0.0)
    one, nothing = tl.full(factor.shape, 1.0, factor.dtype), tl.zeros_like(factor)
    steps = (factor, addend, one, nothing)
    product, total, inner, less = tl.associative_scan(steps, 0, composed_both, reverse)
    held = tl.expand_dims(state, 0)
    after = product * held + total
    return inner * held + less, after, last_of(after, i, reverse)


@triton.jit
def scanned_pair(fr, fi, ar, ai, sr, si, i, valid, reverse: tl.constexpr):
    """The same as `scanned` for complex numbers: each value is followed by its imaginary part."""
    fr, fi = tl.where(valid, fr, 1.0), tl.where(valid, fi, 0.0)
    ar, ai = tl.where(valid, ar, 0.0), tl.where(valid, ai, 0.0)
    pr, pi, tr, ti = tl.associative_scan((fr, fi, ar, ai), 0, composed_pair, reverse)
    hr, hi = tl.expand_dims(sr, 0), tl.expand_dims(si, 0)
    xr, xi = pr * hr - pi * hi + tr, pr * hi + pi * hr + ti
    return xr, xi, last_of(xr, i, reverse), last_of(xi, i, reverse)


@triton.jit
def scanned_pair_both(fr, fi, ar, ai, sr, si, i, valid, reverse: tl.constexpr):
    """The same as `scanned_both` for complex numbers."""
    fr, fi = tl.where(valid, fr, 1.0), tl.where(valid, fi, 0.0)
    ar, ai = tl.where(valid, ar, 0.0), tl.where(valid, ai, 0.0)
    one, nothing = tl.full(fr.shape, 1.0, fr.dtype), tl.zeros_like(fr)
    steps = (fr, fi, ar, ai, one, nothing, nothing, nothing)
    pr, pi, tr, ti, er, ei, lr, li = tl.associative_scan(steps, 0, composed_pair_both, reverse)
    hr, hi = tl.expand_dims(sr, 0), tl.expand_dims(si, 0)
    xr, xi = pr * hr - pi * hi + tr, pr * hi + pi * hr + ti
    br, bi = er * hr - ei * hi + lr, er * hi + ei * hr + li
    return br, bi, xr, xi, last_of(xr, i, reverse), last_of(xi, i, reverse)


@triton.jit
def peaked(shift, floor, state, i, valid, reverse: tl.constexpr):
    """The running maxima after each row, and the last one."""
    low = float("-inf")
    shift, floor = tl.where(valid, shift, 0.0), tl.where(valid, floor, low)
    total, peak = tl.associative_scan((shift, floor), 0, composed_peak, reverse)
    after = tl.maximum(total + tl.expand_dims(state, 0), peak)
    return after, last_of(after, i, reverse)


@triton.jit
def peaked_both(shift, floor, state, i, valid, reverse: tl.constexpr):
    """The running maxima before each row and after it, and the last one."""
    low = float("-inf")
    shift, floor = tl.where(valid, shift, 0.0), tl.where(valid, floor, low)
    nothing, lowest = tl.zeros_like(shift), tl.full(shift.shape, low, shift.dtype)
    steps = (shift, floor, nothing, lowest)
    total, peak, inner, less = tl.associative_scan(steps, 0, composed_peak_both, reverse)
    held = tl.expand_dims(state, 0)
    after = tl.maximum(total + held, peak)
    return tl.maximum(inner + held, less), after, last_of(after, i, reverse)
