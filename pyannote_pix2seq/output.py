"""Turns of a whole recording as what pyannote.audio 4 expects of a diarization pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from pyannote.audio.pipelines.speaker_diarization import DiarizeOutput
from pyannote.core import Annotation, Segment

from pyannote_pix2seq.joining import joined

SHORTEST_TURN = 0.01
"""Seconds."""


class Turn(NamedTuple):
    """One speaker turn.

    Attributes
    ----------
    start, end : float
        Seconds from the beginning of the recording or, where that is said, of a chunk.
    speaker : int
        Number of the speaker.
    confidence : float
        Probability that the model gives to this turn; parts of one that were told to several people share it.
    """

    start: float
    end: float
    speaker: int
    confidence: float

    @property
    def segment(self) -> Segment:
        """The turn without its speaker."""
        return Segment(self.start, self.end)

    def later(self, seconds: float) -> Turn:
        """The turn so many seconds later."""
        return self._replace(start=self.start + seconds, end=self.end + seconds)

    def within(self, start: float, end: float) -> Turn:
        """The part of the turn between two moments, or the `SHORTEST_TURN` nearest to it."""
        first = min(max(self.start, start), end - SHORTEST_TURN)
        return self._replace(start=first, end=max(min(self.end, end), first + SHORTEST_TURN))


@dataclass
class Pix2SeqOutput(DiarizeOutput):
    """What pyannote.audio 4 expects, and how sure the model is.

    Attributes
    ----------
    speaker_diarization : Annotation
        Speakers are SPEAKER_00, SPEAKER_01... in order of appearance, or have the names that they were enrolled by.
    exclusive_speaker_diarization : Annotation
        The same without overlap: where several people speak, the turn that the model is surest of is kept. As with
        pyannote.audio's own, whoever never speaks alone and is never the surest has no turn.
    speaker_embeddings : (num_speakers, dimension) array or None
        Mean voice of each speaker, unit length, in the order of `speaker_diarization.labels()`. None where the
        frontend has no voices.
    confidence : list of float
        Probability that the model gives to each turn of `speaker_diarization`, in the order of `itertracks()`.
    """

    confidence: Sequence[float] = ()

    def serialize(self) -> dict[str, Any]:
        """What pyannote.audio makes for JSON, with the confidence of each turn of "diarization"."""
        content = super().serialize()
        for turn, sure in zip(content["diarization"], self.confidence, strict=bool(self.confidence)):
            turn["confidence"] = round(float(sure), 3)
        return content


def to_output(
    turns: Iterable[Turn], uri: str, voices: Mapping[int, np.ndarray], dimension: int, names: Mapping[int, str]
) -> Pix2SeqOutput:
    """Make the output of a recording.

    Parameters
    ----------
    turns : iterable of Turn
    uri : str
        Name of the recording.
    voices : mapping of int to (dimension,) array
        Mean voice of each speaker, of unit length.
    dimension : int
        0 where there are no voices.
    names : mapping of int to str
        What speakers are called; those who are not in it are strangers.
    """
    turns = sorted(turns)
    labels = {speaker: label_of(speaker, names) for speaker in {turn.speaker for turn in turns}}
    order = sorted(labels, key=lambda speaker: labels[speaker])
    embeddings = np.array([voices[speaker] for speaker in order], np.float32).reshape(len(order), dimension)
    return Pix2SeqOutput(
        speaker_diarization=to_annotation(turns, uri, labels),
        exclusive_speaker_diarization=to_annotation(exclusive(turns), uri, labels),
        speaker_embeddings=embeddings if dimension else None,
        confidence=[turn.confidence for turn in turns],
    )


def to_annotation(turns: Iterable[Turn], uri: str, labels: Mapping[int, str]) -> Annotation:
    """Turns with the labels of their speakers; tracks are numbered, so equal segments are kept apart."""
    annotation = Annotation(uri=uri)
    for track, turn in enumerate(sorted(turns)):
        annotation[turn.segment, f"{track:06d}"] = labels[turn.speaker]
    return annotation


def label_of(speaker: int, names: Mapping[int, str]) -> str:
    """The name of a speaker; a stranger is called after his number."""
    return names[speaker] if speaker in names else speaker_label(speaker)


def speaker_label(number: int) -> str:
    """SPEAKER_00, SPEAKER_01..."""
    return f"SPEAKER_{number:02d}"


def join(turns: Iterable[Turn], pause: float) -> list[Turn]:
    """Join turns of one speaker that overlap or have at most `pause` seconds between them.

    A joined turn is as sure as its parts are on average, each weighted by its duration.
    """
    return joined(turns, lambda before, turn: turn.start - before.end <= pause, _union)


def exclusive(turns: Iterable[Turn]) -> list[Turn]:
    """Resolve overlap: every moment goes to the surest of the turns that claim it, and none is left to nobody."""
    ranked = sorted(turns, key=lambda turn: turn.confidence, reverse=True)
    waiting = sorted(range(len(ranked)), key=lambda rank: ranked[rank].start, reverse=True)
    edges = sorted({edge for turn in ranked for edge in (turn.start, turn.end)})
    active: list[int] = []  # a heap, the surest first
    parts: list[tuple[int, float, float]] = []
    for start, end in pairwise(edges):
        while waiting and ranked[waiting[-1]].start <= start:
            heappush(active, waiting.pop())
        while active and ranked[active[0]].end <= start:
            heappop(active)
        if active and parts and parts[-1][0] == active[0] and parts[-1][2] == start:
            parts[-1] = (active[0], parts[-1][1], end)
        elif active:
            parts.append((active[0], start, end))
    return [ranked[rank]._replace(start=start, end=end) for rank, start, end in parts]


def _union(first: Turn, second: Turn) -> Turn:
    durations = np.array([first.segment.duration, second.segment.duration])
    confidence = float(np.average([first.confidence, second.confidence], weights=durations))
    return Turn(first.start, max(first.end, second.end), first.speaker, confidence)
