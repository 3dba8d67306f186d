"""Means over regions of the audio, computed from running sums."""

from __future__ import annotations

import torch
from torch import Tensor


def running_sum(values: Tensor) -> Tensor:
    """Sums of the first 0, 1, 2... audio tokens: (batch, num_tokens, ...) -> (batch, num_tokens + 1, ...)."""
    sums = values.cumsum(1, dtype=torch.promote_types(values.dtype, torch.float32))
    return torch.cat([torch.zeros_like(sums[:, :1]), sums], dim=1)


def region_mean(sums: Tensor, regions: Tensor) -> Tensor:
    """Mean over regions of the audio, whose borders may lie within a token; beyond the audio, zeros count.

    Parameters
    ----------
    sums : (batch, num_tokens + 1, ...)
        What `running_sum` returned.
    regions : (batch, num_regions, 2)
        Start and end, in audio tokens.

    Returns
    -------
    mean : (batch, num_regions, ...)
    """
    border = regions.clamp(0, sums.shape[1] - 1)
    before = border.long().clamp(max=sums.shape[1] - 2)
    fraction = (border - before).to(sums.dtype)
    batch = torch.arange(len(regions), device=regions.device)[:, None, None]
    trailing = (...,) + (None,) * (sums.dim() - 2)
    ends = torch.lerp(sums[batch, before], sums[batch, before + 1], fraction[trailing])
    # (batch, num_regions, 2, ...)
    length = (regions[..., 1] - regions[..., 0])[trailing]
    return (ends[:, :, 1] - ends[:, :, 0]) / length.clamp(min=1e-3)
