"""Scores of enrolment: whether speech is labelled with the right names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from pyannote.core import Annotation


@dataclass(frozen=True)
class Naming:
    """Seconds of speech by how they are labelled; in overlap, the speech of each speaker counts.

    Attributes
    ----------
    right : float
        With the speaker's own name.
    wrong : float
        With the name of an enrolled speaker who does not speak at that time.
    nameless : float
        With the label of a speaker who is not enrolled.
    missed : float
        Missed: no label is left that could be the speaker's.
    beside : float
        Part of `wrong` where there is also a label that could be the speaker's, so that the name is a false alarm as
        well. Strangers only.
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
        """Seconds of speech that is not missed."""
        return self.right + self.wrong + self.nameless


def naming(reference: Annotation, hypothesis: Annotation, known: Collection[str]) -> tuple[Naming, Naming]:
    """Score the labels of the speech of enrolled speakers, and of all others, the strangers.

    Parameters
    ----------
    reference, hypothesis : Annotation
        Enrolled speakers have the same names in both.
    known : collection of str
        These names.

    Returns
    -------
    people, strangers : Naming
        Of enrolled speakers, and of strangers. A stranger's speech cannot be `right`; at best it is `nameless`.
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
    """Whether each speaker is active at each moment: (num_labels, num_moments) bool."""
    active = np.zeros((len(labels), len(moments)), dtype=bool)
    for row, label in enumerate(labels):
        for segment in annotation.label_timeline(label):
            active[row] |= (segment.start < moments) & (moments < segment.end)
    return active
