"""Prompts: audio of known speakers before a chunk.

A prompt is up to 5 s of a known speaker. Prompts precede the chunk, each followed by 200 ms of silence (320 ms in whole
audio tokens), and the written sequence starts with their triplets: `A's prompt, silence, B's prompt, silence, chunk`.
Prompts are audio tokens, so a speaker of the recording is prompted with tokens that have already been computed. A
prompt may be compact: one audio token that summarises the whole clip, with the voice of all that its speaker said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pyannote.core import Segment, Timeline

from pyannote_pix2seq.frontends import TOKEN_DURATION, AudioTokens
from pyannote_pix2seq.joining import Spoken
from pyannote_pix2seq.numeric import rounded_down, rounded_up
from pyannote_pix2seq.vocabulary import Triplet

PROMPT = 5.0
"""Longest prompt, in seconds."""
SILENCE = 0.2
"""Silence after each prompt, in seconds, before it is rounded up to whole audio tokens."""
NUM_SILENT_TOKENS = rounded_up(SILENCE / TOKEN_DURATION)
"""Number of audio tokens of the silence after each prompt."""


class Prompted(NamedTuple):
    """A chunk preceded by its prompts.

    Attributes
    ----------
    audio : AudioTokens
        (num_tokens, ...), prompts and silences included.
    turns : list of Triplet
        One for each prompt, in seconds from the start of the first prompt.
    offset : float
        Start of the chunk, in seconds.
    """

    audio: AudioTokens
    turns: list[Triplet]
    offset: float


def prompt(clips: Sequence[AudioTokens], chunk: AudioTokens) -> Prompted:
    """Prepend prompts to a chunk.

    Parameters
    ----------
    clips : sequence of AudioTokens
        (num_tokens, ...) of speakers A, B, C...
    chunk : AudioTokens
        (num_tokens, ...)
    """
    silence = _zeros_like(chunk, NUM_SILENT_TOKENS)
    pieces: list[AudioTokens] = []
    turns: list[Triplet] = []
    position = 0
    for speaker, clip in enumerate(clips):
        end = position + len(clip.content)
        turns.append(Triplet(position * TOKEN_DURATION, end * TOKEN_DURATION, speaker))
        pieces += [clip.to(chunk.content.device), silence]
        position = end + len(silence.content)
    return Prompted(_concatenate([*pieces, chunk]), turns, position * TOKEN_DURATION)


def compact(clip: AudioTokens, voice: torch.Tensor | None = None) -> AudioTokens:
    """Average a clip into one audio token.

    Parameters
    ----------
    clip : AudioTokens
        (num_tokens, ...)
    voice : (voice_dim,) tensor, optional
        Voice of the speaker, of any length. Defaults to the clip's own voices, summed.

    Returns
    -------
    token : AudioTokens
        (1, ...): mean content and, for each of the voices of a token, the direction of `voice` and the mean norm.
    """
    norms = clip.voice.norm(dim=-1, keepdim=True).mean(0, keepdim=True)
    said = clip.voice.sum(0, keepdim=True) if voice is None else voice
    direction = F.normalize(said.float(), dim=-1).to(clip.voice)  # the sum of hours is beyond half precision
    return AudioTokens(clip.content.mean(0, keepdim=True), direction * norms)


def cut(audio: AudioTokens, segment: Segment) -> AudioTokens:
    """Audio tokens that lie entirely within a segment; if there are none, the one that its middle is in."""
    length = len(audio.content)
    first = rounded_up(segment.start / TOKEN_DURATION)
    last = min(rounded_down(segment.end / TOKEN_DURATION), length)
    if first >= last:
        first = min(int(segment.middle / TOKEN_DURATION), length - 1)
        last = first + 1
    return audio.at(slice(first, last))


def solo_segments(turns: Sequence[Spoken], speaker: int) -> list[Segment]:
    """Segments in which a speaker speaks alone, longest first."""
    own = Timeline(Segment(turn.start, turn.end) for turn in turns if turn.speaker == speaker).support()
    others = Timeline(Segment(turn.start, turn.end) for turn in turns if turn.speaker != speaker)
    return sorted(own.extrude(others), key=lambda segment: segment.duration, reverse=True)


def _concatenate(pieces: Sequence[AudioTokens]) -> AudioTokens:
    return AudioTokens(*(torch.cat(fields) for fields in zip(*pieces, strict=True)))


def _zeros_like(audio: AudioTokens, num_tokens: int) -> AudioTokens:
    return AudioTokens(*(field.new_zeros(num_tokens, *field.shape[1:]) for field in audio))
