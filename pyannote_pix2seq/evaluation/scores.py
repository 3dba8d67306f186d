"""Scores of a diarization: what is measured of one recording, in a form that adds up over recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pyannote.core import Annotation, Timeline
from pyannote.metrics.diarization import JaccardErrorRate

from pyannote_pix2seq.der import EVERYTHING, Scoring, der_metric

NUM_LEVELS = 10
"""Levels of confidence in `Score.calibration`."""


@dataclass(frozen=True)
class Score:
    """Measurements of one recording, in a form that adds up over recordings.

    Attributes
    ----------
    uri : str
    errors : mapping
        Seconds of false alarm, missed detection and confusion, and of reference speech (total).
    jaccard : (float, float)
        Sum of the Jaccard error rates of the reference speakers, and number of them.
    num_speakers : (int, int)
        Found and true, in the scored part.
    boundaries : (num_boundaries,) floats
        See `boundary_errors`, in seconds.
    calibration : (NUM_LEVELS, 3) floats, or None
        See `calibration`; None where a system gives no confidence.
    duration, elapsed : float
        Seconds of the recording, and seconds that it took to diarize it (0: not measured).
    """

    uri: str
    errors: Mapping[str, float]
    jaccard: tuple[float, float]
    num_speakers: tuple[int, int]
    boundaries: np.ndarray
    calibration: np.ndarray | None
    duration: float
    elapsed: float


def score(
    uri: str,
    reference: Annotation,
    hypothesis: Annotation,
    scored: Timeline,
    confidence: Sequence[float] | None = None,
    duration: float | None = None,
    elapsed: float = 0.0,
    scoring: Scoring = EVERYTHING,
) -> Score:
    """Score one recording.

    Parameters
    ----------
    uri : str
        Name of the recording.
    reference, hypothesis : Annotation
        Whole, so that the scored part may begin and end within turns: a turn that is cut there has a boundary, and a
        collar, which pyannote.metrics does not give it. (pyannote.database cuts the annotations that it loads.)
    scored : Timeline
        Part to score; nothing outside of it counts.
    confidence : (num_turns,) floats, optional
        Of each turn of the hypothesis, in the order of `itertracks()`.
    duration : float, optional
        Of the recording, in seconds; defaults to that of `scored`.
    elapsed : float, optional
        Seconds that diarization took. Defaults to 0: not measured.
    scoring : Scoring, optional
        Of the DER and the JER; what else is measured is measured of the whole scored part. Defaults to collar 0 and
        overlap scored.
    """
    truth, found = (annotation.crop(scored, mode="intersection") for annotation in (reference, hypothesis))
    metric = der_metric(scoring)
    mapping = metric.optimal_mapping(truth, found)
    jaccard = JaccardErrorRate(**scoring._asdict())(reference, hypothesis, uem=scored, detailed=True)
    return Score(
        uri=uri,
        errors=metric(reference, hypothesis, uem=scored, detailed=True),
        jaccard=(jaccard["speaker error"], jaccard["speaker count"]),
        num_speakers=(len(found.labels()), len(truth.labels())),
        boundaries=boundary_errors(truth, found, mapping, scored),
        calibration=None if confidence is None else calibration(hypothesis, confidence, truth, mapping, scored),
        duration=scored.duration() if duration is None else duration,
        elapsed=elapsed,
    )


def boundary_errors(
    reference: Annotation, hypothesis: Annotation, mapping: Mapping[object, object], scored: Timeline
) -> np.ndarray:
    """Distances between the boundaries of matched turns.

    A turn of the reference and one of the hypothesis match if their speakers are mapped to each other and each of the
    two turns overlaps the other more than any other turn of that speaker. Turns of one speaker that touch are one turn.
    Each match has two distances, of starts and of ends; but where the scored part begins or ends is no boundary. Turns
    without a match do not count: they are errors of another kind.

    Parameters
    ----------
    reference, hypothesis : Annotation
        Within the scored part.
    mapping : mapping
        Speaker of the hypothesis -> speaker of the reference.
    scored : Timeline

    Returns
    -------
    distances : (num_boundaries,) float64
        In seconds.
    """
    edges = {time for segment in scored.support() for time in (segment.start, segment.end)}
    distances = []
    for found, true in mapping.items():
        turns = (
            _bounds(annotation.label_timeline(name)) for annotation, name in ((reference, true), (hypothesis, found))
        )
        for pair in _matches(*turns):
            distances += [abs(there - here) for there, here in zip(*pair, strict=True) if not {there, here} & edges]
    return np.array(distances)


def _bounds(turns: Timeline) -> np.ndarray:
    return np.array([(turn.start, turn.end) for turn in turns.support()]).reshape(-1, 2)


def _matches(there: np.ndarray, here: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of turns, each (start, end), that overlap each other more than any other."""
    if not len(there) or not len(here):
        return []
    overlap = np.minimum(there[:, None, 1], here[:, 1]) - np.maximum(there[:, None, 0], here[:, 0])
    # (num_there, num_here)
    best = overlap.argmax(axis=1)
    is_mutual = (overlap.argmax(axis=0)[best] == np.arange(len(there))) & (overlap.max(axis=1) > 0)
    return [(there[index], here[best[index]]) for index in np.flatnonzero(is_mutual)]


def calibration(
    hypothesis: Annotation,
    confidence: Sequence[float],
    reference: Annotation,
    mapping: Mapping[object, object],
    scored: Timeline,
) -> np.ndarray:
    """Seconds of turns at each level of confidence, and how many of them are right.

    A turn is right for as long as the reference speaker that its speaker is mapped to speaks.

    Returns
    -------
    levels : (NUM_LEVELS, 3) float64
        For turns whose confidence is in the same tenth: seconds of turns, their sum weighted by confidence, and seconds
        that are right.

    Raises
    ------
    ValueError
        If there is not one confidence for each turn.
    """
    levels = np.zeros((NUM_LEVELS, 3))
    speech = {found: reference.label_timeline(true).support() for found, true in mapping.items()}
    for (turn, _, speaker), sure in zip(hypothesis.itertracks(yield_label=True), confidence, strict=True):
        claimed = scored.crop(turn)
        seconds = claimed.duration()
        right = speech[speaker].crop(claimed).duration() if speaker in speech else 0.0
        levels[min(int(sure * NUM_LEVELS), NUM_LEVELS - 1)] += (seconds, seconds * sure, right)
    return levels
