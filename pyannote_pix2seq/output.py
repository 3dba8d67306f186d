"""Turns of a whole recording as what pyannote.audio 4 expects of a diarization pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pyannote.audio.pipelines.speaker_diarization import DiarizeOutput
from pyannote.core import Annotation, Segment, Timeline

SHORTEST_TURN = 0.01
"""Seconds."""


class Turn(NamedTuple):
    """One speaker turn of a recording.

    Attributes
    ----------
    start, end : float
        Seconds from the beginning of the recording.
    speaker : int
        Speakers are numbered in order of appearance.
    confidence : float
        Probability that the model gives to this turn.
    """

    start: float
    end: float
    speaker: int
    confidence: float

    @property
    def segment(self) -> Segment:
        """The turn without its speaker."""
        return Segment(self.start, self.end)


@dataclass
class Pix2SeqOutput(DiarizeOutput):
    """What pyannote.audio 4 expects, and how sure the model is.

    Attributes
    ----------
    speaker_diarization : Annotation
        Speakers are SPEAKER_00, SPEAKER_01... in order of appearance.
    exclusive_speaker_diarization : Annotation
        The same without overlap: where several people speak, the turn that the model is surest of is kept.
    speaker_embeddings : (num_speakers, dimension) array or None
        Mean voice of each speaker, unit length, in the order of `speaker_diarization.labels()`. None where the
        frontend has no voices.
    confidence : list of float
        Probability that the model gives to each turn of `speaker_diarization`, in the order of `itertracks()`.
    """

    confidence: Sequence[float] = ()


def to_output(turns: Iterable[Turn], uri: str, embeddings: np.ndarray | None) -> Pix2SeqOutput:
    """Make the output of a recording.

    Parameters
    ----------
    turns : iterable of Turn
    uri : str
        Name of the recording.
    embeddings : (num_speakers, dimension) array or None
        In order of appearance.
    """
    turns = sorted(turns)
    return Pix2SeqOutput(
        speaker_diarization=to_annotation(turns, uri),
        exclusive_speaker_diarization=to_annotation(exclusive(turns), uri),
        speaker_embeddings=embeddings,
        confidence=[turn.confidence for turn in turns],
    )


def to_annotation(turns: Iterable[Turn], uri: str) -> Annotation:
    """Turns with speakers called SPEAKER_00, SPEAKER_01...; tracks are numbered, so equal segments are kept apart."""
    annotation = Annotation(uri=uri)
    for track, turn in enumerate(sorted(turns)):
        annotation[turn.segment, f"{track:06d}"] = speaker_label(turn.speaker)
    return annotation


def speaker_label(number: int) -> str:
    """SPEAKER_00, SPEAKER_01..."""
    return f"SPEAKER_{number:02d}"


def clip(turns: Iterable[Turn], end: float) -> list[Turn]:
    """Turns that end with the recording; one that would start at its very end starts `SHORTEST_TURN` before."""
    return [turn._replace(start=min(turn.start, end - SHORTEST_TURN), end=min(turn.end, end)) for turn in turns]


def join(turns: Iterable[Turn], pause: float) -> list[Turn]:
    """Join turns of one speaker that overlap or have at most `pause` seconds between them.

    A joined turn is as sure as its parts are on average, each weighted by its duration.
    """
    joined: list[Turn] = []
    last: dict[int, int] = {}
    for turn in sorted(turns):
        index = last.setdefault(turn.speaker, len(joined))
        if index == len(joined):
            joined.append(turn)
        elif turn.start - joined[index].end <= pause:
            joined[index] = _union(joined[index], turn)
        else:
            last[turn.speaker] = len(joined)
            joined.append(turn)
    return joined


def exclusive(turns: Iterable[Turn]) -> list[Turn]:
    """Resolve overlap: every moment goes to the surest of the turns that claim it, and none is left to nobody."""
    taken = Timeline()
    parts: list[Turn] = []
    for turn in sorted(turns, key=lambda turn: turn.confidence, reverse=True):
        free = Timeline([turn.segment]).extrude(taken)
        parts += [turn._replace(start=segment.start, end=segment.end) for segment in free]
        taken = taken.add(turn.segment).support()
    return sorted(parts)


def _union(first: Turn, second: Turn) -> Turn:
    durations = np.array([first.segment.duration, second.segment.duration])
    confidence = float(np.average([first.confidence, second.confidence], weights=durations))
    return Turn(first.start, max(first.end, second.end), first.speaker, confidence)
