"""Turns of a whole recording, and the output that pyannote.audio 4 expects of a diarization pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from pyannote.audio.pipelines.speaker_diarization import DiarizeOutput
from pyannote.core import Annotation, Segment

from pyannote_pix2seq.annotation import annotation_of
from pyannote_pix2seq.joining import joined

SHORTEST_TURN = 0.01
"""Minimum duration of a turn, in seconds."""


class Turn(NamedTuple):
    """One speaker turn.

    Attributes
    ----------
    start, end : float
        Seconds from the start of the recording or, where stated, of a chunk.
    speaker : int
        Number of the speaker.
    confidence : float
        Probability of this turn according to the model, or share of the samples that agree on it, see
        `decoding.search.Hypothesis`; parts of a turn that are attributed to different speakers share it.
    """

    start: float
    end: float
    speaker: int
    confidence: float

    @property
    def segment(self) -> Segment:
        """Segment of the turn."""
        return Segment(self.start, self.end)

    def within(self, start: float, end: float) -> Turn:
        """The part of the turn between two times or, if that is too short, the nearest `SHORTEST_TURN` between them."""
        first = min(max(self.start, start), end - SHORTEST_TURN)
        return self._replace(start=first, end=max(min(self.end, end), first + SHORTEST_TURN))


@dataclass
class Pix2SeqOutput(DiarizeOutput):
    """Output that pyannote.audio 4 expects, with the confidence of each turn.

    Attributes
    ----------
    speaker_diarization : Annotation
        Speakers are SPEAKER_00, SPEAKER_01... in order of appearance, or have the names that they were enrolled under.
        Where a chain has to find more of them than it hears, to reach a minimum, they may be out of order.
    exclusive_speaker_diarization : Annotation
        The same without overlap: where several speakers are active, the turn with the highest confidence is kept. As
        in pyannote.audio, a speaker who never speaks alone and never has the highest confidence has no turn.
    speaker_embeddings : (num_speakers, dimension) array or None
        Mean voice (speaker embedding) of each speaker, of unit length, in the order of `speaker_diarization.labels()`.
        None if the frontend has no voices.
    confidence : list of float
        Probability of each turn of `speaker_diarization` according to the model, in the order of `itertracks()`.
    """

    confidence: Sequence[float] = ()

    def serialize(self) -> dict[str, Any]:
        """Convert to what JSON can hold, as pyannote.audio does, with the confidence of each turn of "diarization"."""
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
        Dimension of a voice; 0 if there are no voices.
    names : mapping of int to str
        Names of enrolled speakers; the others are labelled by number.
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
    """Annotation of turns, with the labels of their speakers."""
    return annotation_of(((turn.start, turn.end, labels[turn.speaker]) for turn in sorted(turns)), uri)


def label_of(speaker: int, names: Mapping[int, str]) -> str:
    """Label of a speaker: the name, if there is one, or else SPEAKER_ and the number."""
    return names[speaker] if speaker in names else speaker_label(speaker)


def speaker_label(number: int) -> str:
    """Label of a speaker without a name: SPEAKER_00, SPEAKER_01..."""
    return f"SPEAKER_{number:02d}"


def join(turns: Iterable[Turn], pause: float) -> list[Turn]:
    """Join turns of one speaker that overlap or are at most `pause` seconds apart.

    The confidence of a joined turn is the mean over its parts, weighted by their durations.
    """
    return joined(turns, lambda before, turn: turn.start - before.end <= pause, _union)


def surest(turns: Iterable[Turn], speaker: int) -> Turn:
    """The most confident turn of a speaker, of equals the first."""
    return max((turn for turn in turns if turn.speaker == speaker), key=lambda turn: (turn.confidence, -turn.start))


def exclusive(turns: Iterable[Turn]) -> list[Turn]:
    """Resolve overlap: every moment goes to the active turn with the highest confidence, so that no speech is lost."""
    ranked = sorted(turns, key=lambda turn: turn.confidence, reverse=True)
    waiting = sorted(range(len(ranked)), key=lambda rank: ranked[rank].start, reverse=True)
    edges = sorted({edge for turn in ranked for edge in (turn.start, turn.end)})
    active: list[int] = []  # a heap, the highest confidence first
    parts: list[tuple[int, float, float]] = []
    for start, end in pairwise(edges):
        while waiting and ranked[waiting[-1]].start <= start:
            heappush(active, waiting.pop())
        while active and ranked[active[0]].end <= start:
            heappop(active)
        if active and parts and parts[-1][0] == active[0]:
            parts[-1] = (active[0], parts[-1][1], end)
        elif active:
            parts.append((active[0], start, end))
    return [ranked[rank]._replace(start=start, end=end) for rank, start, end in parts]


def _union(first: Turn, second: Turn) -> Turn:
    durations = [turn.end - turn.start for turn in (first, second)]
    confidence = float(np.average([first.confidence, second.confidence], weights=durations))
    return Turn(first.start, max(first.end, second.end), first.speaker, confidence)
