"""Recordings: any file or tensor in, one mono waveform out.

Files are read by libsndfile, which comes inside the `soundfile` wheel and decodes wav, flac, ogg and mp3 by
itself: no FFmpeg is needed. What comes in from outside is checked here, once, so that nothing later has to.
"""

from __future__ import annotations

import re
from collections import UserDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import IOBase
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import soundfile
import soxr
import torch
from pyannote.database import ProtocolFile
from torch import Tensor

SAMPLE_RATE = 16000
# The number that stands for a sample of 1.0, by dtype.
FULL_SCALE = {"float16": 1, "float32": 1, "float64": 1, "int16": 2**15, "int32": 2**31}


class AudioError(ValueError):
    """A recording that cannot be used; the message says which one, why, and the way out."""


class AudioNotFoundError(AudioError, FileNotFoundError):
    """A recording that is not there."""


class AudioFile(TypedDict):
    """A recording in memory, in the form that pyannote.audio takes everywhere."""

    waveform: Tensor  # (channel, time) float32
    sample_rate: int  # Hz
    uri: str


def load(file: str | Path | IOBase | Mapping[str, Any]) -> AudioFile:
    """Read a recording as it is: all its channels, at its own sample rate.

    Parameters
    ----------
    file : path, binary stream or mapping
        A mapping has "audio" (a path or a stream), or "waveform" and "sample_rate" ("waveform" wins), and may
        have "uri" and "channel" (from 0: keep this channel only). Waveforms are (channel, time) tensors or
        arrays of floats, or of int16 or int32 samples, which are scaled to -1...1.

    Returns
    -------
    AudioFile
        Without "uri", it is the name of the file with no suffix and, since RTTM forbids spaces, no space.

    Raises
    ------
    AudioNotFoundError
        If there is no such file (also a FileNotFoundError).
    AudioError
        If it is not audio, is empty, holds NaN or infinite samples, or has a wrong shape, dtype, channel or
        sample rate.
    """
    if isinstance(file, LazyFile):
        file = file.data
    mapping: Mapping[str, Any] = file if isinstance(file, Mapping) else {"audio": file}
    uri = mapping.get("uri") or name_of(mapping)
    samples, sample_rate = _samples(mapping, uri)
    waveform = select_channel(as_float32(samples, uri), mapping.get("channel"), uri)
    # (channel, time)
    check_values(waveform, sample_rate, uri)
    return {"waveform": waveform, "sample_rate": sample_rate, "uri": uri}


def prepare(file: str | Path | IOBase | Mapping[str, Any], sample_rate: int = SAMPLE_RATE) -> Tensor:
    """Load a recording, average its channels and resample it.

    Parameters
    ----------
    file : path, binary stream or mapping
        Whatever `load` takes.
    sample_rate : int, optional
        Of the result, in Hz.

    Returns
    -------
    waveform : (1, num_samples) float32 tensor

    Raises
    ------
    AudioError
        As `load` does.
    """
    audio = load(file)
    mono = audio["waveform"].mean(dim=0)
    rates = audio["sample_rate"], checked_rate(sample_rate, "the result")
    if rates[0] == rates[1]:
        return mono[None]
    return torch.from_numpy(soxr.resample(mono.cpu().numpy(), *rates))[None]


def as_protocol_file(file: Any, preprocessors: Mapping[str, Any] | None = None) -> ProtocolFile:
    """A file as pyannote.database has it; what is computed on demand stays so."""
    mapping: Any = file if isinstance(file, Mapping) else {"audio": file}
    return ProtocolFile(mapping, lazy=dict(preprocessors or {}))


class LazyFile(UserDict[str, Any]):
    """A file that pyannote.audio may ask for its waveform, which is read anew each time and never kept.

    pyannote.audio's own reader of paths needs FFmpeg; whatever asks this mapping instead gets by without.

    Parameters
    ----------
    file : path, binary stream or mapping
        Whatever `load` takes.
    """

    def __init__(self, file: str | Path | IOBase | Mapping[str, Any]):
        self.data = as_protocol_file(file)  # type: ignore[assignment]

    def __contains__(self, key: object) -> bool:
        return key in AudioFile.__annotations__ or key in self.data

    def __missing__(self, key: str) -> Any:
        if key == "uri":
            return name_of(self.data)
        if key in AudioFile.__annotations__:
            return load(self.data)[key]  # type: ignore[literal-required]
        raise KeyError(key)


def name_of(mapping: Mapping[str, Any]) -> str:
    """Name a recording that has no uri."""
    if mapping.get("waveform") is not None:
        return "waveform"
    source = mapping.get("audio")
    return re.sub(r"\s+", "_", Path(source).stem) if isinstance(source, (str, Path)) else "stream"


def _samples(mapping: Mapping[str, Any], uri: str) -> tuple[Tensor | np.ndarray, int]:
    """The samples and their rate: from memory, or else from the file."""
    waveform, source = mapping.get("waveform"), mapping.get("audio")
    if waveform is not None:
        check_shape(waveform, uri)
        return waveform, checked_rate(mapping.get("sample_rate"), uri)
    if isinstance(source, (str, Path, IOBase)):
        return _read(source)
    found = f"the keys {sorted(mapping)}" if source is None else f"{source!r}"
    raise AudioError(
        "A recording is a path, a binary stream, or a mapping with 'audio' (a path or a stream) or with "
        f"'waveform' and 'sample_rate', not {found}."
    )


def _read(source: str | Path | IOBase) -> tuple[np.ndarray, int]:
    """Decode a file with libsndfile; a stream is left where it was found.

    Returns
    -------
    samples : (channel, time) float32 array
    sample_rate : int
    """
    with decoded(source) as file:
        return file.read(dtype="float32", always_2d=True).T, file.samplerate


@contextmanager
def decoded(source: str | Path | IOBase) -> Iterator[soundfile.SoundFile]:
    """A file that libsndfile decodes; a stream is left where it was found.

    Raises
    ------
    AudioError
        If it is not there, or cannot be decoded.
    """
    if isinstance(source, (str, Path)):
        _check_path(Path(source))
    position = source.tell() if isinstance(source, IOBase) else 0
    try:
        with soundfile.SoundFile(source) as file:
            yield file
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: a headerless .raw file
        formats = ", ".join(sorted(soundfile.available_formats().keys() - {"RAW"}))
        raise AudioError(
            f"{source} cannot be read as audio ({error}). libsndfile reads {formats}. Convert it to one of "
            f"these first, for instance with: ffmpeg -i INPUT -ac 1 -ar {SAMPLE_RATE} OUTPUT.wav"
        ) from error
    finally:
        if isinstance(source, IOBase):
            source.seek(position)


def _check_path(path: Path) -> None:
    if not path.exists():
        raise AudioNotFoundError(f"There is no file {path} (looked in {Path.cwd()}). Check its name and folder.")
    if path.is_dir():
        raise AudioError(f"{path} is a folder, not an audio file. Give the path of one of the files in it.")
    if path.is_file() and path.stat().st_size == 0:
        raise AudioError(f"{path} is empty (0 bytes). Record or copy it again.")


def checked_rate(sample_rate: Any, uri: str) -> int:
    """A sample rate, checked.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    uri : str
        Of what, for the message.

    Returns
    -------
    sample_rate : int

    Raises
    ------
    AudioError
        If it is not a whole number, or less than 1.
    """
    whole = isinstance(sample_rate, (int, np.integer)) and not isinstance(sample_rate, bool)
    if not whole or sample_rate < 1:
        raise AudioError(
            f"The sample rate of {uri} is {sample_rate!r}, but must be a whole number of Hz, 1 or more. "
            f"Give it as 'sample_rate', such as {SAMPLE_RATE}."
        )
    return int(sample_rate)


def check_shape(samples: Any, uri: str) -> None:
    """Check that samples are a (channel, time) tensor or array.

    Raises
    ------
    AudioError
        If they are something else: such as more channels than there are moments, but for a block of one or none.
    """
    if not isinstance(samples, (Tensor, np.ndarray)):
        kind = type(samples).__name__
        raise AudioError(f"The waveform of {uri} is a {kind}, but must be a (channel, time) tensor or array.")
    shape = tuple(samples.shape)
    if len(shape) != 2 or shape[0] > shape[1] > 1:
        raise AudioError(
            f"The waveform of {uri} has shape {shape}, but must be (channel, time). "
            + ("Add the channel: waveform[None]." if len(shape) == 1 else "Transpose or reshape it.")
        )


def as_float32(samples: Tensor | np.ndarray, uri: str) -> Tensor:
    """Samples scaled to -1...1.

    Raises
    ------
    AudioError
        If their dtype is not one of `FULL_SCALE`.
    """
    name = str(samples.dtype).removeprefix("torch.") if isinstance(samples, Tensor) else samples.dtype.name
    if name not in FULL_SCALE:
        raise AudioError(
            f"The waveform of {uri} holds {name} samples, but must hold one of {', '.join(FULL_SCALE)}. "
            "Convert it to float32 between -1 and 1."
        )
    if isinstance(samples, np.ndarray):
        samples = torch.from_numpy(np.require(samples, np.float32, ["C", "W"]))
    samples = samples.detach().float()
    return samples if FULL_SCALE[name] == 1 else samples / FULL_SCALE[name]


def select_channel(waveform: Tensor, channel: Any, uri: str) -> Tensor:
    """Keep one channel (1, time), or all of them (channel, time) where no channel is asked for.

    Raises
    ------
    AudioError
        If there is no such channel.
    """
    if channel is None:
        return waveform
    if channel not in range(len(waveform)):
        raise AudioError(
            f"Channel {channel!r} of {uri} was asked for, but it has {len(waveform)} channel(s), counted "
            "from 0. Without 'channel', all of them are used."
        )
    return waveform[channel : channel + 1]


def check_values(waveform: Tensor, sample_rate: int, uri: str, start: float = 0.0) -> None:
    """Check samples (channel, time) that begin at `start`, in seconds.

    Raises
    ------
    AudioError
        If there are none, or some are NaN or infinite.
    """
    if waveform.numel() == 0:
        raise AudioError(f"{uri} is empty: there is not one sample in it. Is the recording complete?")
    wrong = ~waveform.isfinite()
    if wrong.any():
        first = start + wrong.any(dim=0).nonzero()[0].item() / sample_rate
        raise AudioError(
            f"{wrong.sum().item()} of the {wrong.numel()} samples of {uri} are NaN or infinite, the first at "
            f"{first:.3f} s. Export the recording again, or clean it with torch.nan_to_num."
        )
