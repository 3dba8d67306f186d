"""Reading of recordings block by block, so that memory does not grow with their duration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import soxr
import torch
from torch import Tensor

from pyannote_pix2seq.audio.files import called, decoded, warn_if_cut_off
from pyannote_pix2seq.audio.mixing import Mixer
from pyannote_pix2seq.audio.recording import described, is_source, load
from pyannote_pix2seq.audio.samples import SAMPLE_RATE, check_values, select_channel

BLOCK = 10.0
"""Duration of a block, in seconds."""
HELD_BACK = 0.12
"""Longest audio that soxr holds back while it resamples, in seconds: measured from 8 to 192 kHz to 16 kHz. Below 8 kHz,
it is as many samples as at 8 kHz."""


class Resampler:
    """Streaming resampler of one channel, for blocks of any size.

    Parameters
    ----------
    source, target : int
        Sample rates, in Hz.
    """

    def __init__(self, source: int, target: int):
        self._source = source
        self._stream = None if source == target else soxr.ResampleStream(source, target, 1, dtype="float32")

    @property
    def delay(self) -> float:
        """Longest audio that is held back, in seconds."""
        return 0.0 if self._stream is None else HELD_BACK * max(8000 / self._source, 1)

    def push(self, block: Tensor, is_last: bool = False) -> Tensor:
        """Resample a block: (1, num_samples) -> (1, num_resampled). All outputs together equal resampling at once."""
        if self._stream is None:
            return block
        return torch.from_numpy(self._stream.resample_chunk(block[0].numpy(), last=is_last))[None]

    def close(self) -> Tensor:
        """Samples that were held back until the end."""
        return self.push(torch.zeros(1, 0, dtype=torch.float, device="cpu"), is_last=True)


class Reader:
    """A recording that is read block by block, its channels averaged, at one sample rate.

    Each iteration reads it from the start. Files are decoded block by block; waveforms that are in memory already are
    used as they are.

    Parameters
    ----------
    file : path, binary stream or mapping
        Anything that `audio.load` takes.
    sample_rate : int, optional
        Of the blocks, in Hz.

    Attributes
    ----------
    uri : str
        Name of the recording.
    duration : float
        Seconds, according to the header of the file.

    Raises
    ------
    AudioError
        As `audio.load` does; errors further into the recording are raised when it is read.
    """

    def __init__(self, file: str | Path | BinaryIO | Mapping[str, Any], sample_rate: int = SAMPLE_RATE):
        self._file, self.uri = described(file)
        self.sample_rate = sample_rate
        if self._in_memory:
            audio = load(self._file)
            self._file, self._rate = audio, audio["sample_rate"]
            num_samples = audio["waveform"].shape[1]
        else:
            with decoded(self._file["audio"], self.uri) as source:
                self._rate, num_samples = source.samplerate, source.frames
        self.duration = num_samples / self._rate

    @property
    def _name(self) -> object:
        return called(self._file.get("audio"), self.uri)

    @property
    def _in_memory(self) -> bool:
        return self._file.get("waveform") is not None or not is_source(self._file.get("audio"))

    def __iter__(self) -> Iterator[Tensor]:
        resampler, mixer = Resampler(self._rate, self.sample_rate), Mixer(self._name)
        for block in self._blocks(round(BLOCK * self._rate)):
            yield resampler.push(mixer.push(block))
        yield resampler.close()
        mixer.check()

    def _blocks(self, size: int) -> Iterator[Tensor]:
        """Blocks (channel, num_samples) at the sample rate of the recording."""
        if self._in_memory:
            yield from self._file["waveform"].split(size, dim=1)
            return
        with decoded(self._file["audio"], self.uri) as source:
            for position in count(0, size):
                block = torch.from_numpy(source.read(size, dtype="float32", always_2d=True).T)
                if block.numel() or not position:
                    kept = select_channel(block, self._file.get("channel"), self.uri)
                    check_values(kept, self._rate, self.uri, position / self._rate)
                    yield kept
                if block.shape[1] < size:  # the end, beyond which the mp3 decoder reports errors
                    warn_if_cut_off(self._name, (position + block.shape[1]) / self._rate, self.duration)
                    return
