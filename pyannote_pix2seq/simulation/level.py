"""Levels of waveforms, in dB."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyannote_pix2seq.audio.samples import SAMPLE_RATE

LOUDNESS_LIMITS = (-20.0, 10.0)
"""Lowest and highest level of a speaker, in dB over the usual level."""

HOP = 5 * SAMPLE_RATE
"""Samples between two moments at which the level of a speaker is drawn."""


def rms(waveform: np.ndarray) -> float:
    """Root mean square of a waveform."""
    return float(np.sqrt(np.mean(np.square(waveform))))


def amplitude(decibels: np.ndarray | float) -> np.ndarray:
    """Factor that makes a waveform louder by a number of decibels."""
    return np.asarray(10 ** (np.asarray(decibels) / 20), dtype=np.float32)


def wandering_gains(levels: Sequence[float], drift: float, num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Gain of each speaker over time: a random walk around their level, within turns too.

    Parameters
    ----------
    levels : (num_speakers,) sequence of float
        In dB.
    drift : float
        Standard deviation of how much a level changes in 5 s, in dB.
    num_samples : int
    rng : np.random.Generator

    Returns
    -------
    gains : (num_speakers, num_samples) float32
    """
    num_speakers, num_hops = len(levels), -(-num_samples // HOP)
    walk = rng.normal(0, drift, (num_speakers, num_hops + 1)).cumsum(axis=1)
    gain = amplitude(np.clip(np.reshape(levels, (-1, 1)) + walk, *LOUDNESS_LIMITS))[..., None]
    ramp = np.linspace(0, 1, HOP, endpoint=False, dtype=np.float32)
    gains = gain[:, :-1] + (gain[:, 1:] - gain[:, :-1]) * ramp
    # (num_speakers, num_hops, hop)
    return gains.reshape(num_speakers, num_hops * HOP)[:, :num_samples]


def mix(mixture: np.ndarray, level: float, noise: np.ndarray, decibels: float) -> np.ndarray:
    """Add noise whose level is `decibels` below `level`: (num_samples,) float32."""
    return mixture + noise * (level * amplitude(-decibels) / max(rms(noise), 1e-9))


def clip(waveform: np.ndarray, excess: float) -> np.ndarray:
    """Clip a waveform at `excess` dB below its highest peak: (num_samples,) float32."""
    limit = np.abs(waveform).max(initial=0) * amplitude(-excess)
    return np.clip(waveform, -limit, limit)


def to_peak(waveform: np.ndarray, decibels: float) -> np.ndarray:
    """Scale to a highest peak in dBFS; silence stays silent: (num_samples,) float32."""
    peak = max(float(np.abs(waveform).max(initial=0)), 1e-9)
    return waveform * (amplitude(decibels) / peak)
