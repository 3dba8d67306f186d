"""The speakers known so far, and how a chunk is prompted with them.

A prompt is up to 5 s of a known speaker. Prompts stand before the chunk, each followed by 200 ms of silence, and the
written sequence starts with their triplets: `A's prompt, silence, B's prompt, silence, chunk`. Prompts are audio
tokens, so a speaker of the recording is prompted with tokens that were computed when he was heard.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from pyannote.core import Segment, Timeline
from torch import Tensor

from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.vocabulary import Triplet

PROMPT = 5.0
"""Longest prompt, in seconds."""
SILENCE = 0.2
"""Silence after each prompt, in seconds."""


class Prompted(NamedTuple):
    """A chunk behind its prompts.

    Attributes
    ----------
    audio : AudioTokens
        (num_tokens, ...), prompts and silences included.
    turns : list of Triplet
        One for each prompt, in seconds from the beginning of the first prompt.
    offset : float
        Where the chunk begins, in seconds.
    """

    audio: AudioTokens
    turns: list[Triplet]
    offset: float


def prompt(clips: Sequence[AudioTokens], chunk: AudioTokens, token_duration: float) -> Prompted:
    """Put prompts before a chunk.

    Parameters
    ----------
    clips : sequence of AudioTokens
        (num_tokens, ...) of speakers A, B, C...
    chunk : AudioTokens
        (num_tokens, ...)
    token_duration : float
        Seconds.
    """
    silence = _zeros_like(chunk, num_silent_tokens(token_duration))
    pieces: list[AudioTokens] = []
    turns: list[Triplet] = []
    position = 0
    for speaker, clip in enumerate(clips):
        end = position + len(clip.content)
        turns.append(Triplet(position * token_duration, end * token_duration, speaker))
        pieces += [clip, silence]
        position = end + len(silence.content)
    return Prompted(_concatenate([*pieces, chunk]), turns, position * token_duration)


def num_silent_tokens(token_duration: float) -> int:
    """Audio tokens of the silence after a prompt."""
    return math.ceil(SILENCE / token_duration)


def cut(audio: AudioTokens, segment: Segment, token_duration: float) -> AudioTokens:
    """Audio tokens that lie within a segment: one at least."""
    first = min(math.ceil(segment.start / token_duration - 1e-6), len(audio.content) - 1)
    last = max(math.floor(segment.end / token_duration + 1e-6), first + 1)
    return AudioTokens(audio.content[first:last], audio.voice[first:last])


def solo_segments(turns: Iterable[Triplet], speaker: int) -> list[Segment]:
    """Where a speaker speaks and nobody else does, longest first."""
    turns = list(turns)
    own = Timeline(Segment(turn.start, turn.end) for turn in turns if turn.speaker == speaker).support()
    others = Timeline(Segment(turn.start, turn.end) for turn in turns if turn.speaker != speaker)
    alone = own.extrude(others) if others else own
    return sorted(alone, key=lambda segment: segment.duration, reverse=True)


def _concatenate(pieces: Sequence[AudioTokens]) -> AudioTokens:
    return AudioTokens(*(torch.cat(fields) for fields in zip(*pieces, strict=True)))


def _zeros_like(audio: AudioTokens, num_tokens: int) -> AudioTokens:
    def zeros(field: Tensor) -> Tensor:
        return field.new_zeros(num_tokens, *field.shape[1:])

    return AudioTokens(zeros(audio.content), zeros(audio.voice))


@dataclass
class KnownSpeaker:
    """Somebody who was heard.

    Attributes
    ----------
    clip : AudioTokens
        The best prompt so far, (num_tokens, ...).
    quality : float
        Seconds of the clip times the model's confidence in it.
    voice : (voice_dim,)
        Sum of the voices of all that he said alone; not scaled to unit length.
    last_heard : float
        Seconds from the beginning of the recording.
    """

    clip: AudioTokens
    quality: float
    voice: Tensor
    last_heard: float


class SpeakerMemory:
    """The speakers of a recording, in order of appearance.

    Parameters
    ----------
    token_duration : float
        Seconds.
    """

    def __init__(self, token_duration: float):
        self.token_duration = token_duration
        self.speakers: list[KnownSpeaker] = []

    def __len__(self) -> int:
        return len(self.speakers)

    def most_recent(self, count: int) -> list[int]:
        """Numbers of the `count` speakers who were heard last, in order of appearance."""
        recent = sorted(range(len(self)), key=lambda number: self.speakers[number].last_heard, reverse=True)
        return sorted(recent[:count])

    def clips(self, numbers: Sequence[int], seconds: float) -> list[AudioTokens]:
        """Prompts of some speakers; with the silence after each, they last no more than `seconds` together."""
        share = seconds / max(len(numbers), 1) - num_silent_tokens(self.token_duration) * self.token_duration
        num_tokens = max(int(min(share, PROMPT) / self.token_duration), 1)
        clips = (self.speakers[number].clip for number in numbers)
        return [AudioTokens(clip.content[:num_tokens], clip.voice[:num_tokens]) for clip in clips]

    def hear(self, audio: AudioTokens, turns: Sequence[Triplet], confidence: Sequence[float], time: float) -> None:
        """Learn from the turns of a chunk that starts at `time`; speakers carry their numbers in this memory."""
        for number in sorted({turn.speaker for turn in turns}):
            own = {turn: sure for turn, sure in zip(turns, confidence, strict=True) if turn.speaker == number}
            segments = solo_segments(turns, number) or _segments(own)
            best = max(segments, key=lambda segment: segment.duration)
            sure = max(own[turn] for turn in own if Segment(turn.start, turn.end) & best)
            clip = cut(audio, Segment(best.start, min(best.end, best.start + PROMPT)), self.token_duration)
            heard = KnownSpeaker(
                clip=clip,
                quality=len(clip.content) * self.token_duration * sure,
                voice=self._voice(audio, segments),
                last_heard=time + max(turn.end for turn in own),
            )
            self._update(number, heard)

    def embeddings(self) -> np.ndarray | None:
        """Mean voice of each speaker, (num_speakers, voice_dim), unit length; None where there are no voices."""
        if not self.speakers or not len(self.speakers[0].voice):
            return None
        voices = torch.stack([speaker.voice for speaker in self.speakers])
        return torch.nn.functional.normalize(voices.float(), dim=-1).cpu().numpy()

    def _update(self, number: int, heard: KnownSpeaker) -> None:
        if number == len(self):
            self.speakers.append(heard)
            return
        known = self.speakers[number]
        known.voice = known.voice + heard.voice
        known.last_heard = heard.last_heard
        if heard.quality > known.quality:
            known.clip, known.quality = heard.clip, heard.quality

    def _voice(self, audio: AudioTokens, segments: Iterable[Segment]) -> Tensor:
        """Sum of the first voice over segments, (voice_dim,); nothing where the frontend has no voices."""
        voice = audio.voice[:, :1].sum(1)
        sums = [cut(AudioTokens(voice, voice), segment, self.token_duration).voice.sum(0) for segment in segments]
        return torch.stack([voice.new_zeros(voice.shape[1]), *sums]).sum(0)


def _segments(turns: Iterable[Triplet]) -> list[Segment]:
    return [Segment(turn.start, turn.end) for turn in turns]
