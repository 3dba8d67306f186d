"""Whether speech carries the right names: what enrolment is for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from pyannote.core import Annotation


@dataclass(frozen=True)
class Naming:
    """What some people's speech was called, in seconds; where several of them speak at once, each counts.

    Attributes
    ----------
    right : float
        By the speaker's own name.
    wrong : float
        By the name of somebody else, who does not speak then.
    nameless : float
        As a stranger.
    missed : float
        Nothing: nobody is written who could be the speaker.
    beside : float
        Part of `wrong`: the name stands beside a label that the speaker can have, so that it is a false alarm as well.
        Strangers only.
    """

    right: float = 0.0
    wrong: float = 0.0
    nameless: float = 0.0
    missed: float = 0.0
    beside: float = 0.0

    def __add__(self, other: Naming) -> Naming:
        return Naming(*(mine + yours for mine, yours in zip(astuple(self), astuple(other), strict=True)))

    @property
    def total(self) -> float:
        """Seconds of speech."""
        return self.found + self.missed

    @property
    def found(self) -> float:
        """Seconds of speech that was not missed."""
        return self.right + self.wrong + self.nameless


def naming(reference: Annotation, hypothesis: Annotation, known: Collection[str]) -> tuple[Naming, Naming]:
    """What the speech of those who were enrolled is called, and that of strangers.

    Parameters
    ----------
    reference, hypothesis : Annotation
        Those who were enrolled have the same names in both.
    known : collection of str
        These names.

    Returns
    -------
    people, strangers : Naming
        A stranger's speech cannot be `right`; at best it is `nameless`.
    """
    edges = np.unique([edge for turns in (reference, hypothesis) for part in turns.itersegments() for edge in part])
    moments, seconds = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    unknown, labels = (sorted(set(turns.labels()) - set(known)) for turns in (reference, hypothesis))
    spoken, written = _active(reference, sorted(known), moments), _active(hypothesis, sorted(known), moments)
    num_strangers = _active(reference, unknown, moments).sum(0)
    num_labels = _active(hypothesis, labels, moments).sum(0)
    right, left, others = ((spoken & written).sum(0), (spoken & ~written).sum(0), (written & ~spoken).sum(0))
    # how many at each moment, (num_moments,)
    wrong = np.minimum(others, left)
    nameless = np.minimum(np.maximum(num_labels - num_strangers, 0), left - wrong)
    called = np.where(others > 0, num_strangers, 0)
    unnamed = np.minimum(num_labels, num_strangers - called)
    beside = np.minimum(num_labels, called)

    def total(*numbers: np.ndarray) -> Naming:
        return Naming(*(float(number @ seconds) for number in numbers))

    return (
        total(right, wrong, nameless, left - wrong - nameless),
        total(0 * right, called, unnamed, num_strangers - called - unnamed, beside),
    )


def _active(annotation: Annotation, labels: Sequence[str], moments: np.ndarray) -> np.ndarray:
    """Who speaks at which moment: (num_labels, num_moments) bool."""
    active = np.zeros((len(labels), len(moments)), dtype=bool)
    for row, label in enumerate(labels):
        for segment in annotation.label_timeline(label):
            active[row] |= (segment.start < moments) & (moments < segment.end)
    return active
