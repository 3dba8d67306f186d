"""The token language: triplets <-> tokens, seconds <-> time bins. No audio, no network.

    0      1      2 ....................... 2 + num_bins ............... size
    <pad>  <eos>  time bins, in order       speakers A, B, C, ...

A recording is written `start end speaker start end speaker ... <eos>`: turns are sorted by start time, and speakers are
named in order of first appearance. `<pad>` as the first token of a written sequence means `<diarize>`, which asks the
network to write, so that no further token is spent on it.

The token space follows Pix2Seq (Chen et al., "Pix2seq: A Language Modeling Framework for Object Detection", section
2.1): coordinates are quantised uniformly and share one vocabulary with the class labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.numeric import ROUNDING, is_number, is_whole, rounded_down, rounded_up

PAD = 0
EOS = 1
DIARIZE = PAD
FIRST_TIME = 2
TOKENS_PER_TRIPLET = 3
SHORTEST, LONGEST = 1e-6, 86_400.0
"""Seconds that windows, bins and errors may have."""


class VocabularyError(Pix2SeqError, ValueError):
    """Times, speakers or sizes that the vocabulary cannot hold."""


class Triplet(NamedTuple):
    """One speaker turn.

    Attributes
    ----------
    start, end : float
        Seconds from the start of the window.
    speaker : int
        0 for A, the first speaker to appear, 1 for B...
    """

    start: float
    end: float
    speaker: int


@dataclass(frozen=True)
class Vocabulary:
    """Tokens of a window of audio.

    Parameters
    ----------
    window : float
        Longest audio that can be described, in seconds.
    resolution : float
        Duration of a time bin, in seconds.
    num_speakers : int
        Number of speakers that can be named.

    Raises
    ------
    VocabularyError
        If the window does not hold two bins, or there is no speaker to name.

    Examples
    --------
    >>> vocabulary = Vocabulary(window=10.0, resolution=0.5, num_speakers=2)
    >>> vocabulary.size
    24
    >>> vocabulary.encode([Triplet(0.3, 2.1, 0), Triplet(1.6, 4.0, 1)])
    [2, 6, 22, 5, 10, 23, 1]
    >>> vocabulary.decode([2, 6, 22, 5, 10, 23, 1])
    [Triplet(start=0.25, end=2.25, speaker=0), Triplet(start=1.75, end=4.25, speaker=1)]
    """

    window: float
    resolution: float
    num_speakers: int

    def __post_init__(self) -> None:
        for name in ("window", "resolution"):
            _check_seconds(name, getattr(self, name))
        if 2 * self.resolution > self.window:
            raise VocabularyError(
                f"A vocabulary with bins of {self.resolution} s does not fit a window of {self.window} s: the window "
                f"must hold two bins or more. Use a longer window or a finer resolution."
            )
        _check_whole("num_speakers", self.num_speakers, "names a whole number of speakers")

    @classmethod
    def of_size(cls, size: int, window: float, num_speakers: int) -> Vocabulary:
        """Vocabulary of exactly `size` tokens: all but padding, end of sequence and speakers are time bins.

        Raises
        ------
        VocabularyError
            If fewer than two tokens are left for time, a size is no whole number, or the window is not a number of
            seconds above 0.
        """
        _check_seconds("window", window)
        _check_whole("num_speakers", num_speakers, "names a whole number of speakers")
        _check_whole("size", size, "has a whole number of tokens")
        num_bins = size - FIRST_TIME - num_speakers
        if num_bins < 2:
            raise VocabularyError(
                f"{size} tokens with {num_speakers} speakers leave {num_bins} time bins for a window of {window} s; "
                f"2 or more are needed. Use {FIRST_TIME + num_speakers + 2} tokens or more."
            )
        return cls(window=window, resolution=window / num_bins, num_speakers=num_speakers)

    @classmethod
    def for_error(cls, error: float, window: float, num_speakers: int) -> Vocabulary:
        """Smallest vocabulary whose quantisation error is never more than `error` seconds.

        Raises
        ------
        VocabularyError
            If the error or the window is not a number of seconds above 0, or there is no speaker to name.
        """
        for name, seconds in (("error", error), ("window", window)):
            _check_seconds(name, seconds)
        num_bins = max(rounded_up(window / (2 * error)), 2)
        return cls(window=window, resolution=window / num_bins, num_speakers=num_speakers)

    @cached_property
    def num_bins(self) -> int:
        """Number of time bins."""
        return rounded_up(self.window / self.resolution)

    @property
    def first_speaker(self) -> int:
        """Token of speaker A."""
        return FIRST_TIME + self.num_bins

    def is_time(self, token: Any) -> Any:
        """Whether a token is a time; elementwise for a tensor of tokens."""
        return (token >= FIRST_TIME) & (token < self.first_speaker)

    @property
    def size(self) -> int:
        """Number of tokens."""
        return self.first_speaker + self.num_speakers

    @property
    def max_error(self) -> float:
        """Largest quantisation error of a time, in seconds: half a bin."""
        return self.resolution / 2

    @cached_property
    def classes(self) -> list[str]:
        """Every token as a string, e.g. `<pad> <eos> 0.02 0.06 ... A B`, in token order."""
        times = [f"{self.dequantize(time_bin):.3f}" for time_bin in range(self.num_bins)]
        return ["<pad>", "<eos>", *times, *(speaker_name(k) for k in range(self.num_speakers))]

    def quantize(self, seconds: float) -> int:
        """Time bin that contains `seconds`.

        Raises
        ------
        VocabularyError
            If `seconds` lies outside the window.
        """
        if not -ROUNDING <= seconds <= self.window + ROUNDING:
            raise VocabularyError(
                f"{seconds:.3f} s is outside the window [0, {self.window}] s. Crop the turns to the window first."
            )
        return min(max(rounded_down(seconds / self.resolution), 0), self.num_bins - 1)

    def dequantize(self, time_bin: int) -> float:
        """Centre of a time bin, in seconds."""
        return min((time_bin + 0.5) * self.resolution, self.window)

    def encode(self, triplets: Iterable[Triplet], num_bins: int | None = None) -> list[int]:
        """Encode turns as tokens, `<eos>` included.

        Turns may come in any order and speakers may have any numbers: turns are sorted by start time, and speakers are
        renamed in order of first appearance. Turns of one speaker that overlap after quantisation are joined; a turn
        shorter than a bin becomes one bin long.

        Parameters
        ----------
        triplets : iterable of Triplet
        num_bins : int, optional
            Number of time bins of the audio, if it is shorter than the window.

        Raises
        ------
        VocabularyError
            If a turn lies outside the window or ends before it starts, there are more speakers than names, or the
            audio has less than two time bins.
        """
        num_bins = self.num_bins if num_bins is None else num_bins
        if num_bins < 2:
            raise VocabularyError(f"Audio of {num_bins} time bins holds no turn; a turn takes 2 or more of them.")
        tokens = [token for turn in self._quantized(triplets, num_bins) for token in turn]
        return [*tokens, EOS]

    def decode(self, tokens: Sequence[int]) -> list[Triplet]:
        """Decode tokens to turns in seconds; see `spans`."""
        return [Triplet(self.dequantize(start), self.dequantize(end), k) for start, end, k in self.spans(tokens)]

    def spans(self, tokens: Sequence[int]) -> list[tuple[int, int, int]]:
        """First bin, last bin and speaker of each turn, up to the first `<eos>`, `<pad>` or unfinished triplet.

        Raises
        ------
        VocabularyError
            If a triplet is not a time, a time and a speaker.
        """
        written = list(tokens)
        stop = next((i for i, token in enumerate(written) if token in (PAD, EOS)), len(written))
        complete = range(0, stop - stop % TOKENS_PER_TRIPLET, TOKENS_PER_TRIPLET)
        return [self._span(*written[i : i + TOKENS_PER_TRIPLET]) for i in complete]

    def _span(self, start: int, end: int, speaker: int) -> tuple[int, int, int]:
        if not (self.is_time(start) and self.is_time(end) and self.first_speaker <= speaker < self.size):
            raise VocabularyError(
                f"({start}, {end}, {speaker}) is not a (start, end, speaker) triplet: times are tokens {FIRST_TIME} to "
                f"{self.first_speaker - 1}, speakers {self.first_speaker} to {self.size - 1}."
            )
        return start - FIRST_TIME, end - FIRST_TIME, speaker - self.first_speaker

    def triplet(self, start: int, end: int, speaker: int) -> list[int]:
        """Tokens of a turn, given its first bin, last bin and speaker; the inverse of `spans`."""
        return [FIRST_TIME + start, FIRST_TIME + end, self.first_speaker + speaker]

    def _quantized(self, triplets: Iterable[Triplet], num_bins: int) -> list[list[int]]:
        """Turns as (start, end, speaker) tokens: sorted, joined, and with speakers renamed."""
        turns: list[list[int]] = []
        last_turn: dict[int, list[int]] = {}
        names: dict[int, int] = {}
        for triplet in sorted(triplets, key=lambda triplet: triplet.start):
            start, end = self._bins(triplet, num_bins)
            speaker = names.setdefault(triplet.speaker, len(names))
            last = last_turn.get(speaker)
            if last is not None and start < last[1]:
                last[1] = max(last[1], end)
                continue
            last_turn[speaker] = [start, end, speaker]
            turns.append(last_turn[speaker])
        if len(names) > self.num_speakers:
            raise VocabularyError(
                f"{len(names)} speakers in one window, {self.num_speakers} names in the vocabulary. Use a vocabulary "
                f"with more speakers or a shorter window."
            )
        return [self.triplet(*turn) for turn in turns]

    def _bins(self, triplet: Triplet, num_bins: int) -> tuple[int, int]:
        """First and last bin of a turn, at least one bin apart."""
        if triplet.end < triplet.start:
            raise VocabularyError(f"{triplet} ends before it starts.")
        start = min(self.quantize(triplet.start), num_bins - 2)
        return start, max(min(self.quantize(triplet.end), num_bins - 1), start + 1)


def speaker_name(speaker: int) -> str:
    """Name of a speaker by number: A, B, ..., Z, AA, AB, ..."""
    prefix, letter = divmod(speaker, 26)
    return (speaker_name(prefix - 1) if prefix else "") + chr(ord("A") + letter)


def quantization_report(window: float, num_speakers: int, errors: Iterable[float] = (0.01, 0.02, 0.03, 0.05)) -> str:
    """Table of the tokens needed for given errors, and of the errors of 512 and 1024 tokens, if these are enough.

    Parameters
    ----------
    window : float
        Seconds.
    num_speakers : int
        Number of speakers that the vocabulary names.
    errors : iterable of float
        Largest acceptable quantisation errors, in seconds.
    """
    rows = [Vocabulary.for_error(error, window, num_speakers) for error in errors]
    sizes = [size for size in (512, 1024) if size >= FIRST_TIME + num_speakers + 2]
    rows += [Vocabulary.of_size(size, window, num_speakers) for size in sizes]
    lines = [f"{'tokens':>7} {'bins':>6} {'bin (ms)':>9} {'largest error (ms)':>19} {'mean error (ms)':>16}"]
    lines += [
        f"{v.size:7d} {v.num_bins:6d} {1e3 * v.resolution:9.1f} {1e3 * v.max_error:19.1f} {5e2 * v.max_error:16.1f}"
        for v in sorted(rows, key=lambda vocabulary: vocabulary.size)
    ]
    return "\n".join(lines)


def _check_whole(name: str, number: int, what: str) -> None:
    if not is_whole(number, 1):
        raise VocabularyError(f"{name} is {number!r}; a vocabulary {what}, 1 or more.")


def _check_seconds(name: str, seconds: float) -> None:
    if not (is_number(seconds, SHORTEST) and seconds <= LONGEST):
        raise VocabularyError(
            f"{name} is {seconds!r}; it has to be a number of seconds from {SHORTEST:g} to {LONGEST:g}."
        )
