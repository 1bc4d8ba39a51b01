"""Decays of pairs in plain torch: the product over s < j <= t, from sums of contiguous runs.

Every sum is one over a run of logarithms, none a difference of two, so nothing cancels and -inf is
exact. They are added in float64: a logarithm of -20 that is rounded as float32 is an error of 20 of
its ulp in the decay. Decays are [B, G, r, keys]; a zero given as such has a slope of its own.
"""

import torch


class Decays:
    """The decays of a pass and what reaches them; the query i stands at the key `start` + i."""

    def __init__(self, decay, start, *, logarithmic):
        self.decay, self.start, self.logarithmic = decay, start, logarithmic
        self.logs = decay.double() if logarithmic else decay.double().log()
        self.zeros = None
        if not logarithmic and bool((decay == 0).any()):
            self.zeros = (decay == 0).to(decay.dtype)
            self.d_zeros = torch.zeros_like(self.logs)
        self.d_logs = torch.zeros_like(self.logs)

    def tile(self, first, last, group, *, beside=False):
        """The logarithm of the decay of each pair [.., queries, keys]."""
        if not beside:
            return self._sums(self.logs, first, last, group)
        plain = self.logs.masked_fill(self.decay == 0, 0)
        found = self._sums(plain, first, last, group)
        crossed = self._sums(self.zeros, first, last, group)
        return found.masked_fill_(crossed != 1, -torch.inf)

    def _sums(self, logs, first, last, group):
        span = (self.start + first, self.start + last)
        return torch.cat([run_sums(logs, *span, low, high) for low, high, _ in group], -1)

    def back(self, total, d, first, last, group):
        """Adds to the total, for each token, what reaches the pairs that it lies between."""
        place = 0
        for low, high, _ in group:
            part = d[..., place : place + high - low].double()
            for dim in range(3):
                if part.shape[dim] > total.shape[dim]:
                    part = part.sum(dim, keepdim=True)
            add_runs(total, part, self.start + first, self.start + last, low, high)
            place += high - low

    def cotangent(self):
        """The cotangent of what was given: the decay, or its logarithm."""
        if self.logarithmic:
            return self.d_logs.to(self.decay.dtype)
        slope = self.d_logs / self.decay
        if self.zeros is not None:
            slope = torch.where(self.decay == 0, self.d_zeros, slope)
        return slope.to(self.decay.dtype)


def run_sums(x, start, stop, low, high):
    """The sum of x over s < j <= t for queries t in start:stop and keys s in low:high; 0 for
    later keys."""
    upto = x[..., start:stop].cumsum(-1).unsqueeze(-1)
    edge, end = min(high, max(low, start)), min(high, max(low, stop))
    parts = []
    if edge > low:
        run = x[..., low + 1 : start].flip(-1).cumsum(-1).flip(-1)
        after = torch.cat((run, torch.zeros_like(x[..., :1])), -1)[..., : edge - low]
        parts.append(upto + after.unsqueeze(-2))
    if end > edge:
        parts.append(later(x, start, stop, edge, end).cumsum(-2))
    if high > end:
        parts.append(torch.zeros_like(upto).expand(*upto.shape[:-1], high - end))
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


def later(x, start, stop, low, high):
    """x[j] where j > s, else 0, for j in start:stop and keys s in low:high."""
    j = torch.arange(start, stop, device=x.device).unsqueeze(-1)
    s = torch.arange(low, high, device=x.device)
    return torch.where(j > s, x[..., start:stop].unsqueeze(-1), 0)


def add_runs(total, d, start, stop, low, high):
    """The adjoint of `run_sums`, added to the total."""
    edge, end = min(high, max(low, start)), min(high, max(low, stop))
    here = total[..., start:stop]
    if edge > low:
        left = d[..., : edge - low]
        here += left.sum(-1).flip(-1).cumsum(-1).flip(-1)
        before = left.sum(-2).cumsum(-1)
        near = min(edge + 1, start)
        total[..., low + 1 : near] += before[..., : near - low - 1]
        total[..., near:start] += before[..., -1:]
    if end > edge:
        inside = d[..., edge - low : end - low].flip(-2).cumsum(-2).flip(-2)
        j = torch.arange(start, stop, device=d.device).unsqueeze(-1)
        inside = torch.where(j > torch.arange(edge, end, device=d.device), inside, 0)
        here += inside.sum(-1)
