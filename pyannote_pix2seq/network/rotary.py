"""Rotary position embeddings of times."""

from __future__ import annotations

import math

import torch
import torch.nn as nn
from torch import Tensor


class Rotary(nn.Module):
    """Rotations by time, after which scalar products of vectors depend on the difference of their times.

    Su et al., "RoFormer" (arXiv 2104.09864), with times instead of position indices, and periods from 2 to 1000 audio
    tokens.

    Parameters
    ----------
    dim : int
        Size of the vectors.
    """

    frequencies: Tensor

    def __init__(self, dim: int):
        super().__init__()
        frequencies = torch.logspace(math.log10(math.pi), math.log10(math.tau / 1000), dim // 2, dtype=torch.float)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, time: Tensor) -> Tensor:
        """Cosines and signed sines for `rotate`, (2, ..., dim), of times (...) in audio tokens."""
        angle = time[..., None] * self.frequencies
        cos, sin = angle.cos(), angle.sin()
        return torch.stack([torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)])


def rotate(vectors: Tensor, rotation: Tensor) -> Tensor:
    """Rotate pairs of coordinates, number i and i + dim / 2, of `vectors` (..., dim) by what `Rotary` returned."""
    cos, sin = rotation
    return torch.addcmul(vectors * cos, vectors.roll(vectors.shape[-1] // 2, -1), sin)
