"""Diarization of audio as it arrives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor

from pyannote_pix2seq.audio.mixing import Mixer
from pyannote_pix2seq.audio.reader import Resampler
from pyannote_pix2seq.audio.samples import as_float32, check_shape, check_values, checked_rate
from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.inference import inference
from pyannote_pix2seq.limits import SpeakerLimits
from pyannote_pix2seq.output import Turn, label_of
from pyannote_pix2seq.strategies.chain import Chain
from pyannote_pix2seq.strategies.chunks import BORDER, MIN_DURATION, Chunk, Chunker, Grid, Stitcher
from pyannote_pix2seq.strategies.speakers import Speaker, names_of, numbered
from pyannote_pix2seq.strategies.writer import Writer


class LabelledTurn(NamedTuple):
    """A turn with the label of its speaker.

    Attributes
    ----------
    start, end : float
        Seconds from the beginning of the stream.
    speaker : str
        SPEAKER_00..., or the name of an enrolled speaker.
    confidence : float
        See `output.Turn`.
    """

    start: float
    end: float
    speaker: str
    confidence: float


class StreamError(Pix2SeqError, RuntimeError):
    """Audio was pushed to a stream that is closed, or a stream was to be copied or pickled."""


class Stream:
    """Diarizes audio as it arrives, with the same result as the strategy "chain" on the whole recording.

    `push` returns turns that are over; `going_on` has the others, as far as they are known. A turn is returned at most
    `latency` seconds after it ends, or once the first chunk is complete, and never revised. However long the stream,
    memory holds two chunks, the enrolled speakers, `inventory.REMEMBERED` others and `history.MAX_PARTS` voices. Made
    by `Pix2SeqDiarization.stream`.

    Parameters
    ----------
    writer : Writer
    grid : Grid
        Where chunks begin.
    sample_rate : int
        Of the audio that is pushed, in Hz.
    limits : SpeakerLimits
    known : sequence of Speaker, optional
        Enrolled speakers.

    Examples
    --------
    >>> stream = pipeline.stream(sample_rate=48000)  # doctest: +SKIP
    >>> for block in microphone:  # doctest: +SKIP
    ...     for turn in stream.push(block):
    ...         print(turn)
    >>> stream.close()  # doctest: +SKIP
    """

    def __init__(
        self, writer: Writer, grid: Grid, sample_rate: int, limits: SpeakerLimits, known: Sequence[Speaker] = ()
    ):
        self.sample_rate = checked_rate(sample_rate, "the stream")
        self._chain = Chain(writer, limits, known)
        self._names = names_of(numbered(known))
        self._mixer = Mixer("the stream", "Push one of them: stream.push(block[:1]).")
        self._resampler = Resampler(self.sample_rate, grid.sample_rate)
        self._chunker = Chunker(grid)
        self._stitcher = Stitcher()
        self._over: list[Turn] = []  # not returned yet
        self._num_pushed = 0  # samples
        self._is_open = True

    @property
    def latency(self) -> float:
        """Longest time from the end of a turn until it is returned, in seconds.

        Neither computation nor the time that a block takes to fill is included. Turns that end in the first chunk may
        take longer: until that chunk is complete.
        """
        return self._chunker.grid.latency + BORDER + self._resampler.delay

    @property
    def going_on(self) -> list[LabelledTurn]:
        """Turns that are not over, or have just ended, as far as they are known."""
        return self._labelled(self._stitcher.open)

    @inference
    def push(self, block: Tensor | np.ndarray) -> list[LabelledTurn]:
        """Add a block of audio.

        Parameters
        ----------
        block : (channel, num_samples) or (num_samples,) tensor or array
            Of any length, even 0; channels are averaged, with a warning if they cancel each other out.

        Returns
        -------
        turns : list of LabelledTurn
            Turns that are now over, sorted. If an error ends a call, the next one goes on where it was, and returns
            these turns as well.

        Raises
        ------
        StreamError
            If the stream is closed.
        AudioError
            If the samples cannot be used.
        """
        if not self._is_open:
            raise StreamError("This stream is closed. Make another one for other audio: pipeline.stream(...).")
        if isinstance(block, (Tensor, np.ndarray)) and block.ndim == 1:
            block = block[None]
        check_shape(block, "the stream")
        waveform = as_float32(block, "the stream")
        if waveform.numel() == 0:
            return []
        check_values(waveform, self.sample_rate, "the stream", self._num_pushed / self.sample_rate)
        self._num_pushed += waveform.shape[1]
        for chunk in self._chunker.push(self._resampler.push(self._mixer.push(waveform))):
            self._read(chunk)
        return self._returned()

    def __reduce__(self) -> NoReturn:
        raise StreamError(
            "A stream cannot be copied or pickled: both would go on with the same audio. Begin another with "
            "pipeline.stream() and push the audio to both."
        )

    @inference
    def close(self) -> list[LabelledTurn]:
        """Close the stream and return the remaining turns; nothing can be pushed afterwards.

        If an error ends the call, the next one goes on where it was; after a call that succeeds, nothing is left.
        """
        rest = self._resampler.close() if self._is_open else torch.zeros(1, 0, dtype=torch.float)
        self._is_open = False
        for chunk in self._chunker.push(rest):
            self._read(chunk)
        if self._chunker.duration >= MIN_DURATION:
            self._read(self._chunker.close())
            self._chunker = Chunker(self._chunker.grid)  # what was read is not to be read again
        self._over += self._stitcher.close()
        return self._returned()

    def _read(self, chunk: Chunk) -> None:
        self._mixer.check()
        turns = self._chain.read(chunk, later=int(not chunk.is_last))
        self._over += self._stitcher.push(turns, chunk.core.end)

    def _returned(self) -> list[LabelledTurn]:
        """Turns that are over and have not been returned."""
        over, self._over = self._over, []
        return self._labelled(over)

    def _labelled(self, turns: Iterable[Turn]) -> list[LabelledTurn]:
        return [
            LabelledTurn(turn.start, turn.end, label_of(turn.speaker, self._names), turn.confidence)
            for turn in sorted(turns)
        ]
