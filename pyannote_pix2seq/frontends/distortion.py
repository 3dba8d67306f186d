"""Random distortion of mel spectrograms in training: other voices, microphones and lines."""

import math

import torch
from torch import Tensor

MAX_WARP = 0.1
"""Largest share by which mel bands are moved up or down."""
NUM_WAVES = 4
"""Number of cosines that an equaliser is the sum of."""
EQUALISER = 4.0
"""Standard deviation of each of them, in dB."""
SIGNAL_TO_NOISE = (20.0, 60.0)
"""Range of the level of the recording over that of the noise that is added, in dB."""
MAX_BURSTS = 12
"""Largest number of bursts of noise in an example."""
BURST_DURATION = (5.0, 60.0)
"""Range of the standard deviation of a burst in time, in frames."""
SIGNAL_TO_BURST = (-5.0, 20.0)
"""Range of the level of the recording over that of its bursts at their loudest, in dB."""
BURST_BANDS = (4.0, 80.0)
"""Range of the bands over which bursts fade away: the lowest alone, as of breath on a microphone, to all."""
CUT_PROBABILITY = 0.2
MIN_CUT = 0.4
"""Lowest share of the bands that is left of an example whose high frequencies are cut off."""
MASK_PROBABILITY = 0.5
MAX_MASK = 12
"""Largest number of neighbouring bands that are masked."""
MASKED = 1e-8
"""What is left of the power of a band that is masked or cut off."""


def distort(mel: Tensor) -> Tensor:
    """Distort each spectrogram of a batch in its own way, the same throughout: another voice, microphone and line.

    Bands are moved up or down, as by another length of the vocal tract (Jaitly and Hinton, "Vocal tract length
    perturbation", ICML 2013 workshop), an equaliser is drawn, noise of random colour is added, stationary and in
    bursts, and bands are masked (Park et al., "SpecAugment", arXiv 1904.08779) or everything above one is cut off.
    Random numbers are those of PyTorch's default generator.

    Parameters
    ----------
    mel : (batch, num_mels, num_frames) torch.Tensor
        Powers. Digital silence, which is 0, stays 0.

    Returns
    -------
    distorted : (batch, num_mels, num_frames) torch.Tensor
    """
    heard = _warped(mel) * _equaliser(mel)
    return (heard + _noise(heard) + _bursts(heard)) * _kept(mel) * (mel > 0)


def _warped(mel: Tensor) -> Tensor:
    """Move all bands of an example up or down by one factor, with linear interpolation."""
    factors = 1 + _between(mel, (-MAX_WARP, MAX_WARP))
    source = (torch.arange(mel.shape[1], device=mel.device)[:, None] * factors).clamp(max=mel.shape[1] - 1)
    below = source.floor().long()
    above = (below + 1).clamp(max=mel.shape[1] - 1)
    share = source - below
    return torch.lerp(mel.gather(1, below.expand_as(mel)), mel.gather(1, above.expand_as(mel)), share)


def _equaliser(mel: Tensor) -> Tensor:
    """Random smooth gain of each band: (batch, num_mels, 1)."""
    band = torch.arange(mel.shape[1], device=mel.device) / mel.shape[1]
    waves = torch.cos(math.pi * band[:, None] * torch.arange(1, NUM_WAVES + 1, device=mel.device))
    decibels = EQUALISER * torch.randn(len(mel), 1, NUM_WAVES, device=mel.device) * waves
    return 10 ** (decibels.sum(dim=2, keepdim=True) / 10)


def _noise(mel: Tensor) -> Tensor:
    """Stationary noise of random colour and level, whose powers are exponentially distributed."""
    return _level(mel, SIGNAL_TO_NOISE) * _equaliser(mel) * torch.empty_like(mel).exponential_()


def _bursts(mel: Tensor) -> Tensor:
    """Noise that comes and goes: up to `MAX_BURSTS` of one colour and level, anywhere in the example."""
    num_mels, num_frames = mel.shape[1:]
    fades = torch.exp(-torch.arange(num_mels, device=mel.device)[:, None] / _between(mel, BURST_BANDS))
    times = torch.arange(num_frames, device=mel.device)
    middles = num_frames * _uniform(mel, MAX_BURSTS)
    is_there = _uniform(mel, MAX_BURSTS) < _uniform(mel)
    shapes = torch.exp(-0.5 * ((times - middles) / _between(mel, BURST_DURATION, MAX_BURSTS)) ** 2) * is_there
    # (batch, MAX_BURSTS, num_frames)
    envelope = _level(mel, SIGNAL_TO_BURST) * shapes.amax(dim=1, keepdim=True)
    return envelope * fades * _equaliser(mel) * torch.empty_like(mel).exponential_()


def _level(mel: Tensor, ratios: tuple[float, float]) -> Tensor:
    """Power of noise, given the range of the level of the recording over it in dB: (batch, 1, 1)."""
    return mel.mean(dim=(1, 2), keepdim=True) * 10 ** (-_between(mel, ratios) / 10)


def _kept(mel: Tensor) -> Tensor:
    """1 for bands that are kept, `MASKED` for those that are not: (batch, num_mels, 1)."""
    num_mels = mel.shape[1]
    band = torch.arange(num_mels, device=mel.device)[:, None]
    is_cut = _uniform(mel) < CUT_PROBABILITY
    highest = torch.where(is_cut, MIN_CUT + (1 - MIN_CUT) * _uniform(mel), 1) * num_mels
    is_masked = _uniform(mel) < MASK_PROBABILITY
    width = MAX_MASK * _uniform(mel) * is_masked
    first = (num_mels - width) * _uniform(mel)
    is_kept = (band < highest) & ~((band >= first) & (band < first + width))
    return torch.where(is_kept, 1.0, MASKED)


def _between(mel: Tensor, bounds: tuple[float, float], count: int = 1) -> Tensor:
    """Random numbers within bounds: (batch, count, 1)."""
    low, high = bounds
    return low + (high - low) * _uniform(mel, count)


def _uniform(mel: Tensor, count: int = 1) -> Tensor:
    """Random numbers between 0 and 1, for each example: (batch, count, 1)."""
    return torch.rand(len(mel), count, 1, device=mel.device, dtype=mel.dtype)
