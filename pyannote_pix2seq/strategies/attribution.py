"""Whose turns they are: what was written, checked against voices.

A model that is prompted with people may write a turn for one who does not sound like it, or go on with a turn while
somebody else takes over. Where a turn is nobody else's, its voice says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise

import numpy as np
import torch
import torch.nn.functional as F
from pyannote.core import Segment, Timeline

from pyannote_pix2seq.frontends import AudioTokens
from pyannote_pix2seq.output import Turn, join
from pyannote_pix2seq.strategies.speakers import Speaker, directions, voice_of, voices_of

PART_DURATION = 2.0
"""Seconds of a turn, about, that are told to one speaker as a whole."""
MIN_SOLO = 0.5
"""Seconds that nobody else may speak for the voice of a part to count."""
MARGIN = 0.1
"""A part is somebody else's if the cosine of its voice and his is larger by more than this."""
REACH = 0.4
"""Where the next part is told to another speaker, up to this share of each may go over to the other, unless others talk
over it."""


def attribute(
    turns: Sequence[Turn], audio: AudioTokens, speakers: Sequence[Speaker], token_duration: float
) -> list[Turn]:
    """Give parts of turns to those of whom they are clearly the voice.

    Parameters
    ----------
    turns : sequence of Turn
        In seconds from the beginning of the audio.
    audio : AudioTokens
        (num_tokens, ...)
    speakers : sequence of Speaker
        Those whom a part may be given to: numbers 0, 1, ... of the turns. Turns of others stay as they are.
    token_duration : float
        Seconds.
    """
    if not speakers or not audio.voice.shape[1]:
        return list(turns)
    voices = directions(voices_of(speakers))
    others = {speaker: [turn.segment for turn in turns if turn.speaker != speaker] for speaker in range(len(voices))}
    reassigned = (
        _reassigned(turn, others[turn.speaker], audio, voices, token_duration) if turn.speaker in others else [turn]
        for turn in turns
    )
    return join(chain.from_iterable(reassigned), 0.0)


def parts_of(turn: Turn, seconds: float) -> Iterator[Turn]:
    """Equal parts of a turn, of about so many seconds."""
    edges = np.linspace(turn.start, turn.end, max(round(turn.segment.duration / seconds), 1) + 1).tolist()
    return (turn._replace(start=start, end=end) for start, end in pairwise(edges))


def solo_voice(
    part: Turn, others: Iterable[Segment], audio: AudioTokens, token_duration: float
) -> tuple[torch.Tensor | None, float]:
    """What the speaker of a part of a turn sounds like where nobody else speaks.

    Parameters
    ----------
    part : Turn
        In seconds from the beginning of the audio.
    others : iterable of Segment
        Turns of everybody else.
    audio : AudioTokens
        (num_tokens, ...)
    token_duration : float
        Seconds.

    Returns
    -------
    voice : (voice_dim,) tensor or None
        Sum of the first voices; None if nobody else speaks for less than `MIN_SOLO`.
    seconds : float
        For how long nobody else speaks.
    """
    segments = list(Timeline([part.segment]).extrude(Timeline(others)))
    seconds = sum(segment.duration for segment in segments)
    return (voice_of(audio, segments, token_duration) if seconds >= MIN_SOLO else None), seconds


def _attributed(
    part: Turn, others: list[Segment], audio: AudioTokens, voices: torch.Tensor, token_duration: float
) -> Turn:
    voice, _ = solo_voice(part, others, audio, token_duration)
    if voice is None:
        return part
    cosines = voices @ F.normalize(voice.float(), dim=0)
    # (num_speakers,)
    likeliest = int(cosines.argmax())
    is_clear = cosines[likeliest] - cosines[part.speaker] > MARGIN
    return part._replace(speaker=likeliest) if is_clear else part


def _reassigned(
    turn: Turn, others: list[Segment], audio: AudioTokens, voices: torch.Tensor, token_duration: float
) -> Iterator[Turn]:
    """Parts of a turn, each told to whom it sounds like, up to where its voice becomes that of the next."""
    parts = [_attributed(part, others, audio, voices, token_duration) for part in parts_of(turn, PART_DURATION)]
    borders = [_border(*two, others, audio, voices, token_duration) for two in pairwise(parts)]
    starts, ends = [turn.start, *borders], [*borders, turn.end]
    return (part._replace(start=start, end=end) for part, start, end in zip(parts, starts, ends, strict=True))


def _border(
    part: Turn, following: Turn, others: list[Segment], audio: AudioTokens, voices: torch.Tensor, token_duration: float
) -> float:
    """The end of a part, or where most that sounds like its speaker lies before and like the following one behind."""
    if part.speaker == following.speaker:
        return part.end
    reach = REACH * part.segment.duration
    near = Timeline([Segment(part.end - reach, part.end + reach)]).extrude(Timeline(others))
    alone = [segment for segment in near if segment.start <= part.end <= segment.end]
    if not alone:
        return part.end
    first, last = (round(edge / token_duration) for edge in (alone[0].start, alone[-1].end))
    nearer = audio.voice[first:last, 0].float().cpu() @ (voices[part.speaker] - voices[following.speaker])
    return (first + int(F.pad(nearer.cumsum(0), (1, 0)).argmax())) * token_duration
