"""References that are not what they should be: what is said of them before systems are scored by them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from pyannote.core import Annotation

LATE = 0.5
"""Seconds that a reference may go on after its recording has ended, without a warning."""
TWICE = 0.5
"""Seconds of a reference that may count twice, without a warning."""


def warn_if_late(uri: str, reference: Annotation, duration: float, is_scored: bool) -> None:
    """Warn of a reference that goes on after its recording, of `duration` seconds, has ended.

    Parameters
    ----------
    uri : str
    reference : Annotation
    duration : float
    is_scored : bool
        Whether a UEM says that what goes on is scored, so that every system misses it.
    """
    late = max((turn.end for turn in reference.itersegments()), default=0.0) - duration
    if late > LATE:
        fate = "are scored, as its UEM says, so that they are missed" if is_scored else "are not scored"
        warnings.warn(
            f"{uri} lasts {duration:.1f} s, and its reference goes on for {late:.1f} s more, which {fate}. Is it that "
            f"of another recording, or is the audio cut off?",
            stacklevel=2,
        )


def warn_of_silent(references: Mapping[str, Annotation]) -> None:
    """Warn of references, by uri, without a turn: pyannote.database makes one where an RTTM lacks a recording."""
    silent = [uri for uri, reference in references.items() if not reference]
    if silent:
        more = f" and {len(silent) - 1} more have" if len(silent) > 1 else " has"
        warnings.warn(
            f"{silent[0]}{more} no turn in the reference: whatever systems write there is a false alarm. Does the RTTM "
            f"have it?",
            stacklevel=2,
        )


def warn_if_twice(uri: str, reference: Annotation) -> None:
    """Warn of turns of one speaker that overlap: all of them count, of which a system that is right has one."""
    said = sum(turn.duration for turn, _ in reference.itertracks())
    twice = said - sum(reference.label_duration(speaker) for speaker in reference.labels())
    if twice > TWICE:
        warnings.warn(
            f"{uri} has turns of one speaker that overlap in its reference: {twice:.1f} s of them count twice, as in "
            f"pyannote.metrics, so that even who is right misses them. Join such turns in the RTTM.",
            stacklevel=2,
        )
