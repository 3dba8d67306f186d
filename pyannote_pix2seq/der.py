"""Diarization error rate (DER) and its three components."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pyannote.core import Annotation, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate


class Scoring(NamedTuple):
    """What is scored of a recording; by default, all of it.

    Attributes
    ----------
    collar : float
        Seconds around each boundary of the reference that are not scored, half of them on either side, as in
        pyannote.metrics: what md-eval and dscore call a collar of 0.25 is 0.5 here.
    skip_overlap : bool
        Whether moments in which several speakers of the reference speak are not scored.
    """

    collar: float = 0.0
    skip_overlap: bool = False

    def __str__(self) -> str:
        return f"collar {self.collar:g} s, overlap {'not ' * self.skip_overlap}scored"


EVERYTHING = Scoring()


def der_metric(scoring: Scoring = EVERYTHING) -> Any:
    """The metric of pyannote.metrics; by default without collar and with overlap scored."""
    return DiarizationErrorRate(**scoring._asdict())


@dataclass(frozen=True)
class DerComponents:
    """A diarization error rate as its three components, in % of the reference speech."""

    false_alarm: float
    missed_detection: float
    confusion: float

    @property
    def total(self) -> float:
        """The diarization error rate, in %."""
        return self.false_alarm + self.missed_detection + self.confusion

    @classmethod
    def from_seconds(cls, detail: Mapping[str, float]) -> DerComponents:
        """Convert the durations that pyannote.metrics counts to rates.

        Parameters
        ----------
        detail : mapping
            `metric(reference, hypothesis, detailed=True)` or, over many files, `metric[:]`. If the
            reference has no speech at all, any error is 100 %, as in pyannote.metrics.
        """
        errors = [detail["false alarm"], detail["missed detection"], detail["confusion"]]
        speech = detail["total"] or sum(errors) or 1.0
        return cls(*(100.0 * seconds / speech for seconds in errors))

    @property
    def brief(self) -> str:
        """The error rate with its components in brackets: `12.3 (4.5 / 6.7 / 1.1)`."""
        return f"{self.total:.1f} ({self.false_alarm:.1f} / {self.missed_detection:.1f} / {self.confusion:.1f})"

    def __str__(self) -> str:
        return (
            f"DER {self.total:.1f} % (false alarm {self.false_alarm:.1f}, "
            f"missed detection {self.missed_detection:.1f}, confusion {self.confusion:.1f})"
        )


def der_components(reference: Annotation, hypothesis: Annotation, uem: Timeline | None = None) -> DerComponents:
    """Diarization error rate of one file, without collar and with overlap scored.

    Parameters
    ----------
    reference, hypothesis : Annotation
    uem : Timeline, optional
        Regions to score. Defaults to the extent of the turns of both.
    """
    if uem is None:
        extent = reference.get_timeline().extent() | hypothesis.get_timeline().extent()
        uem = Timeline([extent] if extent else [])
    return DerComponents.from_seconds(der_metric()(reference, hypothesis, uem=uem, detailed=True))


def error_rate(pipeline: Callable[..., Any], files: Iterable[Mapping[str, Any]]) -> DerComponents:
    """Diarization error rate of a pipeline on several files, without collar and with overlap scored.

    Parameters
    ----------
    pipeline : callable
        A pyannote.audio pipeline that returns a `DiarizeOutput`.
    files : iterable of mapping
        With "annotation" and "annotated".
    """
    metric = der_metric()
    for file in files:
        metric(file["annotation"], pipeline(file).speaker_diarization, uem=file["annotated"])
    return DerComponents.from_seconds(metric[:])
