"""Every name that a spec's layer gives to its weights, so that all who build one agree.

Within a mixer, a parameter or buffer NAME is the weight `NAME`. A step with weights in the line
that defines NAME is `NAME_kind` (`q_linear`, `y_rmsnorm`), the second of its kind in that line
`NAME_kind_2`; its weights are `.weight` and, where it has one, `.bias`. Steps are counted in
post-order: operands left to right, a source before its step.

Within a stack, the blocks and mixers of the y pipeline are numbered from 0 in the order in which
they run, repeats written out; the number is the path of a use, but a shared block's path is its
name. Within a block a step is named as in a line that defines the block's name, and a mixer or
a block that it uses is `NAME`, the second of that name `NAME_2`.
"""

from collections import Counter
from collections.abc import Iterable

STEP_KINDS = ("linear", "conv", "rmsnorm", "layernorm")


def step_names(line: str, kinds: Iterable[str]) -> tuple[str, ...]:
    """Names of the steps with weights in the line that defines `line`, given their kinds in order.

    `step_names("q", ["linear", "conv", "linear"])` is `("q_linear", "q_conv", "q_linear_2")`.
    """
    return numbered(f"{line}_{kind}" for kind in kinds)


def numbered(names: Iterable[str]) -> tuple[str, ...]:
    """The names, the second of a kind with `_2` behind it, the third with `_3`, …"""
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return tuple(result)


def use_path(index: int, block: str, *, shared: bool) -> str:
    """The path of the use number `index` in a stack's y pipeline."""
    return block if shared else str(index)


def weight(step: str) -> str:
    """The name of a step's matrix, filter or gain."""
    return f"{step}.weight"


def bias(step: str) -> str:
    """The name of what a step adds."""
    return f"{step}.bias"


def within(path: str, name: str) -> str:
    """The name of a weight of the part of a stack at `path`."""
    return f"{path}.{name}"
