"""Loudness of recordings."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

QUIET = 10 ** (-36 / 20)
"""Level below which a waveform is too quiet: 36 dB below full scale in its loud parts, about 45 dB overall."""
LARGEST_GAIN = 10 ** (40 / 20)
"""Largest gain, 40 dB: a waveform that needs more holds little but the quantisation noise of 16-bit samples."""
FRAME = 1600
"""Samples of a frame: 0.1 s."""
COUNTED = 0.99
"""Share of the frames that count: the loudest 1 % may be clicks or bangs, which do not make a recording loud."""


def amplified(waveforms: Tensor) -> Tensor:
    """Amplify quiet waveforms to the level that the networks need, and leave others as they are.

    PyanNet normalises the variance of its input, but first adds 1e-5 to it: the variance of a waveform 50 dB below full
    scale. Mel filter banks have a floor, too. So without this, speech in quiet recordings looked faint to the networks
    (see docs/log.md).

    Parameters
    ----------
    waveforms : (batch, 1, num_samples) torch.Tensor

    Returns
    -------
    amplified : (batch, 1, num_samples) torch.Tensor
        Waveforms below `QUIET` with their mean subtracted, amplified by `LARGEST_GAIN` at most and clipped to -1...1.
    """
    centred = waveforms - waveforms.mean(dim=-1, keepdim=True)
    gain = QUIET / level(centred).clamp(min=QUIET / LARGEST_GAIN)
    return torch.where(gain > 1, (gain * centred).clamp(-1, 1), waveforms)


def level(waveforms: Tensor) -> Tensor:
    """Standard deviation of the loudest frame of each waveform, of those that count (see `COUNTED`): (batch, 1, 1).

    Parameters
    ----------
    waveforms : (batch, 1, num_samples) torch.Tensor
    """
    mean, power = (F.avg_pool1d(each, FRAME, ceil_mode=True) for each in (waveforms, waveforms.square()))
    variance = (power - mean.square()).clamp(min=0).sort(dim=-1).values
    # (batch, 1, num_frames)
    return variance[..., math.ceil(COUNTED * variance.shape[-1]) - 1, None].sqrt()
