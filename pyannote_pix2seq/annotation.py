"""Turns as a pyannote.core annotation."""

from __future__ import annotations

from collections.abc import Iterable

from pyannote.core import Annotation, Segment


def annotation_of(turns: Iterable[tuple[float, float, str]], uri: str) -> Annotation:
    """An annotation of (start, end, speaker) in seconds; tracks are numbered, so equal segments are kept apart."""
    annotation = Annotation(uri=uri)
    for track, (start, end, speaker) in enumerate(turns):
        annotation[Segment(start, end), track] = speaker
    return annotation
