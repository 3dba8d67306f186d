"""Waveforms that are cut in overlapping pieces, and what is said of these as one."""

import torch
import torch.nn.functional as F
from torch import Tensor


def padded(waveforms: Tensor, num_samples: int) -> Tensor:
    """Waveforms followed by as many zeros as it takes to reach a number of samples."""
    return F.pad(waveforms, (0, max(0, num_samples - waveforms.shape[-1])))


def cut(waveforms: Tensor, length: int, hop: int) -> Tensor:
    """Pieces of so many samples, one every `hop`, the last one followed by zeros: (batch, num_pieces, length).

    Parameters
    ----------
    waveforms : (batch, 1, num_samples) torch.Tensor
    length, hop : int
    """
    others = max(0, -(-(waveforms.shape[-1] - length) // hop))
    return padded(waveforms, length + others * hop)[:, 0].unfold(-1, length, hop)


def cross_fade(pieces: Tensor, hop: int) -> Tensor:
    """Probabilities that were found piece by piece as one: the farther from the ends of a piece, the more they count.

    Parameters
    ----------
    pieces : (batch, num_pieces, num_bins, num_classes) torch.Tensor
    hop : int
        Bins from the beginning of a piece to that of the next one.

    Returns
    -------
    joined : (batch, num_bins + (num_pieces - 1) * hop, num_classes) torch.Tensor
        They sum to 1.
    """
    num_pieces, num_bins = pieces.shape[1:3]
    fade = torch.bartlett_window(num_bins + 2, periodic=False, device=pieces.device)[1:-1, None]
    joined = pieces.new_zeros(len(pieces), num_bins + (num_pieces - 1) * hop, pieces.shape[-1])
    for index in range(num_pieces):
        joined[:, index * hop : index * hop + num_bins] += fade * pieces[:, index]
    return joined / joined.sum(dim=-1, keepdim=True)
