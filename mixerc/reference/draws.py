"""Random initial values, in float64."""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def draw(
    distribution: str, arguments: Sequence[Tensor], shape: tuple[int, ...], generator: Generator
) -> Tensor:
    """A tensor of this shape; where rows and columns matter they are the last two dimensions."""
    match distribution, arguments:
        case "normal", []:
            return _normal(shape, generator)
        case "normal", [mean, std]:
            return mean + std * _normal(shape, generator)
        case "uniform", [low, high]:
            return low + (high - low) * _unit(shape, generator)
        case "loguniform", [low, high]:
            span = torch.log(high) - torch.log(low)
            return torch.exp(torch.log(low) + span * _unit(shape, generator))
        case "orthogonal", []:
            return _orthogonal(shape, generator)
        case "xavier", []:
            return xavier(shape, generator)
        case "choose", [count]:
            return _choose(int(count), shape, generator)
        case _:
            raise ValueError(f"{distribution} does not take {len(arguments)} arguments")


def _normal(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def _unit(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=generator)


def kaiming(shape: tuple[int, ...], fan_in: int, generator: Generator) -> Tensor:
    """What torch.nn.Linear and Conv1d start from: uniform within 1 / sqrt(fan_in)."""
    bound = 1 / math.sqrt(fan_in)
    return bound * (2 * _unit(shape, generator) - 1)


def xavier(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Uniform within sqrt(6 / (rows + columns))."""
    rows, columns = shape[-2:]
    bound = math.sqrt(6 / (rows + columns))
    return bound * (2 * _unit(shape, generator) - 1)


def _orthogonal(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Rows of length 1, orthogonal to each other within every block of as many rows as columns.

    Blocks are drawn independently, which is what orthogonal random features ask for; a square
    or wide matrix is one block.
    """
    rows, columns = shape[-2:]
    blocks = []
    for _ in range(-(-rows // columns)):
        q, r = torch.linalg.qr(_normal((*shape[:-2], columns, columns), generator))
        # Signs of R's diagonal make the distribution uniform over rotations.
        signs = torch.sign(torch.diagonal(r, dim1=-2, dim2=-1))
        blocks.append((q * signs.unsqueeze(-2)).transpose(-1, -2))
    return torch.cat(blocks, dim=-2)[..., :rows, :]


def _choose(count: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """In each row `count` places, chosen without repetition, are true; all, if it has fewer."""
    order = _unit(shape, generator).argsort(dim=-1).argsort(dim=-1)
    return order < count
