"""Cutting waveforms into overlapping pieces, and joining the predictions for these."""

import torch
import torch.nn.functional as F
from torch import Tensor


def padded(waveforms: Tensor, num_samples: int) -> Tensor:
    """Pad waveforms with zeros at the end, to at least `num_samples`."""
    return F.pad(waveforms, (0, max(0, num_samples - waveforms.shape[-1])))


def cut(waveforms: Tensor, length: int, hop: int) -> Tensor:
    """Cut into pieces of `length` samples, one every `hop`, the last one padded: (batch, num_pieces, length).

    Parameters
    ----------
    waveforms : (batch, 1, num_samples) torch.Tensor
    length, hop : int
    """
    others = max(0, -(-(waveforms.shape[-1] - length) // hop))
    return padded(waveforms, length + others * hop)[:, 0].unfold(-1, length, hop)


def cross_fade(pieces: Tensor, hop: int) -> Tensor:
    """Join the posteriors of overlapping pieces, weighted by the distance from the nearer end of each piece.

    Parameters
    ----------
    pieces : (batch, num_pieces, num_bins, num_classes) torch.Tensor
    hop : int
        Bins from the start of one piece to that of the next.

    Returns
    -------
    joined : (batch, num_bins + (num_pieces - 1) * hop, num_classes) torch.Tensor
        They sum to 1 over classes.
    """
    num_pieces, num_bins = pieces.shape[1:3]
    fade = torch.bartlett_window(num_bins + 2, periodic=False, device=pieces.device)[1:-1, None]
    joined = pieces.new_zeros(len(pieces), num_bins + (num_pieces - 1) * hop, pieces.shape[-1])
    for index in range(num_pieces):
        joined[:, index * hop : index * hop + num_bins] += fade * pieces[:, index]
    return joined / joined.sum(dim=-1, keepdim=True)
