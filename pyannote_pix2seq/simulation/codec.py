"""Transmission channels of a recording: telephone lines and lossy files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import soundfile
import soxr
from scipy.signal import firwin, oaconvolve

from pyannote_pix2seq.audio.samples import SAMPLE_RATE
from pyannote_pix2seq.errors import Pix2SeqError

TELEPHONES = {"alaw": ("WAV", "ALAW"), "mulaw": ("WAV", "ULAW"), "gsm": ("WAV", "GSM610")}
"""ITU-T G.711 (two kinds) and ETSI GSM 06.10 full rate, as libsndfile names them: format, subtype."""

FILES = {"mp3": ("MP3", "MPEG_LAYER_III"), "vorbis": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS")}
"""Lossy files, as libsndfile names them."""

LINE_RATE = SAMPLE_RATE // 2
LINE = firwin(255, (300, 3400), pass_zero=False, fs=LINE_RATE).astype(np.float32)
"""Band-pass filter of a telephone line; symmetric, so that it adds no delay once it is centred."""

BLOCK = 10 * SAMPLE_RATE
"""Samples written at a time: libvorbis keeps all that it is given in one call on the stack."""


class CodecError(Pix2SeqError, ValueError):
    """A codec that does not exist."""


def transmit(waveform: np.ndarray, telephone: str | None, file: str | None, compression: float) -> np.ndarray:
    """Pass a recording through a telephone line, a lossy file, or both.

    A line passes 300 to 3400 Hz; a file after it is at 8 kHz.

    Parameters
    ----------
    waveform : (num_samples,) float32
        At 16 kHz; what is above 1 is clipped.
    telephone : str or None
        One of `TELEPHONES`.
    file : str or None
        One of `FILES`.
    compression : float
        libsndfile's level of compression of the file, from 0 (best) to 0.99 (smallest). At 16 kHz and 0.5, mp3 has 40,
        vorbis 43 and opus 130 kbit/s; at 0.95 they have 23, 25 and 18.

    Returns
    -------
    waveform : (num_samples,) float32
        Of the same length, without delay.

    Raises
    ------
    CodecError
        If there is no such telephone or file.
    """
    for kind, codec, known in (("telephone", telephone, TELEPHONES), ("file", file, FILES)):
        if codec is not None and codec not in known:
            raise CodecError(f"There is no {kind} {codec!r}. Use one of {', '.join(known)}, or None.")
    sample_rate = SAMPLE_RATE if telephone is None else LINE_RATE
    heard = waveform
    if telephone is not None:
        narrow = oaconvolve(soxr.resample(heard, SAMPLE_RATE, sample_rate), LINE, mode="same")
        heard = _through(narrow, sample_rate, *TELEPHONES[telephone])
    if file is not None:
        heard = _through(heard, sample_rate, *FILES[file], compression_level=compression)
    return _to_length(soxr.resample(heard, sample_rate, SAMPLE_RATE), len(waveform))


def _through(waveform: np.ndarray, sample_rate: int, format: str, subtype: str, **options: Any) -> np.ndarray:
    """Encode and decode in memory; libsndfile compensates for the delay of the encoder."""
    memory = io.BytesIO()
    with soundfile.SoundFile(memory, "w", sample_rate, 1, subtype, format=format, **options) as file:
        for start in range(0, len(waveform), BLOCK):
            file.write(waveform[start : start + BLOCK])
    memory.seek(0)
    return soundfile.read(memory, dtype="float32")[0]


def _to_length(waveform: np.ndarray, num_samples: int) -> np.ndarray:
    """Cut or zero-pad to a length: block sizes and resampling add or drop a few samples."""
    return np.pad(waveform[:num_samples], (0, max(num_samples - len(waveform), 0)))
