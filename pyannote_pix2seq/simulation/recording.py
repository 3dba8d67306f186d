"""Reading recordings from disk, and fading what is cut from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from pyannote.core import Segment

from pyannote_pix2seq.audio.recording import excerpt, prepare
from pyannote_pix2seq.audio.samples import SAMPLE_RATE, AudioError
from pyannote_pix2seq.simulation.folder import files_below

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3"})

FADE = SAMPLE_RATE // 100
"""Samples of a fade: 10 ms."""


def read_recording(path: Path) -> np.ndarray:
    """Read an audio file: (num_samples,) float32, one channel, 16 kHz.

    Raises
    ------
    AudioError
        If it cannot be used, see `audio.load`.
    """
    return prepare(path)[0].numpy()


def read_piece(path: Path, start: int, seconds: int) -> np.ndarray:
    """Read part of an audio file: (num_samples,) float32, one channel, 16 kHz; see `audio.excerpt`.

    Raises
    ------
    AudioError
        If it cannot be used, see `audio.load`.
    """
    return excerpt(path, Segment(start, start + seconds))[0].numpy()


def duration_of(path: Path) -> float:
    """Duration of an audio file, in seconds.

    Raises
    ------
    AudioError
        If it cannot be read.
    """
    try:
        return soundfile.info(path).duration
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path} cannot be read: {error}.") from error


def find_recordings(folder: Path) -> list[Path]:
    """Audio files anywhere below a folder, sorted; see `files_below`."""
    return [path for path in files_below(folder) if path.suffix.lower() in AUDIO_SUFFIXES]


def fade(waveform: np.ndarray) -> None:
    """Fade both ends of a (num_samples,) float32 waveform over 10 ms, in place."""
    length = min(FADE, len(waveform) // 2)
    ramp = np.linspace(0, 1, length, endpoint=False, dtype=np.float32)
    waveform[:length] *= ramp
    waveform[len(waveform) - length :] *= ramp[::-1]
