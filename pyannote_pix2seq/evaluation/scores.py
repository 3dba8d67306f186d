"""Scores of a diarization: all measures of one recording, and of many with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pyannote.core import Annotation, Timeline
from pyannote.metrics.diarization import JaccardErrorRate

from pyannote_pix2seq.der import EVERYTHING, DerComponents, Scoring, der_metric
from pyannote_pix2seq.errors import ArgumentError

NUM_LEVELS = 10
"""Levels of confidence in `Score.calibration`."""
RESAMPLES = 1000


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


def components(scores: Sequence[Score]) -> DerComponents:
    """DER of recordings together, with its components."""
    return DerComponents.from_seconds({name: sum(score.errors[name] for score in scores) for name in scores[0].errors})


def _jaccard(scores: Sequence[Score]) -> float:
    error, count = np.sum([score.jaccard for score in scores], axis=0)
    return 100.0 * error / count if count else np.nan


def _count_error(scores: Sequence[Score]) -> float:
    return float(np.mean([abs(found - true) for found, true in (score.num_speakers for score in scores)]))


def _count_right(scores: Sequence[Score]) -> float:
    return 100.0 * float(np.mean([score.num_speakers[0] == score.num_speakers[1] for score in scores]))


def _boundary(scores: Sequence[Score]) -> float:
    distances = np.concatenate([score.boundaries for score in scores])
    return 1000.0 * float(np.median(distances)) if len(distances) else np.nan


def levels(scores: Sequence[Score]) -> np.ndarray:
    """Sum of `calibration` over recordings; all zeros where there is no confidence."""
    return sum((score.calibration for score in scores if score.calibration is not None), np.zeros((NUM_LEVELS, 3)))


def _calibration_error(scores: Sequence[Score]) -> float:
    seconds, claimed, right = levels(scores).T
    return 100.0 * float(np.abs(claimed - right).sum() / seconds.sum()) if seconds.any() else np.nan


def _speed(scores: Sequence[Score]) -> float:
    elapsed = sum(score.elapsed for score in scores)
    return sum(score.duration for score in scores) / elapsed if elapsed else np.nan


MEASURES: dict[str, Callable[[Sequence[Score]], float]] = {
    "der": lambda scores: components(scores).total,
    "false_alarm": lambda scores: components(scores).false_alarm,
    "missed_detection": lambda scores: components(scores).missed_detection,
    "confusion": lambda scores: components(scores).confusion,
    "jer": _jaccard,
    "speaker_count_error": _count_error,
    "speaker_count_right": _count_right,
    "boundary_error": _boundary,
    "calibration_error": _calibration_error,
    "speed": _speed,
}
"""Measures of one or more recordings: the DER with its three components, in %; the Jaccard error rate, in %; the
mean absolute error of the number of speakers, and the share of recordings in which that number is right, in %; the
median of `boundary_errors`, in ms; the expected calibration error, in % (Guo et al., "On Calibration of Modern
Neural Networks", ICML 2017; turns are weighted by duration); the speed, as a multiple of real time. NaN where a
measure is not defined."""


def measure(scores: Sequence[Score]) -> dict[str, float]:
    """All `MEASURES` of recordings together: errors are summed before they are divided."""
    return {name: function(scores) for name, function in MEASURES.items()}


def resampled(num_recordings: int) -> np.ndarray:
    """Bootstrap samples: (RESAMPLES, num_recordings) indices of recordings, drawn with replacement."""
    return np.random.default_rng(0).integers(num_recordings, size=(RESAMPLES, num_recordings))


def intervals(scores: Sequence[Score], names: Iterable[str] = tuple(MEASURES)) -> dict[str, tuple[float, float]]:
    """Bootstrap intervals over recordings: the middle 95 % of what other recordings of the same kind might give.

    Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979). With few recordings,
    intervals are too narrow.

    Parameters
    ----------
    scores : sequence of Score
    names : iterable of str, optional
        Of measures. Defaults to all.

    Returns
    -------
    intervals : dict of (float, float)
    """
    drawn = [[scores[index] for index in indices] for indices in resampled(len(scores))]
    return {name: _middle([MEASURES[name](sample) for sample in drawn]) for name in names}


def difference(scores: Sequence[Score], others: Sequence[Score]) -> tuple[float, float, float]:
    """DER of one system minus that of another on the same recordings, and its paired bootstrap interval.

    The same recordings are drawn for both, so that what makes a recording hard for both does not widen the interval.

    Returns
    -------
    difference, low, high : float
        In percentage points.

    Raises
    ------
    ValueError
        If the recordings are not the same.
    """
    if [score.uri for score in scores] != [score.uri for score in others]:
        raise ArgumentError("Two systems can only be compared on the same recordings, in the same order.")
    der = MEASURES["der"]
    drawn = [der([scores[i] for i in index]) - der([others[i] for i in index]) for index in resampled(len(scores))]
    return der(scores) - der(others), *_middle(drawn)


def _middle(values: Sequence[float]) -> tuple[float, float]:
    known = np.array(values)[~np.isnan(values)]
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (np.nan, np.nan)
    return float(low), float(high)
