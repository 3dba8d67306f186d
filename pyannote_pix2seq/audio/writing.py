"""Writing of recordings, 16 bits and one channel."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.errors import Pix2SeqError


class WriteError(Pix2SeqError, RuntimeError):
    """A recording that cannot be written."""


def write(file: Path | BinaryIO, samples: np.ndarray, sample_rate: int = SAMPLE_RATE, kind: str = "WAV") -> None:
    """Write a recording.

    Parameters
    ----------
    file : Path or binary stream
    samples : (num_samples,) floats between -1 and 1, or int16
    sample_rate : int, optional
        In Hz.
    kind : str, optional
        Format, as libsndfile calls it.

    Raises
    ------
    WriteError
        If it cannot be written: libsndfile does not say why.
    """
    try:
        soundfile.write(file, samples, sample_rate, subtype="PCM_16", format=kind)
    except soundfile.LibsndfileError as error:
        raise WriteError(
            f"{file} cannot be written ({error.error_string.rstrip('.')}). Make room on its disk, or write elsewhere."
        ) from error
