"""Levels of waveforms, in dB, and fading."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyannote_pix2seq.audio.samples import SAMPLE_RATE

LOUDNESS_LIMITS = (-20.0, 10.0)
"""Lowest and highest level of a speaker, in dB over the usual level."""

HOP = 5 * SAMPLE_RATE
"""Samples between two moments at which the level of a speaker is drawn."""

FADE = SAMPLE_RATE // 100
"""Samples of a fade: 10 ms."""


def rms(waveform: np.ndarray) -> float:
    """Root mean square of a waveform."""
    return float(np.sqrt(np.mean(np.square(waveform))))


def amplitude(decibels: np.ndarray | float) -> np.ndarray:
    """Factor that makes a waveform louder by a number of decibels."""
    return np.asarray(10 ** (np.asarray(decibels) / 20), dtype=np.float32)


class WanderingGains:
    """Gain of each speaker over time: a random walk around their level, within turns too.

    Parameters
    ----------
    levels : (num_speakers,) sequence of float
        In dB.
    drift : float
        Standard deviation of how much a level changes in 5 s, in dB.
    rng : np.random.Generator
    """

    def __init__(self, levels: Sequence[float], drift: float, rng: np.random.Generator) -> None:
        self._levels = np.reshape(levels, (-1, 1))
        self._drift = drift
        self._rng = rng
        self._last: np.ndarray | None = None

    def draw(self, num_samples: int) -> np.ndarray:
        """Gains of the next samples: (num_speakers, num_samples) float32.

        Each call begins a new walk, for one of hours would end at `LOUDNESS_LIMITS`; the first 5 s lead to it from the
        last gains, without a step.
        """
        num_speakers, num_hops = len(self._levels), -(-num_samples // HOP)
        walk = self._rng.normal(0, self._drift, (num_speakers, num_hops + 1)).cumsum(axis=1)
        gain = amplitude(np.clip(self._levels + walk, *LOUDNESS_LIMITS))[..., None]
        if self._last is not None:
            gain[:, 0] = self._last
        ramp = np.linspace(0, 1, HOP, endpoint=False, dtype=np.float32)
        gains = gain[:, :-1] + (gain[:, 1:] - gain[:, :-1]) * ramp
        # (num_speakers, num_hops, hop)
        gains = gains.reshape(num_speakers, num_hops * HOP)[:, :num_samples]
        self._last = gains[:, -1:].copy()
        return gains


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


def fade(waveform: np.ndarray) -> None:
    """Fade both ends of a (num_samples,) float32 waveform over 10 ms, in place."""
    length = min(FADE, len(waveform) // 2)
    ramp = np.linspace(0, 1, length, endpoint=False, dtype=np.float32)
    waveform[:length] *= ramp
    waveform[len(waveform) - length :] *= ramp[::-1]
