"""Pitch shifting at constant speed."""

from __future__ import annotations

import numpy as np

from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.simulation.dependency import dependency

FRAME, HOP = 3 * SAMPLE_RATE // 50, SAMPLE_RATE // 50
"""60 ms, a few periods of a low voice, and 20 ms: half of what is usual for music, and a quarter faster."""


def shift_pitch(speech: np.ndarray, semitones: float) -> np.ndarray:
    """Make a voice higher or lower at constant speed: (num_samples,) float32.

    By Signalsmith Stretch (Luff, 2022, https://github.com/Signalsmith-Audio/signalsmith-stretch), which moves the peaks
    of short-time spectra and keeps their phases coherent.

    Raises
    ------
    ModuleNotFoundError
        If python-stretch is not installed.
    """
    stretches = dependency("python_stretch", "Pitch needs python-stretch", "simulation", ", or use pitch_probability=0")
    stretch = stretches.Signalsmith.Stretch()
    stretch.configure(1, FRAME, HOP)
    stretch.setTransposeSemitones(semitones)
    return stretch.process(speech[None])[0]
