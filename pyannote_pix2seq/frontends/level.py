"""How loud recordings are."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

QUIET = 10 ** (-36 / 20)
"""Level below which a waveform is too quiet: 36 dB below full scale where it is loud, about 45 dB as a whole."""
LARGEST_GAIN = 10 ** (40 / 20)
"""40 dB more: below that, there is little but the rounding of 16-bit samples."""
FRAME = 1600
"""Samples: 0.1 s."""
COUNTED = 0.99
"""Of the frames: the loudest others may be of a click or a bang, which make no recording loud."""


def amplified(waveforms: Tensor) -> Tensor:
    """Quiet waveforms as loud as networks need them, others as they are.

    PyanNet normalises the variance of what it hears, but first adds 1e-5 to it: that of a waveform 50 dB below full
    scale. Mel filter banks, too, have a floor. So quiet recordings sounded as if they were faint (see docs/log.md).

    Parameters
    ----------
    waveforms : (batch, 1, num_samples) torch.Tensor

    Returns
    -------
    raised : (batch, 1, num_samples) torch.Tensor
        Those below `QUIET` without their mean, amplified by `LARGEST_GAIN` at most and clipped to -1...1.
    """
    centred = waveforms - waveforms.mean(dim=-1, keepdim=True)
    gain = QUIET / level(centred).clamp(min=QUIET / LARGEST_GAIN)
    return torch.where(gain > 1, (gain * centred).clamp(-1, 1), waveforms)


def level(waveforms: Tensor) -> Tensor:
    """Standard deviation of the loudest frame of each waveform but for clicks and bangs: (batch, 1, 1).

    Parameters
    ----------
    waveforms : (batch, 1, num_samples) torch.Tensor
    """
    mean, power = (F.avg_pool1d(each, FRAME, ceil_mode=True) for each in (waveforms, waveforms.square()))
    variance = (power - mean.square()).clamp(min=0).sort(dim=-1).values
    # (batch, 1, num_frames)
    return variance[..., math.ceil(COUNTED * variance.shape[-1]) - 1, None].sqrt()
