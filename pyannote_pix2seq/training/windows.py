"""Training windows: a chunk of an example, sometimes preceded by prompts, and its target sequence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from pyannote.core import Segment, Timeline
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pyannote_pix2seq.activity import rasterize
from pyannote_pix2seq.frontends import TOKEN_DURATION, AudioTokens, Frontend
from pyannote_pix2seq.joining import cropped, shifted
from pyannote_pix2seq.prompts import NUM_SILENT_TOKENS, PROMPT, compact, cut, prompt, solo_segments
from pyannote_pix2seq.simulation.turns import join_pauses
from pyannote_pix2seq.training.examples import CacheError, Example, ExampleCache
from pyannote_pix2seq.training.window_options import WindowOptions
from pyannote_pix2seq.vocabulary import PAD, TOKENS_PER_TRIPLET, Triplet, Vocabulary

SHORTEST_TARGET = 2 * Frontend.bin_duration
"""Minimum duration of a turn in a chunk, two time bins, in seconds: `crop` drops every shorter one, cut or not."""
SHORTEST_PROMPT = 1.0
"""Minimum duration of a prompt, in seconds."""
DENSE_CANDIDATES = 4
"""Number of windows out of which the one with the most overlap may be taken."""
MAX_TRIES = 1000
STRANGER = -1
"""Number of a speaker who does not speak in the example."""


class Window(NamedTuple):
    """Audio that the network reads at once, with its turns.

    Attributes
    ----------
    audio : AudioTokens
        (num_tokens, ...)
    turns : list of Triplet
        Those of the prompts first.
    num_prompts : int
    start : int
        First audio token of the chunk, after the prompts.
    """

    audio: AudioTokens
    turns: list[Triplet]
    num_prompts: int
    start: int

    @property
    def num_speakers(self) -> int:
        """Number of speakers, prompted ones included."""
        return len({turn.speaker for turn in self.turns})

    @property
    def overlap(self) -> float:
        """Duration of overlap of speakers, in seconds, counted once for each turn that overlaps an earlier one."""
        turns = join_pauses(self.turns, 0.0)  # annotations of real recordings may have a speaker twice at once
        ends = accumulate((turn.end for turn in turns), max, initial=0.0)
        return sum(max(min(end, turn.end) - turn.start, 0.0) for end, turn in zip(ends, turns, strict=False))


@dataclass(frozen=True)
class Batch:
    """Windows, padded to the longest.

    Attributes
    ----------
    audio : AudioTokens
        (batch, num_audio_tokens, ...)
    lengths : (batch,) int64
        Number of audio tokens, without padding.
    num_bins : (batch,) int64
        Number of time bins, without padding.
    starts : (batch,) int64
        Number of audio tokens of prompts.
    tokens : (batch, num_tokens) int64
        Targets, `<eos>` and padding included.
    num_given : (batch,) int64
        Number of targets at the start that are given by the prompts.
    activity : (batch, num_bins, num_speakers)
        1 where a speaker is active.
    """

    audio: AudioTokens
    lengths: Tensor
    num_bins: Tensor
    starts: Tensor
    tokens: Tensor
    num_given: Tensor
    activity: Tensor

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device) -> Batch:
        """Move to another device; Lightning calls this."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class WindowSampler:
    """Draws windows from examples.

    Parameters
    ----------
    frontend : Frontend
        The one that made the examples.
    options : WindowOptions
    """

    frontend: Frontend
    options: WindowOptions

    def draw(self, examples: ExampleCache, rng: np.random.Generator) -> Window:
        """A random window of a random example.

        Raises
        ------
        CacheError
            If `MAX_TRIES` windows in a row have too many speakers.
        """
        num_windows = DENSE_CANDIDATES if rng.random() < self.options.dense_probability else 1
        return max((self._draw(examples, rng) for _ in range(num_windows)), key=lambda window: window.overlap)

    def _draw(self, examples: ExampleCache, rng: np.random.Generator) -> Window:
        for _ in range(MAX_TRIES):
            example = self._heard(_any(examples, rng))
            place = self._place(example, rng)
            clips = self._clips(example, place, rng) if rng.random() < self.options.prompted_probability else {}
            if rng.random() < self.options.stranger_probability:
                clips |= self._stranger(self._heard(_any(examples, rng)), example.names, rng)
            if rng.random() < self.options.compact_probability and self.frontend.frozen:
                clips = {speaker: compact(clip) for speaker, clip in clips.items()}
            chunk = crop(example, place)
            clips = dict(sorted(clips.items(), key=lambda _: rng.random()))
            window = self.window(chunk, self._that_fit(clips))
            if window.num_speakers <= self.options.max_speakers:
                return window
        raise CacheError(
            f"{MAX_TRIES} windows all had more than {self.options.max_speakers} speakers. Use shorter "
            f"chunks, fewer prompts or a model that names more speakers."
        )

    def beginning(self, example: Example) -> Window:
        """The first chunk of an example, without prompts: the same window every time."""
        num_tokens = min(self.options.max_tokens, len(example.audio.content))
        place = Segment(0, num_tokens * TOKEN_DURATION)
        return self.window(crop(example, place), {})

    def window(self, chunk: Example, clips: dict[int, AudioTokens]) -> Window:
        """Window of a chunk after prompts, which are clips by speaker number; their speakers may be absent from it."""
        audio, turns, offset = prompt(list(clips.values()), chunk.audio)
        names = {speaker: number for number, speaker in enumerate(clips)}
        for start, end, speaker in chunk.turns:
            name = names.setdefault(speaker, len(names))
            turns.append(Triplet(start + offset, end + offset, name))
        return Window(audio, turns, len(clips), len(audio.content) - len(chunk.audio.content))

    def _heard(self, example: Example) -> Example:
        """An example without the turns that are inaudible, see `WindowOptions.min_audibility`."""
        speech = self.frontend.speech(example.audio.content.float())
        turns = [
            turn
            for turn in example.turns
            if speech[int(turn.start / TOKEN_DURATION) : math.ceil(turn.end / TOKEN_DURATION)].mean()
            >= self.options.min_audibility
        ]
        return replace(example, turns=turns)

    def _that_fit(self, clips: dict[int, AudioTokens]) -> dict[int, AudioTokens]:
        """The first clips, as many as fit the maximum duration of prompts."""
        lengths = np.cumsum([len(clip.content) + NUM_SILENT_TOKENS for clip in clips.values()])
        num_clips = int((lengths <= self.frontend.whole_tokens(self.options.prompt_duration)).sum())
        return dict(list(clips.items())[:num_clips])

    def _place(self, example: Example, rng: np.random.Generator) -> Segment:
        """Random segment for the chunk, on the grid of audio tokens."""
        longest = min(self.options.max_tokens, len(example.audio.content))
        is_shorter = rng.random() < self.options.shorter_probability
        num_tokens = int(rng.integers(longest // 6 + 1, longest + 1)) if is_shorter else longest
        first = int(rng.integers(len(example.audio.content) - num_tokens + 1))
        return Segment(first * TOKEN_DURATION, (first + num_tokens) * TOKEN_DURATION)

    def _clips(self, example: Example, place: Segment, rng: np.random.Generator) -> dict[int, AudioTokens]:
        """Random clips of speakers who speak alone outside `place`; each speaker is left out with probability 0.2."""
        clips = {}
        for speaker in sorted({turn.speaker for turn in example.turns}):
            alone = Timeline(solo_segments(example.turns, speaker)).extrude(place)
            longest = max(alone, key=lambda part: part.duration, default=Segment())
            seconds = min(longest.duration, rng.uniform(SHORTEST_PROMPT, PROMPT + 2), PROMPT)
            if seconds >= SHORTEST_PROMPT and rng.random() < 0.8:
                start = longest.start + rng.uniform(0, longest.duration - seconds)
                clip = self._shifted(Segment(start, start + seconds), place, rng)
                clips[speaker] = cut(example.audio, clip)
        return clips

    def _stranger(self, other: Example, names: Sequence[str], rng: np.random.Generator) -> dict[int, AudioTokens]:
        """A clip of a speaker of another example who has none of these names, if there is one."""
        clips = self._clips(other, Segment(), rng)
        return dict(zip([STRANGER], (clip for k, clip in clips.items() if other.names[k] not in names), strict=False))

    def _shifted(self, clip: Segment, place: Segment, rng: np.random.Generator) -> Segment:
        """A clip, sometimes shifted so that part of it may be another speaker's, but not into `place`."""
        shift = rng.uniform(-0.3, 0.3) * clip.duration * (rng.random() < self.options.shifted_probability)
        moved = Segment(max(clip.start + shift, 0.0), clip.end + shift)
        return clip if moved & place else moved


def crop(example: Example, place: Segment) -> Example:
    """Crop an example to a segment on the grid of audio tokens."""
    turns = shifted(cropped(example.turns, place.start, place.end, SHORTEST_TARGET), -place.start)
    return replace(example, audio=cut(example.audio, place), turns=turns)


def collate(windows: Sequence[Window], vocabulary: Vocabulary, bins_per_token: int) -> Batch:
    """Pad windows to the longest, and encode their target sequences.

    Parameters
    ----------
    windows : sequence of Window
    vocabulary : Vocabulary
    bins_per_token : int
        Time bins in an audio token.

    Raises
    ------
    VocabularyError
        As `Vocabulary.encode` does: if a turn lies outside the vocabulary's window or ends before it starts, a window
        has more speakers than there are names, or it has less than two time bins.
    """
    num_bins = [bins_per_token * len(window.audio.content) for window in windows]
    written = [vocabulary.encode(window.turns, n) for window, n in zip(windows, num_bins, strict=True)]
    tokens = pad_sequence([torch.tensor(sequence) for sequence in written], batch_first=True, padding_value=PAD)
    audio = AudioTokens.padded([window.audio for window in windows]).to(torch.float)
    activity = torch.zeros(len(windows), max(num_bins), vocabulary.num_speakers)
    for example, sequence in zip(activity, written, strict=True):
        rasterize(vocabulary, sequence, example)
    return Batch(
        audio=audio,
        lengths=torch.tensor([len(window.audio.content) for window in windows]),
        num_bins=torch.tensor(num_bins),
        starts=torch.tensor([window.start for window in windows]),
        tokens=tokens,
        num_given=torch.tensor([TOKENS_PER_TRIPLET * window.num_prompts for window in windows]),
        activity=activity,
    )


def _any(examples: ExampleCache, rng: np.random.Generator) -> Example:
    return examples[int(rng.integers(len(examples)))]
