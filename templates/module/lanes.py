"""What engines of masked sums share: how values are laid out, and what goes back to the streams.

Values of tokens are [B, G, r, T, axes…]: G groups of heads that share keys, r heads in each.
"""

import torch


class Part:
    """A function over values by name: what it reads, and what it gives."""

    def __init__(self, run, reads, gives):
        self.run, self.reads, self.gives = run, reads, gives

    def __call__(self, values):
        made = self.run(*(values[name] for name in self.reads))
        return dict(zip(self.gives, made, strict=True))


class Sweep:
    """One masked sum: its parts, what they give back to the streams, and the tiles of its mask."""

    def __init__(self, **parts):
        self.__dict__.update(parts)
        self.plans = {}


def in_groups(x, groups, heads):
    """[B, h, …] as [B, G, r, …]."""
    if x.shape[1] in (1, groups):
        return x.unsqueeze(2) if x.shape[1] != heads or groups == heads else x.unsqueeze(1)
    if x.shape[1] != heads:
        x = x.repeat_interleave(heads // x.shape[1], 1)
    return x.unflatten(1, (groups, heads // groups))


def out_of_groups(x):
    """[B, G, r, T, axes…] as [B, T, h, axes…]."""
    return x.flatten(1, 2).transpose(1, 2)


def heads_of(unit):
    """How many groups of heads share keys, and how many heads there are."""
    heads = int(unit.size["heads"])
    found = {x.shape[2] for x in unit.keys.values()} - {1, heads}
    return (found.pop() if len(found) == 1 else heads), heads


def fixed_of(constants, size, dtype, groups, first_head, like):
    """What no token changes: sizes, the numbers of the heads, constants [B, G, r, axes…], and
    tables, of which one row serves all."""
    heads = int(size["heads"])
    numbers = torch.arange(first_head, first_head + heads, device=like.device, dtype=dtype)
    values = {**size, "first_head": first_head, "head_index": numbers.view(1, groups, -1)}
    for name, x in constants.items():
        if name in TABLES:
            values[name] = x[0, 0]
        else:
            values[name] = in_groups(x.to(dtype), groups, heads)
    return values


def with_axis(value, sweep):
    """The value with one axis, of length 1 where it has none."""
    return value if sweep.value_axis else value.unsqueeze(-1)


def output_of(sweep, o):
    """A sum as the op gives it."""
    return out_of_groups(o if sweep.value_axis else o.squeeze(-1))


def tiles_of(sweep, unit, values, side, stretches):
    """For each stretch of keys the first one, how many they are, and the tiles that are visited;
    what masks read is looked at by the CPU."""
    fixed, rows, keys = (
        {n: x.cpu() for n, x in each.items() if isinstance(x, torch.Tensor) and reads_it(sweep, n)}
        for each in values
    )
    fixed = values[0] | fixed
    for low, key, count in stretches:

        def pairs(t, s, low=low, key=key):
            t, s = t.squeeze(-1), s.squeeze(-2)
            mine = at_places(rows, t - unit.seen) | {"t": t}
            theirs = at_places(keys, s - low + key) | {"s": s}
            return allowed_pairs(sweep, fixed, mine, theirs)

        yield (
            key,
            count,
            visits(
                sweep.tiles,
                pairs,
                (unit.seen, unit.tokens),
                (low, count),
                side,
                length=unit.seen + unit.tokens,
                read=reads_of(sweep, unit, fixed, (rows, keys), low, key, count),
            ),
        )


def reads_it(sweep, name):
    """Whether a mask reads a value of this name: a table, or a stream of queries or keys."""
    return name in sweep.tables or name.removesuffix("_t").removesuffix("_s") in sweep.mask_streams


def at_places(values, places):
    """The values of the one sequence of a unit at some places; a mask reads no axes."""
    return {n: x.flatten()[places] for n, x in values.items() if x.dim() == 4 and x.shape[1] == 1}


def reads_of(sweep, unit, fixed, sides, low, key, count):
    """What bounds of tiles read: streams of queries and of keys, and tables."""
    rows, keys = sides
    found = {}
    for name in sweep.mask_streams:
        if f"{name}_t" in rows:
            found[f"{name}[t]"] = Stretch(rows[f"{name}_t"].flatten(), unit.seen)
        if f"{name}_s" in keys:
            found[f"{name}[s]"] = Stretch(keys[f"{name}_s"].flatten()[key : key + count], low)
    for name, (of_rows, of_keys) in sweep.tables.items():
        if of_rows and of_keys:
            found[name] = Grid(fixed[name])
        else:
            found[f"{name}[{'t' if of_rows else 's'}]"] = Stretch(fixed[name])
    return found


def of_decay(fixed, keys):
    """What a decay is made of: it is one of every key, written as that of a query."""
    named = {f"{name[:-2]}_t": x for name, x in keys.items() if name.endswith("_s")}
    return {**fixed, **named, "rows": fixed["keys"]}


def handed_back(sweep, unit, run, found, back):
    """From cotangents of what scores read to those of streams and constants."""
    if not sweep.value_axis:
        found["value"] = found["value"].squeeze(-1)
    d = {f"d_{name}": x for name, x in found.items()}
    streams, keys, constants = {}, {}, {}
    parts = [(sweep.d_queries, run.rows, streams), (sweep.d_keys, run.keys, keys)]
    made = [(part({**run.fixed, **side, **d}), side, total) for part, side, total in parts]
    made += [(back, run.rows, streams), ({n: found[n] for n in run.fixed if n in found}, {}, {})]
    if sweep.decay is not None:
        side = of_decay(run.fixed, run.keys)
        made.append((sweep.d_decay({**side, **d}), side, keys))
    for gradients, side, total in made:
        for name, x in gradients.items():
            if name in run.fixed:
                x = as_given(reduced(x, run.fixed[name]).flatten(1, 2), unit.constants[name], 1)
                constants[name] = constants.get(name, 0) + x
                continue
            like = side[f"{name}_t"] if f"{name}_t" in side else side[f"{name}_s"]
            given = unit.streams[name] if total is streams else unit.keys[name]
            x = as_given(out_of_groups(reduced(x, like)), given, 2)
            total[name] = total.get(name, 0) + x
    return streams, keys, constants


def reduced(x, like):
    """The cotangent of a value that has some dimension but once."""
    for dim in range(3):
        if x.shape[dim] > like.shape[dim]:
            x = x.sum(dim, keepdim=True)
    return x.expand(like.shape)


def as_given(x, given, dim):
    """The cotangent of a value that was repeated for the heads of its groups."""
    if x.shape[dim] == given.shape[dim]:
        return x
    return x.unflatten(dim, (given.shape[dim], -1)).sum(dim + 1)


def since(logs, s, valid):
    """For each slot the sum of the logarithms of the decays of all later tokens."""
    inside = torch.where(valid[:, None, None], logs, 0)
    order = s.argsort(-1)[:, None, None].expand(inside.shape)
    inside = inside.gather(-1, order)
    after = inside.flip(-1).cumsum(-1).flip(-1)
    after = torch.cat((after[..., 1:], torch.zeros_like(after[..., :1])), -1)
    return torch.empty_like(after).scatter_(-1, order, after)


def allowed_pairs(sweep, fixed, rows, keys):
    """Which pairs the mask allows; a table's entries are looked up at their positions."""
    of = {**fixed, **rows, **keys}
    for name, (of_rows, of_keys) in sweep.tables.items():
        if of_rows and of_keys:
            places = (rows["t"][..., :, None] // of_rows, keys["s"][..., None, :] // of_keys)
            of[name] = fixed[name][places]
        elif of_rows:
            of[f"{name}_t"] = fixed[name][rows["t"] // of_rows]
        else:
            of[f"{name}_s"] = fixed[name][keys["s"] // of_keys]
    return torch.as_tensor(sweep.allowed(of)["allowed"], dtype=torch.bool)


def divisor_of(sweep, fixed, rows, tops, weights):
    """What each query's sum is divided by, over e^m, and 1 where that is 0; None for nothing."""
    if sweep.divisor is None:
        return None
    of = {**fixed, **rows, "sum_t": weights}
    if "unit_t" in sweep.divisor.reads:
        of["unit_t"] = (-tops).exp()
    made = sweep.divisor(of)["divisor"]
    return torch.where(made == 0, 1, made)


def filled(value, lengths, like, lead):
    """A number repeated along new axes."""
    return like.new_full((1,) * lead + lengths, value)
