"""Speakers as they are remembered: a clip to prompt with, and a voice to compare."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import torch
import torch.nn.functional as F
from pyannote.core import Segment
from scipy.optimize import linear_sum_assignment

from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.memory import PROMPT, cut, num_silent_tokens, solo_segments
from pyannote_pix2seq.output import Turn, speaker_label

MIN_SIMILARITY = 0.45
"""Nobody is called by the name of an enrolled speaker unless the cosine of their voices is this or more."""
MIN_PRESENT = 1.0
"""Seconds that have to sound like somebody for him to be thought present."""


@dataclass(eq=False, repr=False)
class Speaker:
    """Somebody who was heard. What is remembered is on the CPU, wherever it was heard.

    Attributes
    ----------
    clip : AudioTokens
        The best prompt so far, (num_tokens, ...).
    quality : float
        Seconds of the clip times the model's confidence in it; 0 if others talk over it.
    voice : (voice_dim,) tensor
        Sum of the voices of all that he said alone; not scaled to unit length.
    alone : float
        Seconds that he spoke alone.
    last_heard : float
        Seconds from the beginning of the recording; minus infinity for somebody who was only enrolled.
    name : str or None
        What an enrolled speaker is called.
    """

    clip: AudioTokens
    quality: float
    voice: torch.Tensor
    solo_duration: float
    last_heard: float = -math.inf
    name: str | None = None

    def __repr__(self) -> str:
        return f"Speaker({self.name or 'a stranger'}, {self.solo_duration:.1f} s alone)"

    def update(self, heard: Speaker) -> None:
        """Hear more of him: his voice is that of all he said, his clip the better one."""
        self.voice = self.voice + heard.voice
        self.solo_duration += heard.solo_duration
        self.last_heard = max(self.last_heard, heard.last_heard)
        if heard.quality > self.quality:
            self.clip, self.quality = heard.clip, heard.quality


def merged(heard: Sequence[Speaker]) -> Speaker:
    """One person who was heard several times."""
    person = replace(heard[0])
    for more in heard[1:]:
        person.update(more)
    return person


def speakers_in(audio: AudioTokens, turns: Sequence[Turn], start: float, token_duration: float) -> dict[int, Speaker]:
    """What a chunk tells of its speakers.

    Parameters
    ----------
    audio : AudioTokens
        Of the chunk, (num_tokens, ...).
    turns : sequence of Turn
        In seconds of the recording.
    start : float
        Where the chunk begins, in seconds of the recording.
    token_duration : float
        Seconds.

    Returns
    -------
    speakers : dict
        By their numbers in `turns`. The clip of each is what he said alone, at most 5 s, that is longest and surest; of
        somebody who never speaks alone, it is of overlap.
    """
    turns = [turn.later(-start) for turn in turns]
    return {
        number: _hear(audio, [turn for turn in turns if turn.speaker == number], turns, start, token_duration)
        for number in sorted({turn.speaker for turn in turns})
    }


def _hear(
    audio: AudioTokens, own: Sequence[Turn], turns: Sequence[Turn], start: float, token_duration: float
) -> Speaker:
    solo = solo_segments(turns, own[0].speaker)
    pieces = [(_sureness(segment, own), segment) for segment in solo or [turn.segment for turn in own]]
    quality, best = max(pieces)
    clip = cut(audio, Segment(best.start, min(best.end, best.start + PROMPT)), token_duration)
    return Speaker(
        clip=clip.to("cpu", copy=True),  # or else all of the chunk would be kept
        quality=quality if solo else 0.0,
        voice=voice_of(audio, [segment for _, segment in pieces], token_duration),
        solo_duration=sum(segment.duration for segment in solo),
        last_heard=start + max(turn.end for turn in own),
    )


def _sureness(segment: Segment, own: Sequence[Turn]) -> float:
    """Seconds of a segment that fit into a prompt, times the confidence in the turn that it is from."""
    confidence = max(turn.confidence for turn in own if turn.segment & segment)
    return min(segment.duration, PROMPT) * confidence


def voice_of(audio: AudioTokens, segments: Sequence[Segment], token_duration: float) -> torch.Tensor:
    """Sum of the first voice over segments of audio, (voice_dim,); nothing where the frontend has no voices."""
    voices = [cut(audio, segment, token_duration).voice[:, :1].sum((0, 1)) for segment in segments]
    return torch.stack(voices).sum(0).cpu()


def directions(voices: Sequence[torch.Tensor]) -> torch.Tensor:
    """Voices (voice_dim,) of any length at unit length: (num_voices, voice_dim)."""
    return F.normalize(torch.stack(list(voices)).float(), dim=-1) if voices else torch.zeros(0, 0)


def numbered(known: Iterable[Speaker]) -> dict[int, Speaker]:
    """Enrolled people by their numbers: -1, -2... Those of strangers are the numbers in their labels."""
    return {~index: speaker for index, speaker in enumerate(known)}


def new_numbers(known: Iterable[Speaker]) -> Iterator[int]:
    """Numbers for strangers in order of appearance; those whose label is the name of somebody known are left out."""
    names = {speaker.name for speaker in known}
    return (number for number in count() if speaker_label(number) not in names)


def names_of(speakers: Mapping[int, Speaker]) -> dict[int, str]:
    """Names of those who have one, by their numbers."""
    return {number: speaker.name for number, speaker in speakers.items() if speaker.name is not None}


def voices_of(speakers: Iterable[Speaker]) -> list[torch.Tensor]:
    """What each of them sounds like."""
    return [speaker.voice for speaker in speakers]


def similarity(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> np.ndarray:
    """Cosines of voices, (len(first), len(second)); 0 where voices have no dimension."""
    if not first or not second:
        return np.zeros((len(first), len(second)))
    return (directions(first) @ directions(second).T).numpy()


def likeliest(speakers: Sequence[Speaker], audio: AudioTokens, count: int, token_duration: float) -> list[int]:
    """Numbers of the `count` speakers who may be heard in a chunk: whose voices sound in it, else who spoke last."""
    if len(speakers) <= count:
        return list(range(len(speakers)))
    voices = audio.voice.float().cpu() @ directions(voices_of(speakers)).T
    # (num_tokens, num_voices, num_speakers)
    best = voices.amax(1).sort(0, descending=True).values if voices.shape[1] else voices.sum(1)
    present = best[: round(MIN_PRESENT / token_duration)].mean(0).tolist()
    ranks = sorted(range(len(speakers)), key=lambda number: (present[number], speakers[number].last_heard))
    return sorted(ranks[-count:]) if count else []


def clips(speakers: Sequence[Speaker], seconds: float, token_duration: float) -> list[AudioTokens]:
    """Prompts of speakers; with the silence after each, they last no more than `seconds` together."""
    share = seconds / max(len(speakers), 1) - num_silent_tokens(token_duration) * token_duration
    num_tokens = max(int(min(share, PROMPT) / token_duration), 1)
    return [AudioTokens(*(field[:num_tokens] for field in speaker.clip)) for speaker in speakers]


def match(similarity: np.ndarray, threshold: float) -> dict[int, int]:
    """One-to-one pairs of rows and columns that are at least so similar, the most similar ones together."""
    gain = np.maximum(similarity - threshold, 0.0)
    pairs = zip(*linear_sum_assignment(gain, maximize=True), strict=True)
    return {int(row): int(column) for row, column in pairs if similarity[row, column] >= threshold}


def match_enrolled(known: Sequence[Speaker], voices: Sequence[torch.Tensor]) -> dict[int, int]:
    """Who of those that were enrolled sounds like which of some voices: one-to-one pairs of their indices."""
    return match(similarity(voices_of(known), voices), MIN_SIMILARITY)
