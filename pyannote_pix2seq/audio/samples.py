"""Checks of samples: input is checked once, here, so that no later code has to."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.numeric import is_whole

SAMPLE_RATE = 16000
FULL_SCALE = {"float16": 1, "float32": 1, "float64": 1, "int16": 2**15, "int32": 2**31}
"""Value of a full-scale sample (1.0), by dtype."""
LOUDEST = 2.0**31
"""Largest magnitude of a sample: integers that were converted to floats without scaling are loud, but valid."""
MOST_CHANNELS = 16
"""Most channels of a waveform with fewer samples than channels: if there are more, its dimensions have been swapped."""


class AudioError(Pix2SeqError, ValueError):
    """A recording that cannot be used; the message says which one, why, and what to do about it."""


class AudioNotFoundError(AudioError, FileNotFoundError):
    """A recording that does not exist."""


def checked_rate(sample_rate: Any, uri: str) -> int:
    """Check a sample rate.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    uri : str
        Name of the recording, for the message.

    Returns
    -------
    sample_rate : int

    Raises
    ------
    AudioError
        If it is not a whole number, or less than 1.
    """
    if not is_whole(sample_rate, 1):
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
        If they are not, or have more channels than samples and than `MOST_CHANNELS`.
    """
    if not isinstance(samples, (Tensor, np.ndarray)):
        kind = type(samples).__name__
        raise AudioError(
            f"The waveform of {uri} is a {kind}, but must be a (channel, time) tensor or array. Convert it with "
            f"numpy.asarray or, if it is raw bytes, with numpy.frombuffer(..., numpy.int16)."
        )
    shape = tuple(samples.shape)
    if len(shape) != 2 or shape[0] > max(shape[1], MOST_CHANNELS):
        raise AudioError(
            f"The waveform of {uri} has shape {shape}, but must be (channel, time). "
            + ("Add the channel: waveform[None]." if len(shape) == 1 else "Transpose or reshape it.")
        )


def as_float32(samples: Tensor | np.ndarray, uri: str) -> Tensor:
    """Convert samples to float32, integers scaled to -1...1.

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
    samples = samples.detach().float().cpu()
    return samples if FULL_SCALE[name] == 1 else samples / FULL_SCALE[name]


def select_channel(waveform: Tensor, channel: Any, uri: str) -> Tensor:
    """Select one channel (1, time), or all of them (channel, time) if `channel` is None.

    Raises
    ------
    AudioError
        If there is no such channel.
    """
    if channel is None:
        return waveform
    if not is_whole(channel, 0) or channel >= len(waveform):
        channels = f"{len(waveform)} channel{'s' * (len(waveform) != 1)}"
        raise AudioError(
            f"Channel {channel!r} of {uri} was asked for, but it has {channels}, numbered from 0. Without 'channel', "
            f"all of them are used."
        )
    return waveform[channel : channel + 1]


def check_values(waveform: Tensor, sample_rate: int, uri: str, start: float = 0.0) -> None:
    """Check the values of samples (channel, time) that start at `start`, in seconds.

    Raises
    ------
    AudioError
        If there are none, or some are NaN, infinite or so large that they cannot be samples.
    """
    if waveform.numel() == 0:
        raise AudioError(f"{uri} is empty: there is not one sample in it. Is the recording complete?")
    wrong = ~(waveform.abs() <= LOUDEST)
    if wrong.any():
        first = start + wrong.any(dim=0).nonzero()[0].item() / sample_rate
        raise AudioError(
            f"{wrong.sum().item()} of the {wrong.numel()} samples of {uri} are NaN, infinite or beyond {LOUDEST:g}, "
            f"the first at {first:.3f} s; samples lie between -1 and 1. Export the recording again, or clean it with "
            f"torch.nan_to_num."
        )
