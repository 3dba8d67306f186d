"""How loud recordings are."""

import math

import torch.nn.functional as F
from torch import Tensor

QUIET = 10 ** (-48 / 20)
"""Level below which a waveform is too quiet: 48 dB below full scale."""
LARGEST_GAIN = 10 ** (40 / 20)
"""40 dB more: below that, there is little but the rounding of 16-bit samples."""
FRAME = 1600
"""Samples: 0.1 s."""
COUNTED = 0.95
"""Of the frames, the quietest ones: neither a bang nor a click makes a recording loud."""


def raised(waveforms: Tensor) -> Tensor:
    """Quiet waveforms as loud as networks need them, others as they are.

    PyanNet normalises the variance of what it hears, but first adds 1e-5 to it: that of a waveform 50 dB below full
    scale. Mel filter banks, too, have a floor. So quiet recordings sounded as if they were faint (see docs/log.md).

    Parameters
    ----------
    waveforms : (batch, 1, num_samples) torch.Tensor

    Returns
    -------
    raised : (batch, 1, num_samples) torch.Tensor
        Each times a number from 1 to `LARGEST_GAIN`. Peaks that this would lift above full scale are clipped to it.
    """
    gain = (QUIET / level(waveforms).clamp(min=QUIET / LARGEST_GAIN)).clamp(min=1)
    peak = waveforms.abs().amax(dim=-1, keepdim=True).clamp(min=1)
    return (gain * waveforms).clamp(-peak, peak)


def level(waveforms: Tensor) -> Tensor:
    """Standard deviation within the quieter frames of each waveform: (batch, 1, 1).

    Parameters
    ----------
    waveforms : (batch, 1, num_samples) torch.Tensor
    """
    mean, power = (F.avg_pool1d(each, FRAME, ceil_mode=True) for each in (waveforms, waveforms.square()))
    variance = (power - mean.square()).clamp(min=0).sort(dim=-1).values
    # (batch, 1, num_frames)
    return variance[..., : math.ceil(COUNTED * variance.shape[-1])].mean(dim=-1, keepdim=True).sqrt()
