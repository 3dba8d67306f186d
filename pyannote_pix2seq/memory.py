"""How a chunk is prompted with the speakers known so far.

A prompt is up to 5 s of a known speaker. Prompts stand before the chunk, each followed by 200 ms of silence (in whole
audio tokens: 320), and the written sequence starts with their triplets: `A's prompt, silence, B's prompt, silence,
chunk`. Prompts are audio tokens, so a speaker of the recording is prompted with tokens that were computed when he was
heard. A prompt may be compact: one audio token that stands for all of the clip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pyannote.core import Segment, Timeline
from torch import Tensor

from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.joining import Spoken
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
        pieces += [clip.to(chunk.content.device), silence]
        position = end + len(silence.content)
    return Prompted(_concatenate([*pieces, chunk]), turns, position * token_duration)


def compact(clip: AudioTokens) -> AudioTokens:
    """One audio token in the place of those of a clip: the mean of their content, and of their voices' directions."""
    lengths = clip.voice.norm(dim=-1, keepdim=True).mean(0, keepdim=True)
    voice = F.normalize(clip.voice.sum(0, keepdim=True), dim=-1) * lengths
    return AudioTokens(clip.content.mean(0, keepdim=True), voice)


def num_silent_tokens(token_duration: float) -> int:
    """Audio tokens of the silence after a prompt."""
    return math.ceil(SILENCE / token_duration)


def cut(audio: AudioTokens, segment: Segment, token_duration: float) -> AudioTokens:
    """Audio tokens that lie within a segment: one at least."""
    first = min(math.ceil(segment.start / token_duration - 1e-6), len(audio.content) - 1)
    last = max(math.floor(segment.end / token_duration + 1e-6), first + 1)
    return AudioTokens(audio.content[first:last], audio.voice[first:last])


def solo_segments(turns: Sequence[Spoken], speaker: int) -> list[Segment]:
    """Where a speaker speaks and nobody else does, longest first."""
    own = Timeline(Segment(turn.start, turn.end) for turn in turns if turn.speaker == speaker).support()
    others = Timeline(Segment(turn.start, turn.end) for turn in turns if turn.speaker != speaker)
    return sorted(own.extrude(others), key=lambda segment: segment.duration, reverse=True)


def _concatenate(pieces: Sequence[AudioTokens]) -> AudioTokens:
    return AudioTokens(*(torch.cat(fields) for fields in zip(*pieces, strict=True)))


def _zeros_like(audio: AudioTokens, num_tokens: int) -> AudioTokens:
    def zeros(field: Tensor) -> Tensor:
        return field.new_zeros(num_tokens, *field.shape[1:])

    return AudioTokens(zeros(audio.content), zeros(audio.voice))
