"""Speakers as they are remembered: a clip to prompt with, and a voice to compare and for compact prompts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

import torch
import torch.nn.functional as F
from pyannote.core import Segment

from pyannote_pix2seq.frontends import TOKEN_DURATION, AudioTokens
from pyannote_pix2seq.joining import shifted
from pyannote_pix2seq.output import Turn, speaker_label
from pyannote_pix2seq.prompts import NUM_SILENT_TOKENS, PROMPT, cut, solo_segments


@dataclass(eq=False, repr=False)
class Speaker:
    """A speaker, enrolled or found in the recording; the tensors are on the CPU.

    Attributes
    ----------
    clip : AudioTokens
        The best prompt so far, (num_tokens, ...).
    quality : float
        Seconds of the clip that fit into a prompt, times the model's confidence in it; 0 if the clip is of overlap.
    voice : (voice_dim,) tensor
        Sum of the first voices of all audio tokens in which the speaker speaks alone or, in a chain, from the
        speaker's second chunk on, voice of the speaker's `history.Group`; not of unit length.
    solo_duration : float
        Seconds in which the speaker speaks alone.
    last_heard : float
        End of the speaker's last turn, in seconds of the recording; minus infinity if the speaker was only enrolled.
    name : str or None
        Name of an enrolled speaker; None for all others.
    heard_by : str or None
        Digest of the frontend that an enrolled speaker was heard by, see `Frontend.digest`; None for all others.
    """

    clip: AudioTokens
    quality: float
    voice: torch.Tensor
    solo_duration: float
    last_heard: float = -math.inf
    name: str | None = None
    heard_by: str | None = None

    def __repr__(self) -> str:
        return f"Speaker({self.name or 'a stranger'}, {self.solo_duration:.1f} s alone)"

    def update(self, heard: Speaker) -> None:
        """Add what was found in another chunk: voices are summed, and the better of the two clips is kept.

        Parameters
        ----------
        heard : Speaker
            The same speaker in the other chunk.
        """
        self.voice = self.voice + heard.voice
        self.solo_duration += heard.solo_duration
        self.last_heard = max(self.last_heard, heard.last_heard)
        if heard.quality > self.quality:
            self.clip, self.quality = heard.clip, heard.quality


def merged(heard: Sequence[Speaker]) -> Speaker:
    """Merge what several chunks have of one speaker.

    Parameters
    ----------
    heard : sequence of Speaker
        At least one; none of them is changed.

    Returns
    -------
    speaker : Speaker
        With the name of the first.
    """
    person = replace(heard[0])
    for more in heard[1:]:
        person.update(more)
    return person


def speakers_in(audio: AudioTokens, turns: Sequence[Turn], start: float) -> dict[int, Speaker]:
    """Speakers of a chunk, with the clips and voices that it has of them.

    Parameters
    ----------
    audio : AudioTokens
        Of the chunk, (num_tokens, ...).
    turns : sequence of Turn
        In seconds of the recording.
    start : float
        Where the chunk begins, in seconds of the recording.

    Returns
    -------
    speakers : dict of int to Speaker
        By their numbers in `turns`. A clip is the beginning, at most 5 s, of the segment without overlap that has the
        most seconds (up to 5) times confidence. A speaker who never speaks alone has a clip and a voice of overlap.
    """
    turns = shifted(turns, -start)
    return {
        number: _speaker(audio, [turn for turn in turns if turn.speaker == number], turns, start)
        for number in sorted({turn.speaker for turn in turns})
    }


def _speaker(audio: AudioTokens, own: Sequence[Turn], turns: Sequence[Turn], start: float) -> Speaker:
    solo = solo_segments(turns, own[0].speaker)
    pieces = [(_sureness(segment, own), segment) for segment in solo or [turn.segment for turn in own]]
    quality, best = max(pieces)
    clip = cut(audio, Segment(best.start, min(best.end, best.start + PROMPT)))
    return Speaker(
        clip=clip.to("cpu", copy=True),  # a view would keep the whole chunk in memory
        quality=quality if solo else 0.0,
        voice=voice_of(audio, [segment for _, segment in pieces]),
        solo_duration=sum(segment.duration for segment in solo),
        last_heard=start + max(turn.end for turn in own),
    )


def _sureness(segment: Segment, own: Sequence[Turn]) -> float:
    """Seconds of a segment that fit into a prompt, times the confidence in the turn that it is part of."""
    confidence = max(turn.confidence for turn in own if turn.segment & segment)
    return min(segment.duration, PROMPT) * confidence


def voice_of(audio: AudioTokens, segments: Sequence[Segment], num_voices: int = 1) -> torch.Tensor:
    """Sum of the first voices of each audio token over segments.

    Parameters
    ----------
    audio : AudioTokens
        (num_tokens, ...)
    segments : sequence of Segment
        In seconds from the beginning of the audio; at least one.
    num_voices : int, optional
        How many voices of each token, if it has as many. Defaults to 1.

    Returns
    -------
    voice : (voice_dim,) tensor
        On the CPU; all zeros or empty where the frontend has no voices.
    """
    voices = [cut(audio, segment).voice[:, :num_voices].sum((0, 1)) for segment in segments]
    return torch.stack(voices).sum(0).cpu()


def directions(voices: Sequence[torch.Tensor]) -> torch.Tensor:
    """Scale voices to unit length.

    Parameters
    ----------
    voices : sequence of (voice_dim,) tensors

    Returns
    -------
    directions : (num_voices, voice_dim) float32 tensor
        (0, 0) if there are no voices.
    """
    return F.normalize(torch.stack(list(voices)).float(), dim=-1) if voices else torch.zeros(0, 0)


def numbered(known: Iterable[Speaker]) -> dict[int, Speaker]:
    """Number enrolled speakers -1, -2...; all others have the number in their label, from 0 on.

    Parameters
    ----------
    known : iterable of Speaker
        Enrolled speakers.

    Returns
    -------
    speakers : dict of int to Speaker
    """
    return {~index: speaker for index, speaker in enumerate(known)}


def new_numbers(known: Iterable[Speaker]) -> Iterator[int]:
    """Numbers of new speakers in order of appearance: 0, 1...

    Parameters
    ----------
    known : iterable of Speaker
        Enrolled speakers; a number whose label (SPEAKER_00...) is the name of one of them is skipped.

    Returns
    -------
    numbers : iterator of int
        Without end.
    """
    names = {speaker.name for speaker in known}
    return (number for number in count() if speaker_label(number) not in names)


def names_of(speakers: Mapping[int, Speaker]) -> dict[int, str]:
    """Names of the speakers who have one.

    Parameters
    ----------
    speakers : mapping of int to Speaker
        By number.

    Returns
    -------
    names : dict of int to str
        By number.
    """
    return {number: speaker.name for number, speaker in speakers.items() if speaker.name is not None}


def voices_of(speakers: Iterable[Speaker]) -> list[torch.Tensor]:
    """Voices of speakers.

    Parameters
    ----------
    speakers : iterable of Speaker

    Returns
    -------
    voices : list of (voice_dim,) tensors
    """
    return [speaker.voice for speaker in speakers]


def clips(speakers: Sequence[Speaker], seconds: float) -> list[AudioTokens]:
    """Clips of speakers, shortened so that all prompts fit into a duration.

    Parameters
    ----------
    speakers : sequence of Speaker
    seconds : float
        Longest duration of all prompts together, including the silence after each.

    Returns
    -------
    clips : list of AudioTokens
        Each at most 5 s long, and at least one audio token.
    """
    share = seconds / max(len(speakers), 1) - NUM_SILENT_TOKENS * TOKEN_DURATION
    num_tokens = max(int(min(share, PROMPT) / TOKEN_DURATION), 1)
    return [speaker.clip.at(slice(num_tokens)) for speaker in speakers]
