"""Attribution: the speakers of turns, checked against voices.

A model that is prompted with speakers may write a turn for one whose voice it does not have, or continue a turn after
another speaker has taken over. Where there is no overlap, the voice of the turn shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise

import numpy as np
import torch
import torch.nn.functional as F
from pyannote.core import Segment, Timeline

from pyannote_pix2seq.frontends import TOKEN_DURATION, AudioTokens
from pyannote_pix2seq.output import Turn, join
from pyannote_pix2seq.strategies.speakers import Speaker, directions, voice_of, voices_of

ATTRIBUTED_DURATION = 2.0
"""Approximate length of the parts of a turn that are each assigned to one speaker, in seconds."""
MIN_SOLO = 0.5
"""Least seconds without overlap for the voice of a part to count."""
MARGIN = 0.1
"""A part is reassigned if its cosine with another speaker's voice is larger than with its own speaker's by more than
this."""
REACH = 0.4
"""Where the next part has another speaker, the boundary between the two moves by at most this share of a part, and
not into overlap."""


def attribute(turns: Sequence[Turn], audio: AudioTokens, speakers: Sequence[Speaker]) -> list[Turn]:
    """Reassign parts of turns to the speakers whose voices they clearly have.

    Parameters
    ----------
    turns : sequence of Turn
        In seconds from the beginning of the audio.
    audio : AudioTokens
        (num_tokens, ...)
    speakers : sequence of Speaker
        Speakers 0, 1, ... of the turns: their turns may be reassigned, to one another. Turns of others stay as they
        are.
    """
    if not speakers or not audio.voice.shape[1]:
        return list(turns)
    attribution = _Attribution(turns, audio, directions(voices_of(speakers)))
    parts = (attribution.parts(turn) if turn.speaker in attribution.others else [turn] for turn in turns)
    return join(chain.from_iterable(parts), 0.0)


def parts_of(turn: Turn, seconds: float) -> Iterator[Turn]:
    """Equal parts of a turn, of about `seconds` seconds each."""
    edges = np.linspace(turn.start, turn.end, max(round(turn.segment.duration / seconds), 1) + 1).tolist()
    return (turn._replace(start=start, end=end) for start, end in pairwise(edges))


def solo_voice(
    part: Turn, others: Iterable[Segment], audio: AudioTokens, num_voices: int = 1
) -> tuple[torch.Tensor | None, float]:
    """Voice of a part of a turn, where nobody else speaks.

    Parameters
    ----------
    part : Turn
        In seconds from the beginning of the audio.
    others : iterable of Segment
        Turns of all other speakers.
    audio : AudioTokens
        (num_tokens, ...)
    num_voices : int, optional
        How many voices of each audio token are summed, see `voice_of`. Defaults to 1.

    Returns
    -------
    voice : (voice_dim,) tensor or None
        Sum of the first voices; None if there are fewer than `MIN_SOLO` seconds without overlap.
    seconds : float
        Seconds without overlap.
    """
    segments = list(Timeline([part.segment]).extrude(Timeline(others)))
    seconds = sum(segment.duration for segment in segments)
    voice = voice_of(audio, segments, num_voices) if seconds >= MIN_SOLO else None
    return voice, seconds


class _Attribution:
    """Turns whose parts are compared with the voices of speakers, (num_speakers, voice_dim), of unit length."""

    def __init__(self, turns: Sequence[Turn], audio: AudioTokens, voices: torch.Tensor):
        self.audio = audio
        self.voices = voices
        self.others = {
            speaker: [turn.segment for turn in turns if turn.speaker != speaker] for speaker in range(len(voices))
        }

    def parts(self, turn: Turn) -> Iterator[Turn]:
        """Parts of a turn, each assigned to the speaker whose voice it has, with boundaries where the voice changes."""
        others = self.others[turn.speaker]
        parts = [self._assigned(part, others) for part in parts_of(turn, ATTRIBUTED_DURATION)]
        borders = [self._border(*two, others) for two in pairwise(parts)]
        starts, ends = [turn.start, *borders], [*borders, turn.end]
        return (part._replace(start=start, end=end) for part, start, end in zip(parts, starts, ends, strict=True))

    def _assigned(self, part: Turn, others: list[Segment]) -> Turn:
        voice, _ = solo_voice(part, others, self.audio)
        if voice is None:
            return part
        cosines = self.voices @ F.normalize(voice.float(), dim=0)
        # (num_speakers,)
        likeliest = int(cosines.argmax())
        is_clear = cosines[likeliest] - cosines[part.speaker] > MARGIN
        return part._replace(speaker=likeliest) if is_clear else part

    def _border(self, part: Turn, following: Turn, others: list[Segment]) -> float:
        """The boundary after a part: where its speaker's voice gives way to the following one's, if these differ."""
        if part.speaker == following.speaker:
            return part.end
        reach = REACH * part.segment.duration
        near = Timeline([Segment(part.end - reach, part.end + reach)]).extrude(Timeline(others))
        alone = [segment for segment in near if segment.start <= part.end <= segment.end]
        if not alone:
            return part.end
        first, last = (round(edge / TOKEN_DURATION) for edge in (alone[0].start, alone[-1].end))
        difference = self.voices[part.speaker] - self.voices[following.speaker]
        nearer = self.audio.voice[first:last, 0].float().cpu() @ difference
        return (first + int(F.pad(nearer.cumsum(0), (1, 0)).argmax())) * TOKEN_DURATION
