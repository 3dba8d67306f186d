"""Measures of diarizations, of one recording or of many together, and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pyannote_pix2seq.der import DerComponents
from pyannote_pix2seq.errors import ArgumentError
from pyannote_pix2seq.evaluation.scores import NUM_LEVELS, Score

RESAMPLES = 1000


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
    """Sum of `scores.calibration` over recordings; all zeros where there is no confidence."""
    return sum((score.calibration for score in scores if score.calibration is not None), np.zeros((NUM_LEVELS, 3)))


def _calibration_error(scores: Sequence[Score]) -> float:
    seconds, claimed, right = levels(scores).T
    return 100.0 * float(np.abs(claimed - right).sum() / seconds.sum()) if seconds.any() else np.nan


def _speed(scores: Sequence[Score]) -> float:
    elapsed = sum(score.elapsed for score in scores)
    return sum(score.duration for score in scores) / elapsed if elapsed else np.nan


class Measure(NamedTuple):
    """A measure of recordings.

    Attributes
    ----------
    title : str
        With the unit.
    of : callable
        Scores of one or more recordings -> value; NaN where it is not defined.
    digits : int
        That are shown behind the point.
    has_interval : bool
        Whether its bootstrap interval is shown.
    """

    title: str
    of: Callable[[Sequence[Score]], float]
    digits: int = 1
    has_interval: bool = True


MEASURES = {
    "der": Measure("DER, %", lambda scores: components(scores).total),
    "false_alarm": Measure("false alarm", lambda scores: components(scores).false_alarm, has_interval=False),
    "missed_detection": Measure(
        "missed detection", lambda scores: components(scores).missed_detection, has_interval=False
    ),
    "confusion": Measure("confusion", lambda scores: components(scores).confusion, has_interval=False),
    "jer": Measure("JER, %", _jaccard),
    "speaker_count_error": Measure("number of speakers: mean error", _count_error, digits=2),
    "speaker_count_right": Measure("right, %", _count_right, digits=0, has_interval=False),
    "boundary_error": Measure("boundaries off by, ms", _boundary, digits=0),
    "calibration_error": Measure("calibration error, %", _calibration_error),
    "speed": Measure("times real time", _speed),
}
"""The DER with its three components, in %; the Jaccard error rate, in %; the mean absolute error of the number of
speakers, and the share of recordings in which that number is right, in %; the median of `scores.boundary_errors`, in
ms; the expected calibration error, in % (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017; turns are
weighted by duration); the speed, as a multiple of real time."""


def measure(scores: Sequence[Score]) -> dict[str, float]:
    """All `MEASURES` of recordings together: errors are summed before they are divided."""
    return {name: each.of(scores) for name, each in MEASURES.items()}


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
    return {name: _middle([MEASURES[name].of(sample) for sample in drawn]) for name in names}


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
    der = MEASURES["der"].of
    drawn = [der([scores[i] for i in index]) - der([others[i] for i in index]) for index in resampled(len(scores))]
    return der(scores) - der(others), *_middle(drawn)


def _middle(values: Sequence[float]) -> tuple[float, float]:
    known = np.array(values)[~np.isnan(values)]
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (np.nan, np.nan)
    return float(low), float(high)
