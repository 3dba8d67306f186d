"""Rotary positions: when things happen, told by how vectors are turned."""

from __future__ import annotations

import math

import torch
import torch.nn as nn
from torch import Tensor


class Rotary(nn.Module):
    """How much vectors are rotated at which time, so that scalar products depend on the time between them.

    Su et al., "RoFormer" (arXiv 2104.09864), but for time instead of rank, with periods from 2 to 1000 audio tokens.

    Parameters
    ----------
    dim : int
        Size of the vectors.
    """

    frequencies: Tensor

    def __init__(self, dim: int):
        super().__init__()
        frequencies = torch.logspace(math.log10(math.pi), math.log10(math.tau / 1000), dim // 2)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, time: Tensor) -> Tensor:
        """Cosines and sines, (2, ..., dim / 2), of times (...) in audio tokens."""
        angle = time[..., None] * self.frequencies
        return torch.stack([angle.cos(), angle.sin()])


def rotate(vectors: Tensor, rotation: Tensor) -> Tensor:
    """Rotate pairs of coordinates of `vectors` (..., head_dim) by `rotation` (2, ..., head_dim / 2): cosines, sines."""
    cos, sin = rotation
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
