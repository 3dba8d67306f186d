"""Reduction of the steady noise of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.simulation.dependency import dependency

SHORTEST_SAMPLE = SAMPLE_RATE // 2
"""Least samples of pauses, all together, from which noise is estimated."""

OPTIONS = {"n_fft": 512, "freq_mask_smooth_hz": None, "time_mask_smooth_ms": 50, "prop_decrease": 0.8}
"""Options of noisereduce. Gates are smoothed over time alone: over frequency too, those that noise has closed would
attenuate the speech beside them, and degrade clean speech."""


def denoise(waveform: np.ndarray, speech: Sequence[tuple[int, int]]) -> np.ndarray:
    """Reduce steady noise by spectral gating, with thresholds measured where nobody speaks.

    By noisereduce (Sainburg, 2020, https://github.com/timsainb/noisereduce).

    Parameters
    ----------
    waveform : (num_samples,) float32
        At 16 kHz.
    speech : sequence of (int, int)
        First and last sample of each region of speech, in order.

    Returns
    -------
    waveform : (num_samples,) float32
        Unchanged where pauses last less than half a second in all, or are digital silence.

    Raises
    ------
    ModuleNotFoundError
        If noisereduce is not installed.
    """
    is_pause = np.ones(len(waveform), dtype=bool)
    for start, end in speech:
        is_pause[start:end] = False
    if is_pause.sum() < SHORTEST_SAMPLE or not waveform[is_pause].any():
        return waveform
    reduced = noisereduce().reduce_noise(
        y=waveform, sr=SAMPLE_RATE, y_noise=waveform[is_pause], stationary=True, **OPTIONS
    )
    return reduced.astype(np.float32)


def noisereduce() -> Any:
    """Import noisereduce, which is optional.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed.
    """
    return dependency("noisereduce", "Denoising needs noisereduce", "denoising", ", or do without --denoise")
