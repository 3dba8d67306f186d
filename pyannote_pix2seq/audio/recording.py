"""Loading of recordings: from any file or tensor to a waveform."""

from __future__ import annotations

import re
from collections import UserDict
from collections.abc import Mapping, MutableMapping
from io import TextIOBase
from pathlib import Path
from reprlib import repr as short_repr
from typing import Any, BinaryIO, TypedDict, TypeGuard

import numpy as np
import soxr
import torch
from pyannote.core import Segment
from pyannote.database import ProtocolFile
from torch import Tensor

from pyannote_pix2seq.audio.files import called, decoded, warn_if_cut_off
from pyannote_pix2seq.audio.mixing import Mixer
from pyannote_pix2seq.audio.samples import (
    SAMPLE_RATE,
    AudioError,
    as_float32,
    check_shape,
    check_values,
    checked_rate,
    select_channel,
)


class AudioFile(TypedDict):
    """A recording in memory, in the form that pyannote.audio takes everywhere."""

    waveform: Tensor  # (channel, time) float32
    sample_rate: int  # Hz
    uri: str


def load(file: str | Path | BinaryIO | Mapping[str, Any]) -> AudioFile:
    """Load a recording as it is: all its channels, unless one is chosen, at its own sample rate.

    Parameters
    ----------
    file : path, binary stream or mapping
        A mapping has "audio" (a path or a stream), or "waveform" and "sample_rate" ("waveform" wins), and may
        have "uri" and "channel" (from 0: keep this channel only). Waveforms are (channel, time) tensors or
        arrays of floats, or of int16 or int32 samples, which are scaled to -1...1.

    Returns
    -------
    AudioFile
        The default of "uri" is the name of the file without its suffix, with underscores for white space, which RTTM
        forbids. One that is given is kept as it is: with a space in it, `to_rttm` of the result raises a ValueError.

    Raises
    ------
    AudioNotFoundError
        If there is no such file (also a FileNotFoundError).
    AudioError
        If it is not audio, is empty, holds NaN or infinite samples, or has a wrong shape, dtype, channel or
        sample rate.
    """
    mapping, uri = described(file)
    samples, sample_rate = _samples(mapping, uri)
    waveform = select_channel(as_float32(samples, uri), mapping.get("channel"), uri)
    # (channel, time)
    check_values(waveform, sample_rate, uri)
    return {"waveform": waveform, "sample_rate": sample_rate, "uri": uri}


def prepare(file: str | Path | BinaryIO | Mapping[str, Any], sample_rate: int = SAMPLE_RATE) -> Tensor:
    """Load a recording, average its channels and resample it; warns if the channels cancel each other out.

    Parameters
    ----------
    file : path, binary stream or mapping
        Anything that `load` takes.
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
    mixer = Mixer(audio["uri"])
    mono = mixer.push(audio["waveform"])
    mixer.check()
    rates = audio["sample_rate"], checked_rate(sample_rate, "the result")
    if rates[0] == rates[1]:
        return mono
    return torch.from_numpy(soxr.resample(mono[0].numpy(), *rates))[None]


def excerpt(file: str | Path | BinaryIO | Mapping[str, Any], part: Segment, sample_rate: int = SAMPLE_RATE) -> Tensor:
    """Load a part of a recording as `prepare` does; it is shorter if the recording ends earlier.

    From a path, only the part and one second on either side are decoded. The margins are dropped after resampling, so
    that consecutive excerpts fit together.

    Parameters
    ----------
    file : path, binary stream or mapping
        Anything that `load` takes.
    part : Segment
        In seconds.
    sample_rate : int, optional
        Of the result, in Hz.

    Returns
    -------
    waveform : (1, num_samples) float32 tensor

    Raises
    ------
    AudioError
        As `load` does, or if the recording ends before the part starts.
    """
    mapping, uri = described(file)
    if mapping.get("waveform") is None and isinstance(mapping.get("audio"), (str, Path)):
        start = max(int(part.start) - 1, 0)
        waveform = prepare(_decoded_part(mapping, uri, part, start), sample_rate)
    else:
        start, waveform = 0, prepare(mapping, sample_rate)
        _check_start(part, waveform.shape[1] / sample_rate, uri)
    first, last = (max(round((time - start) * sample_rate), 0) for time in part)
    return waveform[:, first:last].clone()  # not a view, which would keep the rest in memory


def _decoded_part(mapping: Mapping[str, Any], uri: str, part: Segment, start: int) -> dict[str, Any]:
    """Decode a file from `start`, in seconds, to one second after a part of it."""
    with decoded(mapping["audio"], uri) as source:
        rate, seconds = source.samplerate, source.frames / source.samplerate
        if source.frames:
            _check_start(part, seconds, uri)
        source.seek(start * rate)
        samples = source.read(round((part.end + 1 - start) * rate), dtype="float32", always_2d=True).T
    waveform = select_channel(torch.from_numpy(samples), mapping.get("channel"), uri)
    check_values(waveform, rate, uri, start)
    return {"waveform": waveform, "sample_rate": rate, "uri": uri}


def _check_start(part: Segment, seconds: float, uri: str) -> None:
    if part.start >= seconds:
        raise AudioError(f"{uri} lasts {seconds:.3f} s, and nothing of it is left from {part.start:.3f} s on.")


class LazyFile(UserDict[str, Any]):
    """A file for pyannote.audio whose waveform is read on every access and never kept.

    pyannote.audio's own reader of paths needs FFmpeg; code that takes the waveform from this mapping does not. Items
    that are set, e.g. by hooks, are also set in the mapping that was given.

    Parameters
    ----------
    file : path, binary stream or mapping
        Anything that `load` takes.
    preprocessors : mapping, optional
        Of pyannote.database: other items to compute on demand.
    """

    def __init__(self, file: str | Path | BinaryIO | Mapping[str, Any], preprocessors: Mapping[str, Any] | None = None):
        mapping: Any = file if isinstance(file, Mapping) else {"audio": file}
        self.data = ProtocolFile(mapping, lazy=dict(preprocessors or {}))  # type: ignore[assignment]
        self._given = file if isinstance(file, MutableMapping) else None

    @property
    def name(self) -> object:
        """What messages call the recording, of which nothing is computed: the uri that was given, or else its path."""
        given: dict[str, Any] = abs(self.data)  # type: ignore[arg-type]
        return given.get("uri") or called(given.get("audio"), name_of(given))

    def __contains__(self, key: object) -> bool:
        return key in AudioFile.__annotations__ or key in self.data

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        if self._given is not None:
            self._given[key] = value

    def __missing__(self, key: str) -> Any:
        if key == "uri":
            return name_of(self.data)
        if key not in AudioFile.__annotations__:
            raise KeyError(key)
        if key == "sample_rate" and self.data.get("waveform") is None and is_source(self.data.get("audio")):
            with decoded(self.data["audio"], self["uri"]) as head:  # no samples are decoded
                return head.samplerate
        return load(self.data)[key]  # type: ignore[literal-required]


def described(file: str | Path | BinaryIO | Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """A recording in any of its forms as a mapping, none of whose items is decoded on access, and its uri."""
    mapping: Any = file if isinstance(file, Mapping) else {"audio": file}
    mapping = mapping.data if isinstance(mapping, LazyFile) else mapping
    return mapping, mapping.get("uri") or name_of(mapping)


def name_of(mapping: Mapping[str, Any]) -> str:
    """Default uri of a recording."""
    if mapping.get("waveform") is not None:
        return "waveform"
    source = mapping.get("audio")
    return re.sub(r"\s+", "_", Path(source).stem) if isinstance(source, (str, Path)) else "stream"


def is_source(source: object) -> TypeGuard[str | Path | BinaryIO]:
    """Whether `source` is a path or a binary stream: an object with the methods that libsndfile needs."""
    is_stream = all(hasattr(source, method) for method in ("read", "seek", "tell"))
    return isinstance(source, (str, Path)) or (is_stream and not isinstance(source, TextIOBase))


def _samples(mapping: Mapping[str, Any], uri: str) -> tuple[Tensor | np.ndarray, int]:
    """Samples and their sample rate, from memory or else from the file."""
    waveform = mapping.get("waveform")
    if waveform is not None:  # "audio" may be a path that is looked for on access, and not there
        check_shape(waveform, uri)
        return waveform, checked_rate(mapping.get("sample_rate"), uri)
    source = mapping.get("audio")
    if is_source(source):
        return _read(source, uri)
    found = short_repr(source) if "audio" in mapping else f"the keys {sorted(mapping)}"
    is_listed = "audio" not in mapping and "database" in mapping
    hint = " Load its protocol with preprocessors={'audio': FileFinder()}." if is_listed else ""
    raise AudioError(
        "A recording is a path, a binary stream, or a mapping with 'audio' (a path or a stream) or with "
        f"'waveform' and 'sample_rate', not {found}.{hint}"
    )


def _read(source: str | Path | BinaryIO, uri: str) -> tuple[np.ndarray, int]:
    """Decode a file with libsndfile; the position of a stream is restored afterwards.

    Returns
    -------
    samples : (channel, time) float32 array
    sample_rate : int
    """
    with decoded(source, uri) as file:
        samples = file.read(file.frames, dtype="float32", always_2d=True).T
        warn_if_cut_off(called(source, uri), samples.shape[1] / file.samplerate, file.frames / file.samplerate)
        return samples, file.samplerate
