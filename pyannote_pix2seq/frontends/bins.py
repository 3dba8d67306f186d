"""Alignment of the frames of networks with time bins."""

import torch
from torch import Tensor


def centres(num_frames: int, first: float, step: float, device: torch.device) -> Tensor:
    """Centres of frames, in samples, given that of the first one and the step between them: (num_frames,)."""
    return first + step * torch.arange(num_frames, dtype=torch.float, device=device)


def nearest(queries: Tensor, keys: Tensor) -> Tensor:
    """Index of the nearest of evenly spaced keys to each query: (num_queries,)."""
    step = keys[1] - keys[0]
    return ((queries - keys[0]) / step).round().long().clamp(0, len(keys) - 1)


def by_bin(frames: Tensor, first: float, step: float, num_bins: int, samples_per_bin: float) -> Tensor:
    """Mean of the frames centred in each bin, or the nearest frame if there are none: (batch, num_bins, num_channels).

    Parameters
    ----------
    frames : (batch, num_frames, num_channels) torch.Tensor
    first, step : float
        Centre of the first frame, and step between frames, in samples.
    num_bins : int
    samples_per_bin : float
    """
    frame_centres = centres(frames.shape[1], first, step, frames.device)
    bins = (frame_centres / samples_per_bin).long().clamp(max=num_bins - 1)
    counts = torch.bincount(bins, minlength=num_bins).unsqueeze(-1)
    sums = frames.new_zeros(len(frames), num_bins, frames.shape[-1])
    sums.index_add_(1, bins, frames)
    closest = frames[:, nearest(centres(num_bins, samples_per_bin / 2, samples_per_bin, frames.device), frame_centres)]
    return torch.where(counts > 0, sums / counts.clamp(min=1), closest)
