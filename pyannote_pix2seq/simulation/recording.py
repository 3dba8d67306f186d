"""Recordings on disk: where they are, how long they are, and what is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pyannote.core import Segment

from pyannote_pix2seq.audio.files import decoded
from pyannote_pix2seq.audio.recording import excerpt, prepare
from pyannote_pix2seq.simulation.folder import files_below

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3"})


def read_recording(path: Path) -> np.ndarray:
    """Read an audio file: (num_samples,) float32, one channel, 16 kHz.

    Raises
    ------
    AudioError
        If it cannot be used, see `audio.load`.
    """
    return prepare(path)[0].numpy()


def read_block(path: Path, start: int, seconds: int) -> np.ndarray:
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
    with decoded(path, path.stem) as file:
        return file.frames / file.samplerate


def find_recordings(folder: Path) -> list[Path]:
    """Audio files anywhere below a folder, sorted; see `files_below`."""
    return [path for path in files_below(folder) if path.suffix.lower() in AUDIO_SUFFIXES]
