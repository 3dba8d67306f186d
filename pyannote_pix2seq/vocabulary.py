"""The language: triplets <-> tokens, seconds <-> time bins, and the grammar. No audio, no network.

    0      1      2 ....................... 2 + num_bins ............... size
    <pad>  <eos>  time bins, in order       speakers A, B, C, ...

A recording is written `start end speaker start end speaker ... <eos>`: turns sorted by start time, speakers named in
the order in which they are first heard. `<pad>` at the very beginning of a written sequence reads `<diarize>`, the
token that asks the network to write; so no token is spent on it.

The token space follows Pix2Seq (Chen et al., "Pix2seq: A Language Modeling Framework for Object Detection", section
2.1): coordinates are quantised uniformly and share one vocabulary with the names of things.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

PAD = 0
EOS = 1
DIARIZE = PAD
FIRST_TIME = 2
TOKENS_PER_TRIPLET = 3


class VocabularyError(ValueError):
    """Times, speakers or sizes that the vocabulary cannot hold."""


class Triplet(NamedTuple):
    """One speaker turn.

    Attributes
    ----------
    start, end : float
        Seconds from the beginning of the window.
    speaker : int
        0 for A, the first speaker heard, 1 for B...
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
        Longest audio that can be written about, in seconds.
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
        if not 0 < 2 * self.resolution <= self.window:
            raise VocabularyError(
                f"A vocabulary with bins of {self.resolution} s does not fit a window of {self.window} s: the window "
                f"must hold two bins or more. Use a longer window or a finer resolution."
            )
        if self.num_speakers < 1:
            raise VocabularyError(f"num_speakers is {self.num_speakers}; a vocabulary names 1 speaker or more.")

    @classmethod
    def of_size(cls, size: int, window: float, num_speakers: int) -> Vocabulary:
        """Vocabulary of exactly `size` tokens: what padding, end and speakers leave becomes time bins.

        Raises
        ------
        VocabularyError
            If fewer than two tokens are left for time.
        """
        num_bins = size - FIRST_TIME - num_speakers
        if num_bins < 2:
            raise VocabularyError(
                f"{size} tokens with {num_speakers} speakers leave {num_bins} time bins for a window of {window} s; "
                f"2 or more are needed. Use {FIRST_TIME + num_speakers + 2} tokens or more."
            )
        return cls(window=window, resolution=window / num_bins, num_speakers=num_speakers)

    @classmethod
    def for_error(cls, error: float, window: float, num_speakers: int) -> Vocabulary:
        """Smallest vocabulary whose times are never wrong by more than `error` seconds."""
        num_bins = _ceil(window / (2 * error))
        return cls.of_size(FIRST_TIME + num_bins + num_speakers, window, num_speakers)

    @cached_property
    def num_bins(self) -> int:
        """Number of time bins."""
        return _ceil(self.window / self.resolution)

    @property
    def first_speaker(self) -> int:
        """Token of speaker A."""
        return FIRST_TIME + self.num_bins

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
        """Time bin that holds `seconds`.

        Raises
        ------
        VocabularyError
            If `seconds` lies outside the window.
        """
        if not -1e-6 <= seconds <= self.window + 1e-6:
            raise VocabularyError(
                f"{seconds:.3f} s is outside the window [0, {self.window}] s. Crop the turns to the window first."
            )
        return min(max(int(seconds / self.resolution + 1e-9), 0), self.num_bins - 1)

    def dequantize(self, time_bin: int) -> float:
        """Centre of a time bin, in seconds."""
        return min((time_bin + 0.5) * self.resolution, self.window)

    def encode(self, triplets: Iterable[Triplet], num_bins: int | None = None) -> list[int]:
        """Write turns as tokens, `<eos>` included.

        Turns may come in any order and speakers may carry any number: they are sorted by start time and renamed in
        order of first appearance. Turns of one speaker that touch each other after quantisation are joined where they
        overlap; a turn shorter than a bin becomes one bin long.

        Parameters
        ----------
        triplets : iterable of Triplet
        num_bins : int, optional
            Time bins that the audio has, where it is shorter than the window.

        Raises
        ------
        VocabularyError
            If a turn lies outside the window or ends before it starts, or there are more speakers than names.
        """
        tokens = [token for turn in self._quantized(triplets, num_bins or self.num_bins) for token in turn]
        return [*tokens, EOS]

    def decode(self, tokens: Sequence[int]) -> list[Triplet]:
        """Read tokens up to the first `<eos>`, `<pad>` or unfinished triplet.

        Raises
        ------
        VocabularyError
            If a token stands where the language has no place for it.
        """
        written = list(tokens)
        stop = next((i for i, token in enumerate(written) if token in (PAD, EOS)), len(written))
        complete = range(0, stop - stop % TOKENS_PER_TRIPLET, TOKENS_PER_TRIPLET)
        return [self._triplet(*written[i : i + TOKENS_PER_TRIPLET]) for i in complete]

    def _triplet(self, start: int, end: int, speaker: int) -> Triplet:
        is_time = all(FIRST_TIME <= token < self.first_speaker for token in (start, end))
        if not (is_time and self.first_speaker <= speaker < self.size):
            raise VocabularyError(
                f"({start}, {end}, {speaker}) is not a (start, end, speaker) triplet: times are tokens {FIRST_TIME} to "
                f"{self.first_speaker - 1}, speakers {self.first_speaker} to {self.size - 1}."
            )
        return Triplet(
            self.dequantize(start - FIRST_TIME),
            self.dequantize(end - FIRST_TIME),
            speaker - self.first_speaker,
        )

    def _quantized(self, triplets: Iterable[Triplet], num_bins: int) -> list[tuple[int, int, int]]:
        """Sorted, named and joined turns as (start, end, speaker) tokens."""
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
        return [(FIRST_TIME + s, FIRST_TIME + e, self.first_speaker + k) for s, e, k in turns]

    def _bins(self, triplet: Triplet, num_bins: int) -> tuple[int, int]:
        """First and last bin of a turn, at least one bin apart."""
        if triplet.end < triplet.start:
            raise VocabularyError(f"{triplet} ends before it starts.")
        start = min(self.quantize(triplet.start), num_bins - 2)
        return start, max(min(self.quantize(triplet.end), num_bins - 1), start + 1)


def speaker_name(speaker: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    prefix, letter = divmod(speaker, 26)
    return (speaker_name(prefix - 1) if prefix else "") + chr(ord("A") + letter)


def quantization_report(window: float, num_speakers: int, errors: Iterable[float] = (0.01, 0.02, 0.03, 0.05)) -> str:
    """Table of tokens needed for a wanted error, and of the error that 512 and 1024 tokens give.

    Parameters
    ----------
    window : float
        Seconds.
    num_speakers : int
        Speakers that the vocabulary names.
    errors : iterable of float
        Largest acceptable errors, in seconds.
    """
    rows = [Vocabulary.for_error(error, window, num_speakers) for error in errors]
    rows += [Vocabulary.of_size(size, window, num_speakers) for size in (512, 1024)]
    lines = [f"{'tokens':>7} {'bins':>6} {'bin (ms)':>9} {'largest error (ms)':>19} {'mean error (ms)':>16}"]
    lines += [
        f"{v.size:7d} {v.num_bins:6d} {1e3 * v.resolution:9.1f} {1e3 * v.max_error:19.1f} {5e2 * v.max_error:16.1f}"
        for v in sorted(rows, key=lambda vocabulary: vocabulary.size)
    ]
    return "\n".join(lines)


def grammar(
    vocabulary: Vocabulary,
    tokens: Tensor,
    min_speakers: int = 0,
    max_speakers: int | None = None,
    num_bins: Tensor | None = None,
    last: bool = False,
) -> Tensor:
    """What may be written after each prefix of `tokens`.

    Start, end and speaker come in turn; an end is later than its start; starts never go back; a new speaker is always
    the next letter; a speaker who is still speaking does not start again; the end of sequence stands between triplets
    only, and not before `min_speakers` have spoken; nothing but padding follows it. There is always something to write.

    Parameters
    ----------
    vocabulary : Vocabulary
    tokens : (batch, num_tokens) int64
        Sequences that follow the grammar themselves, without the leading `<diarize>`.
    min_speakers, max_speakers : int, optional
        How many speakers have to speak, and may. Defaults to any number that the vocabulary can name.
    num_bins : (batch,) int64, optional
        Time bins that the audio of each sequence has. Defaults to those of the whole window.
    last : bool, optional
        Return the last position only.

    Returns
    -------
    allowed : (batch, num_tokens + 1, size) bool, or (batch, 1, size) if `last`
        `allowed[:, i]` holds for the tokens that may stand at position `i`.
    """
    max_speakers = vocabulary.num_speakers if max_speakers is None else max_speakers
    if not 0 <= min_speakers <= max_speakers <= vocabulary.num_speakers or max_speakers < 1:
        raise VocabularyError(
            f"min_speakers={min_speakers} and max_speakers={max_speakers} were asked for; allowed is "
            f"0 <= min_speakers <= max_speakers and 1 <= max_speakers <= {vocabulary.num_speakers}."
        )
    if num_bins is None:
        num_bins = torch.full((len(tokens),), vocabulary.num_bins, device=tokens.device)
    position = torch.arange(tokens.shape[1] + 1, device=tokens.device)
    finished = torch.nn.functional.pad((tokens < FIRST_TIME).cumsum(1) > 0, (1, 0))
    if last:
        position, finished = position[-1:], finished[:, -1:]
    state = _GrammarState.read(vocabulary, tokens, max_speakers).at(position // TOKENS_PER_TRIPLET)
    phase = position % TOKENS_PER_TRIPLET
    times = _allowed_times(vocabulary, state, phase, num_bins[:, None])
    speakers = _allowed_speakers(state, max_speakers) & (phase == 2)[:, None]
    may_stop = (state.known >= min_speakers) | ~times.any(-1)
    eos = (may_stop & (phase == 0))[..., None]
    allowed = torch.cat([torch.zeros_like(eos), eos, times, speakers], dim=-1)
    padding = torch.zeros(vocabulary.size, dtype=torch.bool, device=tokens.device)
    padding[PAD] = True
    return torch.where(finished[..., None], padding, allowed)


def follows_grammar(vocabulary: Vocabulary, tokens: Tensor, **limits: Any) -> Tensor:
    """Whether each sequence of `tokens` (batch, num_tokens) follows the `grammar` within its limits: (batch,) bool."""
    allowed = grammar(vocabulary, tokens, **limits)[:, :-1]
    return allowed.gather(2, tokens[..., None]).squeeze(-1).all(1)


class _GrammarState(NamedTuple):
    """What the past says about the triplet that is being written."""

    start: Tensor
    """(batch, num_triplets) bin where it starts; meaningless before its start is written"""
    earliest: Tensor
    """(batch, num_triplets) first bin where it may start"""
    known: Tensor
    """(batch, num_triplets) number of speakers heard before it"""
    busy_until: Tensor
    """(batch, num_triplets, num_speakers) bin where each of them ends"""

    @classmethod
    def read(cls, vocabulary: Vocabulary, tokens: Tensor, max_speakers: int) -> _GrammarState:
        batch, num_tokens = tokens.shape
        num_triplets = num_tokens // TOKENS_PER_TRIPLET + 1
        padding = TOKENS_PER_TRIPLET * num_triplets - num_tokens
        triplets = torch.nn.functional.pad(tokens, (0, padding)).view(batch, num_triplets, TOKENS_PER_TRIPLET)
        start, end = (triplets[..., :2] - FIRST_TIME).clamp(0, vocabulary.num_bins - 1).unbind(-1)
        letter = torch.arange(vocabulary.num_speakers, device=tokens.device)
        spoken = (triplets[..., 2] - vocabulary.first_speaker)[..., None] == letter
        known = _before((spoken * (letter + 1)).amax(-1))
        busy_until = _before(spoken * end[..., None])
        is_absent = letter >= known[..., None]
        free_at = busy_until.masked_fill(is_absent, vocabulary.num_bins).amin(-1)
        free_at = torch.where(known < max_speakers, 0, free_at)
        return cls(start, torch.maximum(_before(start), free_at), known, busy_until)

    def at(self, triplet: Tensor) -> _GrammarState:
        return _GrammarState(*(field[:, triplet] for field in self))


def _before(value: Tensor) -> Tensor:
    """Running maximum over the triplets before each one, (batch, num_triplets, ...)."""
    return torch.cat([torch.zeros_like(value[:, :1]), value[:, :-1].cummax(1).values], dim=1)


def _allowed_times(vocabulary: Vocabulary, state: _GrammarState, phase: Tensor, num_bins: Tensor) -> Tensor:
    """(batch, num_positions, num_bins) bool."""
    first = torch.where(phase == 0, state.earliest, state.start + 1)
    stop = torch.where(phase == 0, num_bins - 1, num_bins)
    stop = torch.where(phase == 2, 0, stop)
    time_bin = torch.arange(vocabulary.num_bins, device=phase.device)
    return (time_bin >= first[..., None]) & (time_bin < stop[..., None])


def _allowed_speakers(state: _GrammarState, max_speakers: int) -> Tensor:
    """(batch, num_positions, num_speakers) bool."""
    letter = torch.arange(state.busy_until.shape[-1], device=state.known.device)
    known = state.known[..., None]
    is_free = (letter < known) & (state.busy_until <= state.start[..., None])
    return is_free | ((letter == known) & (letter < max_speakers))


def _ceil(number: float) -> int:
    """Smallest integer not below `number`, forgiving rounding errors of a division."""
    return math.ceil(number - 1e-6)
