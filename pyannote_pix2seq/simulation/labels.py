"""Styles of labels: turns exactly as they are spoken, or as an annotator would mark them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pyannote_pix2seq.errors import Pix2SeqError
from pyannote_pix2seq.numeric import check_ranges, is_number
from pyannote_pix2seq.simulation.turns import SHORTEST_SPOKEN, Turns, join_pauses
from pyannote_pix2seq.vocabulary import Triplet

DECIMALS = 3
"""Times are rounded to milliseconds, as in RTTM."""


class LabelsError(Pix2SeqError, ValueError):
    """An invalid style of labels."""


@dataclass(frozen=True)
class Labels:
    """Style of labels; the audio stays the same.

    No two corpora are annotated alike: forced alignment to words ends a turn at every pause, and people who mark turns
    by hand ignore short pauses and leave margins before and after. A model that is to be scored on a corpus should
    learn from labels of its style.

    Parameters
    ----------
    merge_pauses : float
        Pauses of one speaker that are shorter than this are labelled as speech, in seconds.
    padding : float
        Margin by which each label begins before and ends after its turn, in seconds: loose labels. Below 0, that much
        is cut off: tight labels; at least 0.1 s of each turn is left.

    Raises
    ------
    LabelsError
        If `merge_pauses` is negative, or either is not a finite number.

    Examples
    --------
    >>> str(Labels(merge_pauses=0.25))
    'merge_pauses=0.25,padding=0'
    >>> Labels(merge_pauses=0.25, padding=0.1).apply([Triplet(1.0, 2.0, 0), Triplet(2.2, 3.0, 0)], duration=3.0)
    [Triplet(start=0.9, end=3.0, speaker=0)]
    """

    merge_pauses: float = 0.0
    padding: float = 0.0

    def __post_init__(self) -> None:
        ranges = {
            "merge_pauses": (is_number(self.merge_pauses, 0), "a number of seconds, 0 or more"),
            "padding": (is_number(self.padding), "a number of seconds; negative ones make turns shorter"),
        }
        check_ranges("Labels", vars(self), ranges, LabelsError)

    def __str__(self) -> str:
        """The style as one word, which is part of the provenance of whatever is labelled in it."""
        return f"merge_pauses={self.merge_pauses:g},padding={self.padding:g}"

    def apply(self, turns: Iterable[Triplet], duration: float) -> Turns:
        """Labels of turns.

        Parameters
        ----------
        turns : iterable of Triplet
            As they are spoken, in seconds.
        duration : float
            Of the recording, in seconds. No label goes beyond it.

        Returns
        -------
        labels : list of Triplet
            Sorted, in whole milliseconds. Labels of one speaker never overlap, and no speaker is left out.
        """
        last = math.floor(round(duration * 10**DECIMALS, DECIMALS)) / 10**DECIMALS
        padded = (self._pad(turn, last) for turn in join_pauses(turns, self.merge_pauses))
        return sorted(join_pauses(padded, 0.0))

    def _pad(self, turn: Triplet, last: float) -> Triplet:
        padding = max(self.padding, min(SHORTEST_SPOKEN - (turn.end - turn.start), 0.0) / 2)
        start, end = round(turn.start - padding, DECIMALS), round(turn.end + padding, DECIMALS)
        return turn._replace(start=max(start, 0.0), end=min(end, last))


HEARD = Labels()
"""Labels that begin and end exactly with the turns."""
